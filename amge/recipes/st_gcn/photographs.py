"""The poses of photographs, found once and kept."""

import json
from pathlib import Path

import numpy as np
from rich.progress import track

from amge.data.open_exercise import not_prepared
from amge.files import whole
from amge.skeleton.pose.estimators import PoseEstimator, estimator
from amge.skeleton.tracking import extent
from amge.video.picture import read_picture


def estimate(folder: Path, kept: Path, pose: str | PoseEstimator = "mediapipe") -> Path:
    """The largest person in each of the open exercise photographs, in a file with `ids` and `keypoints` `(n, 2, V, A)`,
    which is made unless it is there; zeros where nobody is found.

    Args:
        folder: of the prepared set.
        kept: the file.
        pose: a pose estimator, or its name.

    Raises:
        ValueError: if the folder does not hold the prepared set.
        ImportError: if the estimator is not installed.
    """
    if kept.exists():
        return kept
    find = estimator(pose)
    try:
        samples = json.loads((folder / "labels.json").read_text(encoding="utf-8"))["samples"]
        paths = [folder / frame for sample in samples for frame in sample["frames"]]
        found = [find(read_picture(path)[None])[0] for path in track(paths, f"poses of {len(paths)} photographs")]
    except (OSError, KeyError, ValueError) as error:
        raise not_prepared(folder, error) from None
    shape = next((persons.shape[1:] for persons in found if len(persons)), (1, 3))
    largest = [max(persons, key=extent) if len(persons) else np.zeros(shape) for persons in found]
    keypoints = np.array(largest, np.float32).reshape(len(samples), -1, *shape)
    with whole(kept) as part:
        np.savez_compressed(part, ids=[sample["id"] for sample in samples], keypoints=keypoints)
    return kept
