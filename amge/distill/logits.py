"""Distillation of predictions: Hinton et al., "Distilling the Knowledge in a Neural Network", and DeiT (Table 6).

Shapes: `B` batch, `K` classes.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from amge.distill.checks import check_scale
from amge.errors import one_of
from amge.layers.module import Module
from amge.results import Signals
from amge.spec import ACTIVATIONS


class LogitDistillation(Module):
    """How far the student's predictions are from the teacher's; no gradient reaches the teacher.

    Soft: KL(teacher ‖ student) of predictions at a temperature, times its square so that gradients keep their size
    (Hinton et al., section 2). Hard: cross-entropy with the teacher's decision (Touvron et al., DeiT, section 4). With
    a softmax over the classes a prediction is one distribution; with sigmoids it is one for each class, and their mean
    counts, as in binary cross-entropy.

    Args:
        hard: learn the teacher's decision, its likeliest class or those over one half, in place of its probabilities.
        temperature: divides both sides before the activation; a hard decision has none.
        weight: factor on the loss.
        activation: `softmax` or `sigmoid`.

    Raises:
        ValueError: for a temperature that is not positive or has no use, a negative weight, or an unknown activation.
    """

    def __init__(
        self, hard: bool = False, temperature: float = 1.0, weight: float = 1.0, activation: str = "softmax"
    ) -> None:
        super().__init__()
        check_scale(temperature, weight)
        if hard and temperature != 1:
            raise ValueError(f"a hard decision has no temperature, got {temperature}")
        self.sigmoid = one_of("activation", activation, ACTIVATIONS) == "sigmoid"
        self.hard, self.temperature, self.weight = hard, temperature, weight

    def _log_probabilities(self, logits: Tensor) -> Tensor:
        """`(B, K)` to `(B, K)`, or to `(B, 2, K)` where each class is active or not."""
        if self.sigmoid:
            return torch.stack([F.logsigmoid(logits), F.logsigmoid(-logits)], dim=1)
        return F.log_softmax(logits, dim=1)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Logits `(B, K)` of both to a scalar.

        Raises:
            ValueError: for logits of different shapes.
        """
        if student.shape != teacher.shape:
            raise ValueError(
                f"student and teacher must predict the same classes, got {tuple(student.shape)} and "
                f"{tuple(teacher.shape)}"
            )
        mine, theirs = (self._log_probabilities(x.float() / self.temperature) for x in (student, teacher.detach()))
        if self.hard:
            decision = F.one_hot(theirs.argmax(dim=1), theirs.shape[1]).movedim(-1, 1)
            loss = -decision * mine
        else:
            loss = F.kl_div(mine, theirs, reduction="none", log_target=True) * self.temperature**2
        return self.weight * loss.sum(dim=1).mean()


class PredictionDistillation(Module):
    """Compares the teacher's prediction with the student's: of its only branch (Hinton), or of the branch that a
    distillation token feeds (DeiT).

    Args:
        branches: how many branches that predict the labels the student's head has.
        token: whether the student must have a distillation token, a second branch.
        loss: what compares; default `LogitDistillation`, Hinton's.

    Raises:
        ValueError: if the head has no such branch, or one where `token` is asked for.
    """

    def __init__(self, branches: int = 1, token: bool = False, loss: nn.Module | None = None) -> None:
        super().__init__()
        if not branches:
            raise ValueError(
                "the student's head predicts something else than the labels, which no teacher can teach it"
            )
        if token and branches < 2:
            raise ValueError(
                "DeiT's distillation token needs a head with a branch for it: "
                "head='deit', banks=('main', 'receiver'), fusion='concat'"
            )
        self.loss = loss or LogitDistillation()

    def forward(self, student: Signals, teacher: Signals) -> Tensor:
        """What student and teacher say of a clip, to a scalar."""
        return self.loss(student.branches[-1], teacher.logits)
