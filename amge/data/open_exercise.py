"""The open exercise photographs: two photographs an exercise (start, end), 20-region labels, COCO-17 poses.

A prepared folder holds `labels.json`, `keypoints.npz` and `images/`; `docs/open_exercise.md` says where it comes from.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from amge.data.sample import Sample
from amge.errors import one_of
from amge.muscles import REGION_IDS, decode, encode
from amge.video.picture import read_picture

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
    with _prepared(folder):
        labels = _labels(folder)
        with np.load(folder / "keypoints.npz", allow_pickle=False) as archive:
            poses = dict(zip(archive["ids"].tolist(), archive["keypoints"], strict=True))
        return [
            Exercise(
                sample["id"],
                np.stack([read_picture(folder / frame) for frame in sample["frames"]]),
                poses[sample["id"]].astype(np.float32),
                encode(sample["regions"]),
            )
            for sample in labels
            if sample["split"] == split
        ]


def samples(folder: str | Path) -> list[Sample]:
    """All exercises of a prepared folder as samples, undecoded. The family is the activity, the exercise its source.

    Raises:
        ValueError: if the folder does not hold the prepared set.
    """
    folder = Path(folder)
    with _prepared(folder):
        with np.load(folder / "keypoints.npz", allow_pickle=False) as archive:
            rows = {id: row for row, id in enumerate(archive["ids"].tolist())}
        return [
            Sample(
                id=entry["id"],
                video=tuple(folder / frame for frame in entry["frames"]),
                regions=decode(encode(entry["regions"])),
                activity=entry.get("family", entry["id"]),
                split=entry["split"],
                source=entry["id"],
                skeletons=(folder / "keypoints.npz", rows[entry["id"]]),
            )
            for entry in _labels(folder)
        ]


def _labels(folder: Path) -> list[dict[str, Any]]:
    content = json.loads((folder / "labels.json").read_text())
    if tuple(content["regions"]) != REGION_IDS:
        raise ValueError("labels.json lists other regions than amge.muscles.REGION_IDS, or another order")
    return content["samples"]


@contextmanager
def _prepared(folder: Path) -> Iterator[None]:
    """One error for whatever is wrong with a prepared folder."""
    try:
        yield
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise not_prepared(folder, error) from None


def not_prepared(folder: Path, error: Exception) -> ValueError:
    """What to say of a folder in which something is missing or broken."""
    reason = f"no {error}" if isinstance(error, KeyError) else error
    return ValueError(
        f"{folder} does not hold the prepared open exercise photographs ({reason}); amge data prepare open-exercise "
        f"CHECKOUT {folder} makes it, CHECKOUT being one of github.com/yuhonas/free-exercise-db"
    )


def to_frames(exercise: Exercise, frames: int) -> np.ndarray:
    """The clip that an exercise is judged on: its photographs in turn, uint8 `(T, H, W, 3)`."""
    return exercise.photos[np.arange(frames) % 2]
