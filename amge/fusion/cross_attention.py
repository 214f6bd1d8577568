"""Fusion by cross-attention between the token sets."""

from torch import Tensor, nn

from amge.fusion.attention import AttentionLayer
from amge.fusion.shapes import same_shape


class CrossAttention(nn.Module):
    """Layers in which each set attends to the other, with weights of its own; then the mean of the two sets.

    The cross-attention of Nagrani et al., section 3.2.2, Tables 5 and 6 of the paper.

    Args:
        dim: channels `C` of each token set.
        depth: number of layers.
        layer: arguments of `AttentionLayer`, such as `num_heads`.
    """

    def __init__(self, dim: int, depth: int = 1, **layer: float) -> None:
        super().__init__()
        self.out_channels = dim
        self.layers_main = nn.ModuleList(AttentionLayer(dim, **layer) for _ in range(depth))  # type: ignore[arg-type]
        self.layers_receiver = nn.ModuleList(AttentionLayer(dim, **layer) for _ in range(depth))  # type: ignore[arg-type]

    def forward(self, main: Tensor, receiver: Tensor) -> Tensor:
        """`(B, M, C)` and `(B, M, C)` to `(B, M, C)`."""
        same_shape(main, receiver)
        for ask_main, ask_receiver in zip(self.layers_main, self.layers_receiver, strict=True):
            main, receiver = ask_main(main, receiver), ask_receiver(receiver, main)
        return (main + receiver) / 2
