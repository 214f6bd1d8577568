"""Backbones: a clip and tokens in, patches and the tokens after every block out."""

from amge.backbones.adapter import TokenDecoder
from amge.backbones.contract import Backbone, BackboneOutput
from amge.backbones.frames import Frames
from amge.backbones.mvit import BlockSetting, MViT, mvitv2

__all__ = ["Backbone", "BackboneOutput", "BlockSetting", "Frames", "MViT", "TokenDecoder", "mvitv2"]
