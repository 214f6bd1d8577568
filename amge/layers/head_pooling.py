"""Query, key and value of a pooling attention in one operator on a GPU: convolved, normalised and laid out.

It does what `depthwise_pool` and a layer norm of each head's channels do one after another, in two launches (query; key
and value, which share a stride), and keeps the projection alone for the backward pass, which convolves again.

Shapes: `B` batch, `M` class tokens, `T H W` grid, `N = T * H * W` patches, `N_q` and `N_k` pooled ones, `h` heads, `d`
channels of a head, `E` further ones.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from amge.layers.depthwise_pooling import has_kernels
from amge.layers.grid import Grid, pooled

WIDEST = 256
"""Channels of a head, at most: a program takes all of them."""


def has_head_kernels(x: Tensor, head_dim: int) -> bool:
    """Whether `pool_heads` takes these tokens."""
    return head_dim <= WIDEST and has_kernels(x)


def pool_heads(
    qkv: Tensor,
    pools: Sequence[nn.Conv3d],
    norms: Sequence[nn.LayerNorm],
    marks: Tensor,
    grid: Grid,
    stride_q: Grid,
    stride_kv: Grid,
) -> tuple[Tensor, Tensor, Tensor]:
    """The projection `(B, M + N, 3 * h * d)` to query `(B, M + N_q, h, d)`, key and value `(B, M + N_k, h, d + E)`.

    Args:
        qkv: query, key and value side by side, the class tokens first, which pass the convolutions by.
        pools: a depthwise convolution of `d` channels for each, odd and without a bias; the heads share it.
        norms: a layer norm of `d` channels for each, all with the same `eps`.
        marks: `(N_k, E)`, put behind the channels of each head of the keys' patches; class tokens and values get
            zeros.
        grid: `(T, H, W)` of the patches.
        stride_q: of the query's convolution.
        stride_kv: of the other two.

    There are no second derivatives.
    """
    taps = torch.cat([pool.weight.flatten(1).t() for pool in pools], dim=1)
    affine: list[Tensor] = [*(norm.weight for norm in norms), *(norm.bias for norm in norms)]
    scales = torch.cat(affine).unflatten(0, (2, -1))
    sizes = [*pools[0].weight.shape[2:], *grid, *stride_q, *stride_kv]
    query, key, value = _pool(qkv, taps, scales, marks, sizes, norms[0].eps)
    return query, key, value


def _unpack(sizes: Sequence[int]) -> tuple[tuple[Grid, Grid, Grid, Grid], tuple[Grid, Grid, Grid, Grid]]:
    """For the query, and for key and value: kernel, grid, pooled grid and stride."""
    kernel, grid, *strides = [(sizes[i], sizes[i + 1], sizes[i + 2]) for i in (0, 3, 6, 9)]
    query, others = ((kernel, grid, pooled(grid, stride), stride) for stride in strides)
    return query, others


def _dense(x: Tensor) -> Tensor:
    return x if x.stride(-1) == 1 else x.contiguous()


@torch.library.custom_op("amge::pool_heads", mutates_args=())
def _pool(
    qkv: Tensor, taps: Tensor, scales: Tensor, marks: Tensor, sizes: Sequence[int], eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    from amge.layers import head_pooling_triton as kernels

    qkv, head_dim, channels = _dense(qkv), taps.shape[1] // 3, qkv.shape[-1] // 3
    query, key, value = _pooled(qkv, taps, scales, marks, sizes, eps)
    for_query, for_others = _unpack(sizes)
    with torch.cuda.device_of(qkv):  # Triton launches on the current device
        kernels.forward(qkv, taps[:, :head_dim], scales, None, [query], eps, *for_query)
        taps, scales = taps[:, head_dim:], scales[:, head_dim:]
        kernels.forward(qkv[..., channels:], taps, scales, marks.contiguous(), [key, value], eps, *for_others)
    return query, key, value


@_pool.register_fake
def _pooled(
    qkv: Tensor, taps: Tensor, scales: Tensor, marks: Tensor, sizes: Sequence[int], eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    head_dim, (for_query, for_others) = taps.shape[1] // 3, _unpack(sizes)
    heads, tokens = qkv.shape[-1] // (3 * head_dim), qkv.shape[1] - prod(for_query[1])
    long = head_dim + marks.shape[-1]
    query = qkv.new_empty(qkv.shape[0], tokens + prod(for_query[2]), heads, head_dim)
    key, value = (qkv.new_empty(qkv.shape[0], tokens + prod(for_others[2]), heads, long) for _ in range(2))
    return query, key, value


@torch.library.custom_op("amge::pool_heads_backward", mutates_args=())
def _gradients(
    query: Tensor, key: Tensor, value: Tensor, qkv: Tensor, taps: Tensor, scales: Tensor, sizes: Sequence[int],
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    from amge.layers import depthwise_pooling_triton as convolutions
    from amge.layers import head_pooling_triton as kernels

    qkv, head_dim, channels = _dense(qkv), taps.shape[1] // 3, qkv.shape[-1] // 3
    slopes = [_dense(slope[..., :head_dim]) for slope in (query, key, value)]
    if slopes[1].stride() != slopes[2].stride():
        slopes[1:] = [slope.contiguous() for slope in slopes[1:]]
    dqkv, dtaps, dscales = _gradient_shapes(query, key, value, qkv, taps, scales, sizes, eps)
    with torch.cuda.device_of(qkv):
        for parts, shapes in zip((slice(0, 1), slice(1, 3)), _unpack(sizes), strict=True):
            mine = slopes[parts]
            wide, narrow = (slice(parts.start * size, parts.stop * size) for size in (channels, head_dim))
            x, weights = qkv[..., wide], taps[:, narrow]
            dy, dscales[:, narrow] = kernels.norm_gradient(x, weights, scales[:, narrow], mine, eps, *shapes)
            convolutions.token_gradient(dy, weights, dqkv[..., wide], len(mine), *shapes)
            dtaps[:, narrow] = convolutions.weight_gradient(x, dy, weights, len(mine), *shapes)
    return dqkv, dtaps, dscales


@_gradients.register_fake
def _gradient_shapes(
    query: Tensor, key: Tensor, value: Tensor, qkv: Tensor, taps: Tensor, scales: Tensor, sizes: Sequence[int],
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    return qkv.new_empty(qkv.shape), taps.new_empty(taps.shape), scales.new_empty(scales.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    qkv, taps, scales, _, ctx.sizes, ctx.eps = inputs
    ctx.save_for_backward(qkv, taps, scales)


def _backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
    return *_gradients(*slopes, *ctx.saved_tensors, ctx.sizes, ctx.eps), None, None, None


def _refuse(ctx: Any, *slopes: Tensor) -> None:
    raise NotImplementedError("pool_heads has no second derivatives; compute them in float64, or on a CPU")


_pool.register_autograd(_backward, setup_context=_keep)
_gradients.register_autograd(_refuse)
