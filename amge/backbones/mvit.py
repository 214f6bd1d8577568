"""MViTv2 for video with any number of class tokens (Li et al., "MViTv2", CVPR 2022), the trunk of TransM³E.

Shapes: `B` batch, `T H W` grid, `N = T * H * W` patches, `M'` class tokens of all banks, `L = M' + N`, `C` channels.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from amge.backbones.contract import Backbone, BackboneOutput
from amge.backbones.patch_embedding import PatchEmbedding
from amge.backbones.pooling_attention import PoolingAttention
from amge.layers.checkpointing import run
from amge.layers.drop_path import add_path
from amge.layers.exporting import exporting
from amge.layers.grid import Grid, pool_patches, pooled, to_clip, to_pictures
from amge.layers.recomputing import linear, normed_linear
from amge.layers.watch import Watch

CPU_ROWS = 2048
"""Rows of a slice of the MLP at inference on a CPU."""


class BlockSetting(NamedTuple):
    """What differs from block to block."""

    dim: int
    """Channels that the block gives."""
    num_heads: int
    stride_q: Grid
    """Query stride, which shrinks the grid."""
    stride_kv: Grid


class MViTBlock(nn.Module):
    """Pooling attention and an MLP, each with its shortcut.

    Where the attention widens, the shortcut is a projection of the normalised input; where it shrinks the grid, the
    shortcut is max-pooled.
    """

    def __init__(
        self,
        dim: int,
        setting: BlockSetting,
        grid: Grid,
        floor_grid: Grid,
        mlp_ratio: float,
        drop_path: float,
        **attention: object,
    ) -> None:
        super().__init__()
        hidden = int(setting.dim * mlp_ratio)
        self.stride = setting.stride_q
        self.drop_path = drop_path
        self.watch: Watch | None = None  # the last block has one
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = PoolingAttention(dim, setting.dim, setting.num_heads, grid, floor_grid, *setting[2:], **attention)  # type: ignore[arg-type]
        self.shortcut = nn.Linear(dim, setting.dim) if dim != setting.dim else None
        self.norm2 = nn.LayerNorm(setting.dim, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(setting.dim, hidden), nn.GELU(), nn.Linear(hidden, setting.dim))

    def _pool(self, x: Tensor, grid: Grid) -> Tensor:
        """Max-pool the patches of `(B, L, C)` on their grid."""
        if max(self.stride) == 1:
            return x
        kernel = [step + 1 if step > 1 else 1 for step in self.stride]
        padding = [size // 2 for size in kernel]
        if x.is_cuda and self.stride[0] == 1 and not exporting():  # frames are pooled in their layout, clips are not
            by_frame = partial(F.max_pool2d, kernel_size=kernel[1:], stride=self.stride[1:], padding=padding[1:])
            return pool_patches(x, grid, lambda clip: to_clip(by_frame(to_pictures(clip)), grid[0]))
        return pool_patches(x, grid, lambda clip: F.max_pool3d(clip, kernel, self.stride, padding))

    def forward(self, x: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
        """`(B, M' + N, C)` on a grid to `(B, M' + N', C_out)` on the next one."""
        if self.shortcut is None and self.watch is None:
            attended, next_grid = self.attn(x, grid, self.norm1)
        else:
            normed = self.norm1(x)
            if self.watch is not None:
                normed = self.watch(normed, grid)
            attended, next_grid = self.attn(normed, grid)
            x = x if self.shortcut is None else self.shortcut(normed)
        x = add_path(self._pool(x, grid), attended, self.drop_path, self.training)
        whole = self.training or torch.is_grad_enabled() or torch.compiler.is_compiling()
        if whole or x.device.type != "cpu":
            hidden = normed_linear(self.mlp[0], self.norm2, x)
            return add_path(x, linear(self.mlp[2], self.mlp[1], hidden), self.drop_path, self.training), next_grid
        x = x.contiguous()
        for rows in x.view(-1, x.shape[-1]).split(CPU_ROWS):  # the hidden layer of a slice stays in the cache
            rows += self.mlp(self.norm2(rows))
        return x, next_grid


class MViT(Backbone):
    """Multiscale vision transformer: a strided patch embedding, then blocks that trade resolution for channels.

    Class tokens are put before the patches, bypass all pooling, and have no relative position. A clip may have any
    length and size that the patch stride divides: tables of relative positions are interpolated (linearly, as in the
    reference) where the grid is another one than they were made for.

    Args:
        embed_dim: channels of patches and tokens that enter the first block.
        blocks: one `BlockSetting` (or its four values) per block.
        frames: frames per clip that the position tables are made for.
        size: side of the clip in pixels that they are made for, or `(height, width)`.
        patch_kernel: of the patch embedding, odd.
        patch_stride: of the patch embedding.
        pool_kernel: of the depthwise convolutions, odd.
        mlp_ratio: hidden width of the MLPs, in channels of their block.
        drop_path: probability to drop a residual branch in the last block; it grows linearly from 0 in the first.
        qkv_bias: whether the projection to query, key and value has a bias.
        residual_tokens: whether class tokens get the residual query as well (timm's 2-D models do).
        norm: whether a layer norm follows the last block.

    Raises:
        ValueError: for sizes that do not fit one another.
    """

    def __init__(
        self,
        embed_dim: int,
        blocks: Sequence[BlockSetting | Sequence],
        frames: int = 16,
        size: int | tuple[int, int] = 224,
        patch_kernel: Grid = (3, 7, 7),
        patch_stride: Grid = (2, 4, 4),
        pool_kernel: Grid = (3, 3, 3),
        mlp_ratio: float = 4.0,
        drop_path: float = 0.2,
        qkv_bias: bool = True,
        residual_tokens: bool = False,
        norm: bool = True,
    ) -> None:
        super().__init__()
        settings = [BlockSetting(dim, heads, tuple(q), tuple(kv)) for dim, heads, q, kv in blocks]
        if not settings:
            raise ValueError("an MViT needs at least one block")
        if not 0 <= drop_path < 1:
            raise ValueError(f"drop_path must lie in 0..1 and be less than 1, got {drop_path}")
        self.token_dim = embed_dim
        self.embed_dims = tuple(setting.dim for setting in settings)
        self.reduces = tuple(max(setting.stride_q) > 1 for setting in settings)
        self.out_channels = self.embed_dims[-1]
        self.grad_checkpointing = False
        self.patch_embed = PatchEmbedding(embed_dim, patch_kernel, patch_stride)
        height, width = (size, size) if isinstance(size, int) else size
        self.patch_embed.check(frames, height, width)
        t, h, w = patch_stride
        grid: Grid = (frames // t, height // h, width // w)
        rates = [drop_path * block / max(len(settings) - 1, 1) for block in range(len(settings))]
        self.blocks = nn.ModuleList()
        dim, floor_grid = embed_dim, grid
        for setting, rate in zip(settings, rates, strict=True):
            self.blocks.append(
                MViTBlock(
                    dim,
                    setting,
                    grid,
                    floor_grid,
                    mlp_ratio,
                    rate,
                    kernel=tuple(pool_kernel),
                    qkv_bias=qkv_bias,
                    residual_tokens=residual_tokens,
                )
            )
            dim, grid = setting.dim, pooled(grid, setting.stride_q)
            t, h, w = (size // step for size, step in zip(floor_grid, setting.stride_q, strict=True))
            floor_grid = (t, h, w)
        self.watch = self.blocks[-1].watch = Watch()  # where the paper looks, see its section D.2
        self.normed = norm
        self.norm = nn.LayerNorm(dim, eps=1e-6) if norm else nn.Identity()
        self.apply(_initialise)

    def attending(self) -> tuple[nn.Module, Callable[..., Tensor]] | None:
        """See `Backbone`."""
        block: Any = self.blocks[-1]
        return block.attn, block.attn.attention

    def forward(self, clip: Tensor, tokens: Tensor | None = None) -> BackboneOutput:
        """A clip `(B, 3, T, H, W)` and class tokens `(B, M', embed_dim)`, or None for patches alone.

        Raises:
            ValueError: for a length or size that the patch stride does not divide (not checked in a compiled model);
                names the nearest ones that fit. For tokens of another width.
        """
        patches, grid = self.patch_embed(clip)
        return self.encode(patches, grid, tokens)

    def encode(self, patches: Tensor, grid: Grid, tokens: Tensor | None = None) -> BackboneOutput:
        """What `forward` does after the patch embedding: patches `(B, N, embed_dim)` on a grid, and tokens.

        Raises:
            ValueError: for tokens of another width.
        """
        if tokens is not None and tokens.shape[-1] != self.token_dim:
            raise ValueError(f"expected tokens (B, M', {self.token_dim}), got {tuple(tokens.shape)}")
        count = 0 if tokens is None else tokens.shape[1]
        x = patches if tokens is None else torch.cat([tokens.to(patches.dtype), patches], dim=1)
        idle = not torch.compiler.is_compiling() and torch.is_inference_mode_enabled()
        embedding = None if idle else x[:, count:]  # it keeps the whole sequence alive
        block_tokens = []
        for block in self.blocks:
            x, grid = run(self, block, x, grid)
            block_tokens.append(x[:, :count].clone())  # a view would keep all patches of the block in memory
        x = self.norm(x)
        if tokens is None:
            return BackboneOutput(x, grid, None, (), embedding)
        return BackboneOutput(x[:, count:], grid, x[:, :count], tuple(block_tokens), embedding)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def mvitv2(
    embed_dim: int = 96,
    depth: int = 16,
    num_heads: int = 1,
    double_at: Sequence[int] = (1, 3, 14),
    stride_kv: Sequence[int] = (1, 8, 8),
    frames: int = 16,
    size: int = 224,
    **mvit: object,
) -> MViT:
    """The MViTv2 family: at some blocks channels and heads double and the picture halves.

    Args:
        embed_dim: channels of the first block.
        depth: number of blocks; 16 is "small" and 24 "base".
        num_heads: heads of the first block.
        double_at: the blocks that double.
        stride_kv: stride of key and value in the first block; it shrinks as the queries' grid does (adaptive stride).
        frames: frames per clip that the position tables are made for.
        size: side of the clip in pixels that they are made for.
        mvit: further arguments of `MViT`.

    Raises:
        ValueError: for sizes that do not fit one another.
    """
    if outside := [block for block in double_at if not 0 <= block < depth]:
        raise ValueError(f"double_at names blocks {outside} of a model of depth {depth}")
    blocks = []
    dim, heads, (t, h, w) = embed_dim, num_heads, stride_kv
    for block in range(depth):
        stride = (1, 2, 2) if block in double_at else (1, 1, 1)
        if block in double_at:
            dim, heads, h, w = 2 * dim, 2 * heads, max(h // 2, 1), max(w // 2, 1)
        blocks.append(BlockSetting(dim, heads, stride, (t, h, w)))
    return MViT(embed_dim, blocks, frames, size, **mvit)  # type: ignore[arg-type]
