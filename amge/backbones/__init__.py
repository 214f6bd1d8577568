"""Backbones: a clip and tokens in, patches and the tokens after every block out."""

from amge.backbones.adapter import TokenDecoder
from amge.backbones.frames import Frames
from amge.backbones.output import BackboneOutput

__all__ = ["BackboneOutput", "Frames", "TokenDecoder"]
