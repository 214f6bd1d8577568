"""Weights of a picture model for clips."""

import torch
from torch import Tensor

from amge.backbones.relative_position import resize_table


def inflate(weight: Tensor, frames: int) -> Tensor:
    """A 2-D convolution `(O, I, h, w)`, or one of a single frame, at the central frame of a 3-D one, zero elsewhere.

    So a still clip gives what the picture gives, at the first and last frame too, which a mean over time does not
    (its padding is black). PySlowFast repeats the weights, the official code repeats and divides.
    """
    flat = weight.unsqueeze(2) if weight.ndim == 4 else weight
    out = torch.zeros(*flat.shape[:2], frames, *flat.shape[3:], dtype=weight.dtype)
    out[:, :, frames // 2] = flat[:, :, 0]
    return out


def fit(state: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Bring picture weights to the shapes of a video model: inflate, resize tables, and add those of time, zero."""
    fitted = {}
    for key, value in state.items():
        target = own.get(key)
        if target is not None and target.ndim == 5 and (value.ndim == 4 or value.shape[2] == 1 != target.shape[2]):
            value = inflate(value, target.shape[2])
        elif target is not None and ".rel_pos." in key:
            value = resize_table(value, target.shape[0])
        fitted[key] = value
    times = {key: torch.zeros_like(value, device="cpu") for key, value in own.items() if key.endswith(".rel_pos.t")}
    return times | fitted
