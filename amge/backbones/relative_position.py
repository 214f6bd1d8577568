"""Decomposed relative positions (MViTv2, eq. 4), folded into query and key so that attention needs no bias.

The logit of query patch `i` and key patch `j` gains `q_i · (R_t[i, j] + R_h[i, j] + R_w[i, j])`, where each table knows
one axis only. Along an axis of `K` key positions that is `q_i · R[i]ᵀ`, a vector of `K` numbers, and `j` picks one.
So the query is extended by these vectors and the key by the one-hot rows of its position: one dot product of the
extended vectors is the whole logit, and fused attention kernels run without an `N_q x N_k` mask.

Shapes: `B` batch, `M` class tokens, `T H W` grid of the queries, `N` patches, `h` heads, `d` channels per head, `E`
extension.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from amge.backbones.query_extension import extend_query
from amge.layers.constant import constant
from amge.layers.grid import Grid

AXES = ("t", "h", "w")
MULTIPLE = 8
"""Attention kernels want the channels per head in multiples of this."""


def offsets(query: int, key: int) -> Tensor:
    """Row of the table for each pair of positions along an axis, `(query, key)`, truncated as in the reference."""
    stretch_query, stretch_key = max(key / query, 1.0), max(query / key, 1.0)
    rows = torch.arange(query)[:, None] * stretch_query - torch.arange(key) * stretch_key
    return (rows + (key - 1) * stretch_key).long()


def one_hot(grid: Sequence[int], extension: int) -> Tensor:
    """Position of each key patch along the three axes, side by side: `(N, E)` of zeros and ones."""
    axes = [torch.eye(size) for size in grid]
    cells = torch.cartesian_prod(*(torch.arange(size) for size in grid)).unbind(dim=-1)
    rows = torch.cat([axis[cell] for axis, cell in zip(axes, cells, strict=True)], dim=-1)
    return F.pad(rows, (0, extension - rows.shape[-1]))


def resize_table(table: Tensor, rows: int) -> Tensor:
    """A table of relative positions `(rows', d)` interpolated linearly to `(rows, d)`, as in the reference."""
    if table.shape[0] == rows:
        return table
    return F.interpolate(table.float().T[None], size=rows, mode="linear")[0].T.to(table.dtype)


class RelativePosition(nn.Module):
    """Tables of relative positions along time, height and width, shared by the heads of a block.

    Args:
        dim: channels per head `d`.
        table_grid: the longer of query and key grid, rounded down, along each axis; it sizes the tables.
        query_grid: grid of the queries that the tables are made for; other grids interpolate the tables.
        key_grid: that of the keys.
    """

    keys: Tensor

    def __init__(self, dim: int, table_grid: Grid, query_grid: Grid, key_grid: Grid) -> None:
        super().__init__()
        self.dim = dim
        self.native = (query_grid, key_grid)
        for axis, size in zip(AXES, table_grid, strict=True):
            table = nn.init.trunc_normal_(torch.empty(2 * size - 1, dim), std=0.02)
            self.register_parameter(axis, nn.Parameter(table))
        for axis, query, key in zip(AXES, query_grid, key_grid, strict=True):
            self.register_buffer(f"offsets_{axis}", constant(offsets, query, key), persistent=False)
        self.register_buffer("keys", constant(one_hot, key_grid, self.extension(key_grid)), persistent=False)

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters that weight decay should leave alone."""
        return set(AXES)

    def extension(self, key_grid: Sequence[int]) -> int:
        """`E`: the positions along all three axes, rounded up so that `d + E` suits the kernels."""
        return -(-(self.dim + sum(key_grid)) // MULTIPLE) * MULTIPLE - self.dim

    def _rows(self, axis: str, query: int, key: int, native: bool) -> Tensor:
        """`R` along one axis: `(query, key, d)`."""
        table = resize_table(getattr(self, axis), 2 * max(query, key) - 1)
        index = getattr(self, f"offsets_{axis}") if native else offsets(query, key).to(table.device)
        return table[index]

    def forward(
        self, query: Tensor, key: Tensor, query_grid: Grid, key_grid: Grid, scale: float
    ) -> tuple[Tensor, Tensor]:
        """Extend queries `(B, M + N_q, h, d)` and keys `(B, M + N_k, h, d)` to `d + E` channels.

        The relative terms are not scaled (as in the reference), so they are divided by `scale`, which the attention
        will multiply by. Class tokens have no position: their extension is zero.
        """
        native = (query_grid, key_grid) == self.native
        extension = self.extension(key_grid)
        tokens = query.shape[1] - query_grid[0] * query_grid[1] * query_grid[2]
        patches = query[:, tokens:].unflatten(1, query_grid)
        terms = [
            torch.einsum(equation, patches, self._rows(axis, size, keys, native))
            for axis, equation, size, keys in zip(
                AXES,
                ("bthwnd,tkd->bthwnk", "bthwnd,hkd->bthwnk", "bthwnd,wkd->bthwnk"),
                query_grid,
                key_grid,
                strict=True,
            )
        ]
        bias = torch.cat(terms, dim=-1).flatten(1, 3) / scale
        bias = F.pad(bias, (0, extension - bias.shape[-1], 0, 0, tokens, 0))
        rows = self.key_rows(query_grid, key_grid)
        rows = F.pad(rows.to(key.dtype), (0, 0, tokens, 0))[None, :, None].expand(*key.shape[:3], -1)
        return torch.cat([query, bias.to(query.dtype)], dim=-1), torch.cat([key, rows], dim=-1)

    def key_rows(self, query_grid: Grid, key_grid: Grid) -> Tensor:
        """What the patches of keys are extended by: `(N_k, E)`."""
        native = (query_grid, key_grid) == self.native
        return self.keys if native else one_hot(key_grid, self.extension(key_grid)).to(self.keys.device)

    def extend_query(self, query: Tensor, query_grid: Grid, key_grid: Grid, scale: float) -> Tensor:
        """Extend queries as `forward` does, by kernels for GPUs: one product with all rows of the tables."""
        native = (query_grid, key_grid) == self.native
        tables, picked = [], []
        for name, size, keys in zip(AXES, query_grid, key_grid, strict=True):
            tables.append(resize_table(getattr(self, name), 2 * max(size, keys) - 1))
            picked.append(getattr(self, f"offsets_{name}") if native else offsets(size, keys).to(query.device))
        sizes = [len(table) for table in tables]
        rest = query.new_zeros(-sum(sizes) % MULTIPLE, self.dim, dtype=tables[0].dtype)
        terms = F.linear(query, torch.cat([*tables, rest]))
        return extend_query(query, terms, picked, sizes, 1 / scale, self.extension(key_grid))
