"""mAP of a model on the open exercise photographs, as JSON.

python benchmarks/open_exercise.py --model transm3e-lite --data FOLDER

Models in three dimensions need `--joints`, the file of those that MediaPipe finds, which their recipe keeps as
`joints.npz`. With `--calibrate` a copy of the checkpoint has the temperature and the thresholds that are best on both
splits together.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import amge
from amge.builder import files_of
from amge.calibrate import calibrate
from amge.data.open_exercise import Exercise, load, to_frames
from amge.errors import reason
from amge.hub.save import copy_checkpoint
from amge.metrics import mean_average_precision
from amge.results import Seen

SPLITS = ("val_seen", "val_unseen")


def given(model: amge.MuscleModel, exercise: Exercise) -> np.ndarray | torch.Tensor:
    """What a model is shown of an exercise: its photographs in turn, or the joints in them, or nobody."""
    if model.spec.modality != "skeleton":
        return to_frames(exercise, model.spec.frames)
    if exercise.keypoints[..., 2].any():
        return exercise.keypoints
    return torch.zeros_like(model.input_spec.example())


def as_clip(model: amge.MuscleModel, exercise: Exercise) -> torch.Tensor | Seen:
    source = given(model, exercise)
    if isinstance(source, torch.Tensor):
        return source
    if model.skeleton is None:
        return model.preprocess(source)
    return model.preprocess(source, pose=lambda frames: [exercise.keypoints[i % 2][None] for i in range(len(frames))])


def exercises_of(data: str | Path, split: str, joints: Path | None = None) -> list[Exercise]:
    """The exercises of a split, with the joints that come with them or with those of a file."""
    exercises = load(data, split)
    if joints is None:
        return exercises
    with np.load(joints, allow_pickle=False) as archive:
        poses = dict(zip(archive["ids"].tolist(), archive["keypoints"], strict=True))
    return [replace(exercise, keypoints=poses[exercise.id]) for exercise in exercises]


def logits_of(
    model: amge.MuscleModel, data: str | Path, split: str, joints: Path | None = None
) -> tuple[np.ndarray, torch.Tensor]:
    """Targets and logits `(n, K)` of a split."""
    exercises = exercises_of(data, split, joints)
    with torch.inference_mode():  # a verdict has no say
        logits = [model(as_clip(model, exercise))[0] for exercise in exercises]
    return np.stack([exercise.target for exercise in exercises]), torch.stack(logits)


def mean_ap(model: amge.MuscleModel, targets: np.ndarray, logits: torch.Tensor) -> float:
    """mAP in percent, macro over the regions that occur."""
    return round(100 * mean_average_precision(targets, model.probabilities(logits).numpy()), 2)


def calibration(model: amge.MuscleModel, targets: np.ndarray, logits: np.ndarray) -> dict[str, Any]:
    """The fields of its spec that `amge.calibrate` chooses."""
    found = calibrate(targets, logits)
    own = dict(zip(model.spec.labels, found.thresholds.tolist(), strict=True))
    return {"temperature": found.temperature, "threshold": own}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", required=True, help="name with published weights, or folder or Hub repository of a checkpoint"
    )
    parser.add_argument("--data", required=True, help="folder of the prepared open exercise photographs")
    parser.add_argument("--joints", type=Path, help="file of joints, in place of those in the folder")
    parser.add_argument("--calibrate", type=Path, metavar="OUT", help="new folder, for the calibrated checkpoint")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if Path(options.model).is_dir():
        model = amge.from_pretrained(options.model)
    else:
        model = amge.build(options.model, pretrained=True)
    found = {split: logits_of(model, options.data, split, options.joints) for split in SPLITS}
    scores = {split: mean_ap(model, *each) for split, each in found.items()}
    scores["mean"] = round(sum(scores.values()) / len(scores), 2)
    report: dict[str, Any] = {"model": model.spec.name, "mAP": scores}
    if options.calibrate:
        fields = calibration(model, *(np.concatenate(each) for each in zip(*found.values(), strict=True)))
        copy_checkpoint(files_of(options.model), options.calibrate, **fields)
        report |= fields
    print(json.dumps(report))


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        raise SystemExit(f"error: {reason(error)}") from None
