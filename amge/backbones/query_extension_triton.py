"""Triton kernels of `query_extension`; see there for the shapes. A program takes `R` rows, each a head of a token."""

from collections.abc import Sequence

import triton
import triton.language as tl
from torch import Tensor

ROWS = 32


@triton.jit
def _places(
    row, extra, offsets_t, offsets_h, offsets_w, HEADS, L, M, H, W, KT, KH, KW, TERMS_H, TERMS_W, E, ROWS
):  # fmt: skip
    """Which term `(R, BE)` each channel of the extension is, and whether it is one."""
    place = (row // HEADS) % L - M
    e = extra[None, :]
    inside = (row < ROWS) & (place >= 0)
    t, h, w = (place // (H * W))[:, None], (place // W % H)[:, None], (place % W)[:, None]
    in_t, in_h = inside[:, None] & (e < KT), inside[:, None] & (e >= KT) & (e < KT + KH)
    in_w = inside[:, None] & (e >= KT + KH) & (e < KT + KH + KW)
    term = tl.load(offsets_t + t * KT + e, mask=in_t, other=0)
    term += tl.load(offsets_h + h * KH + e - KT, mask=in_h, other=-TERMS_H) + TERMS_H
    term += tl.load(offsets_w + w * KW + e - KT - KH, mask=in_w, other=-TERMS_W) + TERMS_W
    return term, in_t | in_h | in_w


@triton.jit
def _forward(
    query, terms, offsets_t, offsets_h, offsets_w, y, HEADS, L, M, H, W, KT, KH, KW, TERMS_H, TERMS_W, E, ROWS,
    D, TERMS, FACTOR, R: tl.constexpr, BD: tl.constexpr, BE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * R + tl.arange(0, R)
    lane, extra = tl.arange(0, BD), tl.arange(0, BE)
    term, there = _places(
        row, extra, offsets_t, offsets_h, offsets_w, HEADS, L, M, H, W, KT, KH, KW, TERMS_H, TERMS_W, E, ROWS
    )
    mask = (row < ROWS)[:, None] & (lane < D)[None, :]
    first = row.to(tl.int64)[:, None]
    tl.store(y + first * (D + E) + lane[None, :], tl.load(query + first * D + lane[None, :], mask=mask), mask=mask)
    value = tl.load(terms + first * TERMS + term, mask=there, other=0.0).to(tl.float32) * FACTOR
    mask = (row < ROWS)[:, None] & (extra < E)[None, :]
    tl.store(y + first * (D + E) + D + extra[None, :], value.to(y.dtype.element_ty), mask=mask)


@triton.jit
def _term_gradient(
    slopes, offsets_t, offsets_h, offsets_w, dterms, slope_batch, slope_row, slope_head, HEADS, L, M, H, W, KT, KH, KW,
    TERMS_H, TERMS_W, E, ROWS, TERMS, FACTOR, R: tl.constexpr, BE: tl.constexpr,
):  # fmt: skip
    """Each term of a row is picked once at most, so that there is nothing to add up."""
    row = tl.program_id(0) * R + tl.arange(0, R)
    extra = tl.arange(0, BE)
    term, there = _places(
        row, extra, offsets_t, offsets_h, offsets_w, HEADS, L, M, H, W, KT, KH, KW, TERMS_H, TERMS_W, E, ROWS
    )
    b, token, head = (row // HEADS // L).to(tl.int64), (row // HEADS % L).to(tl.int64), row % HEADS
    source = slopes + (b * slope_batch + token * slope_row + head * slope_head)[:, None] + extra[None, :]
    value = tl.load(source, mask=there, other=0.0).to(tl.float32) * FACTOR
    target = dterms + row.to(tl.int64)[:, None] * TERMS + term
    tl.store(target, value.to(dterms.dtype.element_ty), mask=there)


def _sizes(shape: Sequence[int], offsets: Sequence[Tensor], tables: Sequence[int], extension: int) -> list[int]:
    samples, length, heads = shape
    (t, kt), (h, kh), (w, kw) = (table.shape for table in offsets)
    numbers = [heads, length, length - t * h * w, h, w, kt, kh, kw]
    return [*numbers, tables[0], tables[0] + tables[1], extension, samples * length * heads]


def forward(
    query: Tensor, terms: Tensor, offsets: Sequence[Tensor], tables: Sequence[int], factor: float, y: Tensor
) -> None:
    """Write the extended queries; all are contiguous."""
    extension = y.shape[-1] - query.shape[-1]
    sizes = _sizes(query.shape[:3], offsets, tables, extension)
    _forward[(triton.cdiv(sizes[-1], ROWS),)](
        query, terms, *offsets, y, *sizes, query.shape[-1], terms.shape[-1], factor,
        ROWS, triton.next_power_of_2(query.shape[-1]), triton.next_power_of_2(extension),
    )  # fmt: skip


def term_gradient(
    slopes: Tensor, offsets: Sequence[Tensor], tables: Sequence[int], factor: float, dterms: Tensor
) -> None:
    """Write the gradient of the terms into zeros; slopes `(B, M + N, h, E)` have dense channels."""
    extension = slopes.shape[-1]
    sizes = _sizes(slopes.shape[:3], offsets, tables, extension)
    _term_gradient[(triton.cdiv(sizes[-1], ROWS),)](
        slopes, *offsets, dterms, *slopes.stride()[:3], *sizes, dterms.shape[-1], factor,
        ROWS, triton.next_power_of_2(extension),
    )  # fmt: skip
