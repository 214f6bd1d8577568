"""Multi-Classification Tokens Knowledge Distillation (MCTKD), eq. 1 of the paper.

Shapes: `B` batch, `M` tokens, `C` channels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from amge.errors import one_of

OFFICIAL_ALPHA, OFFICIAL_BLOCKS = 0.9, 16
"""Weight of the loss in the official code, and what it divides by for any number of blocks."""


class TokenDistillation(nn.Module):
    """Mean over blocks of the KL divergence between teacher and student tokens, after every block (dense, eq. 1).

    The softmax runs over the tokens ("token-wise", the best row of Table 4): each channel of each sample is a
    distribution over the `M` tokens. The divergence, KL(teacher ‖ student), sums over tokens and averages over
    channels and samples; it is zero for equal tokens and positive otherwise. No gradient reaches the teacher.

    The form "official" is the loss of the official code: temperature 10, a mean over tokens as well, times 0.9 · 10²,
    and the sum over blocks divided by 16 whatever their number.

    Args:
        temperature: divides both sides before the softmax; default 1 (the paper names none), officially 10.
        form: `paper` or `official`.
    """

    def __init__(self, temperature: float | None = None, form: str = "paper") -> None:
        super().__init__()
        self.official = one_of("form of the distillation", form, ("paper", "official")) == "official"
        if temperature is None:
            temperature = 10.0 if self.official else 1.0
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        self.temperature = temperature

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """Tokens `(B, M, C)` after each block, of student (receiver bank) and teacher, to a scalar.

        Raises:
            ValueError: if there are no blocks, or the two sides differ in number or shape.
        """
        shapes = [tuple(t.shape) for t in student], [tuple(t.shape) for t in teacher]
        if not shapes[0] or shapes[0] != shapes[1]:
            raise ValueError(
                f"student and teacher need the same token shapes after the same number of blocks; "
                f"got {shapes[0]} and {shapes[1]}"
            )
        losses = []
        for mine, theirs in zip(student, teacher, strict=True):
            log_p = F.log_softmax(mine.float() / self.temperature, dim=1)
            log_q = F.log_softmax(theirs.detach().float() / self.temperature, dim=1)
            losses.append(F.kl_div(log_p, log_q, reduction="none", log_target=True).sum(dim=1).mean())
        if self.official:
            tokens = student[0].shape[1]
            return torch.stack(losses).sum() * (OFFICIAL_ALPHA * self.temperature**2 / tokens / OFFICIAL_BLOCKS)
        return torch.stack(losses).mean()
