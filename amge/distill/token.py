"""The divergence between a student's and a teacher's tokens, eq. 1 of the paper and the rows of Table 4.

Shapes: `B` batch, `M` tokens, `C` channels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from amge.distill.checks import check_scale
from amge.errors import one_of
from amge.layers.module import Module

AXES = {"token": (1,), "channel": (2,), "full": (1, 2)}
"""What the softmax runs over: the dimensions of `(B, M, C)` that make one distribution."""
OFFICIAL_ALPHA, OFFICIAL_BLOCKS = 0.9, 16
"""Weight of the loss in the official code, and what it divides by for any number of blocks."""


class TokenDistillation(Module):
    """Mean over blocks of the KL divergence between teacher and student tokens (eq. 1).

    The softmax runs over the tokens (token-wise, TW, the best row of Table 4: each channel of each sample is a
    distribution over the `M` tokens), over the channels (CW: each token is a distribution), or over both together
    (full, FP: each sample is one). The divergence, KL(teacher ‖ student), sums over what the softmax runs over and
    averages over the rest; it is zero for equal tokens and positive otherwise. No gradient reaches the teacher. Of
    tokens that are all nearly alike a softmax over tokens says little: start them apart.

    The form "official" is the loss of the official code: temperature 10, a mean over all elements, times 0.9 · 10²,
    and the sum over blocks divided by 16 whatever their number.

    Args:
        temperature: divides both sides before the softmax; default 1 (the paper names none), officially 10.
        axis: `token`, `channel` or `full`.
        weight: factor on the loss; the paper adds it with equal weight.
        form: `paper` or `official`.
    """

    def __init__(
        self, temperature: float | None = None, axis: str = "token", weight: float = 1.0, form: str = "paper"
    ) -> None:
        super().__init__()
        self.axis = AXES[one_of("softmax axis of the distillation", axis, AXES)]
        self.official = one_of("form of the distillation", form, ("paper", "official")) == "official"
        if temperature is None:
            temperature = 10.0 if self.official else 1.0
        check_scale(temperature, weight)
        self.temperature = temperature
        self.weight = weight

    def _log_softmax(self, tokens: Tensor) -> Tensor:
        """`(B, M, C)` to log-probabilities `(B, A, R)` that sum to one over `A`."""
        scaled = tokens.float() / self.temperature
        if len(self.axis) == 2:
            return F.log_softmax(scaled.flatten(1), dim=1)[..., None]
        return F.log_softmax(scaled, dim=self.axis[0]).movedim(self.axis[0], 1)

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """Tokens `(B, M, C)` after each block, of student (receiver bank) and teacher, to a scalar.

        Raises:
            ValueError: if there are no blocks, the two sides differ in number or shape, or a softmax would run over one
                token or channel, which says nothing.
        """
        if isinstance(student, Tensor) or isinstance(teacher, Tensor):
            raise ValueError("expected a list of tokens (B, M, C), one for each block, got a tensor; wrap it: [tokens]")
        shapes = [tuple(t.shape) for t in student], [tuple(t.shape) for t in teacher]
        if not shapes[0] or shapes[0] != shapes[1]:
            raise ValueError(
                f"student and teacher need the same token shapes after the same number of blocks; "
                f"got {shapes[0]} and {shapes[1]}"
            )
        if any(all(tokens.shape[axis] == 1 for axis in self.axis) for tokens in student):
            raise ValueError(
                f"a softmax over one element says nothing: got tokens {shapes[0]}; take another axis "
                f"({', '.join(AXES)}), or more tokens"
            )
        losses = []
        for mine, theirs in zip(student, teacher, strict=True):
            log_p, log_q = self._log_softmax(mine), self._log_softmax(theirs.detach())
            elements = F.kl_div(log_p, log_q, reduction="none", log_target=True)
            losses.append(elements.mean() if self.official else elements.sum(dim=1).mean())
        if self.official:
            total = torch.stack(losses).sum() * (OFFICIAL_ALPHA * self.temperature**2 / OFFICIAL_BLOCKS)
        else:
            total = torch.stack(losses).mean()
        return total * self.weight
