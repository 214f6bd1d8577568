"""CTR-GCN (Chen et al., "Channel-wise Topology Refinement Graph Convolution", ICCV 2021).

Shapes: `B` samples, `P` persons, `C` channels, `R` channels of relations, `T` frames, `V` joints, `S` subsets of edges.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from amge.backbones.temporal import GraphThenTime, PersonNorm, shortcut, ten_blocks
from amge.layers.constant import constant
from amge.layers.module import Module
from amge.skeleton.graph import Graph


def conv(in_channels: int, channels: int) -> nn.Conv2d:
    layer = nn.Conv2d(in_channels, channels, 1)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out")
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


class RefinedTopology(nn.Module):
    """One subset of edges: a matrix for each channel, which what the joints have in common refines (eq. 5–7)."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        relations = 8 if in_channels % 8 else in_channels // 8  # joints come in multiples of three channels
        self.target, self.source = conv(in_channels, relations), conv(in_channels, relations)
        self.value = conv(in_channels, channels)
        self.relation = conv(relations, channels)

    def forward(self, x: Tensor, shared: Tensor, alpha: Tensor) -> Tensor:
        """`(B, C_in, T, V)` and the matrix `(V, V)` that all channels share to `(B, C, T, V)`."""
        target, source = self.target(x).mean(dim=2), self.source(x).mean(dim=2)
        relation = self.relation((target[..., None] - source[..., None, :]).tanh())  # (B, C, V, V)
        return torch.einsum("bcuv,bctv->bctu", relation * alpha + shared, self.value(x))


class CTRGraph(nn.Module):
    """The sum over subsets of edges, or another spatial layer, and a shortcut around it."""

    def __init__(self, in_channels: int, channels: int, adjacency: Tensor, spatial: nn.Module | None = None) -> None:
        super().__init__()
        self.spatial = spatial
        if spatial is None:
            self.shared = nn.Parameter(adjacency.clone())
            self.alpha = nn.Parameter(torch.zeros(1))
            self.subsets = nn.ModuleList(RefinedTopology(in_channels, channels) for _ in adjacency)
        self.norm = nn.BatchNorm2d(channels)
        nn.init.constant_(self.norm.weight, 1e-6)
        self.shortcut = shortcut(in_channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C_in, T, V)` to `(B, C, T, V)`."""
        if self.spatial is None:
            mixed = sum(subset(x, shared, self.alpha) for subset, shared in zip(self.subsets, self.shared, strict=True))
        else:
            mixed = self.spatial(x)
        return (self.norm(mixed) + self.shortcut(x)).relu()


class CTRGCN(Module):
    """Ten blocks; channels double and frames halve at the fifth and the eighth.

    Args:
        graph: the skeleton.
        persons: `P`; each slot has statistics of its own in the first norm.
        width: channels of the first blocks, divisible by 8; the reference's is 64.
        in_channels: of a joint, see `amge.backbones.streams.channels`.
        spatial: makes what takes the place of each block's graph convolution, from channels in and out; see
            `amge.backbones.spatial`.
    """

    def __init__(
        self,
        graph: Graph,
        persons: int = 1,
        width: int = 64,
        in_channels: int = 3,
        spatial: Callable[[int, int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.joints, self.persons, self.out_channels = graph.joints, persons, 4 * width
        self.norm = PersonNorm(graph.joints, persons, in_channels)
        self.watch = self.norm.watch
        adjacency = constant(graph.by_direction)

        def block(in_channels: int, channels: int, stride: int, first: bool) -> GraphThenTime:
            layer = spatial(in_channels, channels) if spatial else None
            topology = CTRGraph(in_channels, channels, adjacency, layer)
            return GraphThenTime(topology, in_channels, channels, stride, residual=not first)

        self.layers = ten_blocks(in_channels, width, block)

    def forward(self, skeletons: Tensor) -> Tensor:
        """`(B, P, T, V, in_channels)` to one person each, `(B * P, C, T', V)`."""
        return self.layers(self.norm(skeletons))
