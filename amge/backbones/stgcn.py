"""ST-GCN (Yan et al., "Spatial Temporal Graph Convolutional Networks", AAAI 2018).

Shapes: `B` samples, `P` persons, `C` channels, `T` frames, `V` joints, `S` subsets of neighbours.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from amge.backbones.temporal import PersonNorm, shortcut, ten_blocks
from amge.layers.constant import constant
from amge.layers.module import Module
from amge.skeleton.graph import Graph


class STGCNBlock(nn.Module):
    """A graph convolution with learned importance of edges, or another spatial layer, a temporal convolution, and a
    shortcut."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        adjacency: Tensor,
        stride: int,
        kernel: int,
        dropout: float,
        residual: bool,
        spatial: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.plain = spatial is None
        if self.plain:
            self.register_buffer("adjacency", adjacency, persistent=False)
            self.importance = nn.Parameter(torch.ones(adjacency.shape))
        self.graph = spatial or nn.Conv2d(in_channels, len(adjacency) * channels, 1)
        self.time = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, (kernel, 1), (stride, 1), (kernel // 2, 0)),
            nn.BatchNorm2d(channels),
            nn.Dropout(dropout),
        )
        self.shortcut = shortcut(in_channels, channels, stride) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C_in, T, V)` to `(B, C, T', V)`."""
        mixed = self.graph(x)
        if self.plain:
            matrices: Tensor = self.adjacency * self.importance  # type: ignore[operator]
            subsets = mixed.unflatten(1, (len(matrices), -1))
            mixed = torch.einsum("bsctv,svw->bctw", subsets, matrices)
        out = self.time(mixed)
        return (out if self.shortcut is None else out + self.shortcut(x)).relu()


class STGCN(Module):
    """Ten blocks; channels double and frames halve at the fifth and the eighth.

    Args:
        graph: the skeleton.
        width: channels of the first blocks; the reference's is 64.
        kernel: frames of the temporal convolutions, odd.
        dropout: after each block but the first.
        in_channels: of a joint, see `amge.backbones.streams.channels`.
        spatial: makes what takes the place of each block's graph convolution, from channels in and out; see
            `amge.backbones.spatial`.
    """

    def __init__(
        self,
        graph: Graph,
        width: int = 64,
        kernel: int = 9,
        dropout: float = 0.0,
        in_channels: int = 3,
        spatial: Callable[[int, int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.joints, self.out_channels = graph.joints, 4 * width
        self.persons: int | None = None
        self.norm = PersonNorm(graph.joints, axes=in_channels)
        self.watch = self.norm.watch
        adjacency = constant(graph.by_distance)

        def block(in_channels: int, channels: int, stride: int, first: bool) -> STGCNBlock:
            chance = 0.0 if first else dropout
            layer = spatial(in_channels, channels) if spatial else None
            return STGCNBlock(in_channels, channels, adjacency, stride, kernel, chance, not first, layer)

        self.layers = ten_blocks(in_channels, width, block)

    def forward(self, skeletons: Tensor) -> Tensor:
        """`(B, P, T, V, in_channels)` to one person each, `(B * P, C, T', V)`."""
        return self.layers(self.norm(skeletons))
