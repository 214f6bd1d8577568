"""What a model takes and gives, besides logits: features, and what a loss compares.

Shapes: `B` batch, `T H W` picture or grid, `N` patches, `M` tokens per bank, `C` channels, `K` labels, `V` joints.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Features(NamedTuple):
    """What `MuscleModel.forward_features` returns."""

    patches: Tensor
    """`(B, N, C)`."""
    grid: tuple[int, int, int]
    tokens: dict[str, Tensor]
    """Bank to `(B, M, C)`, after the last block and the final norm."""
    block_tokens: dict[str, tuple[Tensor, ...]]
    """Bank to its tokens `(B, M, C_i)` after each block."""
    fused: Tensor
    """`(B, M, C_out)`, what the head takes; the patches in a model without tokens."""
    token_embedding: dict[str, Tensor]
    """Bank to its tokens `(B, M, C_0)` that enter the first block."""
    patch_embedding: Tensor | None
    """`(B, N_0, C_0)`, the patches that enter the first block, if the backbone tells."""


class Signals(NamedTuple):
    """What `MuscleModel.forward_signals` returns: all that a loss may compare with labels or with a teacher."""

    features: Features
    branches: tuple[Tensor, ...]
    """The head's raw logits: with labels compare the first, with a teacher's prediction the last. Heads with a branch
    for distillation have two, others one."""
    logits: Tensor
    """`(B, K)`, what `forward` gives."""


class Seen(NamedTuple):
    """What a model sees of clips that takes pictures and joints."""

    clip: Tensor
    """`(B, 3, T, H, W)`."""
    skeletons: Tensor
    """`(B, P, T, V, A)`, zero where nobody's joints are known."""


def stacked(rows: Sequence[Tensor | Seen]) -> Tensor | Seen:
    """Rows of what a model takes as a batch."""
    if isinstance(rows[0], Seen):
        return Seen(*(torch.stack(parts) for parts in zip(*rows, strict=True)))
    return torch.stack(rows)  # type: ignore[arg-type]


class InputSpec(NamedTuple):
    """What a model takes."""

    shape: tuple[str | int, ...]
    """Its axes: `B` is free, the frames are those that the model was made for."""
    modalities: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """Per channel, of pixels in 0..1; skeletons are normalised by `amge.skeleton.sequence.normalise`."""

    def example(self, batch: int = 1) -> Tensor:
        """Random input of this shape, to export, compile or time a model with."""
        return torch.rand([batch if axis == "B" else int(axis) for axis in self.shape])
