"""The loss of one training step: classification, and distillation if there is a teacher.

Shapes: `B` batch, `T H W` clip, `K` classes (activities, for a model that looks its regions up).
"""

import torch
from torch import Tensor

from amge.assemble import distillation
from amge.distill import Teacher, pair_auxiliary
from amge.errors import one_of
from amge.layers.module import Module
from amge.model import MuscleModel
from amge.train.losses import LOSSES, asymmetric_loss, classification_loss


class Objective(Module):
    """What a model learns from a clip: its labels, and with a teacher what its spec's distillation says.

    Args:
        model: the student.
        teacher: of the student's auxiliary modality; without one there is no distillation.
        loss: on the labels, `bce` as the model's activation says, or `asymmetric`, which takes sigmoids.

    Raises:
        ValueError: if there is a teacher and the model's spec names no distillation or another modality, or for a loss
            that does not fit the model's activation.
    """

    def __init__(self, model: MuscleModel, teacher: Teacher | None = None, loss: str = "bce") -> None:
        super().__init__()
        activation = model.spec.activation if model.spec else "sigmoid"
        self.activation = getattr(model.head, "branch_activation", activation)
        self.asymmetric = one_of("loss", loss, LOSSES) == "asymmetric"
        if self.asymmetric and self.activation != "sigmoid":
            raise ValueError(f"the asymmetric loss is one of sigmoids, the model has a {self.activation}; take 'bce'")
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
        logits = signals.branches[0]
        if target.shape != logits.shape:
            raise ValueError(
                f"expected targets {tuple(logits.shape)}, 1 where a class is true, got {tuple(target.shape)}"
            )
        labels = target.to(torch.float32)
        if self.asymmetric:
            losses = {"classification": asymmetric_loss(logits, labels)}
        else:
            losses = {"classification": classification_loss(logits, labels, self.activation)}
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
