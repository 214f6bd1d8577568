"""One model of a video model and a skeleton model, whose muscle tokens MCTF fuses.

Both stay as they are. The projection and the fusion learn to say what the weighted mean of both says, of pictures and
joints of one exercise and of two different ones: the video model knows its training photographs by heart, so that from
their labels a fusion would learn to listen to it alone.

Shapes: `n` clips, `M` tokens, `C` channels, `K` regions.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.utilities.seed import isolate_rng
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from amge.assemble import assemble
from amge.data.datasets import LICENCES
from amge.data.open_exercise import load
from amge.files import whole
from amge.model import MuscleModel
from amge.muscles import REGION_IDS
from amge.recipes.run_folder import same_run
from amge.recipes.st_gcn.motion import move
from amge.recipes.st_gcn.pairs import distort, poses_of
from amge.recipes.st_gcn.photographs import joints_for
from amge.recipes.transm3e_lite.clips import Clips, Stock
from amge.recipes.transm3e_lite.recipe import masks_of
from amge.skeleton.pose.estimators import PoseEstimator
from amge.spec import ModelSpec
from amge.train.provenance import made_of
from amge.zoo import transm3e_lite_pose


def fused_spec(video: ModelSpec, poses: ModelSpec, arch: str, length: int) -> ModelSpec:
    """The spec of a video model that sees the joints of a skeleton model besides, in clips of some length, with their
    tokens fused as in the zoo."""
    like = transm3e_lite_pose()
    return video.replace(
        arch=arch,
        frames=length,
        skeleton=poses.backbone,
        skeleton_args=poses.backbone_args,
        skeleton_fusion=like.skeleton_fusion,
        skeleton_fusion_args=like.skeleton_fusion_args,
        tag=None,
        licence=None,
        metrics={},
    )


def put_together(video: MuscleModel, poses: MuscleModel, arch: str, length: int) -> MuscleModel:
    """A model with the weights of both; its projection and its fusion of both are random.

    Raises:
        ValueError: unless one sees pictures and the other joints, both by muscle tokens, for the same labels.
    """
    one: Any = video.spec
    other: Any = poses.spec
    if other.modality != "skeleton" or one.labels != other.labels or len(other.banks) != 1 or other.fusion:
        raise ValueError(
            f"{other.name} is no skeleton model with one bank of muscle tokens for the labels of {one.name}"
        )
    model = assemble(fused_spec(one, other, arch, length))
    stream: Any = model.skeleton
    missing = model.load_state_dict(in_length(video, model), strict=False)
    if missing.unexpected_keys or not all(key.startswith("skeleton.") for key in missing.missing_keys):
        raise ValueError(f"{one.name} does not fit the fused model: {missing}")
    stream.backbone.load_state_dict(in_length(poses.backbone, stream.backbone))
    (bank,), (tokens,) = stream.bank.tokens.values(), poses.bank.tokens.values()  # type: ignore[union-attr]
    bank.data.copy_(tokens)
    return model


def in_length(source: nn.Module, target: nn.Module) -> dict[str, Tensor]:
    """The weights of one module for another like it that sees another number of frames: its tables of places in time,
    `(1, C, T)`, are interpolated, as the modules themselves do with clips of another length."""
    weights, own = source.state_dict(), target.state_dict()
    for key in weights.keys() & own.keys():
        if key.endswith("position_time") and weights[key].shape != own[key].shape:
            weights[key] = F.interpolate(weights[key], size=own[key].shape[-1], mode="linear", align_corners=False)
    return weights


def train(
    video: MuscleModel,
    poses: MuscleModel,
    data: str | Path,
    out: str | Path,
    arch: str = "transm3e-lite-pose",
    share: float = 0.7,
    length: int = 12,
    variants: int = 4,
    frames: int = 4,
    size: int = 160,
    clips: int = 6000,
    steps: int = 2000,
    batch_size: int = 96,
    lr: float = 2e-3,
    seed: int = 0,
    splits: Sequence[str] = ("train",),
    pose: "str | PoseEstimator" = "mediapipe",
    segment: Callable[[np.ndarray], np.ndarray] | None = None,
) -> MuscleModel:
    """Run the recipe.

    Args:
        video: of pictures.
        poses: of joints: those that come with the photographs, or for other layouts and in three dimensions those that
            `pose` finds in them.
        data: folder of the prepared open exercise photographs.
        out: run folder, where the tokens of the pictures are kept.
        arch: name of the result.
        share: of the skeleton model in the mean.
        length: frames that the result looks at.
        variants: augmented clips of each photograph pair.
        frames: of these clips.
        size: side of these.
        clips: of joints.
        steps: of training.
        batch_size: pairs a step, half of them of one exercise.
        lr: learning rate at its peak.
        seed: of all chance.
        splits: to learn from.
        pose: a pose estimator, or its name.
        segment: cuts people out, as `amge.recipes.cutouts.cut_outs` takes it.

    Returns:
        the model in eval mode.

    Raises:
        ValueError: for models that do not go together, data that is not there, or a folder of another run.
    """
    out = Path(out)
    names = {"video": video.spec and video.spec.name, "poses": poses.spec and poses.spec.name}
    options: dict[str, Any] = {
        "share": share,
        "length": length,
        "variants": variants,
        "frames": frames,
        "size": size,
        "clips": clips,
        "steps": steps,
    }
    options |= {"batch_size": batch_size, "lr": lr, "seed": seed, "splits": list(splits)}
    same_run(out, json.dumps(names | options, indent=2))
    L.seed_everything(seed, verbose=False)
    model = put_together(video, poses, arch, length)
    stream: Any = model.skeleton
    spec: Any = model.spec
    if spec.labels != REGION_IDS:
        raise ValueError(f"the photographs show the {len(REGION_IDS)} regions; {spec.name} has others")
    model.eval().requires_grad_(False)
    graph, axes = stream.backbone.graph, int(stream.input_layout[4])
    joints_in = joints_for(graph, axes, data, out / "joints.npz", pose)
    samples, pairs = poses_of(data, *splits, joints=joints_in, graph=graph, axes=axes)
    ids = [sample["id"] for sample in samples]
    known = {exercise.id: exercise for split in splits for exercise in load(data, split)}
    masks = dict(zip(known, masks_of(data, splits, out / "cut-outs.npz", segment), strict=True))
    stock = Stock([known[id] for id in ids], [masks[id] for id in ids])
    pictures = tokens_of_pictures(model, stock, out / "tokens.npy", variants, frames, size, seed)
    rng = np.random.default_rng(seed)
    of_clip = rng.permutation(np.arange(clips) % len(ids))
    joints = tokens_of_joints(stream, pairs[of_clip], spec.frames, rng)
    with torch.no_grad():
        said = poses.eval().head(joints), model.head(pictures)
    same = [np.flatnonzero(of_clip == exercise) for exercise in range(len(ids))]
    learned = [*stream.project.parameters(), *stream.fusion.parameters()]
    for parameter in learned:
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(learned, lr=lr, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    stream.fusion.train()
    for _ in track(range(steps), "fusion of both", transient=True):
        seen = rng.integers(0, len(pictures), batch_size)
        posed = np.array([rng.choice(same[row % len(ids)]) for row in seen])
        other = rng.random(batch_size) < 0.5
        posed[other] = rng.integers(0, len(joints), other.sum())
        target = (share * said[0][posed] + (1 - share) * said[1][seen]).sigmoid()
        fused = stream.fusion(pictures[seen], stream.project(joints[posed]))
        loss = F.binary_cross_entropy_with_logits(model.head(fused), target)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        schedule.step()
    taught = f"the mean of the logits of {names['poses']} ({share:g}) and {names['video']} ({1 - share:g})"
    sets = [(name, LICENCES[name]) for name in ("open-exercise", "synthetic")]
    model.spec = spec.replace(provenance=made_of(sets, seed, splits=list(splits), steps=steps, teacher=taught))
    return model.eval().requires_grad_(True)


def tokens_of_pictures(
    model: MuscleModel, stock: Stock, kept: Path, variants: int, frames: int, size: int, seed: int
) -> Tensor:
    """Fused tokens `(n, M, C)` of augmented clips of the photographs of some exercises, in turn; kept in a file."""
    if not kept.exists():
        spec: Any = model.spec
        mean, std = (torch.tensor(values).view(1, 3, 1, 1, 1) for values in (spec.mean, spec.std))
        clips = Clips(stock, frames, size, variants, 0.0, 0.0, seed)
        loader = DataLoader(clips, 8, num_workers=1)
        with torch.inference_mode(), isolate_rng():
            found = [
                model.forward_features((batch["clip"] - mean) / std).fused.half().numpy()
                for batch in track(loader, f"tokens of {len(clips)} clips", transient=True)
            ]
        with whole(kept) as part:
            np.save(part, np.concatenate(found))
    return torch.from_numpy(np.load(kept)).float()


def tokens_of_joints(stream: Any, pairs: np.ndarray, frames: int, rng: np.random.Generator, rows: int = 150) -> Tensor:
    """Tokens `(n, M, C')` of clips that move between the two poses of pairs `(n, 2, V, A)`."""
    found, graph = [], stream.backbone.graph
    with torch.no_grad():
        for start in range(0, len(pairs), rows):
            clips = move(distort(pairs[start : start + rows], rng, graph=graph), frames, rng, graph=graph)
            given = torch.from_numpy(clips)[:, None].float()
            found.append(stream.backbone(given, stream.bank(len(given))).tokens)
    return torch.cat(found)
