"""Modalities that are computed from the RGB clip.

Shapes: `B` batch, `T H W` frames and picture.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from amge.errors import one_of
from amge.video.flow import optical_flow


def rgb_diff(clip: Tensor) -> Tensor:
    """`|x[t] - x[t-1]|` of a clip `(B, 3, T, H, W)`, the first frame zero."""
    return torch.cat([torch.zeros_like(clip[:, :, :1]), (clip[:, :, 1:] - clip[:, :, :-1]).abs()], dim=2)


FROM_RGB: dict[str, Callable[[Tensor], Tensor]] = {"rgb": lambda clip: clip, "rgb_diff": rgb_diff, "flow": optical_flow}
MODALITIES = (*FROM_RGB, "skeleton")
"""Clips `(B, 3, T, H, W)` that an RGB clip gives, and skeletons `(B, P, T, V, A)`, which it does not."""


def from_rgb(clip: Tensor, modality: str) -> Tensor:
    """An RGB clip `(B, 3, T, H, W)` to the same clip in another modality.

    Raises:
        ValueError: for an unknown modality, or `skeleton`, which needs a pose estimator.
    """
    return FROM_RGB[one_of("modality of an RGB clip", modality, FROM_RGB)](clip)
