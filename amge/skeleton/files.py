"""Skeletons from files and from what else a user has.

Shapes: `P` persons, `T` frames, `V` joints; the last axis, `A`, is x and y in pixels and confidence, and in three
dimensions the world joint besides.
"""

import json
import lzma
import os
import zipfile
import zlib
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from amge.errors import VideoError, describe, reason
from amge.skeleton.frame_numbers import frame_numbers
from amge.skeleton.keypoint_json import ALONE, Frames, Person, persons
from amge.skeleton.keypoint_paths import frames_in, is_keypoints
from amge.skeleton.sequence import Skeletons, without_missing
from amge.skeleton.tracking import Tracker

BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, OverflowError)
"""What broken files raise besides the usual; `RuntimeError` where they nest too deep or say that they are encrypted."""
UNUSABLE = (KeyError, TypeError, AttributeError, *BROKEN)
"""What files of something else raise besides `OSError` and `ValueError`."""
FPS = 30.0
"""Frames a second where nobody says."""
GAP = 10
"""A gap of more usual steps between frames means that nobody was there."""
LONGEST = 24 * 3600.0
"""Seconds that the frames of a file may span."""
MOST_BYTES = 2**30
"""That the keypoints of a file may take in memory."""


def read_skeletons(path: str | os.PathLike[str], fps: float | None = None) -> Skeletons:
    """Skeletons from a file, or from a folder with a file for each frame.

    - `.npz`: `keypoints` `(P, T, V, A)`, `(T, V, A)` or without confidence; if it has them, `scores` `(P, T, V)` are
      the confidence, `world` `(P, T, V, 3)` the world joints, and `times` `(T,)` in seconds or `fps` a number.
    - `.json`: results or annotations of COCO keypoints, with the file's `fps` if it has one; results of AlphaPose; the
      predictions of MMPose for a video. `amge.skeleton.keypoint_json.persons` says what they look like.
    - a folder of `.json`, without images or videos: what OpenPose writes, `NAME_000000000012_keypoints.json`, or
      MMPose or AlphaPose for each image. OpenPose's BODY_25 becomes its 18 joints, without feet and mid-hip.

    Frames go by their number, in whatever order they are listed: that of `frame_id`, `image_id` or, if there is one, of
    the image's `file_name`, `amge.skeleton.frame_numbers.frame_numbers` says which; in a folder, that of the file. A
    number left out is time that passes. Persons go by their `track_id` or AlphaPose's `idx`; without one they are
    tracked. Flags of visibility, 0, 1 and 2, become 0, 0.5 and 1.

    Args:
        path: the file or folder.
        fps: frames a second, whatever `times` or `fps` the file has; default: what it says, or 30.

    Raises:
        VideoError: if it can't be used; says why.
    """
    path = Path(path)
    try:
        with np.errstate(over="ignore"):  # to infinity, which is missing
            if path.is_dir():
                return _from_folder(path, fps)
            return (_from_json if path.suffix.lower() == ".json" else _from_npz)(path, fps)
    except VideoError as error:
        raise VideoError(f"{path}: {error}") from None
    except FileNotFoundError:
        raise VideoError(f"{path}: no such file; check the path") from None
    except (OSError, ValueError, *UNUSABLE) as error:
        raise VideoError(
            f"{path} does not hold skeletons ({_say(error)}); read are npz with 'keypoints', json of COCO, AlphaPose "
            "or MMPose, and folders of OpenPose's json"
        ) from None


def _say(error: Exception) -> str:
    """What is wrong, without what of the file's content an error may hold."""
    said = reason(error, 300)
    return said if type(error) is ValueError else f"{type(error).__name__}: {said}"


def _from_npz(path: Path, fps: float | None) -> Skeletons:
    if not zipfile.is_zipfile(path):
        raise VideoError("it is not an npz file" if path.exists() else "no such file; check the path")
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        if "keypoints" not in archive:
            raise VideoError(f"it has no 'keypoints', but {', '.join(archive.files) or 'nothing'}")
        points = joined(archive)
        if fps is None and "times" in archive:
            return Skeletons(points, archive["times"])
        if fps is None:
            fps = float(archive["fps"]) if "fps" in archive else FPS
        return Skeletons.at_rate(points, fps)


def joined(archive: Mapping[str, np.ndarray]) -> np.ndarray:
    """Keypoints `(..., V, A)` of an npz, with its `scores` `(..., V)` as confidence and `world` `(..., V, 3)` behind.

    Raises:
        ValueError: if their shapes differ.
    """
    points = archive["keypoints"]
    if "scores" in archive:
        points = np.concatenate([points[..., :2], archive["scores"][..., None], points[..., 3:]], axis=-1)
    if "world" not in archive:
        return points
    world, shape = archive["world"], (*points.shape[:-1], 3)
    if world.shape != shape:
        raise ValueError(f"its 'world' must be {shape}, like its keypoints {points.shape}, not {world.shape}")
    flat = points[..., :3] if points.shape[-1] > 2 else np.concatenate([points, np.ones_like(points[..., :1])], axis=-1)
    return np.concatenate([flat, world], axis=-1)


