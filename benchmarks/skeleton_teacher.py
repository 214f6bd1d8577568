"""What a teacher that sees joints gives a student that sees RGB alone, by MCTKD, as JSON lines.

python benchmarks/skeleton_teacher.py --features runs/lite/features-1 --data FOLDER --out WORK --seed 0 1 2

The features are those that the recipe of `transm3e-lite` keeps of its clips, with the joints of each. Students have
both banks and MCTF from the start, on the frozen encoder; with a teacher their receivers learn its muscle tokens after
the last block. Without, nothing else differs. mAP is of photographs as they are; `benchmarks/robustness.py` has other
conditions for the folders in WORK.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from open_exercise import SPLITS, logits_of, mean_ap
from torch import Tensor, nn

import amge
from amge.assemble import assemble
from amge.builder import load
from amge.convert.efficientnet_lite0 import load_efficientnet_lite0
from amge.distill import Teacher, TokenDistillation
from amge.hub.names import CONFIG
from amge.recipes.run_folder import same_run
from amge.recipes.transm3e_lite.cache import Cached
from amge.recipes.transm3e_lite.frozen import encoder_of, freeze
from amge.recipes.transm3e_lite.stage import Stage, train_stage
from amge.results import Signals
from amge.skeleton.layouts import COCO17
from amge.skeleton.sequence import normalise
from amge.zoo import spec as spec_of

BATCH = 64


class MappedTokens(nn.Module):
    """Distillation of tokens after the last block into receivers of another width, through a map that is thrown away.

    Args:
        channels: of the student's tokens.
        taught: of the teacher's.
        weight: factor on the loss.
    """

    def __init__(self, channels: int, taught: int, weight: float) -> None:
        super().__init__()
        self.map, self.loss = nn.Linear(channels, taught), TokenDistillation(weight=weight)

    def forward(self, student: Signals, teacher: Signals) -> Tensor:
        (tokens,) = teacher.features.block_tokens.values()
        return self.loss([self.map(student.features.block_tokens["receiver"][-1]).float()], [tokens[-1].float()])


class TaughtByJoints(Stage):
    """A stage whose teacher sees the joints of the clips.

    Args:
        model: the student.
        poses: a skeleton model of COCO's joints in the picture, with as many muscle tokens.
        weight: of the distillation.
        options: of the stage.
    """

    def __init__(self, model: amge.MuscleModel, poses: amge.MuscleModel, weight: float, **options: Any) -> None:
        super().__init__(model, **options)
        self.teacher = Teacher(poses)
        self.distill = MappedTokens(model.embed_dims[-1], poses.embed_dims[-1], weight)

    def teacher_signals(self, batch: dict[str, Tensor]) -> Signals:
        joints, frames = batch["keypoints"].cpu().numpy(), self.teacher.model.spec.frames  # type: ignore[union-attr]
        held = joints[:, np.arange(frames) * joints.shape[1] // frames]  # each pose equally long
        return self.teacher(torch.from_numpy(normalise(held, COCO17))[:, None].to(batch["keypoints"].device))  # type: ignore[misc]


def student(
    arrays: Mapping[str, np.ndarray], teacher: str | None, folder: Path, options: argparse.Namespace, seed: int
) -> amge.MuscleModel:
    """A trained student; one that is in its folder already is loaded.

    Raises:
        ValueError: for features that are not whole or fewer than a batch, or a folder of another run.
    """
    clips = Cached(arrays, options.variants, ("rgb",))
    batches = len(clips) // BATCH
    if not batches or len(arrays["target"]) % options.variants:
        raise ValueError(
            f"{len(arrays['target'])} clips in {options.variants} variants make no batches of {BATCH}; see --variants"
        )
    epochs = max(1, round(options.steps / batches))
    given = {"teacher": teacher, "weight": options.weight, "steps": epochs * batches, "seed": seed}
    same_run(folder, json.dumps(given | {"variants": options.variants, "clips": len(clips)}))
    if (folder / CONFIG).exists():
        return load(str(folder))
    L.seed_everything(seed, verbose=False)
    model = assemble(spec_of("transm3e-lite"))
    load_efficientnet_lite0(encoder_of(model))
    freeze(encoder_of(model))
    steps: dict[str, Any] = {"steps": epochs * batches}
    stage = TaughtByJoints(model, load(teacher), options.weight, **steps) if teacher else Stage(model, **steps)
    return train_stage(stage, clips, folder, epochs, BATCH, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", required=True, type=Path, help="folder of kept features of the recipe")
    parser.add_argument("--variants", type=int, default=12, help="of each clip among them")
    parser.add_argument("--data", required=True, type=Path, help="folder of the prepared open exercise photographs")
    parser.add_argument("--out", required=True, type=Path, help="folder for the students")
    parser.add_argument("--teacher", default="st-gcn.open-exercise-2d", help="name or folder of a skeleton model")
    parser.add_argument("--weight", type=float, default=10.0, help="of the distillation")
    parser.add_argument("--steps", type=int, default=800, help="of training")
    parser.add_argument("--seed", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    if not (options.features / "done").exists():
        parser.error(f"{options.features} has no file done: the recipe has not filled it")
    arrays = {file.stem: np.load(file, mmap_mode="r") for file in sorted(options.features.glob("*.npy"))}
    for seed in options.seed:
        for teacher in (None, options.teacher):
            folder = options.out / f"{'taught' if teacher else 'alone'}-{seed}"
            try:
                model = student(arrays, teacher, folder, options, seed)
            except ValueError as error:
                parser.error(str(error))
            found = {}
            for split in SPLITS:
                targets, logits = logits_of(model, options.data, split)
                found[split] = mean_ap(model, targets, logits)
            print(json.dumps({"teacher": teacher, "seed": seed} | found), flush=True)


if __name__ == "__main__":
    main()
