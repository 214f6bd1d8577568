"""Tokens that lie on a grid in time, height and width, behind class tokens that do not.

Shapes: `B` batch, `M` class tokens, `T H W` grid, `N = T * H * W` patches, `C` channels.
"""

from collections.abc import Callable
from math import prod

import torch
from torch import Tensor

Grid = tuple[int, int, int]


def pooled(grid: Grid, stride: Grid) -> Grid:
    """The grid after a convolution or pooling of odd kernel and half its size as padding: rounded up."""
    t, h, w = (-(-size // step) for size, step in zip(grid, stride, strict=True))
    return t, h, w


def pool_patches(x: Tensor, grid: Grid, pool: Callable[[Tensor], Tensor]) -> Tensor:
    """Pool the patches of `(B, M + N, C)` as a channels-last clip `(B, C, T, H, W)`; class tokens pass by."""
    tokens = x.shape[1] - prod(grid)
    patches = pool(x[:, tokens:].unflatten(1, grid).permute(0, 4, 1, 2, 3))
    return torch.cat([x[:, :tokens], patches.permute(0, 2, 3, 4, 1).flatten(1, 3)], dim=1)


def to_pictures(clip: Tensor) -> Tensor:
    """A channels-last clip `(B, C, T, H, W)` to channels-last pictures `(B * T, C, H, W)`."""
    return clip.permute(0, 2, 3, 4, 1).flatten(0, 1).permute(0, 3, 1, 2)


def to_clip(pictures: Tensor, frames: int) -> Tensor:
    """Channels-last pictures `(B * T, C, H, W)` to a channels-last clip `(B, C, T, H, W)`."""
    return pictures.permute(0, 2, 3, 1).unflatten(0, (-1, frames)).permute(0, 4, 1, 2, 3)