def parted(keypoints: np.ndarray) -> dict[str, Any]:
    """Keypoints `(..., V, A)` as the arrays of an npz: `keypoints` `(..., V, 3)` and, in three dimensions, `world`."""
    return {"keypoints": keypoints[..., :3]} | ({"world": keypoints[..., 3:]} if keypoints.shape[-1] > 3 else {})


def _from_json(path: Path, fps: float | None) -> Skeletons:
    content = json.loads(path.read_text(encoding="utf-8-sig"))
    frames = persons(content)
    if frames.get(ALONE):
        raise VideoError(f"it holds one frame, a movement needs at least 2; give the folder with all, {path.parent}")
    stated = float(content.get("fps", FPS)) if isinstance(content, Mapping) else FPS
    return _from_frames(frames, stated if fps is None else fps)


def _from_folder(folder: Path, fps: float | None) -> Skeletons:
    frames: Frames = {}
    for name in frames_in(folder):
        try:
            found = persons(json.loads((folder / name).read_text(encoding="utf-8-sig")))
        except (OSError, ValueError, *UNUSABLE) as error:
            raise ValueError(f"in {name}, {_say(error)}") from None
        if len(found) != 1:
            raise VideoError(
                f"{name} holds many frames, and a folder of skeletons a file for each frame; give the files, or "
                "predict all of them into one file with --out"
            )
        (frames[name],) = found.values()
    if not frames:
        raise VideoError("a folder without keypoints, which are .json files without images or videos among them")
    return _from_frames(frames, FPS if fps is None else fps)


def _from_frames(frames: Frames, fps: float) -> Skeletons:
    poses = [person.pose for there in frames.values() for person in there]
    if not poses:
        raise VideoError("it lists nobody")
    if len({len(pose) for pose in poses}) > 1:
        raise VideoError("its persons differ in their number of joints")
    if {0, 1, 2} >= {float(v) for pose in poses for v in pose[:, 2]} and any((pose[:, 2] == 2).any() for pose in poses):
        for pose in poses:
            pose[:, 2] /= 2
    if not 0 < fps < float("inf"):
        raise VideoError(f"fps must be a number over 0, got {fps}")
    seen: dict[int, list[Person]] = {}
    for image, number in frame_numbers(frames).items():
        seen.setdefault(number, []).extend(frames[image])
    steps = [after - before for before, after in pairwise(sorted(seen))]
    if sum(steps) / fps > LONGEST:
        raise VideoError(
            f"its frames {min(seen)} and {max(seen)} lie {sum(steps) / fps / 3600:.3g} hours apart at {fps:g} frames a "
            "second; number frames by ones, or say how many numbers are a second: fps=1000 for milliseconds"
        )
    usual = max(1, int(median(steps))) if steps else 1
    for number, step in zip(sorted(seen), steps, strict=False):
        if step > GAP * usual:
            seen[number + usual] = []
    numbers = sorted(seen)
    times = [(number - numbers[0]) / fps for number in numbers]
    keypoints = _persons_through_time([seen[number] for number in numbers], times, poses[0].shape)
    return Skeletons(keypoints, np.array(times))


def _persons_through_time(frames: list[list[Person]], times: list[float], shape: tuple[int, ...]) -> np.ndarray:
    """`(P, T, V, 3)`, by the tracks that a file states, or else by the Tracker."""

    def check(number: int) -> None:
        if number * len(frames) * shape[0] * 12 > MOST_BYTES:
            raise VideoError(
                f"{number} persons or more in {len(frames)} frames are too many; cut the file into shorter ones, and "
                "check that 'track_id' stays the same through the frames"
            )

    tracks = [{person.track for person in there} for there in frames]
    if all(None not in known and len(known) == len(there) for known, there in zip(tracks, frames, strict=True)):
        order = {track: i for i, track in enumerate(dict.fromkeys(p.track for there in frames for p in there))}
        check(len(order))
        keypoints = np.zeros((len(order), len(frames), *shape), np.float32)
        for frame, there in enumerate(frames):
            for track, pose in there:
                keypoints[order[track], frame] = pose
        return keypoints
    tracker = Tracker()
    for time, there in zip(times, frames, strict=True):
        tracker.add(time, without_missing(np.array([pose for _, pose in there]).reshape(-1, *shape)))
        check(len(tracker.persons))
    clips = tracker.clip(tuple(times))
    return np.stack(list(clips.values())) if clips else np.zeros((1, len(times), *shape))


def is_skeletons(source: object) -> bool:
    """Whether `source` is skeletons, the path of a file or folder of them, or an array or tensor other than video's
    uint8."""
    if isinstance(source, str | os.PathLike):
        return is_keypoints(source)
    if isinstance(source, torch.Tensor):
        return source.dtype not in (torch.uint8, torch.bool)
    return isinstance(source, Skeletons) or (isinstance(source, np.ndarray) and source.dtype != np.uint8)


def as_skeletons(source: object, fps: float | None = None) -> Skeletons:
    """Skeletons from what a user has: `Skeletons`, the path of a file or folder, or an array or tensor `(P, T, V, A)`
    or `(T, V, A)`.

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
