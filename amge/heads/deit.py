"""A head with a branch for a distillation token (Touvron et al., DeiT, section 4).

Shapes: `B` batch, `M` tokens, `C` channels, `K` classes.
"""

from collections.abc import Sequence

from torch import Tensor

from amge.heads.mean import MeanTokens
from amge.layers.module import Module


class DeiT(Module):
    """Two classifiers, whose logits are averaged: one for the main token, which learns the labels, one for the
    distillation token, which learns the teacher's predictions.

    The two tokens, or banks of tokens, come side by side in the channels, as `fusion.Concat` puts them.

    Args:
        in_channels: channels `2C` of both tokens together.
        num_classes: number of logits `K`.
        dropout: on the mean of either bank.
        dim: channels `C` of one token, if known, to check.

    Raises:
        ValueError: unless the channels are those of two tokens.
    """

    num_branches = 2

    def __init__(self, in_channels: int, num_classes: int, dropout: float = 0.0, dim: int | None = None) -> None:
        super().__init__()
        if in_channels % 2 or in_channels != 2 * (dim or in_channels // 2):
            raise ValueError(
                f"a DeiT head takes two tokens side by side: banks=('main', 'receiver') and fusion='concat'; "
                f"got {in_channels} channels"
            )
        self.num_classes = num_classes
        self.main = MeanTokens(in_channels // 2, num_classes, dropout)
        self.distillation = MeanTokens(in_channels // 2, num_classes, dropout)

    def rows(self, labels: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Which tensors have a row for each label; see `amge.labels`."""
        branches = {"main": self.main, "distillation": self.distillation}
        return {f"{name}.{key}": names for name, part in branches.items() for key, names in part.rows(labels).items()}

    def branches(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """`(B, M, 2C)` to the logits `(B, K)` of each classifier, to learn the labels and the teacher."""
        main, distillation = tokens.chunk(2, dim=-1)
        return self.main(main), self.distillation(distillation)

    def forward(self, tokens: Tensor) -> Tensor:
        """`(B, M, 2C)` to `(B, K)`."""
        return self.merge(*self.branches(tokens))

    def merge(self, main: Tensor, distillation: Tensor) -> Tensor:
        """The logits of both classifiers to those of the model, `(B, K)`."""
        return (main + distillation) / 2
