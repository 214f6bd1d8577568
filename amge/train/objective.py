"""The loss of one training step: classification, and distillation if there is a teacher.

Shapes: `B` batch, `T H W` clip, `K` classes (activities, for a model that looks its regions up).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from amge.builder import distillation
from amge.distill import Teacher, pair_auxiliary
from amge.errors import one_of
from amge.model import MuscleModel
from amge.spec import ACTIVATIONS


def classification_loss(logits: Tensor, target: Tensor, activation: str) -> Tensor:
    """Binary cross-entropy on the probabilities that an activation gives: the paper's on a softmax, or on sigmoids.

    Args:
        logits: `(B, K)`.
        target: multi-hot `(B, K)`.
        activation: `softmax` or `sigmoid`.

    Raises:
        ValueError: for an unknown activation.
    """
    if one_of("activation", activation, ACTIVATIONS) == "sigmoid":
        return F.binary_cross_entropy_with_logits(logits.float(), target)
    log_p = F.log_softmax(logits.float(), dim=1)
    log_rest = torch.log1p(-log_p.exp().clamp(max=1 - 1e-6))
    return -(target * log_p + (1 - target) * log_rest).mean()


class Objective(nn.Module):
    """What a model learns from a clip: its labels, and with a teacher what its spec's distillation says.

    Args:
        model: the student.
        teacher: of the student's auxiliary modality; without one there is no distillation.

    Raises:
        ValueError: if there is a teacher and the model's spec names no distillation or another modality.
    """

    def __init__(self, model: MuscleModel, teacher: Teacher | None = None) -> None:
        super().__init__()
        if teacher is not None and not isinstance(teacher, Teacher):
            raise ValueError(f"wrap the teacher: amge.distill.Teacher(model); got {type(teacher).__name__}")
        sees = teacher.model.spec.modality if teacher and teacher.model.spec else None
        if sees and model.spec and sees != model.spec.auxiliary:
            raise ValueError(f"the teacher sees {sees!r}, the student's auxiliary modality is {model.spec.auxiliary!r}")
        self.model = model
        self.teacher = teacher
        self.distill = distillation(model) if teacher else None

    def forward(self, clip: Tensor, target: Tensor, auxiliary: Tensor | None = None) -> dict[str, Tensor]:
        """The terms of the loss by name, to be added.

        Args:
            clip: of the student, `(B, 3, T, H, W)`.
            target: multi-hot `(B, K)`; of a model that looks its regions up, one-hot `(B, A)` over activities.
            auxiliary: of the teacher, in its modality.

        Raises:
            ValueError: for targets of another shape, or if a teacher has no auxiliary clip to look at.
        """
        signals = self.model.forward_signals(clip)
        activation = self.model.spec.activation if self.model.spec else "sigmoid"
        activation = getattr(self.model.head, "branch_activation", activation)
        logits = signals.branches[0]
        if target.shape != logits.shape:
            raise ValueError(
                f"expected targets {tuple(logits.shape)}, 1 where a class is true, got {tuple(target.shape)}"
            )
        losses = {"classification": classification_loss(logits, target.to(torch.float32), activation)}
        if self.teacher and self.distill:
            if auxiliary is None:
                raise ValueError("the teacher needs the auxiliary clip")
            losses["distillation"] = self.distill(signals, self.teacher(auxiliary))
        return losses

    def two_clips(
        self, clips: tuple[Tensor, Tensor], target: Tensor, auxiliaries: tuple[Tensor, Tensor]
    ) -> dict[str, Tensor]:
        """As `forward`, for two clips of each video, paired with the auxiliary clips as the spec's `pairing` says."""
        case = self.model.spec.pairing if self.model.spec else 3
        paired = torch.cat(pair_auxiliary(*auxiliaries, case=case))
        return self(torch.cat(clips), torch.cat([target, target]), paired)
