"""Two kinds of stages as Lightning modules: patches learn features and joints of still pictures, tokens the labels.

Shapes: `B` batch, `T h w` grid of the patches, `N = T * h * w`, `C` channels, `K` regions.
"""

from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from amge.assemble import distillation
from amge.distill import Teacher
from amge.model import MuscleModel
from amge.recipes.optimizer import adamw
from amge.recipes.transm3e_small.clips import Halves
from amge.recipes.transm3e_small.score import mean_ap
from amge.skeleton.layouts import COCO17
from amge.train.module import cosine
from amge.video.modality import from_rgb

SEEN = 0.3
"""Visibility of a joint from which it is believed."""


class Stage(L.LightningModule):
    """AdamW with a cosine after a short rise, in bfloat16 on a GPU; vectors and what the model names do not decay."""

    def __init__(self, model: MuscleModel, steps: int, lr: float, weight_decay: float = 0.05) -> None:
        super().__init__()
        self.model, self.steps, self.lr, self.weight_decay = model, steps, lr, weight_decay

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The terms of the loss, to be added."""
        raise NotImplementedError

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            losses = self.losses(batch)
        loss = torch.stack(list(losses.values())).sum()
        self.log_dict({**losses, "loss": loss}, prog_bar=True, batch_size=len(batch["clip"]))
        return loss

    def configure_optimizers(self) -> Any:
        spared = {f"model.{name}" for name in self.model.no_weight_decay()}
        optimizer = adamw(self, self.lr, self.weight_decay, spared)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, cosine(self.steps // 20, self.steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Patches(Stage):
    """The patches of two equal frames regress what `encoder` sees in them, and a read-out tells where joints are.

    Args:
        model: to train; of its tokens nothing is asked.
        encoder: pictures `(B, 3, H, W)`, normalised as the model's, to features `(B, 1280, h', w')` by its method
            `forward_features`; stays as it is, and out of checkpoints.
        steps: in all.
        lr: learning rate at its peak.
    """

    def __init__(self, model: MuscleModel, encoder: Any, steps: int, lr: float = 1e-3) -> None:
        super().__init__(model, steps, lr)
        self.encoder = [encoder]  # in a list, so that it is no part of this module
        self.regress = nn.Linear(model.backbone.out_channels, encoder.num_features)
        self.locate = nn.Linear(model.backbone.out_channels, COCO17.joints)

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        clip = batch["clip"]
        with torch.no_grad():
            target = self.encoder[0].to(clip.device).forward_features(clip[:, :, 0])
        found = self.model.forward_features(clip.expand(-1, -1, 2, -1, -1))
        frames, height, width = found.grid
        patches = found.patches.unflatten(1, (frames, -1)).mean(dim=1)  # (B, h w, C)
        target = F.adaptive_avg_pool2d(target.float(), (height, width)).flatten(2).transpose(1, 2)
        features = self.regress(patches).float()
        cosine = F.cosine_similarity(features, target, dim=-1).mean()
        where = places(self.locate(patches).float(), (height, width))
        return {
            "features": 1 - cosine + F.smooth_l1_loss(features, target) / 2,
            "joints": 2 * off(where, batch["joints"]),
        }


def places(logits: Tensor, grid: tuple[int, int]) -> Tensor:
    """Logits of cells `(B, h w, V)` to the places that are expected, x and y in 0..1, `(B, V, 2)`."""
    y, x = ((torch.arange(count, device=logits.device) + 0.5) / count for count in grid)
    centres = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1).flatten(0, 1)
    return logits.softmax(dim=1).transpose(1, 2) @ centres


def off(found: Tensor, joints: Tensor) -> Tensor:
    """How far places `(B, V, 2)` are from visible joints `(B, V, 3)`, along x and y."""
    visible = (joints[..., 2:] > SEEN).float()
    return ((found - joints[..., :2]).abs() * visible).sum() / (2 * visible.sum()).clamp(min=1)


class Labels(Stage):
    """A model of any modality of pictures learns targets; with a teacher also what the spec's distillation says.

    Args:
        model: to train.
        steps: in all.
        lr: learning rate at its peak.
        teacher: of the model's auxiliary modality; stays frozen and in eval mode.
        judged: validation clips by split; none: nothing is validated.
    """

    def __init__(
        self,
        model: MuscleModel,
        steps: int,
        lr: float = 5e-4,
        teacher: MuscleModel | None = None,
        judged: dict[str, Halves] | None = None,
    ) -> None:
        super().__init__(model, steps, lr)
        self.teacher = Teacher(teacher) if teacher else None
        self.distill = distillation(model) if teacher else None
        self.judged, self.seen = judged or {}, {name: [] for name in judged or {}}  # type: ignore[var-annotated]

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        spec: Any = self.model.spec
        signals = self.model.forward_signals(from_rgb(batch["clip"], spec.modality))
        logits = signals.branches[0].float()
        losses = {"bce": F.binary_cross_entropy_with_logits(logits, batch["target"])}
        if self.teacher and self.distill:
            losses["kd"] = self.distill(signals, self.teacher(from_rgb(batch["clip"], spec.auxiliary)))
        return losses

    def val_dataloader(self) -> list[DataLoader]:
        return [DataLoader(clips, batch_size=None) for clips in self.judged.values()]

    def validation_step(self, batch: dict[str, Tensor], index: int, dataloader_idx: int = 0) -> None:
        spec: Any = self.model.spec
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            logits = self.model(from_rgb(batch["clip"], spec.modality))
        self.seen[list(self.judged)[dataloader_idx]].append((logits.float(), batch["target"]))

    def on_validation_epoch_end(self) -> None:
        scores = {}
        for name, rows in self.seen.items():
            logits, targets = (torch.cat(column) for column in zip(*rows, strict=True))
            scores[f"{name}_mAP"] = mean_ap(logits, targets)
            rows.clear()
        if scores:
            self.log_dict({**scores, "val_mAP": sum(scores.values()) / len(scores)}, prog_bar=True)
