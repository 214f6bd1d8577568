"""One training stage of any model as a Lightning module.

Shapes: `B` samples, `R` clips of them, `K` labels.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from amge.data.batch import inputs, mean_of_views
from amge.distill import Teacher
from amge.metrics import mean_average_precision
from amge.model import MuscleModel
from amge.train.objective import Objective


def cosine(warmup: int, steps: int, least: float = 0.01) -> Any:
    """Factor of the learning rate at a step: up in a line, then down along a cosine to `least`."""

    def factor(step: int) -> float:
        if step < warmup:
            return least + (1 - least) * step / warmup
        way = min((step - warmup) / max(steps - warmup, 1), 1.0)
        return least + (1 - least) * (1 + math.cos(math.pi * way)) / 2

    return factor


class Training(L.LightningModule):
    """Trains `model` on its labels, and with a `teacher` on what its spec's distillation says.

    Two clips of a video are paired with the teacher's as the spec's `pairing` says. AdamW; vectors, and parameters that
    the model names in `no_weight_decay`, do not decay.

    Args:
        model: to train.
        teacher: trained, of the model's auxiliary modality; stays frozen and in eval mode. Of one with several banks
            that of the distillation's target teaches, a receiver if nothing else is said.
        loss: `bce` or `asymmetric`.
        lr: learning rate at its peak.
        weight_decay: of matrices.
        warmup: steps in which the learning rate rises.
        steps: in all, for the cosine schedule.
        clips: of each video in a batch.
        frozen: names of parts, such as `backbone.encoder`, that neither learn nor leave eval mode.
        validation: names of the validation sets, in the order of their loaders.

    Raises:
        ValueError: for parts that the model does not have.
    """

    def __init__(
        self,
        model: MuscleModel,
        teacher: MuscleModel | None = None,
        loss: str = "bce",
        lr: float = 1e-4,
        weight_decay: float = 0.05,
        warmup: int = 0,
        steps: int = 1000,
        clips: int = 1,
        frozen: Sequence[str] = (),
        validation: Sequence[str] = (),
    ) -> None:
        super().__init__()
        banks = teacher.bank.banks if teacher and teacher.bank else ()
        target = model.spec.distill_args.get("target", "receiver") if model.spec else "receiver"
        bank = target if len(banks) > 1 and target in banks else None
        self.objective = Objective(model, Teacher(teacher, bank) if teacher else None, loss)
        self.lr, self.weight_decay, self.warmup, self.steps, self.clips = lr, weight_decay, warmup, steps, clips
        known = dict(model.named_modules())
        if unknown := [name for name in frozen if name not in known]:
            raise ValueError(
                f"there is no part {unknown[0]!r} to freeze; parts are {', '.join(list(known)[1:8])}, ...; freeze=[]"
                " trains all"
            )
        self.frozen = [known[name].requires_grad_(False) for name in frozen]
        spared = model.no_weight_decay()
        matrices = {name for name, parameter in model.named_parameters() if parameter.ndim > 1}
        self.decayed = matrices - spared  # told now: a strategy may flatten what it shards
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise ValueError("this model has nothing to train: no parameters, or all of them are frozen")
        self.validation = tuple(validation)
        self.seen: dict[str, dict[int, Any]] = defaultdict(dict)
        self.broken: dict[str, str] = {}
        self.train()

    @property
    def model(self) -> MuscleModel:
        return self.objective.model

    def train(self, mode: bool = True) -> "Training":
        super().train(mode)
        for part in self.frozen:
            part.eval()
        return self

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None
    ) -> None:
        """Clips the norm; a model that is sharded over processes does so itself."""
        sharded = getattr(self.trainer.strategy.model, "clip_grad_norm_", None)
        if gradient_clip_val and sharded is not None:
            sharded(gradient_clip_val)
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def training_step(self, batch: dict[str, Any], index: int) -> Tensor:
        self.report(batch)
        spec: Any = self.model.spec
        clip, target = inputs(batch, spec), batch["target"]
        auxiliary = inputs(batch, self.objective.teacher.model.spec) if self.objective.teacher else None  # type: ignore[arg-type]
        if auxiliary is not None and self.clips == 2:
            losses = self.objective.two_clips((clip[0::2], clip[1::2]), target, (auxiliary[0::2], auxiliary[1::2]))
        else:
            losses = self.objective(clip, target[batch["sample"]], auxiliary)
        loss = torch.stack(list(losses.values())).sum()
        if not loss.isfinite():
            raise ValueError(
                f"the loss of step {self.global_step} is {loss.item()}: take a smaller lr, or precision='32-true'; the "
                f"last checkpoint is of an epoch before it"
            )
        size = len(target)
        self.log_dict({f"train_{name}": value for name, value in losses.items()}, batch_size=size)
        self.log("loss", loss, prog_bar=True, batch_size=size)
        return loss

    def validation_step(self, batch: dict[str, Any], index: int, dataloader_idx: int = 0) -> None:
        self.report(batch)
        if "target" not in batch:
            return
        spec: Any = self.model.spec
        logits = self.model(inputs(batch, spec)).float()
        probabilities = self.model.probabilities(logits)
        means = mean_of_views(probabilities, batch["sample"], len(batch["target"]))
        rows = zip(
            batch["index"].tolist(), means.float().cpu().numpy(), batch["target"].float().cpu().numpy(), strict=True
        )
        self.seen[self.validation[dataloader_idx]].update({i: (scores, target) for i, scores, target in rows})

    def on_validation_epoch_end(self) -> None:
        scores = {}
        for name in self.validation:
            rows = list(self.everywhere(self.seen.pop(name)).values())
            targets = np.array([target for _, target in rows])
            if targets.any():
                scores[f"{name}_mAP"] = 100 * mean_average_precision(targets, np.array([row for row, _ in rows]))
        if scores:
            self.log_dict(scores, prog_bar=True, rank_zero_only=True)
            self.log("val_mAP", sum(scores.values()) / len(scores), rank_zero_only=True)

    def everywhere(self, rows: dict[Any, Any]) -> dict[Any, Any]:
        """The rows of all processes."""
        if self.trainer.world_size == 1:
            return rows
        gathered: list[Any] = [None] * self.trainer.world_size
        torch.distributed.all_gather_object(gathered, rows)
        return {index: row for each in gathered for index, row in each.items()}

    def on_train_epoch_end(self) -> None:
        self.broken = self.everywhere(self.broken)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["broken"] = self.broken

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.broken = checkpoint["broken"]

    def report(self, batch: dict[str, Any]) -> None:
        """Notes the samples that could not be read."""
        self.broken.update(dict(batch["broken"]))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        groups: dict[float, list[nn.Parameter]] = {0.0: [], self.weight_decay: []}
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                groups[self.weight_decay if name in self.decayed else 0.0].append(parameter)
        decayed = [{"params": each, "weight_decay": decay} for decay, each in groups.items() if each]
        optimizer = torch.optim.AdamW(decayed, lr=self.lr)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, cosine(self.warmup, self.steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
