"""Skeletons from files and from what else a user has.

Shapes: `P` persons, `T` frames, `V` joints; the last axis is x and y in pixels and confidence.
"""

import json
import os
import re
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from amge.errors import VideoError, describe
from amge.skeleton.sequence import Skeletons, without_missing
from amge.skeleton.tracking import Tracker
from amge.video.path import KEYPOINTS as SUFFIXES

BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, RecursionError, OverflowError)
"""What broken files raise besides the usual."""
FPS = 30.0
"""Frames a second where nobody says."""
GAP = 10
"""A gap of more usual steps between frames means that nobody was there."""


def read_skeletons(path: str | os.PathLike[str], fps: float | None = None) -> Skeletons:
    """Skeletons from a file.

    - `.npz`: `keypoints` `(P, T, V, 3)`, `(T, V, 3)` or without confidence; if it has them, `scores` `(P, T, V)` are
      the confidence, and `times` `(T,)` in seconds or `fps` a number.
    - `.json`: results or annotations of COCO keypoints. Frames go by the number in the `file_name` of their image, or
      without one in their `image_id`, in whatever order they are listed; a number left out is time that passes, at the
      file's `fps` if it has one. Persons go by their `track_id`; without one they are tracked.
      Flags of visibility, 0, 1 and 2, become 0, 0.5 and 1.

    Args:
        path: the file.
        fps: frames a second, whatever `times` or `fps` the file has; default: what it says, or 30.

    Raises:
        VideoError: if the file can't be used; says why.
    """
    path = Path(path)
    try:
        return (_from_json if path.suffix.lower() == ".json" else _from_npz)(path, fps)
    except VideoError as error:
        raise VideoError(f"{path}: {error}") from None
    except FileNotFoundError:
        raise VideoError(f"{path}: no such file; check the path") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, *BROKEN) as error:
        raise VideoError(f"{path} does not hold skeletons ({error!r}); see read_skeletons for what does") from None


def _from_npz(path: Path, fps: float | None) -> Skeletons:
    if not zipfile.is_zipfile(path):
        raise VideoError("it is not an npz file" if path.exists() else "no such file; check the path")
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        if "keypoints" not in archive:
            raise VideoError(f"it has no 'keypoints', but {', '.join(archive.files) or 'nothing'}")
        points = archive["keypoints"]
        if "scores" in archive:
            points = np.concatenate([points[..., :2], archive["scores"][..., None]], axis=-1)
        if fps is None and "times" in archive:
            return Skeletons(points, archive["times"])
        if fps is None:
            fps = float(archive["fps"]) if "fps" in archive else FPS
        return Skeletons.at_rate(points, fps)


def _from_json(path: Path, fps: float | None) -> Skeletons:
    content = json.loads(path.read_text(encoding="utf-8"))
    entries, names, stated = content, {}, FPS
    if isinstance(content, Mapping):
        if "annotations" not in content:
            raise VideoError("it has no 'annotations', nor is it a list of results")
        entries, stated = content["annotations"], float(content.get("fps", FPS))
        names = {image["id"]: image["file_name"] for image in content.get("images", ()) if "file_name" in image}
    seen: dict[int, list[tuple[Any, np.ndarray]]] = defaultdict(list)
    for entry in entries:
        pose = np.array(entry["keypoints"], np.float32).reshape(-1, 3)
        image = entry["image_id"]
        seen[_number(names.get(image, image))].append((entry.get("track_id"), pose))
    if not seen:
        raise VideoError("it lists nobody")
    poses = [pose for persons in seen.values() for _, pose in persons]
    if len({len(pose) for pose in poses}) > 1:
        raise VideoError("its persons differ in their number of joints")
    if {0, 1, 2} >= {float(v) for pose in poses for v in pose[:, 2]} and any((pose[:, 2] == 2).any() for pose in poses):
        for pose in poses:
            pose[:, 2] /= 2
    numbers, fps = sorted(seen), stated if fps is None else fps
    if not 0 < fps < float("inf"):
        raise VideoError(f"fps must be a number over 0, got {fps}")
    steps = np.diff(numbers)
    usual = max(1, int(np.median(steps))) if len(steps) else 1
    for number, step in zip(numbers[:-1], steps, strict=True):
        if step > GAP * usual:
            seen[number + usual] = []
    numbers = sorted(seen)
    times = (np.array(numbers) - numbers[0]) / fps
    tracks = [{track for track, _ in seen[number]} for number in numbers]
    known = all(
        None not in there and len(there) == len(seen[number]) for there, number in zip(tracks, numbers, strict=True)
    )
    if known:
        order: dict[Any, int] = {}
        for number in numbers:
            for track, _ in seen[number]:
                order.setdefault(track, len(order))
        keypoints = np.zeros((len(order), len(numbers), *poses[0].shape), np.float32)
        for frame, number in enumerate(numbers):
            for track, pose in seen[number]:
                keypoints[order[track], frame] = pose
        return Skeletons(keypoints, times)
    tracker = Tracker()
    for time, number in zip(times.tolist(), numbers, strict=True):
        tracker.add(time, without_missing(np.array([pose for _, pose in seen[number]]).reshape(-1, *poses[0].shape)))
    clips = tracker.clip(tuple(times.tolist()))
    return Skeletons(np.stack(list(clips.values())) if clips else np.zeros((1, len(times), *poses[0].shape)), times)


def _number(image: Any) -> int:
    """The number of a frame, or the last one in its name."""
    if isinstance(image, float) and image.is_integer():
        image = int(image)
    digits = re.findall(r"\d+", str(image))
    if not digits:
        raise VideoError(f"image_id {image!r} has no number to order frames by")
    return int(digits[-1])


def is_skeletons(source: object) -> bool:
    """Whether `source` is skeletons, the path of a file of them, or an array or tensor other than video's uint8."""
    if isinstance(source, str | os.PathLike):
        return Path(source).suffix.lower() in SUFFIXES
    if isinstance(source, torch.Tensor):
        return source.dtype not in (torch.uint8, torch.bool)
    return isinstance(source, Skeletons) or (isinstance(source, np.ndarray) and source.dtype != np.uint8)


def as_skeletons(source: object, fps: float | None = None) -> Skeletons:
    """Skeletons from what a user has: `Skeletons`, the path of a file, or an array or tensor `(P, T, V, 3)` or
    `(T, V, 3)`.

    Args:
        source: what there is.
        fps: frames a second; default: what a file says, or 30. `Skeletons` have times of their own.

    Raises:
        VideoError: if it is none of them, or can't be used.
    """
    if isinstance(source, Skeletons):
        if fps is not None:
            raise VideoError(f"Skeletons have times of their own; leave fps={fps} out")
        return source
    if isinstance(source, str | os.PathLike):
        return read_skeletons(source, fps)
    if isinstance(source, torch.Tensor):
        source = source.detach().cpu().float().numpy()
    if isinstance(source, np.ndarray):
        return Skeletons.at_rate(source, FPS if fps is None else fps)
    raise VideoError(f"{describe(source)} is neither skeletons nor a video")
