"""An MLP on how far joints go: the mean and the extremes over time of all that a skeleton's streams show.

Shapes: `B` persons of all samples, `C` channels of a joint, `T` frames, `V` joints, `S` statistics, `G` parts.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from amge.backbones.temporal import PersonNorm
from amge.layers.module import Module


def statistics(x: Tensor, levels: Sequence[float]) -> Tensor:
    """`(B, C, T, V)` to `(B, S, C, V)`: the mean over time, and a quantile for each level, as `torch.quantile`."""
    ordered, last = x.sort(dim=2).values, x.shape[2] - 1
    below = [int(level * last) for level in levels]
    between = [
        torch.lerp(ordered[:, :, low], ordered[:, :, min(low + 1, last)], level * last - low)
        for low, level in zip(below, levels, strict=True)
    ]
    return torch.stack([x.mean(dim=2), *between], dim=1)


class PoseMLP(Module):
    """Statistics over time of every joint, and an MLP that sees all of them at once.

    How muscles work shows in how far a movement goes, which a mean over time or a short convolution misses. Percentiles
    in place of the least and the largest value let less of a joint that jumps in one frame through: in 16 frames a
    quarter of what it is off, from 21 frames on nothing.

    Args:
        joints: `V`.
        width: channels of a part.
        parts: `G`, places that tokens can read; the MLP has `G * width` hidden channels.
        levels: of the quantiles, in 0..1.
        dropout: after each layer.
        in_channels: of a joint, see `amge.backbones.streams.channels`.

    Raises:
        ValueError: for no parts or channels, or a level outside 0..1.
    """

    def __init__(
        self,
        joints: int,
        width: int = 24,
        parts: int = 24,
        levels: Sequence[float] = (0.05, 0.95),
        dropout: float = 0.1,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        if min(width, parts) < 1:
            raise ValueError(f"parts and their width must be at least 1, got parts={parts}, width={width}")
        if not all(0 <= level <= 1 for level in levels):
            raise ValueError(f"levels of quantiles lie in 0..1, got {tuple(levels)}")
        self.joints, self.out_channels = joints, width
        self.persons: int | None = None
        self.parts, self.levels = parts, tuple(levels)
        self.norm = PersonNorm(joints, axes=in_channels)
        self.watch = self.norm.watch
        seen, hidden = (1 + len(self.levels)) * in_channels * joints, parts * width
        self.norm_statistics = nn.BatchNorm1d(seen)
        self.layers = nn.Sequential(
            nn.Linear(seen, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
        )

    def forward(self, skeletons: Tensor) -> Tensor:
        """`(B, P, T, V, in_channels)` to one person each, `(B * P, width, 1, G)`."""
        seen = statistics(self.norm(skeletons), self.levels).flatten(1)
        norm = self.norm_statistics
        if self.training and len(seen) == 1:  # one person has no variance
            seen = F.batch_norm(seen, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
        else:
            seen = norm(seen)
        return self.layers(seen).unflatten(1, (self.parts, -1)).transpose(1, 2)[:, :, None]
