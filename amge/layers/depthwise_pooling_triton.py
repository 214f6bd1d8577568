"""Triton kernels of depthwise convolutions of tokens: the pooled tokens, the gradient of the tokens, of the weights.

Shapes: `B` batch, `M` class tokens, `T H W` grid, `To Ho Wo` pooled grid, `C` channels; along each axis `S` stride, `K`
size of the kernel, `P = K // 2` padding. Weights are `(KT * KH * KW, parts * D)`, channels innermost as those of the
tokens. Each part has `PART` channels, `parts * PART = C`, and its channel `c` takes column `c % D` of the part's.

All three go over the *pooled* positions `o`. With `i` a position of the tokens and `k` one in the kernel:

    y[o] = sum over k of x[S * o - P + k] * w[k]
    dx[i] = sum over the k with i + P - k = S * o of dy[o] * w[k]
    dw[k] = sum over o of x[S * o - P + k] * dy[o]

A program takes `R` positions and `BC` channels, and multiplies and adds in float32. Sums have a fixed order, without
atomic additions, so results repeat exactly. Offsets between samples have 64 bits.
"""

from math import prod

import torch
import triton
import triton.language as tl
from torch import Tensor

from amge.layers.grid import Grid

CHANNELS = 32
"""Channels of a program, at most: 64 bytes in half precision."""
POSITIONS = 64
"""Positions of a program, or positions times taps in the gradient of the weight; fewer where that fills no device."""
PROGRAMS = 1024
"""Programs that fill a device of some hundred processors; a constant, so that every device adds in the same order."""


@triton.jit
def _unravel(tile, height, width, R: tl.constexpr):
    """Time, row and column of the `R` positions of a tile."""
    position = tile * R + tl.arange(0, R)
    return position // (height * width), position // width % height, position % width


@triton.jit
def _column(channel, PART, D):
    """The column of the weights that a channel takes."""
    return channel // PART * D + channel % D


