"""Temporal convolutions of skeleton networks, and the block that puts them behind a graph convolution.

Shapes: `B` persons of all samples, `C` channels, `T` frames, `V` joints.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from amge.layers.checkpointing import Blocks
from amge.layers.watch import Watch


def pointwise(in_channels: int, out_channels: int, stride: int = 1) -> list[nn.Module]:
    """A 1 x 1 convolution, strided in time, and its norm."""
    conv = nn.Conv2d(in_channels, out_channels, 1, stride=(stride, 1))
    nn.init.kaiming_normal_(conv.weight, mode="fan_out")
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return [conv, nn.BatchNorm2d(out_channels)]


def shortcut(in_channels: int, out_channels: int, stride: int = 1) -> nn.Module:
    """The input as it is, or through a 1 x 1 convolution where its shape changes."""
    if in_channels == out_channels and stride == 1:
        return nn.Identity()
    return nn.Sequential(*pointwise(in_channels, out_channels, stride))


class MultiScaleTemporal(nn.Module):
    """Branches side by side: dilated convolutions, a max-pool, and a point (Chen et al., CTR-GCN, section 3.4).

    Args:
        channels: in and out; divisible by the number of branches.
        stride: in time.
        kernel: frames of the dilated convolutions, odd.
        dilations: one branch each.
    """

    def __init__(self, channels: int, stride: int = 1, kernel: int = 5, dilations: Sequence[int] = (1, 2)) -> None:
        super().__init__()
        count = len(dilations) + 2
        if channels % count:
            raise ValueError(f"{count} branches need a number of channels that {count} divides, got {channels}")
        width = channels // count
        self.branches = nn.ModuleList()
        for dilation in dilations:
            padding = (dilation * (kernel - 1) // 2, 0)
            conv = nn.Conv2d(width, width, (kernel, 1), (stride, 1), padding, (dilation, 1))
            nn.init.kaiming_normal_(conv.weight, mode="fan_out")
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
            self.branches.append(nn.Sequential(*pointwise(channels, width), nn.ReLU(), conv, nn.BatchNorm2d(width)))
        pool = nn.MaxPool2d((3, 1), (stride, 1), (1, 0))
        self.branches.append(nn.Sequential(*pointwise(channels, width), nn.ReLU(), pool, nn.BatchNorm2d(width)))
        self.branches.append(nn.Sequential(*pointwise(channels, width, stride)))

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, T, V)` to `(B, C, T', V)`."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class GraphThenTime(nn.Module):
    """A graph convolution, then `MultiScaleTemporal`, around both a shortcut.

    Args:
        graph: `(B, C_in, T, V)` to `(B, C, T, V)`.
        in_channels: `C_in`.
        channels: `C`.
        stride: in time.
        residual: whether there is a shortcut.
    """

    def __init__(
        self, graph: nn.Module, in_channels: int, channels: int, stride: int = 1, residual: bool = True
    ) -> None:
        super().__init__()
        self.graph = graph
        self.time = MultiScaleTemporal(channels, stride)
        self.shortcut = shortcut(in_channels, channels, stride) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C_in, T, V)` to `(B, C, T', V)`."""
        out = self.time(self.graph(x))
        return (out if self.shortcut is None else out + self.shortcut(x)).relu()


def ten_blocks(in_channels: int, width: int, block: Callable[[int, int, int, bool], nn.Module]) -> Blocks:
    """The stack that ST-GCN introduced: channels double and frames halve at the fifth and the eighth block.

    Args:
        in_channels: of the skeletons.
        width: channels of the first blocks.
        block: makes one from channels in and out, stride in time, and whether it is the first, which has no shortcut.
    """
    channels = [in_channels, *[width] * 4, *[2 * width] * 3, *[4 * width] * 3]
    return Blocks(
        *(block(channels[i], channels[i + 1], 2 if i in (4, 7) else 1, i == 0) for i in range(len(channels) - 1))
    )


class PersonNorm(nn.BatchNorm1d):
    """Batch norm of raw skeletons: statistics for each joint and axis, of each person's slot or of all persons alike.

    Args:
        joints: `V`.
        persons: `P`, slots with statistics of their own; 1 for persons alike, any number of them.
        axes: channels of a joint, such as x, y and confidence.
    """

    def __init__(self, joints: int, persons: int = 1, axes: int = 3) -> None:
        super().__init__(persons * joints * axes)
        self.persons = persons
        self.watch = Watch()  # behind graph convolutions each joint knows of all others

    def forward(self, skeletons: Tensor) -> Tensor:
        """`(B, P, T, V, axes)` to one person each, `(B * P, axes, T, V)`."""
        samples, persons, frames, joints, axes = skeletons.shape
        x = skeletons.permute(0, 1, 3, 4, 2)  # b p v c t
        x = super().forward(x.reshape(samples * persons // self.persons, -1, frames))
        x = x.reshape(samples * persons, joints, axes, frames).permute(0, 3, 1, 2)
        return self.watch(x.flatten(1, 2), (frames, joints, 1)).unflatten(1, (frames, joints)).permute(0, 3, 1, 2)
