"""What a backbone made of a frame, kept while windows go on to show it."""

from collections import OrderedDict
from copy import copy
from typing import TYPE_CHECKING

import torch
from einops import rearrange
from torch import Tensor

from amge.backbones.contract import Backbone, BackboneOutput, EncodesFrames

if TYPE_CHECKING:
    from amge.model import MuscleModel

CLIPS = 4
"""Of how many clips the frames are kept."""


class Remembering(Backbone):
    """A backbone that encodes each frame once. A frame is known again by all its pixels as the model sees them: where
    the crop has moved it is another one, so that the answer is that of the backbone itself.

    Args:
        backbone: to which no frame of a clip matters until all are decoded. In inference alone: what is kept has no
            gradient.
    """

    def __init__(self, backbone: "Backbone | EncodesFrames") -> None:
        super().__init__()
        self.backbone = backbone
        for name in ("token_dim", "embed_dims", "reduces", "out_channels", "normed", "input_layout"):
            if hasattr(backbone, name):
                setattr(self, name, getattr(backbone, name))
        self.known: OrderedDict[bytes, list[Tensor]] = OrderedDict()
        self.encoded = self.looked_at = 0
        """Frames so far: encoded, and in clips."""

    def forward(self, clip: Tensor, tokens: Tensor | None = None) -> BackboneOutput:
        """A clip `(B, 3, T, H, W)` and tokens `(B, M', token_dim)` or None."""
        images = rearrange(clip, "b c t h w -> (b t) c h w").contiguous()
        pixels = images.view(torch.uint8).cpu().numpy()
        keys = [frame.tobytes() for frame in pixels]
        new = {key: row for row, key in enumerate(keys) if key not in self.known}
        if new:
            maps = self.backbone.encode_frames(images[list(new.values())])  # type: ignore[operator]
            for row, key in enumerate(new):
                self.known[key] = [level[row : row + 1].clone() for level in maps]
        self.encoded, self.looked_at = self.encoded + len(new), self.looked_at + len(keys)
        for key in keys:
            self.known.move_to_end(key)
        kept = [self.known[key] for key in keys]
        while len(self.known) > CLIPS * len(keys):
            self.known.popitem(last=False)
        levels = [torch.cat(level) for level in zip(*kept, strict=True)]
        return self.backbone.decode(levels, clip.shape[2], tokens)  # type: ignore[operator]


def remembering(model: "MuscleModel") -> "MuscleModel":
    """A model with the weights of the one given that encodes the frames its windows share once, if its backbone sees
    them one by one (`EncodesFrames`)."""
    quick = copy(model)
    quick._modules = dict(model._modules)  # else the new backbone would be that of both
    if isinstance(model.backbone, EncodesFrames):
        quick.backbone = Remembering(model.backbone)
    return quick
