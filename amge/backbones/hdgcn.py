"""HD-GCN (Lee et al., "Hierarchically Decomposed Graph Convolutional Networks", ICCV 2023).

Shapes: `B` samples, `P` persons, `C` channels, `T` frames, `V` joints, `L` pairs of neighbouring levels, `S` subsets.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from amge.backbones.temporal import GraphThenTime, PersonNorm, pointwise, shortcut, ten_blocks
from amge.layers.constant import constant
from amge.layers.module import Module
from amge.skeleton.graph import Graph, hierarchy


class EdgeConv(nn.Module):
    """Each node looks at the `k` nodes that are most like it (Wang et al., "Dynamic Graph CNN")."""

    def __init__(self, channels: int, k: int) -> None:
        super().__init__()
        self.k = k
        conv = nn.Conv2d(2 * channels, channels, 1, bias=False)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out")
        self.conv = nn.Sequential(conv, nn.BatchNorm2d(channels), nn.LeakyReLU(0.2))

    def forward(self, x: Tensor) -> Tensor:
        """Nodes `(B, C, V)` to `(B, C, V)`."""
        nodes = x.transpose(1, 2)
        square = nodes.square().sum(dim=2)
        likeness = 2 * nodes @ x - square[:, :, None] - square[:, None]
        nearest = likeness.topk(min(self.k, x.shape[2]), dim=2).indices  # (B, V, k)
        index = nearest.flatten(1)[..., None].expand(-1, -1, x.shape[1])
        neighbours = nodes.gather(1, index).unflatten(1, nearest.shape[1:])  # (B, V, k, C)
        own = nodes[:, :, None].expand_as(neighbours)
        edges = torch.cat([neighbours - own, own], dim=3).permute(0, 3, 1, 2)
        return self.conv(edges).amax(dim=3)


class HierarchyAttention(nn.Module):
    """Weighs the levels by what their joints show: attention-guided hierarchy aggregation (section 3.3)."""

    def __init__(self, channels: int, joints_of: Sequence[Sequence[int]]) -> None:
        super().__init__()
        width = channels // 4
        self.joints_of = [list(joints) for joints in joints_of]
        self.reduce = nn.Sequential(*pointwise(channels, width), nn.ReLU())
        self.edges = EdgeConv(width, k=3)
        self.expand = nn.Conv1d(width, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, L, T, V)` to `(B, C, T, V)`."""
        peak = self.reduce(x.amax(dim=3))  # (B, C / 4, L, V)
        levels = [peak[:, :, level, joints].mean(dim=2) for level, joints in enumerate(self.joints_of)]
        weight = self.expand(self.edges(torch.stack(levels, dim=2))).sigmoid()
        return (x * weight[..., None, None]).sum(dim=2)


class Level(nn.Module):
    """One pair of levels: a graph convolution for each subset of edges, and `EdgeConv`, side by side."""

    def __init__(self, in_channels: int, width: int, subsets: int) -> None:
        super().__init__()
        self.reduce = nn.Sequential(*pointwise(in_channels, width), nn.ReLU())
        self.subsets = nn.ModuleList(nn.Sequential(*pointwise(width, width)) for _ in range(subsets))
        self.edges = EdgeConv(width, k=5)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """`(B, C_in, T, V)` and `(S, V, V)` to `(B, (S + 1) * width, T, V)`."""
        x = self.reduce(x)
        parts = [
            conv(torch.einsum("bctu,vu->bctv", x, edges)) for conv, edges in zip(self.subsets, adjacency, strict=True)
        ]
        like = self.edges(x.mean(dim=2))
        return torch.cat([*parts, like[:, :, None].expand_as(parts[0])], dim=1)


class HDGraph(nn.Module):
    """All pairs of levels, merged by attention or added, and a shortcut around them."""

    def __init__(
        self, in_channels: int, channels: int, adjacency: Tensor, joints_of: Sequence[Sequence[int]] | None
    ) -> None:
        super().__init__()
        subsets = adjacency.shape[1]
        self.shared = nn.Parameter(adjacency.clone())
        self.levels = nn.ModuleList(Level(in_channels, channels // (subsets + 1), subsets) for _ in adjacency)
        self.attention = HierarchyAttention(channels, joints_of) if joints_of else None
        self.norm = nn.BatchNorm2d(channels)
        nn.init.constant_(self.norm.weight, 1e-6)
        self.shortcut = shortcut(in_channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C_in, T, V)` to `(B, C, T, V)`."""
        out = torch.stack([level(x, edges) for level, edges in zip(self.levels, self.shared, strict=True)], dim=2)
        merged = self.attention(out) if self.attention else out.sum(dim=2)
        return (self.norm(merged) + self.shortcut(x)).relu()


class HDGCN(Module):
    """Ten blocks; channels double and frames halve at the fifth and the eighth.

    Args:
        graph: the skeleton.
        persons: `P`; each slot has statistics of its own in the first norm.
        width: channels of the first blocks, divisible by 4; the reference's is 64.
        levels: joints of each level of the hierarchy, inner first; default: by distance from the graph's centre.
        in_channels: of a joint, see `amge.backbones.streams.channels`.
    """

    def __init__(
        self,
        graph: Graph,
        persons: int = 1,
        width: int = 64,
        levels: Sequence[Sequence[int]] | None = None,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        self.joints, self.persons, self.out_channels = graph.joints, persons, 4 * width
        self.norm = PersonNorm(graph.joints, persons, in_channels)
        self.watch = self.norm.watch
        levels = levels or graph.levels()
        adjacency = constant(hierarchy, graph.joints, levels)
        joints_of = [[*inner, *outer] for inner, outer in pairwise(levels)]

        def block(in_channels: int, channels: int, stride: int, first: bool) -> GraphThenTime:
            topology = HDGraph(in_channels, channels, adjacency, None if first else joints_of)
            return GraphThenTime(topology, in_channels, channels, stride, residual=not first)

        self.layers = ten_blocks(in_channels, width, block)

    def forward(self, skeletons: Tensor) -> Tensor:
        """`(B, P, T, V, in_channels)` to one person each, `(B * P, C, T', V)`."""
        return self.layers(self.norm(skeletons))