@triton.jit
def _convolve(
    x, x_row, taps, taps_row, tile, c, real, M, T, H, W, To, Ho, Wo,
    ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr, KT: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr,
    R: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Sums of a tile `(R, BC)`, the rows of the sequence that they belong in, and which of them there are.

    `x` is a sample, `taps` the first row of the weights at the columns of the channels.
    """
    to, ho, wo = _unravel(tile, Ho, Wo, R)
    t, h, w = to * ST - KT // 2, ho * SH - KH // 2, wo * SW - KW // 2
    source = x + (M + (t * H + h) * W + w).to(tl.int64)[:, None] * x_row + c[None, :]
    total = tl.zeros((R, BC), tl.float32)
    for i in range(KT):
        for j in tl.static_range(KH):
            for k in tl.static_range(KW):
                inside = (to < To) & (t >= -i) & (t < T - i) & (h >= -j) & (h < H - j) & (w >= -k) & (w < W - k)
                shift = ((i * H + j) * W + k) * x_row
                value = tl.load(source + shift, mask=inside[:, None] & real[None, :], other=0.0)
                tap = tl.load(taps + ((i * KH + j) * KW + k) * taps_row, mask=real, other=0.0)
                total += value.to(tl.float32) * tap.to(tl.float32)[None, :]
    return total, M + (to * Ho + ho) * Wo + wo, to < To


@triton.jit
def _copy(source, source_row, target, target_row, block, M, c, C, R: tl.constexpr):
    """Class tokens from `block * R` on."""
    row = (block * R + tl.arange(0, R))[:, None]
    mask = (row < M) & (c < C)
    tl.store(target + row * target_row + c, tl.load(source + row * source_row + c, mask=mask), mask=mask)


@triton.jit
def _forward(
    x, taps, y, x_batch, x_row, taps_row, M, T, H, W, To, Ho, Wo, C, PART, D,
    ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr, KT: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr,
    R: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Grid: tiles of pooled positions, then of class tokens; blocks of channels; samples."""
    tile = tl.program_id(0)
    tiles = tl.cdiv(To * Ho * Wo, R)
    channel = tl.program_id(1) * BC + tl.arange(0, BC)
    real = channel < C
    b = tl.program_id(2).to(tl.int64)
    x += b * x_batch
    y += b * (M + To * Ho * Wo) * C
    if tile < tiles:
        total, row, met = _convolve(
            x, x_row, taps + _column(channel, PART, D), taps_row, tile, channel, real, M, T, H, W, To, Ho, Wo,
            ST, SH, SW, KT, KH, KW, R, BC,
        )  # fmt: skip
        target = y + row.to(tl.int64)[:, None] * C + channel[None, :]
        tl.store(target, total.to(y.dtype.element_ty), mask=met[:, None] & real[None, :])
    else:
        _copy(x, x_row, y, C, tile - tiles, M, channel[None, :], C, R)


@triton.jit
def _token_gradient(
    dy, taps, dx, dx_batch, dx_row, taps_row, M, T, H, W, To, Ho, Wo, C, PART, D,
    ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr, KT: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr,
    R: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Grid: as in `_forward`, with all tiles once for each phase, which is a position within a stride.

    The positions of a phase meet the same taps, `S` apart, so that a program needs one weight at a time.
    """
    tiles = tl.cdiv(To * Ho * Wo, R)
    tile, phase = tl.program_id(0) % tiles, tl.program_id(0) // tiles
    channel = tl.program_id(1) * BC + tl.arange(0, BC)
    c, real = channel[None, :], channel < C
    b = tl.program_id(2).to(tl.int64)
    dy += b * (M + To * Ho * Wo) * C
    dx += b * dx_batch
    if phase < ST * SH * SW:
        to, ho, wo = _unravel(tile, Ho, Wo, R)
        pt, ph, pw = phase // (SH * SW) + KT // 2, phase // SW % SH + KH // 2, phase % SW + KW // 2
        t, h, w = to * ST + pt - KT // 2, ho * SH + ph - KH // 2, wo * SW + pw - KW // 2
        to, ho, wo = to + pt // ST, ho + ph // SH, wo + pw // SW
        kt, kh, kw = pt % ST, ph % SH, pw % SW
        mask = ((t < T) & (h < H) & (w < W))[:, None] & real[None, :]
        source = dy + (M + (to * Ho + ho) * Wo + wo).to(tl.int64)[:, None] * C + c
        column = taps + _column(channel, PART, D) + ((kt * KH + kh) * KW + kw) * taps_row
        total = tl.zeros((R, BC), tl.float32)
        for i in range((KT + ST - 1) // ST):
            for j in tl.static_range((KH + SH - 1) // SH):
                for k in tl.static_range((KW + SW - 1) // SW):
                    if (kt + i * ST < KT) & (kh + j * SH < KH) & (kw + k * SW < KW):
                        inside = (to >= i) & (to < To + i) & (ho >= j) & (ho < Ho + j) & (wo >= k) & (wo < Wo + k)
                        shift = ((i * Ho + j) * Wo + k) * C
                        value = tl.load(source - shift, mask=inside[:, None] & real[None, :], other=0.0)
                        tap = tl.load(column + ((i * ST * KH + j * SH) * KW + k * SW) * taps_row, mask=real, other=0.0)
                        total += value.to(tl.float32) * tap.to(tl.float32)[None, :]
        row = (M + (t * H + h) * W + w).to(tl.int64)[:, None]
        tl.store(dx + row * dx_row + c, total.to(dx.dtype.element_ty), mask=mask)
    else:
        _copy(dy, C, dx, dx_row, tl.program_id(0) - tiles * (ST * SH * SW), M, c, C, R)


@triton.jit
def _weight_gradient(
    x, dy, parts, x_batch, x_row, lines, M, T, H, W, To, Ho, Wo, C,
    ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr, KT: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr,
    TAPS: tl.constexpr, R: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Sums over some of the lines, which are rows of the pooled pictures: `(parts, KT * KH * KW, C)`.

    Grid: parts; blocks of channels. `TAPS` is their number rounded up to a power of two; each meets `R` positions.
    """
    channel = tl.program_id(1) * BC + tl.arange(0, BC)
    c, real = channel[None, :], (channel < C)[None, :]
    tap = tl.arange(0, TAPS * R) // R
    column = tl.arange(0, TAPS * R) % R
    kt, kh, kw = tap // (KH * KW), tap // KW % KH, tap % KW
    total = tl.zeros((TAPS * R, BC), tl.float32)
    share = tl.cdiv(lines, tl.num_programs(0))
    first = tl.program_id(0) * share
    for line in range(first, tl.minimum(first + share, lines)):
        b, to, ho = (line // (To * Ho)).to(tl.int64), line // Ho % To, line % Ho
        t, h = to * ST - KT // 2 + kt, ho * SH - KH // 2 + kh
        met = (tap < KT * KH * KW) & (t >= 0) & (t < T) & (h >= 0) & (h < H)
        source = x + b * x_batch + (M + (t * H + h) * W).to(tl.int64)[:, None] * x_row + c
        target = dy + (b * (M + To * Ho * Wo) + M + (to * Ho + ho) * Wo) * C + c
        for start in range(0, Wo, R):
            wo = start + column
            w = wo * SW - KW // 2 + kw
            mask = (met & (wo < Wo) & (w >= 0) & (w < W))[:, None] & real
            value = tl.load(source + (w * x_row)[:, None], mask=mask, other=0.0)
            slope = tl.load(target + (wo * C)[:, None], mask=mask, other=0.0)
            total += value.to(tl.float32) * slope.to(tl.float32)
    sums = tl.sum(tl.reshape(total, (TAPS, R, BC)), 1)
    row = tl.arange(0, TAPS)[:, None]
    tl.store(parts + (tl.program_id(0) * (KT * KH * KW) + row) * C + c, sums, mask=(row < KT * KH * KW) & real)


def _tiles(positions: int, channels: int, samples: int) -> tuple[int, int]:
    """Positions and channels of a program."""
    width = min(CHANNELS, triton.next_power_of_2(channels))
    whole = triton.cdiv(positions, POSITIONS) * triton.cdiv(channels, width) * samples
    return POSITIONS if whole >= PROGRAMS // 2 else POSITIONS // 2, width


def pack(*weights: Tensor) -> Tensor:
    """`(D, 1, KT, KH, KW)` of each part to `(KT * KH * KW, parts * D)`."""
    return torch.cat([weight.flatten(1).t() for weight in weights], dim=1)


def forward(
    x: Tensor, taps: Tensor, y: Tensor, parts: int, kernel: Grid, grid: Grid, small: Grid, stride: Grid
) -> None:
    """Write the pooled tokens `(B, M + To * Ho * Wo, C)`, contiguous, of `x` with dense channels."""
    samples, length, channels = y.shape
    positions = prod(small)
    rows, width = _tiles(positions, channels, samples)
    blocks = triton.cdiv(positions, rows) + triton.cdiv(length - positions, rows)
    _forward[blocks, triton.cdiv(channels, width), samples](
        x, taps, y, x.stride(0), x.stride(1), taps.stride(0), length - positions, *grid, *small,
        channels, channels // parts, taps.shape[1] // parts, *stride, *kernel, rows, width,
    )  # fmt: skip


def token_gradient(
    dy: Tensor, taps: Tensor, dx: Tensor, parts: int, kernel: Grid, grid: Grid, small: Grid, stride: Grid
) -> None:
    """Write the gradient `(B, M + T * H * W, C)` of the tokens, with dense channels; `dy` is contiguous."""
    samples, length, channels = dy.shape
    positions, phases = prod(small), prod(stride)
    rows, width = _tiles(positions * phases, channels, samples)
    blocks = triton.cdiv(positions, rows) * phases + triton.cdiv(length - positions, rows)
    _token_gradient[blocks, triton.cdiv(channels, width), samples](
        dy, taps, dx, dx.stride(0), dx.stride(1), taps.stride(0), length - positions, *grid, *small,
        channels, channels // parts, taps.shape[1] // parts, *stride, *kernel, rows, width,
    )  # fmt: skip


def weight_gradient(
    x: Tensor, dy: Tensor, taps: Tensor, parts: int, kernel: Grid, grid: Grid, small: Grid, stride: Grid
) -> Tensor:
    """The gradient of the weights, in float32; `x` has dense channels, `dy` is contiguous."""
    samples, length, channels = dy.shape
    tokens, lines = length - prod(small), samples * small[0] * small[1]
    width = min(CHANNELS, triton.next_power_of_2(channels))
    blocks = triton.cdiv(channels, width)
    whole = triton.next_power_of_2(prod(kernel))
    columns = min(max(POSITIONS // whole, 1), triton.next_power_of_2(small[2]))
    count = max(1, min(lines, PROGRAMS // blocks))
    sums = x.new_empty((count, prod(kernel), channels), dtype=torch.float32)
    _weight_gradient[count, blocks](
        x, dy, sums, x.stride(0), x.stride(1), lines, tokens, *grid, *small, channels,
        *stride, *kernel, whole, columns, width,
    )  # fmt: skip
    return sums.unflatten(-1, (parts, -1, taps.shape[1] // parts)).sum((0, 3)).flatten(1)
