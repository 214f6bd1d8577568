"""The open exercise photographs: two photographs an exercise (start, end), 20-region labels, COCO-17 poses.

A prepared folder holds `labels.json`, `keypoints.npz` and `images/`; `docs/open_exercise.md` says where it comes from.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from amge.errors import one_of
from amge.muscles import REGION_IDS, encode

SPLITS = ("train", "val_seen", "val_unseen")


@dataclass(frozen=True)
class Exercise:
    """One exercise."""

    id: str
    photos: np.ndarray
    """uint8 `(2, H, W, 3)`, start and end."""
    keypoints: np.ndarray
    """float32 `(2, 17, 3)`: x and y in pixels, visibility in 0..1."""
    target: np.ndarray
    """float32 `(K,)`, multi-hot over `REGION_IDS`."""


def load(folder: str | Path, split: str) -> list[Exercise]:
    """All exercises of a split, decoded into memory (about 150 MB for the 562 of `train`).

    Raises:
        ValueError: for an unknown split, or a folder that does not hold the prepared set.
    """
    one_of("split", split, SPLITS)
    folder = Path(folder)
    try:
        labels = json.loads((folder / "labels.json").read_text())
        archive = np.load(folder / "keypoints.npz", allow_pickle=False)
        poses = dict(zip(archive["ids"].tolist(), archive["keypoints"], strict=True))
        if tuple(labels["regions"]) != REGION_IDS:
            raise ValueError("labels.json lists other regions than amge.muscles.REGION_IDS, or another order")
        return [
            Exercise(
                sample["id"],
                np.stack([np.asarray(Image.open(folder / frame).convert("RGB")) for frame in sample["frames"]]),
                poses[sample["id"]].astype(np.float32),
                encode(sample["regions"]),
            )
            for sample in labels["samples"]
            if sample["split"] == split
        ]
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(f"{folder} does not hold the prepared open exercise photographs: {error!r}") from None


def to_frames(exercise: Exercise, frames: int) -> np.ndarray:
    """The clip that an exercise is judged on: its photographs in turn, uint8 `(T, H, W, 3)`."""
    return exercise.photos[np.arange(frames) % 2]
