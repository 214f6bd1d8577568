"""Fusion by self-attention over both token sets."""

import torch
from torch import Tensor, nn

from amge.fusion.attention import AttentionLayer
from amge.fusion.shapes import check_depth, same_shape
from amge.layers.module import Module


class SelfAttention(Module):
    """Transformer layers over the tokens of both sets together, then the mean of the two sets.

    The "vanilla self-attention" of Nagrani et al., section 3.2.1, Table 5 of the paper. All tokens share the weights.

    Args:
        dim: channels `C` of each token set.
        depth: number of layers.
        layer: arguments of `AttentionLayer`, such as `num_heads`.
    """

    def __init__(self, dim: int, depth: int = 1, **layer: float) -> None:
        super().__init__()
        check_depth(depth)
        self.out_channels = dim
        self.layers = nn.ModuleList(AttentionLayer(dim, **layer) for _ in range(depth))  # type: ignore[arg-type]

    def forward(self, main: Tensor, receiver: Tensor) -> Tensor:
        """`(B, M, C)` and `(B, M, C)` to `(B, M, C)`."""
        same_shape(main, receiver, self.out_channels)
        tokens = torch.cat([main, receiver], dim=1)
        for layer in self.layers:
            tokens = layer(tokens)
        main, receiver = tokens.chunk(2, dim=1)
        return (main + receiver) / 2
