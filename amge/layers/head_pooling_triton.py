"""Triton kernels of `head_pooling`: a depthwise convolution with the layer norm of a head's channels behind it.

Shapes are those of `depthwise_pooling_triton`; `D` are the channels of a head, which one program takes whole, and `E`
further ones that are written behind them. There is one part (the query) or two (key and value), each with its own
output. The gradient of the norm convolves again: nothing but the tokens needs to be kept for it.
"""

from collections.abc import Sequence
from math import prod

import torch
import triton
import triton.language as tl
from torch import Tensor

from amge.layers.depthwise_pooling_triton import PROGRAMS, _convolve
from amge.layers.grid import Grid

POSITIONS = 32
"""Positions of a program, which has all channels of a head; fewer where that fills no device."""
WARPS = 8
"""With 4 the registers would hold half as many programs at a time, and spill in float32."""


@triton.jit
def _rows(
    x, x_batch, x_row, taps, taps_row, M, T, H, W, To, Ho, Wo, HEADS, D, EPS,
    ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr, KT: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr,
    R: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Pooled tokens before the scale of the norm, what they were divided by, their rows, and which there are.

    Grid: tiles of pooled positions, then of class tokens; heads of all parts; samples.
    """
    tile = tl.program_id(0)
    tiles = tl.cdiv(To * Ho * Wo, R)
    part = tl.program_id(1) // HEADS
    lane = tl.arange(0, BC)
    real = lane < D
    channel = tl.program_id(1) * D + lane
    x += tl.program_id(2).to(tl.int64) * x_batch
    if tile < tiles:
        total, row, met = _convolve(
            x, x_row, taps + part * D + lane, taps_row, tile, channel, real, M, T, H, W, To, Ho, Wo,
            ST, SH, SW, KT, KH, KW, R, BC,
        )  # fmt: skip
    else:
        row = (tile - tiles) * R + tl.arange(0, R)
        met = row < M
        source = x + row.to(tl.int64)[:, None] * x_row + channel[None, :]
        total = tl.load(source, mask=met[:, None] & real[None, :], other=0.0).to(tl.float32)
    centred = tl.where(real[None, :], total - (tl.sum(total, 1) / D)[:, None], 0.0)
    spread = tl.rsqrt(tl.sum(centred * centred, 1) / D + EPS)
    return centred * spread[:, None], spread, row, met


@triton.jit
def _forward(
    x, taps, scales, marks, y0, y1, x_batch, x_row, taps_row, scales_row, M, T, H, W, To, Ho, Wo, HEADS, D, E, EPS,
    ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr, KT: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr,
    R: tl.constexpr, BC: tl.constexpr, BE: tl.constexpr,
):  # fmt: skip
    """Behind the channels of each head the first part gets the marks of its position, the second one zeros."""
    normed, _, row, met = _rows(
        x, x_batch, x_row, taps, taps_row, M, T, H, W, To, Ho, Wo, HEADS, D, EPS,
        ST, SH, SW, KT, KH, KW, R, BC,
    )  # fmt: skip
    part, head = tl.program_id(1) // HEADS, tl.program_id(1) % HEADS
    lane = tl.arange(0, BC)
    real = lane < D
    gamma = tl.load(scales + part * D + lane, mask=real, other=0.0).to(tl.float32)
    beta = tl.load(scales + scales_row + part * D + lane, mask=real, other=0.0).to(tl.float32)
    y = y0
    if part == 1:
        y = y1
    first = ((tl.program_id(2).to(tl.int64) * (M + To * Ho * Wo) + row) * HEADS + head) * (D + E)
    value = normed * gamma[None, :] + beta[None, :]
    target = y + first[:, None] + lane[None, :]
    tl.store(target, value.to(y.dtype.element_ty), mask=met[:, None] & real[None, :])
    if BE > 0:
        extra = tl.arange(0, BE)
        there = met[:, None] & (extra < E)[None, :]
        marked = met[:, None] & (extra + part * E < E)[None, :] & (row >= M)[:, None]  # only in the first part
        mark = tl.load(marks + (row - M)[:, None] * E + extra[None, :], mask=marked, other=0.0)
        target = y + first[:, None] + D + extra[None, :]
        tl.store(target, mark.to(y.dtype.element_ty), mask=there)


@triton.jit
def _norm_gradient(
    x, taps, scales, dn0, dn1, dy, sums, x_batch, x_row, taps_row, dn_batch, dn_row, dn_head,
    M, T, H, W, To, Ho, Wo, C, HEADS, D, EPS,
    ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr, KT: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr,
    R: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """The gradient of the pooled tokens `(B, M + To * Ho * Wo, C)` of all parts, from those of the normed ones.

    Also the sums of each program for scale and shift, `(B, tiles, 2, C)`.
    """
    normed, spread, row, met = _rows(
        x, x_batch, x_row, taps, taps_row, M, T, H, W, To, Ho, Wo, HEADS, D, EPS,
        ST, SH, SW, KT, KH, KW, R, BC,
    )  # fmt: skip
    part, head = tl.program_id(1) // HEADS, tl.program_id(1) % HEADS
    b = tl.program_id(2).to(tl.int64)
    lane = tl.arange(0, BC)
    real = lane < D
    mask = met[:, None] & real[None, :]
    dn = dn0
    if part == 1:
        dn = dn1
    source = dn + b * dn_batch + head * dn_head + row.to(tl.int64)[:, None] * dn_row + lane[None, :]
    slope = tl.load(source, mask=mask, other=0.0).to(tl.float32)
    channel = tl.program_id(1) * D + lane
    place = sums + (b * tl.num_programs(0) + tl.program_id(0)) * 2 * C + channel
    tl.store(place, tl.sum(slope * normed, 0), mask=real)
    tl.store(place + C, tl.sum(slope, 0), mask=real)
    slope *= tl.load(scales + part * D + lane, mask=real, other=0.0).to(tl.float32)[None, :]
    along, mean = tl.sum(slope * normed, 1) / D, tl.sum(slope, 1) / D
    value = (slope - mean[:, None] - normed * along[:, None]) * spread[:, None]
    target = dy + (b * (M + To * Ho * Wo) + row)[:, None] * C + channel[None, :]
    tl.store(target, value.to(dy.dtype.element_ty), mask=mask)


def _blocks(samples: int, length: int, positions: int, heads: int) -> tuple[int, tuple[int, int, int]]:
    """Positions of a program, and the programs."""
    whole = triton.cdiv(positions, POSITIONS) * heads * samples
    rows = POSITIONS if whole >= PROGRAMS // 2 else POSITIONS // 2
    return rows, (triton.cdiv(positions, rows) + triton.cdiv(length - positions, rows), heads, samples)


def forward(
    x: Tensor, taps: Tensor, scales: Tensor, marks: Tensor | None, ys: Sequence[Tensor], eps: float,
    kernel: Grid, grid: Grid, small: Grid, stride: Grid,
) -> None:  # fmt: skip
    """Write `(B, M + To * Ho * Wo, heads, D + E)`, contiguous, of each part."""
    samples, length, heads, width = ys[0].shape
    head_dim = taps.shape[1] // len(ys)
    rows, programs = _blocks(samples, length, prod(small), len(ys) * heads)
    extra = width - head_dim
    _forward[programs](
        x, taps, scales, scales if marks is None else marks, ys[0], ys[-1], x.stride(0), x.stride(1), taps.stride(0),
        scales.stride(0), length - prod(small), *grid, *small, heads, head_dim, extra, eps, *stride, *kernel,
        rows, triton.next_power_of_2(head_dim), triton.next_power_of_2(extra) if extra else 0,
        num_warps=WARPS,
    )  # fmt: skip


def norm_gradient(
    x: Tensor, taps: Tensor, scales: Tensor, slopes: Sequence[Tensor], eps: float,
    kernel: Grid, grid: Grid, small: Grid, stride: Grid,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The gradient of the pooled tokens of all parts side by side, and `(2, parts * D)` of scale and shift.

    Slopes `(B, M + To * Ho * Wo, heads, D)` have dense channels and the same strides.
    """
    samples, length, heads, head_dim = slopes[0].shape
    channels = len(slopes) * heads * head_dim
    rows, programs = _blocks(samples, length, prod(small), len(slopes) * heads)
    dy = x.new_empty((samples, length, channels))
    sums = x.new_empty((samples, programs[0], 2, channels), dtype=torch.float32)
    _norm_gradient[programs](
        x, taps, scales, slopes[0], slopes[-1], dy, sums, x.stride(0), x.stride(1), taps.stride(0),
        *slopes[0].stride()[:3], length - prod(small), *grid, *small, channels, heads, head_dim, eps,
        *stride, *kernel, rows, triton.next_power_of_2(head_dim), num_warps=WARPS,
    )  # fmt: skip
    return dy, sums.unflatten(-1, (len(slopes), heads, head_dim)).sum((0, 1, 4)).flatten(1)
