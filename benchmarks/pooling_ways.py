"""The pooling convolutions of an MViTv2, and ways to compute one: ours, and what torch has for it.

A way takes tokens `(B, M + N, C)`, the weights `(d, 1, kt, kh, kw)` of query, or of key and value, whose channels lie
side by side, and the pooling, and gives pooled tokens for each weight.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

import amge
from amge.backbones.pooling_attention import PoolingAttention
from amge.layers.depthwise_pooling import depthwise_pool, has_kernels

Pooled = Sequence[Tensor]
"""Tokens of the query, or of key and value."""


class Pooling(NamedTuple):
    """A convolution of one block: of the query, or of key and value together."""

    part: str
    tokens: int
    grid: tuple[int, int, int]
    stride: tuple[int, int, int]
    heads: int
    width: int
    kernel: tuple[int, int, int]

    @property
    def weights(self) -> int:
        return 1 if self.part == "query" else 2

    @property
    def channels(self) -> int:
        return self.weights * self.heads * self.width

    @property
    def pooled(self) -> int:
        return prod(-(-size // step) for size, step in zip(self.grid, self.stride, strict=True))

    def bytes(self, batch: int, itemsize: int) -> tuple[float, float]:
        """The fewest that the forward pass moves, and it with the backward pass."""
        share = prod(min(1, size / step) for size, step in zip(self.kernel, self.stride, strict=True))
        read, out, whole = share * prod(self.grid), self.pooled, prod(self.grid)
        forward = read + out + 2 * self.tokens
        backward = out + read + whole + 2 * self.tokens
        scale = batch * self.channels * itemsize
        return forward * scale, (forward + backward) * scale

    def __str__(self) -> str:
        grid, stride = ("x".join(map(str, sizes)) for sizes in (self.grid, self.stride))
        return f"{self.part} {grid} / {stride}, {self.heads} heads, {self.tokens} tokens"


@cache
def poolings(name: str, frames: int | None = None, size: int | None = None) -> Counter[Pooling]:
    """Those of a model, each with the number of blocks that have it."""
    found: Counter[Pooling] = Counter()

    def note(attn: Any, given: tuple[Any, ...]) -> None:
        x, grid = given[:2]
        sizes = attn.num_heads, attn.head_dim, tuple(attn.pool_q.weight.shape[2:])
        for part, stride in (("query", attn.stride_q), ("key, value", attn.stride_kv)):
            found[Pooling(part, x.shape[1] - prod(grid), tuple(grid), tuple(stride), *sizes)] += 1

    with torch.device("meta"), torch.no_grad():
        spec = amge.spec(name)
        model = amge.build(name, frames=frames or spec.frames, size=size or spec.size).eval()
        for module in model.modules():
            if isinstance(module, PoolingAttention):
                module.register_forward_pre_hook(note)
        model(torch.empty([1, *map(int, model.input_spec.shape[1:])]))
    return found


def packed(weights: list[Tensor], pooling: Pooling) -> Tensor:
    return torch.cat([weight.repeat(pooling.heads, 1, 1, 1, 1) for weight in weights])


def on_patches(x: Tensor, pooling: Pooling, pool: Callable[[Tensor], Tensor]) -> Pooled:
    """Pool `(B, T, H, W, C)`; class tokens pass by."""
    tokens, patches = x[:, : pooling.tokens], x[:, pooling.tokens :].unflatten(1, pooling.grid)
    return torch.cat([tokens, pool(patches).flatten(1, 3)], dim=1).chunk(pooling.weights, dim=-1)


def conv3d(x: Tensor, weights: list[Tensor], pooling: Pooling, layout: torch.memory_format) -> Pooled:
    weight = packed(weights, pooling).contiguous(memory_format=layout)
    padding = [size // 2 for size in pooling.kernel]

    def pool(patches: Tensor) -> Tensor:
        clip = patches.permute(0, 4, 1, 2, 3).contiguous(memory_format=layout)
        return F.conv3d(clip, weight, None, pooling.stride, padding, 1, len(weight)).permute(0, 2, 3, 4, 1)

    return on_patches(x, pooling, pool)


def channels_last(x: Tensor, weights: list[Tensor], pooling: Pooling) -> Pooled:
    return conv3d(x, weights, pooling, torch.channels_last_3d)


def contiguous(x: Tensor, weights: list[Tensor], pooling: Pooling) -> Pooled:
    return conv3d(x, weights, pooling, torch.contiguous_format)


def planes(x: Tensor, weights: list[Tensor], pooling: Pooling) -> Pooled:
    """A channels-last 2-D convolution of all frames for each step of the kernel in time, shifted and added up."""
    weight, depth = packed(weights, pooling), pooling.kernel[0]
    padding = [size // 2 for size in pooling.kernel[1:]]

    def pool(patches: Tensor) -> Tensor:
        pictures = patches.flatten(0, 1).permute(0, 3, 1, 2)
        total: Any = 0
        for step in range(depth):
            plane = weight[:, :, step].contiguous(memory_format=torch.channels_last)
            one = F.conv2d(pictures, plane, None, pooling.stride[1:], padding, 1, len(weight))
            before = depth // 2 - step
            clip = one.permute(0, 2, 3, 1).unflatten(0, patches.shape[:2])
            total = total + F.pad(clip, (0, 0, 0, 0, 0, 0, before, -before))
        return total[:, :: pooling.stride[0]]

    return on_patches(x, pooling, pool)


def ours(x: Tensor, weights: list[Tensor], pooling: Pooling) -> Pooled:
    """What the library does with such tokens on their device; `PoolingAttention` has the norms in the same kernels."""
    if has_kernels(x):
        parts = zip(x.chunk(pooling.weights, dim=-1), weights, strict=True)
        return [depthwise_pool(part, weight, pooling.grid, pooling.stride) for part, weight in parts]
    weight = weights[0] if pooling.weights == 1 else packed(weights, pooling)  # heads share the rows of one
    return depthwise_pool(x, weight, pooling.grid, pooling.stride).chunk(pooling.weights, dim=-1)


WAYS = {"ours": ours, "channels last": channels_last, "contiguous": contiguous, "2-D": planes}
