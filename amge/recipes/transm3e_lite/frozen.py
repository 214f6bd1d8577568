"""A frozen image encoder, whose features are computed once, and what trains on top of it.

Features of an augmented picture never change, so a run keeps them and pays for the encoder once. An encoder that trains
learns the few rooms of the photographs by heart, where a frozen one hardly minds another room.

Shapes: `B` batch, `T` frames, `h w` the grid of a level of features, `C` its channels.
"""

from collections.abc import Sequence
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from amge.model import MuscleModel
from amge.results import Features


def encoder_of(model: MuscleModel) -> Any:
    """The model's encoder of single frames.

    Raises:
        ValueError: if it has none.
    """
    encoder: Any = getattr(model.backbone, "encoder", None)
    if not hasattr(encoder, "feature_info"):
        raise ValueError("the recipe trains models that see frames through an image encoder of timm")
    return encoder


def freeze(part: Any) -> None:
    """No gradient, no dropout, and statistics as they are, also in train mode."""
    part.requires_grad_(False).eval()
    part.train = lambda mode=True: part


@torch.inference_mode()
def encode(model: MuscleModel, clip: Tensor) -> list[Tensor]:
    """A normalised clip `(B, 3, T, H, W)` to the encoder's levels of features, float16 `(B, T, C, h, w)` each.

    The encoder runs in single precision: bfloat16 changes its features by 4 to 12 %.
    """
    images = rearrange(clip, "b c t h w -> (b t) c h w").contiguous(memory_format=torch.channels_last)
    levels = encoder_of(model)(images)
    return [rearrange(level, "(b t) c h w -> b t c h w", t=clip.shape[2]).half().cpu() for level in levels]


def forward_top(model: MuscleModel, levels: Sequence[Tensor]) -> Features:
    """What `model.forward_features` gives for the clip that `encode` made `levels` from."""
    tokens = model.bank and model.bank(len(levels[0]))
    adapter: Any = model.backbone.adapter
    frames = [rearrange(level.float(), "b t c h w -> (b t) c h w") for level in levels]
    return model.gather(adapter(frames, levels[0].shape[1], tokens))
