"""Modalities that are computed from the RGB clip."""

import torch
from torch import Tensor


def rgb_diff(clip: Tensor) -> Tensor:
    """`|x[t] - x[t-1]|` of a clip `(B, 3, T, H, W)`, the first frame zero."""
    return torch.cat([torch.zeros_like(clip[:, :, :1]), (clip[:, :, 1:] - clip[:, :, :-1]).abs()], dim=2)
