"""The place in a network where what it looks at can be seen."""

from torch import Tensor

from amge.layers.grid import Grid
from amge.layers.module import Module


class Watch(Module):
    """Passes tokens on as they are; who wants to see or change them there adds a hook.

    A backbone calls one where its answer last depends on all that it sees, and states it as its `watch`.
    """

    def forward(self, tokens: Tensor, grid: Grid) -> Tensor:
        """`(B, M' + N, C)`, the last `N = T * H * W` of which are patches on the grid `(T, H, W)`."""
        return tokens
