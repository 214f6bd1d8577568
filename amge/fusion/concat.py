"""Fusion by concatenating channels."""

import torch
from torch import Tensor

from amge.fusion.shapes import same_shape
from amge.layers.module import Module


class Concat(Module):
    """Puts the channels of the two token sets side by side (Table 5 of the paper, "Concat").

    Args:
        dim: channels `C` of each token set.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.out_channels = 2 * dim

    def forward(self, main: Tensor, receiver: Tensor) -> Tensor:
        """`(B, M, C)` and `(B, M, C)` to `(B, M, 2C)`."""
        same_shape(main, receiver, self.dim)
        return torch.cat([main, receiver], dim=-1)
