"""Fusion through an attention bottleneck."""

import torch
from torch import Tensor, nn

from amge.fusion.attention import AttentionLayer
from amge.fusion.shapes import same_shape
from amge.layers.module import Module


class Bottleneck(Module):
    """The two sets exchange what they know through a few bottleneck tokens alone; then the mean of the two sets.

    Attention bottlenecks of Nagrani et al., section 3.2.3, eq. 8 and 9, Table 5 of the paper: in each layer either set
    attends to itself and the bottleneck, with weights of its own, and both versions of the bottleneck are averaged.

    Args:
        dim: channels `C` of each token set.
        num_bottlenecks: bottleneck tokens `b`.
        depth: number of layers; what one set wrote, the other reads a layer later, so at least 2.
        layer: arguments of `AttentionLayer`, such as `num_heads`.

    Raises:
        ValueError: for fewer than two layers or no bottleneck tokens.
    """

    def __init__(self, dim: int, num_bottlenecks: int = 4, depth: int = 2, **layer: float) -> None:
        super().__init__()
        if depth < 2 or num_bottlenecks < 1:
            raise ValueError(
                f"an attention bottleneck needs at least 2 layers, for one set to read what the other wrote, and 1 "
                f"bottleneck token; got depth={depth} and num_bottlenecks={num_bottlenecks}"
            )
        self.out_channels = dim
        self.bottleneck = nn.Parameter(nn.init.trunc_normal_(torch.empty(num_bottlenecks, dim), std=0.02))
        self.layers_main = nn.ModuleList(AttentionLayer(dim, **layer) for _ in range(depth))  # type: ignore[arg-type]
        self.layers_receiver = nn.ModuleList(AttentionLayer(dim, **layer) for _ in range(depth))  # type: ignore[arg-type]

    def forward(self, main: Tensor, receiver: Tensor) -> Tensor:
        """`(B, M, C)` and `(B, M, C)` to `(B, M, C)`."""
        same_shape(main, receiver, self.out_channels)
        sizes = [main.shape[1], self.bottleneck.shape[0]]
        shared = self.bottleneck.expand(main.shape[0], -1, -1).to(main.dtype)
        for layer_main, layer_receiver in zip(self.layers_main, self.layers_receiver, strict=True):
            main, from_main = layer_main(torch.cat([main, shared], dim=1)).split(sizes, dim=1)
            receiver, from_receiver = layer_receiver(torch.cat([receiver, shared], dim=1)).split(sizes, dim=1)
            shared = (from_main + from_receiver) / 2
        return (main + receiver) / 2
