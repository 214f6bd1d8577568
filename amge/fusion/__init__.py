"""Token fusion: two token sets `(B, M, C)` in, one `(B, M, out_channels)` out."""

from amge.fusion.concat import Concat
from amge.fusion.mctf import MCTF
from amge.fusion.sum import Sum

__all__ = ["MCTF", "Concat", "Sum"]
