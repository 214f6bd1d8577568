"""Queries and the relative terms behind them, which each position picks out of one product: an operator for GPUs.

Shapes: `B` batch, `M` class tokens, `T H W` grid of the queries, `N` patches, `K` positions of the keys along an axis,
`h` heads, `d` channels of a head, `R` rows of all tables, `E` extension.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def extend_query(
    query: Tensor, terms: Tensor, offsets: Sequence[Tensor], tables: Sequence[int], factor: float, extension: int
) -> Tensor:
    """Queries `(B, M + N, h, d)` to `(B, M + N, h, d + E)`; class tokens get zeros, as what is left of `E` does.

    Args:
        query: on a device that has Triton's kernels, see `amge.layers.depthwise_pooling.has_kernels`.
        terms: `(B, M + N, h, R)`, the products of the queries with the rows of the tables of all axes.
        offsets: for each axis which row of its table each pair of positions has, `(T, K)`; no row twice for a query.
        tables: rows of the table of each axis; they lie one behind the other, and there may be more behind them.
        factor: of the terms.
        extension: `E`, no less than all `K` together.

    There are no second derivatives.
    """
    return _extend(query, terms, list(offsets), list(tables), factor, extension)


@torch.library.custom_op("amge::extend_query", mutates_args=())
def _extend(
    query: Tensor, terms: Tensor, offsets: Sequence[Tensor], tables: Sequence[int], factor: float, extension: int
) -> Tensor:
    from amge.backbones import query_extension_triton as kernels

    y = _extended(query, terms, offsets, tables, factor, extension)
    with torch.cuda.device_of(query):  # Triton launches on the current device
        kernels.forward(query.contiguous(), terms.contiguous(), offsets, tables, factor, y)
    return y


@_extend.register_fake
def _extended(
    query: Tensor, terms: Tensor, offsets: Sequence[Tensor], tables: Sequence[int], factor: float, extension: int
) -> Tensor:
    return query.new_empty(*query.shape[:3], query.shape[3] + extension)


@torch.library.custom_op("amge::extend_query_backward", mutates_args=())
def _gradient(slopes: Tensor, offsets: Sequence[Tensor], tables: Sequence[int], factor: float, rows: int) -> Tensor:
    from amge.backbones import query_extension_triton as kernels

    slopes = slopes if slopes.stride(-1) == 1 else slopes.contiguous()
    dterms = slopes.new_zeros(*slopes.shape[:3], rows)
    with torch.cuda.device_of(slopes):
        kernels.term_gradient(slopes, offsets, tables, factor, dterms)
    return dterms


@_gradient.register_fake
def _gradient_shape(
    slopes: Tensor, offsets: Sequence[Tensor], tables: Sequence[int], factor: float, rows: int
) -> Tensor:
    return slopes.new_empty(*slopes.shape[:3], rows)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    query, terms, offsets, ctx.tables, ctx.factor, _ = inputs
    ctx.width, ctx.rows, ctx.dtype = query.shape[-1], terms.shape[-1], terms.dtype
    ctx.save_for_backward(*offsets)


def _backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    width = ctx.width
    dterms = _gradient(dy[..., width:], list(ctx.saved_tensors), ctx.tables, ctx.factor, ctx.rows)
    return dy[..., :width], dterms.to(ctx.dtype), [None] * 3, None, None, None  # type: ignore[return-value]


def _refuse(ctx: Any, slopes: Tensor) -> None:
    raise NotImplementedError("extend_query has no second derivatives; compute them in float64, or on a CPU")


_extend.register_autograd(_backward, setup_context=_keep)
_gradient.register_autograd(_refuse)
