"""From a clip to the patches that enter the first block.

Shapes: `B` batch, `T H W` grid, `N = T * H * W` patches, `C` channels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from amge.layers.exporting import exporting
from amge.layers.grid import Grid, pooled
from amge.layers.recomputing import product


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
        if clip.is_cuda and not exporting():
            return self._multiply(clip)
        patches = super().forward(clip)
        return patches.permute(0, 2, 3, 4, 1).flatten(1, 3), patches.shape[2:]  # type: ignore[return-value]

    def _multiply(self, clip: Tensor) -> tuple[Tensor, Grid]:
        """The same as one matrix multiplication, for GPUs, whose 3-D convolutions of 3 channels use no tensor cores.

        These want rows of a multiple of 8 values, so the kernel gets columns of zeros.
        """
        if torch.is_autocast_enabled(clip.device.type):
            clip = clip.to(torch.get_autocast_dtype(clip.device.type))
        more = -self.kernel_size[2] % 8
        sizes = [*self.kernel_size[:2], self.kernel_size[2] + more]
        t, h, w = (size // 2 for size in self.kernel_size)

        def windows(clip: Tensor) -> Tensor:
            clip = F.pad(clip, (w, w + more, h, h, t, t))
            for axis, size in enumerate(sizes):
                clip = clip.unfold(2 + axis, size, self.stride[axis])
            return clip.permute(0, 2, 3, 4, 1, 5, 6, 7).flatten(4).flatten(1, 3)

        patches = product(windows, F.pad(self.weight, (0, more)).flatten(1), self.bias, clip)
        return patches, pooled(clip.shape[2:], self.stride)  # type: ignore[arg-type]
