"""Backbones: a clip or skeletons, and tokens, in; patches and the tokens after every block out."""

from amge.backbones.adapter import TokenDecoder
from amge.backbones.contract import Backbone, BackboneOutput
from amge.backbones.ctrgcn import CTRGCN
from amge.backbones.decoders import Decoders
from amge.backbones.encoded import Encoded
from amge.backbones.frames import Frames
from amge.backbones.hdgcn import HDGCN
from amge.backbones.mvit import BlockSetting, MViT, mvitv2
from amge.backbones.pose_mlp import PoseMLP
from amge.backbones.skeleton import JointMixer, Skeleton, joint_mixer
from amge.backbones.stgcn import STGCN
from amge.skeleton.graph import Graph

__all__ = [
    "CTRGCN",
    "HDGCN",
    "STGCN",
    "Backbone",
    "BackboneOutput",
    "BlockSetting",
    "Decoders",
    "Encoded",
    "Frames",
    "Graph",
    "JointMixer",
    "MViT",
    "PoseMLP",
    "Skeleton",
    "TokenDecoder",
    "joint_mixer",
    "mvitv2",
]
