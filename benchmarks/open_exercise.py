"""mAP of a model on the open exercise photographs, as JSON.

python benchmarks/open_exercise.py --model transm3e-lite --data FOLDER
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

import amge
from amge.data.open_exercise import Exercise, load, to_frames
from amge.metrics import mean_average_precision
from amge.results import Seen


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


def evaluate(model: amge.MuscleModel, data: str | Path, split: str) -> float:
    """mAP in percent, macro over the regions that occur in the split."""
    exercises = load(data, split)
    with torch.inference_mode():  # a verdict has no say
        logits = [model(as_clip(model, exercise))[0] for exercise in exercises]
    scores = [model.probabilities(each).tolist() for each in logits]
    return 100 * mean_average_precision(np.stack([e.target for e in exercises]), np.array(scores))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model", required=True, help="name with published weights, or folder or Hub repository of a checkpoint"
    )
    parser.add_argument("--data", required=True, help="folder of the prepared open exercise photographs")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if Path(options.model).is_dir():
        model = amge.from_pretrained(options.model)
    else:
        model = amge.build(options.model, pretrained=True)
    splits = ("val_seen", "val_unseen")
    scores = {split: round(evaluate(model, options.data, split), 2) for split in splits}
    scores["mean"] = round(sum(scores[split] for split in splits) / 2, 2)
    print(json.dumps({"model": model.spec.name, "mAP": scores}))


if __name__ == "__main__":
    main()
