"""One training stage as a Lightning module: classification, token distillation and joint localisation."""

from pathlib import Path

import lightning as L
import torch
from einops import rearrange
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, DistributedSampler

from amge.assemble import distillation
from amge.distill import Teacher
from amge.model import MuscleModel
from amge.recipes.optimizer import adamw
from amge.recipes.transm3e_lite.cache import Cached
from amge.recipes.transm3e_lite.frozen import forward_top
from amge.results import Signals
from amge.skeleton.layouts import COCO17
from amge.train.loop import fit


class Stage(L.LightningModule):
    """Trains `model`; with a `teacher`, also distils its sender tokens into the model's receiver bank.

    The loss is BCE on the sigmoid, plus the distillation that the model's spec names, plus a localisation term that is
    not in the paper: a linear read-out of the patches must say in which cell each joint lies (cross-entropy over the
    cells of a frame). It makes the patches carry the pose; the read-out is thrown away after training. The image
    encoder only runs cached.

    Args:
        model: the student, or in stage 1 the model of either modality.
        modality: `rgb` or `rgb_diff`; what `model` sees. A batch has the levels of its features as `rgb-0`, `rgb-1` ….
        teacher: trained on the model's auxiliary modality; stays frozen and in eval mode.
        lr: peak learning rate.
        weight_decay: of matrices; vectors and tokens have none.
        joints: weight of the localisation term.
        smoothing: of the labels.
        steps: in all, for the cosine schedule.
    """

    def __init__(
        self,
        model: MuscleModel,
        modality: str = "rgb",
        teacher: MuscleModel | None = None,
        lr: float = 1e-3,
        weight_decay: float = 0.05,
        joints: float = 0.1,
        smoothing: float = 0.05,
        steps: int = 1000,
    ) -> None:
        super().__init__()
        self.model = model
        self.teacher = Teacher(teacher) if teacher else None
        self.distill = distillation(model) if teacher else None
        self.locate = nn.Linear(model.backbone.out_channels, COCO17.joints)
        self.modality, self.steps = modality, steps
        self.lr, self.weight_decay = lr, weight_decay
        self.joints, self.smoothing = joints, smoothing

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        signals = self.signals(self.model, batch, self.modality)
        logits = signals.branches[0].float()
        target = batch["target"] * (1 - self.smoothing) + self.smoothing * batch["target"].mean(dim=0)
        losses = {"bce": F.binary_cross_entropy_with_logits(logits, target)}
        if self.teacher and self.distill:
            with torch.no_grad():
                sender = self.teacher_signals(batch)
            losses["kd"] = self.distill(signals, sender)
        if self.joints:
            features = signals.features
            losses["joints"] = self.joints * self.localisation(
                features.patches.float(), features.grid, batch["keypoints"]
            )
        self.log_dict(losses, prog_bar=True)
        return torch.stack(list(losses.values())).sum()

    def teacher_signals(self, batch: dict[str, Tensor]) -> Signals:
        """What the teacher says of the clips."""
        return self.signals(self.teacher.model, batch, self.model.spec.auxiliary)  # type: ignore[union-attr]

    @staticmethod
    def signals(model: MuscleModel, batch: dict[str, Tensor], modality: str) -> Signals:
        """What `model.forward_signals` gives for the clip that the encoder's features are of."""
        levels = [batch[key] for key in sorted(batch) if key.rpartition("-")[0] == modality]
        with torch.autocast(levels[0].device.type, torch.bfloat16):
            return model.signals_of(forward_top(model, levels))

    def localisation(self, patches: Tensor, grid: tuple[int, int, int], joints: Tensor) -> Tensor:
        """Cross-entropy between the cell of each visible joint and the read-out of the patches.

        Args:
            patches: `(B, N, C)`.
            grid: `(T, H, W)` of the patches.
            joints: `(B, T, 17, 3)`, x and y in 0..1 of the picture and visibility.
        """
        frames, height, width = grid
        logits = rearrange(self.locate(patches), "b (t n) j -> b t j n", t=frames)
        cell = (joints[..., :2] * torch.tensor([width, height], device=joints.device)).floor().long()
        visible = joints[..., 2] > 0.3
        visible &= (cell >= 0).all(-1) & (cell[..., 0] < width) & (cell[..., 1] < height)
        if not visible.any():
            return logits.sum() * 0
        index = cell[..., 1] * width + cell[..., 0]
        return F.cross_entropy(logits[visible], index[visible])

    def configure_optimizers(self) -> OptimizerLRScheduler:
        spared = [name for name, _ in self.named_parameters() if "tokens" in name]
        optimizer = adamw(self, self.lr, self.weight_decay, spared)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.lr, total_steps=self.steps, pct_start=0.05)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def train_stage(stage: Stage, clips: Cached, folder: Path, epochs: int, batch_size: int, seed: int) -> MuscleModel:
    """Train on kept features to the end, going on from the folder's last epoch, and save the model.

    Args:
        stage: what is trained.
        clips: of an epoch.
        folder: of the model.
        epochs: in all.
        batch_size: clips a step.
        seed: of all chance.

    Returns:
        the model in eval mode.
    """
    sampler: DistributedSampler = DistributedSampler(clips, num_replicas=1, rank=0, seed=seed)
    loader = DataLoader(clips, batch_size, sampler=sampler, drop_last=True)  # the sampler shuffles by epoch
    return fit(stage, loader, folder, epochs, seed, clips)
