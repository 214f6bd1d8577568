"""From random weights to a model of 16 frames, in stages that each have a folder.

`features`: still pictures; patches learn what an ImageNet model sees in them, and where joints are. `teacher`, if asked
for: tokens on RGB differences learn the labels. `labels`: clips of 4 frames that go back and forth between two
photographs. `length`: the same at the length that ships.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch.utils.data import DataLoader

from amge.assemble import assemble
from amge.data.datasets import LICENCES
from amge.data.open_exercise import SPLITS
from amge.errors import one_of
from amge.files import digest, whole
from amge.hub.load import from_pretrained
from amge.hub.names import CONFIG
from amge.model import MuscleModel
from amge.muscles import REGION_IDS
from amge.recipes.run_folder import same_run
from amge.recipes.transm3e_small.clips import Clips, Halves, Mixture
from amge.recipes.transm3e_small.pack import read_pack, teacher_of_features
from amge.recipes.transm3e_small.score import scores
from amge.recipes.transm3e_small.stage import Labels, Patches, Stage
from amge.recipes.transm3e_small.stock import fill
from amge.spec import ModelSpec, SpecFields
from amge.train.loop import fit
from amge.train.provenance import made_of
from amge.train.run import start_from, tokens_alone

SEES: SpecFields = {
    "activation": "sigmoid",
    "crop": "movement",
    "sampling": "spread",
    "seconds": 10.0,
    "mean": (127 / 255,) * 3,
    "std": (128 / 255,) * 3,
    "pairing": 1,
}
"""How the model looks at videos, as `transm3e-lite` does, and that each clip goes with the differences of its own."""
EPOCH = 100
"""Steps between two checkpoints."""
SHORT = 4
"""Frames of the clips of `labels`."""


def train(
    spec: ModelSpec,
    pack: Path,
    out: Path,
    steps: tuple[int, int, int] = (1100, 900, 200),
    batch: tuple[int, int, int] = (128, 64, 16),
    lr: tuple[float, float, float] = (1e-3, 5e-4, 1e-4),
    mixture: Mixture | None = None,
    distill: bool = False,
    start: Path | None = None,
    rendered: int = 300,
    seed: int = 0,
) -> MuscleModel:
    """Run the recipe; a stage that is done is loaded, one that was cut off goes on from its last epoch.

    Args:
        spec: of a model of RGB clips, with its arguments; how it looks at videos is set here.
        pack: what `make_pack` wrote.
        out: run folder.
        steps: of `features`, of `labels` (and of `teacher`), and of `length`; a stage of 0 steps is left out.
        batch: clips a step of each.
        lr: learning rate of each at its peak.
        mixture: of training clips.
        distill: whether a model on RGB differences teaches in `labels`.
        start: folder of a checkpoint to start from.
        rendered: figures, and places without anybody, that clips are taken from.
        seed: of all chance.

    Returns:
        the model of the last stage, in eval mode. Its mAP on validation exercises that it did not learn from, at 4
        frames and at its own length, comes to lie in `metrics.json`.

    Raises:
        ValueError: for a model of something else, a pack that can't be used, or a folder of another run.
        OSError: if there is no pack.
    """
    if spec.modality != "rgb" or spec.streams or spec.labels != REGION_IDS or spec.frames % 2:
        raise ValueError(
            f"this recipe trains models of RGB clips of an even number of frames on the {len(REGION_IDS)} regions; "
            f"{spec.name} is another"
        )
    if distill and (spec.distill is None or spec.auxiliary != "rgb_diff"):
        raise ValueError(f"{spec.name} has no distillation from rgb_diff, so nothing can teach it")
    if not any(steps):
        raise ValueError("every stage has 0 steps, so there is nothing to train")
    mixture = mixture or Mixture()
    for split in mixture.splits:
        one_of("split", split, SPLITS)
    held = read_pack(pack)
    spec = spec.replace(**SEES)
    options: dict[str, Any] = {"pack": digest(pack), "steps": steps, "batch": batch, "lr": lr, **vars(mixture)}
    options |= {"distill": distill, "start": start and str(start), "rendered": rendered, "seed": seed}
    same_run(out, json.dumps({"spec": json.loads(spec.to_json()), **options}, indent=2))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    stock = fill(held, spec.size * 5 // 4, rendered, mixture.splits, seed, device)
    judged = [name for name in SPLITS[1:] if name not in mixture.splits and len(stock.of([name]))]
    said = f"what {' and '.join(held.about['teachers'])} say, in {mixture.soft:g} of the targets"
    first = {"start": str(start)} if start else {}
    first |= {"features": "EfficientNet-Lite0's on ImageNet, in training alone"} if steps[0] else {}
    sets = [(name, LICENCES[name]) for name in ("open-exercise", "synthetic")]
    about = made_of(
        sets,
        seed,
        steps=" + ".join(map(str, steps)),
        teacher="one on `rgb_diff` taught it, in training alone; it is not in this checkpoint" if distill else "none",
        **({"soft labels": said} if held.about["teachers"] and mixture.soft else {}),
        **first,
    )
    spec = spec.replace(provenance=about)
    done: list[MuscleModel] = [from_pretrained(start)] if start else []

    def stage(name: str, number: int, spec: ModelSpec, frames: int, make: Callable[[MuscleModel, int], Stage]) -> None:
        folder = out / name
        if not (folder / CONFIG).exists():
            L.seed_everything(seed, verbose=False)
            model = assemble(spec)
            if done:
                start_from(model, done[-1])
            epochs = max(1, round(steps[number] / EPOCH))
            batches = -(-steps[number] // epochs)
            total = epochs * batches
            clips = Clips(stock, spec, frames, batch[number], batches, mixture, 10 * seed + number)
            trainable = make(model, total)
            best = bool(getattr(trainable, "judged", None))
            keep, validated = ("best", 1.0) if best else ("last", 0.0)
            loader, ema = DataLoader(clips, batch_size=None), max(0.0, min(0.999, 1 - 10 / total))
            fit(trainable, loader, folder, epochs, seed, clips, ema, keep, limit_val_batches=validated)
        done.append(from_pretrained(folder))

    def still(model: MuscleModel, total: int) -> Stage:
        return Patches(model, teacher_of_features(held), total, lr[0])

    def labelled(number: int, frames: int, teacher: MuscleModel | None = None) -> Callable[[MuscleModel, int], Stage]:
        halves = {name: Halves(stock, spec, frames, (name,)) for name in judged}
        return lambda model, total: Labels(model, total, lr[number], teacher, halves)

    if steps[0]:
        stage("features", 0, spec, 1, still)
    teacher = None
    if distill and steps[1]:
        stage("teacher", 1, tokens_alone(spec, "rgb_diff"), SHORT, labelled(1, SHORT))
        teacher = done.pop()
    if steps[1]:
        stage("labels", 1, spec, SHORT, labelled(1, SHORT, teacher))
    if steps[2]:
        stage("length", 2, spec, spec.frames, labelled(2, spec.frames))
    model = done[-1]
    found = {frames: scores(model, stock, frames, judged) for frames in sorted({SHORT, spec.frames})} if judged else {}
    with whole(out / "metrics.json") as part:
        part.write_text(json.dumps({f"{frames} frames": each for frames, each in found.items()}, indent=2) + "\n")
    return model
