"""Backbones: a clip and tokens in, patches and the tokens after every block out."""

from amge.backbones.adapter import TokenDecoder
from amge.backbones.contract import Backbone, BackboneOutput
from amge.backbones.frames import Frames

__all__ = ["Backbone", "BackboneOutput", "Frames", "TokenDecoder"]
