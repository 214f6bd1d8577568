"""Pooling attention of MViTv2: queries, keys and values are pooled on the grid before they meet.

Shapes: `B` batch, `M` class tokens, `T H W` grid, `N = T * H * W` patches, `L = M + N`, `h` heads, `d` channels per
head.
"""

from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from amge.backbones.relative_position import RelativePosition
from amge.layers.depthwise_pooling import depthwise_pool
from amge.layers.grid import Grid, pooled
from amge.layers.head_pooling import has_head_kernels, pool_heads
from amge.layers.recomputing import linear, normed_linear


class PoolingAttention(nn.Module):
    """Attention with a depthwise convolution on each of query, key and value (MViTv2, section 4).

    Class tokens come first in the sequence; they pass the convolutions by, have no relative position, and get no
    residual query. Layer norms run over the channels of a head.

    Every linear layer and convolution keeps the channels innermost, so that the heads are one depthwise convolution on
    a channels-last clip, key and value another, and nothing is copied between layouts. On a GPU all three have kernels
    of their own, with their layer norms.

    Args:
        dim: channels that come in.
        dim_out: channels that go out; widening happens in the first projection.
        num_heads: heads `h`, must divide `dim_out`.
        grid: `(T, H, W)` that the position tables are made for.
        floor_grid: the same with every halving so far rounded down, which is what sizes the tables in the reference.
        stride_q: pooling stride of the query, which shrinks the grid.
        stride_kv: pooling stride of key and value.
        kernel: of the depthwise convolutions, odd.
        qkv_bias: whether the first projection has a bias.
        residual_tokens: whether class tokens get the residual query as well (timm's 2-D models do).
    """

    def __init__(
        self,
        dim: int,
        dim_out: int,
        num_heads: int,
        grid: Grid,
        floor_grid: Grid,
        stride_q: Grid,
        stride_kv: Grid,
        kernel: Grid = (3, 3, 3),
        qkv_bias: bool = True,
        residual_tokens: bool = False,
    ) -> None:
        super().__init__()
        if num_heads < 1 or dim_out % num_heads:
            raise ValueError(f"num_heads={num_heads} does not divide dim={dim_out}")
        if not all(size % 2 for size in kernel):
            raise ValueError(f"the pooling kernel must be odd along every axis, got {tuple(kernel)}")
        self.num_heads = num_heads
        self.head_dim = dim_out // num_heads
        self.stride_q, self.stride_kv = stride_q, stride_kv
        self.residual_tokens = residual_tokens
        self.qkv = nn.Linear(dim, 3 * dim_out, bias=qkv_bias)
        t, h, w = (size // 2 for size in kernel)
        self.pool_q, self.pool_k, self.pool_v = (
            nn.Conv3d(self.head_dim, self.head_dim, kernel, padding=(t, h, w), groups=self.head_dim, bias=False)
            for _ in range(3)
        )
        self.norm_q, self.norm_k, self.norm_v = (nn.LayerNorm(self.head_dim, eps=1e-6) for _ in range(3))
        sizes = [(size // q, size // kv) for size, q, kv in zip(floor_grid, stride_q, stride_kv, strict=True)]
        table = (max(1, *sizes[0]), max(1, *sizes[1]), max(1, *sizes[2]))
        self.rel_pos = RelativePosition(self.head_dim, table, pooled(grid, stride_q), pooled(grid, stride_kv))
        self.proj = nn.Linear(dim_out, dim_out)

    def _pooled_qkv(self, x: Tensor, grid: Grid) -> tuple[Tensor, Tensor, Tensor]:
        """Pooled query `(B, M + N_q, C_out)`, key and value `(B, M + N_kv, C_out)` of `(B, M + N, C)`."""
        pool_q, pool_k, pool_v = self.pool_q.weight, self.pool_k.weight, self.pool_v.weight
        width = self.qkv.out_features // 3
        weight_q, weight_kv = self.qkv.weight.split([width, 2 * width])
        bias_q, bias_kv = (None, None) if self.qkv.bias is None else self.qkv.bias.split([width, 2 * width])
        pool_kv = torch.cat([weight.repeat(self.num_heads, 1, 1, 1, 1) for weight in (pool_k, pool_v)])
        query = depthwise_pool(F.linear(x, weight_q, bias_q), pool_q, grid, self.stride_q)
        key, value = depthwise_pool(F.linear(x, weight_kv, bias_kv), pool_kv, grid, self.stride_kv).chunk(2, dim=-1)
        return query, key, value

    def attention(self, x: Tensor, grid: Grid) -> Tensor:
        """How much each class token attends to each place, the mean over heads, `(B, M, T', H', W')` on the grid of the
        keys; arguments as for `forward`."""
        heads = (self.num_heads, self.head_dim)
        query, key, _ = (x.unflatten(-1, heads) for x in self._pooled_qkv(x, grid))
        tokens = x.shape[1] - prod(grid)
        of_tokens = torch.einsum("bmhd,blhd->bhml", self.norm_q(query[:, :tokens]), self.norm_k(key))
        weights = (of_tokens * self.head_dim**-0.5).softmax(dim=-1).mean(dim=1)
        return weights[..., tokens:].unflatten(2, pooled(grid, self.stride_kv))

    def _extended_qkv(
        self, x: Tensor, norm: nn.LayerNorm | None, grid: Grid, scale: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Pooled and normalised query `(B, M + N_q, h, d)`, and it, key and value extended to `d + E` channels."""
        grid_q, grid_kv = pooled(grid, self.stride_q), pooled(grid, self.stride_kv)
        if has_head_kernels(x, self.head_dim):
            pools, norms = (self.pool_q, self.pool_k, self.pool_v), (self.norm_q, self.norm_k, self.norm_v)
            qkv = self.qkv(x) if norm is None else normed_linear(self.qkv, norm, x)
            marks = self.rel_pos.key_rows(grid_q, grid_kv)
            query, key, value = pool_heads(qkv, pools, norms, marks, grid, self.stride_q, self.stride_kv)
            return query, self.rel_pos.extend_query(query, grid_q, grid_kv, scale), key, value
        x = x if norm is None else norm(x)
        query, key, value = (x.unflatten(-1, (self.num_heads, self.head_dim)) for x in self._pooled_qkv(x, grid))
        query, key, value = self.norm_q(query), self.norm_k(key), self.norm_v(value)
        long_query, long_key = self.rel_pos(query, key, grid_q, grid_kv, scale)
        return query, long_query, long_key, F.pad(value, (0, long_key.shape[-1] - value.shape[-1]))

    def forward(self, x: Tensor, grid: Grid, norm: nn.LayerNorm | None = None) -> tuple[Tensor, Grid]:
        """`(B, M + N, C)` on a grid, behind `norm`, to `(B, M + N', C_out)` on the query's grid."""
        tokens = x.shape[1] - prod(grid)
        grid_q, scale = pooled(grid, self.stride_q), self.head_dim**-0.5
        query, long_query, long_key, long_value = self._extended_qkv(x, norm, grid, scale)  # kernels want one width
        out = F.scaled_dot_product_attention(
            long_query.transpose(1, 2), long_key.transpose(1, 2), long_value.transpose(1, 2), scale=scale
        )
        out = out.transpose(1, 2)[..., : self.head_dim]
        is_patch = None
        if tokens and not self.residual_tokens:
            is_patch = F.pad(query.new_ones(prod(grid_q), 1, 1), (0, 0, 0, 0, tokens, 0))

        def add(out: Tensor, query: Tensor) -> Tensor:
            return (out + query if is_patch is None else torch.addcmul(out, query, is_patch)).flatten(2)

        return linear(self.proj, add, out, query), grid_q
