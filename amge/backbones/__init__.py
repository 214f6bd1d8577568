"""Backbones: a clip or skeletons, and tokens, in; patches and the tokens after every block out."""

from amge.backbones.adapter import TokenDecoder
from amge.backbones.contract import Backbone, BackboneOutput
from amge.backbones.frames import Frames
from amge.backbones.mvit import BlockSetting, MViT, mvitv2
from amge.backbones.skeleton import JointMixer, Skeleton, joint_mixer

__all__ = [
    "Backbone",
    "BackboneOutput",
    "BlockSetting",
    "Frames",
    "JointMixer",
    "MViT",
    "Skeleton",
    "TokenDecoder",
    "joint_mixer",
    "mvitv2",
]
