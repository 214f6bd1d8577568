"""Fusion: of two token sets `(B, M, C)` into one `(B, M, out_channels)`, and of two modalities into one backbone."""

from amge.fusion.bottleneck import Bottleneck
from amge.fusion.concat import Concat
from amge.fusion.cross_attention import CrossAttention
from amge.fusion.elementwise import Mean, Product, Sum
from amge.fusion.late import LateFusion
from amge.fusion.mctf import MCTF
from amge.fusion.mixed import Mixed
from amge.fusion.patch import PatchFusion
from amge.fusion.self_attention import SelfAttention
from amge.fusion.skeleton import SkeletonStream

__all__ = [
    "MCTF",
    "Bottleneck",
    "Concat",
    "CrossAttention",
    "LateFusion",
    "Mean",
    "Mixed",
    "PatchFusion",
    "Product",
    "SelfAttention",
    "SkeletonStream",
    "Sum",
]
