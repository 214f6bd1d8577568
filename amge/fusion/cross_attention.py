"""Fusion by cross-attention between the token sets."""

import torch
from torch import Tensor, nn

from amge.fusion.attention import AttentionLayer
from amge.fusion.shapes import check_depth, same_shape
from amge.layers.module import Module


class CrossAttention(Module):
    """Layers in which each set attends to both sets, with weights of its own; then the mean of the two sets.

    The "fusion with modality-specific parameters" of Nagrani et al., section 3.2.2, Tables 5 and 6 of the paper.

    Args:
        dim: channels `C` of each token set.
        depth: number of layers.
        layer: arguments of `AttentionLayer`, such as `num_heads`.
    """

    def __init__(self, dim: int, depth: int = 1, **layer: float) -> None:
        super().__init__()
        check_depth(depth)
        self.out_channels = dim
        self.layers_main = nn.ModuleList(AttentionLayer(dim, **layer) for _ in range(depth))  # type: ignore[arg-type]
        self.layers_receiver = nn.ModuleList(AttentionLayer(dim, **layer) for _ in range(depth))  # type: ignore[arg-type]

    def forward(self, main: Tensor, receiver: Tensor) -> Tensor:
        """`(B, M, C)` and `(B, M, C)` to `(B, M, C)`."""
        same_shape(main, receiver, self.out_channels)
        for ask_main, ask_receiver in zip(self.layers_main, self.layers_receiver, strict=True):
            both = torch.cat([main, receiver], dim=1)
            main, receiver = ask_main(main, both), ask_receiver(receiver, both)
        return (main + receiver) / 2
