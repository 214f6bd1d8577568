"""From a clip to the patches that enter the first block.

Shapes: `B` batch, `T H W` grid, `N = T * H * W` patches, `C` channels.
"""

import torch
from torch import Tensor, nn

from amge.backbones.relative_position import Grid


class PatchEmbedding(nn.Conv3d):
    """A strided convolution that turns a clip into patches.

    Args:
        dim: channels of the patches.
        kernel: odd along every axis.
        stride: must divide a clip's length and size.
        in_channels: channels of the clip.
    """

    def __init__(self, dim: int, kernel: Grid, stride: Grid, in_channels: int = 3) -> None:
        padding = tuple(size // 2 for size in kernel)
        super().__init__(in_channels, dim, tuple(kernel), tuple(stride), padding)  # type: ignore[arg-type]

    def check(self, frames: int, height: int, width: int) -> None:
        """Raise `ValueError` for a length or size that the stride does not divide; names the nearest that fit."""
        for name, length, step in zip(("frames", "height", "width"), (frames, height, width), self.stride, strict=True):
            if length % step or not length:
                near = [n for n in (length // step * step, -(-length // step) * step) if n] or [step]
                raise ValueError(
                    f"{name}={length} is not a multiple of the patch stride {step}; "
                    f"the nearest that fit: {' and '.join(map(str, near))}"
                )

    def forward(self, clip: Tensor) -> tuple[Tensor, Grid]:  # type: ignore[override]
        """A clip `(B, 3, T, H, W)` to patches `(B, N, C)` and their grid."""
        if not torch.compiler.is_compiling():
            self.check(*clip.shape[-3:])
        patches = super().forward(clip)
        return patches.permute(0, 2, 3, 4, 1).flatten(1, 3), patches.shape[2:]  # type: ignore[return-value]
