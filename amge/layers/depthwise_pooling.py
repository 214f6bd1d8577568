"""Depthwise convolution of tokens that lie on a grid, with any stride: the pooling of MViTv2 (section 4).

On a GPU it has kernels of its own, in Triton, which torch brings along on Linux; elsewhere, in other types and in
exported models it is torch's convolution.

Shapes: `B` batch, `M` class tokens, `T H W` grid, `N = T * H * W` patches, `N'` pooled ones, `C` channels, `D` rows of
the weight.
"""

import warnings
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from amge.layers.exporting import exporting
from amge.layers.grid import Grid, pool_patches, pooled, to_clip, to_pictures

HAS_TRITON = find_spec("triton") is not None
DEVICES = ("cuda",)
"""Types of device that the kernels run on; with Triton's interpreter they would on a CPU as well."""
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
"""Types of tokens that the kernels take; they compute in float32."""
SPARSE = 4
"""Stride from which on a contiguous convolution beats one picture by picture, where there is no Triton."""


def depthwise_pool(x: Tensor, weight: Tensor, grid: Grid, stride: Grid) -> Tensor:
    """Convolve each channel of the patches of `(B, M + N, C)` to `(B, M + N', C)`; class tokens pass by.

    Args:
        x: tokens, the class tokens first.
        weight: `(D, 1, kt, kh, kw)`, odd along each axis and padded by half of it. `D` divides `C`, and channel `c`
            takes row `c % D`, so that the heads of an attention share a weight.
        grid: `(T, H, W)` of the patches.
        stride: along each axis.

    Under autocast the weight may be in float32. On a GPU there are no second derivatives, except in float64.
    """
    if has_kernels(x):
        return _pool(x, weight, grid, stride)
    if weight.shape[0] < x.shape[-1]:
        weight = weight.repeat(x.shape[-1] // weight.shape[0], 1, 1, 1, 1)
    if x.is_cuda and not exporting():
        return pool_patches(x, grid, lambda clip: _convolve_on_gpu(clip, weight, stride))
    weight = weight.contiguous(memory_format=torch.channels_last_3d)
    padding = [size // 2 for size in weight.shape[2:]]
    return pool_patches(x, grid, lambda clip: F.conv3d(clip, weight, None, stride, padding, 1, weight.shape[0]))


def has_kernels(x: Tensor) -> bool:
    """Whether `depthwise_pool` of these tokens runs in Triton's kernels."""
    if x.device.type not in DEVICES or x.dtype not in DTYPES or not HAS_TRITON or exporting():
        return False
    return torch.compiler.is_compiling() or _works(x.device)  # torch.compile needs Triton itself


@cache
def _works(device: torch.device) -> bool:
    """Pool one token: Triton may not know the device, or miss the C compiler that it needs."""
    try:
        with torch.no_grad():
            _pool(torch.zeros(1, 1, 1, device=device), torch.zeros(1, 1, 1, 1, 1, device=device), (1, 1, 1), (1, 1, 1))
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        warnings.warn(
            f"Triton does not work on {device}, so pooling takes slower convolutions ({reason})", stacklevel=2
        )
        return False
    return True


def _convolve_on_gpu(clip: Tensor, weight: Tensor, stride: Grid) -> Tensor:
    """Depthwise convolution of a channels-last clip `(B, C, T, H, W)` by what is fast in cuDNN.

    Its backward pass of a channels-last 3-D convolution in half precision takes tens of times as long. Pictures are
    well served, so each row of the kernel along time is a 2-D convolution of all frames.
    """
    padding = [size // 2 for size in weight.shape[2:]]
    if max(stride) >= SPARSE:
        return F.conv3d(clip.contiguous(), weight, None, stride, padding, 1, weight.shape[0])
    pictures, frames = to_pictures(clip), clip.shape[2]
    total: Tensor | int = 0
    for tap in range(weight.shape[2]):
        plane = weight[:, :, tap].contiguous(memory_format=torch.channels_last)
        row = to_clip(F.conv2d(pictures, plane, None, stride[1:], padding[1:], 1, weight.shape[0]), frames)
        total = total + F.pad(row, (0, 0, 0, 0, padding[0] - tap, tap - padding[0]))
    return total[:, :, :: stride[0]]  # type: ignore[index]


def _sizes(weight: Tensor, grid: Sequence[int], stride: Sequence[int]) -> tuple[int, Grid, Grid, Grid, Grid]:
    """One part, its kernel, the grid, the pooled grid and the stride."""
    (t, h, w), (st, sh, sw), (kt, kh, kw) = grid, stride, weight.shape[2:]
    return 1, (kt, kh, kw), (t, h, w), pooled((t, h, w), (st, sh, sw)), (st, sh, sw)


def _dense(x: Tensor) -> Tensor:
    return x if x.stride(-1) == 1 else x.contiguous()


@torch.library.custom_op("amge::depthwise_pool", mutates_args=())
def _pool(x: Tensor, weight: Tensor, grid: Sequence[int], stride: Sequence[int]) -> Tensor:
    from amge.layers import depthwise_pooling_triton as kernels

    y = _pool_shape(x, weight, grid, stride)
    with torch.cuda.device_of(x):  # Triton launches on the current device
        kernels.forward(_dense(x), kernels.pack(weight), y, *_sizes(weight, grid, stride))
    return y


@_pool.register_fake
def _pool_shape(x: Tensor, weight: Tensor, grid: Sequence[int], stride: Sequence[int]) -> Tensor:
    length = x.shape[1] - prod(grid) + prod(_sizes(weight, grid, stride)[3])
    return x.new_empty(x.shape[0], length, x.shape[2])


@torch.library.custom_op("amge::depthwise_pool_backward", mutates_args=())
def _gradients(
    dy: Tensor, x: Tensor, weight: Tensor, grid: Sequence[int], stride: Sequence[int]
) -> tuple[Tensor, Tensor]:
    from amge.layers import depthwise_pooling_triton as kernels

    dy, dx = dy.contiguous(), x.new_empty(x.shape)
    with torch.cuda.device_of(x):
        taps, sizes = kernels.pack(weight), _sizes(weight, grid, stride)
        kernels.token_gradient(dy, taps, dx, *sizes)
        slopes = kernels.weight_gradient(_dense(x), dy, taps, *sizes)
    return dx, slopes.t().reshape(weight.shape).to(weight.dtype)


@_gradients.register_fake
def _gradient_shapes(
    dy: Tensor, x: Tensor, weight: Tensor, grid: Sequence[int], stride: Sequence[int]
) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), weight.new_empty(weight.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, ctx.grid, ctx.stride = inputs
    ctx.save_for_backward(x, weight)


def _backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    return *_gradients(dy, *ctx.saved_tensors, ctx.grid, ctx.stride), None, None


def _refuse(ctx: Any, *slopes: Tensor) -> None:
    raise NotImplementedError("depthwise_pool has no second derivatives on a GPU; compute them in float64, or on a CPU")


_pool.register_autograd(_backward, setup_context=_keep)
_gradients.register_autograd(_refuse)
