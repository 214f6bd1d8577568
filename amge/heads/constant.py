"""Predictions that look at nothing: the statistical baselines of Table 2.

Shapes: `B` batch, `M` tokens, `C` channels, `K` labels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from amge.layers.module import Module

EPS = 1e-6


class Constant(Module):
    """The same probability for every label, or a random one.

    Args:
        num_classes: `K`.
        probability: of every label, kept within 1e-6 of 0 and 1; None draws each anew, uniformly, from torch's
            generator.

    Raises:
        ValueError: for something else than a probability.
    """

    def __init__(self, num_classes: int, probability: float | None = None) -> None:
        super().__init__()
        if probability is not None and not 0 <= probability <= 1:
            raise ValueError(f"probability must lie in 0..1, got {probability}")
        self.num_classes = num_classes
        self.probability = probability

    def rows(self, labels: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """None; see `amge.labels`."""
        return {}

    def forward(self, tokens: Tensor) -> Tensor:
        """`(B, M, C)` to logits `(B, K)`."""
        shape = tokens.shape[0], self.num_classes
        if self.probability is None:
            values = torch.rand(shape, device=tokens.device, dtype=tokens.dtype)
        else:
            values = tokens.new_full(shape, self.probability)
        return torch.logit(values.float(), eps=EPS).to(tokens.dtype)
