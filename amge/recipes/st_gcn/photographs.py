"""The poses of photographs, found once and kept."""

import json
from pathlib import Path

import numpy as np
from rich.progress import track

from amge.data.open_exercise import not_prepared
from amge.data.prepare.open_exercise import largest_person
from amge.files import whole
from amge.skeleton.graph import Graph
from amge.skeleton.layouts import COCO17
from amge.skeleton.pose.estimators import PoseEstimator, estimator


def joints_for(
    graph: Graph, axes: int, folder: str | Path, kept: Path, pose: str | PoseEstimator = "mediapipe"
) -> Path | None:
    """Where a model of some layout finds the joints of the photographs: None for COCO's 17 in the picture, which come
    with them; the file of those that `pose` finds for others, and for those in three dimensions. See `estimate`."""
    return None if (graph, axes) == (COCO17, 3) else estimate(Path(folder), kept, pose)


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
        found = [largest_person(path, find) for path in track(paths, f"poses of {len(paths)} photographs")]
    except (OSError, KeyError, ValueError) as error:
        raise not_prepared(folder, error) from None
    shape = next((person.shape for person in found if person is not None), (1, 3))
    keypoints = np.array([np.zeros(shape) if person is None else person for person in found], np.float32)
    keypoints = keypoints.reshape(len(samples), -1, *shape)
    with whole(kept) as part:
        np.savez_compressed(part, ids=[sample["id"] for sample in samples], keypoints=keypoints)
    return kept
