"""A skeleton model from the poses of photographs.

Trees on features of the two poses of each exercise learn from the labels; the network learns from the trees, on poses
made of those of the photographs and set in motion. It never sees a pose twice, which is what 562 exercises lack.
"""

import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader, Dataset

from amge.assemble import assemble
from amge.data.datasets import LICENCES
from amge.files import whole
from amge.hub.load import from_pretrained
from amge.hub.names import CONFIG
from amge.model import MuscleModel
from amge.muscles import REGION_IDS
from amge.recipes.optimizer import adamw
from amge.recipes.run_folder import same_run
from amge.recipes.st_gcn.figures import figure_pairs
from amge.recipes.st_gcn.motion import move
from amge.recipes.st_gcn.pairs import load_pairs, make_up
from amge.recipes.st_gcn.photographs import joints_for
from amge.recipes.st_gcn.trees import PoseTrees
from amge.skeleton.graph import Graph
from amge.skeleton.layouts import COCO17
from amge.skeleton.pose.estimators import PoseEstimator
from amge.spec import ModelSpec
from amge.train.loop import fit
from amge.train.provenance import made_of

DECODER = {"dim": 96, "depth": 3, "num_heads": 4}
"""Of the decoder through which tokens read the features."""


class PoseClips(Dataset):
    """Batches of clips of made-up pairs, each anew in every epoch.

    The chance of a batch depends on seed, epoch and index alone.

    Args:
        pairs: `(n, 2, V, A)`.
        targets: probabilities `(n, K)`.
        frames: `T`.
        batch_size: clips a batch.
        batches: an epoch.
        seed: of all chance.
        graph: of the joints.
    """

    def __init__(
        self,
        pairs: np.ndarray,
        targets: np.ndarray,
        frames: int,
        batch_size: int,
        batches: int,
        seed: int,
        graph: Graph = COCO17,
    ) -> None:
        self.pairs, self.targets, self.frames, self.graph = pairs, targets, frames, graph
        self.batch_size, self.batches, self.seed = batch_size, batches, seed
        self.epoch = 0

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Skeletons `(B, 1, T, V, A)` and targets `(B, K)`."""
        rng = np.random.default_rng([self.seed, self.epoch, index])
        chosen = rng.integers(0, len(self.pairs), self.batch_size)
        clips = move(self.pairs[chosen], self.frames, rng, graph=self.graph)
        return torch.from_numpy(clips)[:, None], torch.from_numpy(self.targets[chosen])


class PoseStage(L.LightningModule):
    """Trains `model` on probabilities: binary cross-entropy, AdamW, one cycle of the learning rate.

    Args:
        model: a skeleton model.
        steps: in all.
        lr: at its peak.
        weight_decay: of all but biases, norms and what the model names.
    """

    def __init__(self, model: MuscleModel, steps: int, lr: float = 2e-3, weight_decay: float = 0.02) -> None:
        super().__init__()
        self.model, self.steps, self.lr, self.weight_decay = model, steps, lr, weight_decay

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        skeletons, targets = batch
        # on a CPU fused attention has a slow backward pass: a step of `st-gcn` takes 1.5 times as long with it
        way = sdpa_kernel(SDPBackend.MATH) if self.device.type == "cpu" else nullcontext()
        with torch.autocast(self.device.type, torch.bfloat16), way:
            logits = self.model(skeletons)
        loss = F.binary_cross_entropy_with_logits(logits.float(), targets)
        self.log("loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = adamw(self.model, self.lr, self.weight_decay, self.model.no_weight_decay())
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.lr, total_steps=self.steps, pct_start=0.1)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def train(
    spec: ModelSpec,
    data: str | Path,
    out: str | Path,
    pool: int = 200_000,
    epochs: int = 40,
    batches: int = 220,
    batch_size: int = 64,
    trees: int = 500,
    lr: float = 2e-3,
    seed: int = 0,
    stop: int | None = None,
    splits: Sequence[str] = ("train",),
    figures: int = 0,
    pose: "str | PoseEstimator" = "mediapipe",
) -> MuscleModel:
    """Run the recipe; one that was cut off goes on from its last epoch.

    Args:
        spec: of a skeleton model with `activation="sigmoid"`. One of COCO's 17 joints in the picture learns from those
            that come with the photographs; one of others, or in three dimensions, from those that `pose` finds in them.
        data: folder of the prepared open exercise photographs.
        out: run folder.
        pool: pairs made up.
        epochs: of `batches` batches of `batch_size` clips.
        batches: an epoch.
        batch_size: clips a batch.
        trees: of the teacher.
        lr: learning rate at its peak.
        seed: of all chance.
        stop: epochs to end after, with the learning rate where it then is on its way to `epochs`; default: all.
        splits: to learn from.
        figures: pairs of every exercise of `amge.synthetic` that the trees learn besides.
        pose: a pose estimator, or its name.

    Returns:
        the model with averaged weights, in eval mode.

    Raises:
        ValueError: for a spec of something else, data that is not there, or a folder of another run.
    """
    if spec.modality != "skeleton" or spec.activation != "sigmoid":
        raise ValueError(
            f"this recipe trains skeleton models with activation='sigmoid'; {spec.name} sees {spec.modality} and has "
            f"{spec.activation!r}"
        )
    out = Path(out)
    options: dict[str, Any] = {"pool": pool, "epochs": epochs, "batches": batches, "batch_size": batch_size}
    options |= {"trees": trees, "lr": lr, "seed": seed, "stop": stop or epochs, "splits": list(splits)}
    options |= {"figures": figures} if figures else {}
    same_run(out, json.dumps({"spec": json.loads(spec.to_json()), **options}, indent=2))
    if (out / CONFIG).exists():
        return from_pretrained(out)
    taught = f"extremely randomised trees, {trees} in a forest, on features of two poses, in training alone"
    sources = [(name, LICENCES[name]) for name in ("open-exercise", "synthetic")[: 1 + bool(figures)]]
    made = made_of(sources, seed, splits=list(splits), epochs=epochs, teacher=taught)
    L.seed_everything(seed, verbose=False)
    model = assemble(spec.replace(provenance=made))
    graph, axes = getattr(model.backbone, "graph", None), int(model.input_spec.shape[4])
    if graph is None or spec.labels != REGION_IDS:
        raise ValueError(f"the photographs show the {len(REGION_IDS)} regions; {spec.name} has others, or no graph")
    joints = joints_for(graph, axes, data, out / "joints.npz", pose)
    pairs, targets = load_pairs(data, *splits, joints=joints, graph=graph, axes=axes)
    if figures:
        more = figure_pairs(figures, seed, graph, axes)
        pairs, targets = (np.concatenate(both) for both in zip((pairs, targets), more, strict=True))
    poses = make_up(pairs, pool, np.random.default_rng(seed), graph)
    kept = out / "soft.npy"
    if not kept.exists():
        print(f"trees learn {len(pairs)} pairs of poses and label {pool}, which takes some ten minutes", flush=True)
        soft = PoseTrees(pairs, targets, trees, seed, graph).predict(poses)
        with whole(kept) as part:
            np.save(part, soft)
    soft = np.load(kept)
    clips = PoseClips(poses, soft, spec.frames, batch_size, batches, seed, graph)
    stage = PoseStage(model, epochs * batches, lr)
    return fit(stage, DataLoader(clips, batch_size=None), out, stop or epochs, seed, clips)
