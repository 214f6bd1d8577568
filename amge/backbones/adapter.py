"""The adapter that gives muscle tokens to a backbone which has none of its own (CNN, GCN, any image model).

Shapes: `B` batch, `T H W` grid, `N = T * H * W` patches, `M'` tokens, `C` channels of the adapter.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from amge.backbones.contract import BackboneOutput
from amge.layers.checkpointing import run
from amge.layers.module import Module
from amge.layers.watch import Watch


class TokenDecoder(Module):
    """A small decoder in which tokens attend to one another and to the feature maps of a backbone.

    The maps are projected to `dim` channels and added on the grid of the first (finest) one, together with the
    projection of what differs from the clip's temporal mean: in that second view whatever stands still cancels, so
    that tokens can follow the movement. Then `depth` pre-norm blocks of self-attention, cross-attention and MLP update
    the tokens; the tokens after each block are what token distillation compares.

    Args:
        in_channels: channels of each map, finest first.
        grid: `(T, H, W)` that the position tables are made for; other grids interpolate them.
        dim: channels `C` of tokens and patches; `num_heads` must divide it.
        depth: number of blocks.
        num_heads: attention heads.
        mlp_ratio: hidden width of the MLPs, in `C`.
        dropout: in attention and MLPs.
        norm: whether a layer norm follows the last block.
        motion: whether there is that second view; False for maps without time.

    Raises:
        ValueError: for no blocks, or heads that don't divide the channels.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        grid: tuple[int, int, int],
        dim: int = 160,
        depth: int = 4,
        num_heads: int = 5,
        mlp_ratio: float = 2.0,
        dropout: float = 0.0,
        norm: bool = True,
        motion: bool = True,
    ) -> None:
        super().__init__()
        if min(depth, num_heads) < 1:
            raise ValueError(f"depth and num_heads must be at least 1, got {depth} and {num_heads}")
        if dim % num_heads:
            raise ValueError(f"num_heads={num_heads} does not divide dim={dim}")
        self.token_dim = dim
        self.embed_dims = (dim,) * depth
        self.reduces = (False,) * depth
        self.out_channels = dim
        self.appearance = nn.ModuleList(nn.Conv2d(channels, dim, 1) for channels in in_channels)
        moving = in_channels if motion else ()
        self.motion = nn.ModuleList(nn.Conv2d(channels, dim, 1, bias=False) for channels in moving)
        self.norm_patches = nn.LayerNorm(dim)
        self.watch = Watch()
        self.position_space = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, dim, *grid[1:]), std=0.02))
        self.position_time = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, dim, grid[0]), std=0.02))
        self.blocks = nn.ModuleList(
            nn.TransformerDecoderLayer(
                dim,
                num_heads,
                int(dim * mlp_ratio),
                dropout,
                activation=F.gelu,
                batch_first=True,
                norm_first=True,
            )
            for _ in range(depth)
        )
        self.grad_checkpointing = False
        self.normed = norm
        self.norm = nn.LayerNorm(dim) if norm else nn.Identity()

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters that weight decay should leave alone, besides biases and norms."""
        return {"position_space", "position_time"}

    def patches(self, maps: Sequence[Tensor], frames: int) -> tuple[Tensor, tuple[int, int, int]]:
        """Feature maps `(B * T, C_i, H_i, W_i)` to patches `(B, N, C)` that do not know their place, and their grid."""
        grid = (frames, *maps[0].shape[-2:])
        total = torch.zeros((), dtype=maps[0].dtype, device=maps[0].device)
        motions = self.motion or [None] * len(maps)
        for features, appearance, motion in zip(maps, self.appearance, motions, strict=True):
            level = appearance(features)
            if motion is not None:
                clip = rearrange(features, "(b t) c h w -> b t c h w", t=frames)
                change = rearrange(clip - clip.mean(dim=1, keepdim=True), "b t c h w -> (b t) c h w")
                level = level + motion(change)
            if level.shape[-2:] != grid[1:]:
                level = F.interpolate(level, size=grid[1:], mode="bilinear", align_corners=False)
            total = total + level
        return self.norm_patches(rearrange(total, "(b t) c h w -> b (t h w) c", t=frames)), grid

    def place(self, patches: Tensor, grid: tuple[int, int, int]) -> Tensor:
        """Patches `(B, N, C)` and their place on the grid."""
        frames = grid[0]
        space: Tensor = self.position_space
        time: Tensor = self.position_time
        if space.shape[-2:] != grid[1:]:
            space = F.interpolate(space, size=grid[1:], mode="bilinear", align_corners=False)
        if time.shape[-1] != frames:
            time = F.interpolate(time, size=frames, mode="linear", align_corners=False)
        place = space[:, :, None] + time[..., None, None]
        return patches + rearrange(place, "1 c t h w -> 1 (t h w) c")

    def forward(self, maps: Sequence[Tensor], frames: int, tokens: Tensor | None = None) -> BackboneOutput:
        """Feature maps `(B * T, C_i, H_i, W_i)` of `frames` frames, and tokens `(B, M', C)`."""
        patches, grid = self.patches(maps, frames)
        return self.read(self.watch(patches, grid), grid, tokens)

    def read(self, patches: Tensor, grid: tuple[int, int, int], tokens: Tensor | None) -> BackboneOutput:
        """`patches` and their grid, and tokens `(B, M', C)`, which read them."""
        patches = self.place(patches, grid)
        if tokens is None:
            return BackboneOutput(patches, grid, None, (), patches)
        block_tokens = []
        for block in self.blocks:
            tokens = run(self, block, tokens, patches)
            block_tokens.append(tokens)
        return BackboneOutput(patches, grid, self.norm(tokens), tuple(block_tokens), patches)

    def attention(self, maps: Sequence[Tensor], frames: int, tokens: Tensor) -> Tensor:
        """How much each token attends to each patch in the last block, the mean over heads, `(B, M', T, H, W)`;
        arguments as for `forward`."""
        out = self.forward(maps, frames, tokens)
        block: Any = self.blocks[-1]
        x = (tokens, *out.block_tokens)[-2]
        normed = block.norm1(x)
        x = x + block.self_attn(normed, normed, normed, need_weights=False)[0]
        return block.multihead_attn(block.norm2(x), out.patches, out.patches)[1].unflatten(2, out.grid)


def decoder_for(
    with_tokens: bool, in_channels: int, grid: tuple[int, int, int], arguments: Mapping[str, Any]
) -> TokenDecoder | None:
    """The decoder of a network that ends in one map, or None where no tokens read it.

    Raises:
        TypeError: for arguments that no decoder takes, or that there is no decoder for.
    """
    if with_tokens:
        return TokenDecoder([in_channels], grid, **arguments)
    if arguments:
        raise TypeError(f"{', '.join(arguments)}: without tokens it has no decoder that could take them, see tokens=20")
    return None
