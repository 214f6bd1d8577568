"""What a model takes and gives, besides logits: features, what a loss compares, and predictions of windows.

Shapes: `B` batch, `T H W` picture or grid, `N` patches, `M` tokens per bank, `C` channels, `K` labels, `V` joints.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
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


@dataclass(frozen=True)
class WindowPrediction:
    """The prediction for one window of a video."""

    start: float
    end: float
    """In seconds."""
    probabilities: dict[str, float]
    frames: np.ndarray | None
    """The frames that the model, or the pose estimator, looked at, uint8 `(T, H, W, 3)`; None for skeletons given."""
    person: int | None = None
    """Whose it is, numbered in the order of appearance; None where the model looks at the whole picture."""
    weight: float = 1.0
    """Summed over windows it is largest for the main person: their mean size in pixels."""
    keypoints: np.ndarray | None = None
    """Of the person, `(T, V, 3)` in pixels of `frames`, in the layout of the pose estimator."""


def light(window: WindowPrediction) -> WindowPrediction:
    """A prediction without its pictures, so that memory does not grow with a video."""
    return replace(window, frames=None, keypoints=None)


class Input(NamedTuple):
    """One row of what a model takes, and the prediction to be made from it."""

    given: Tensor
    window: WindowPrediction


def by_prominence(windows: Sequence[WindowPrediction]) -> list[int | None]:
    """The persons, the one who is seen largest and longest first; `[None]` if the model looks at the whole picture."""
    weights: dict[int | None, float] = defaultdict(float)
    for window in windows:
        weights[window.person] += window.weight
    return sorted(weights, key=lambda person: -weights[person])
