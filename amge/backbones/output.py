"""What every backbone returns."""

from typing import NamedTuple

from torch import Tensor


class BackboneOutput(NamedTuple):
    """Patches, grid and tokens of one forward pass.

    `N = T * H * W` patch tokens on the grid `(T, H, W)`, `M'` tokens of all banks, `C` channels of the last block.
    """

    patches: Tensor
    """`(B, N, C)`."""
    grid: tuple[int, int, int]
    """`(T, H, W)` of `patches`."""
    tokens: Tensor | None
    """`(B, M', C)` after the last block and the final norm, or None if none were given."""
    block_tokens: tuple[Tensor, ...]
    """`(B, M', C_i)` after each block, before any final norm: what distillation compares."""
