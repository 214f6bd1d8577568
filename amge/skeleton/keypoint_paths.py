"""Which paths hold keypoints, told by names and first bytes alone: nothing heavy is imported for it."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from amge.video.path import IMAGE_SUFFIXES, KEYPOINTS, VIDEOS

FRAME = re.compile(
    rb'\s*(\{\s*("version"\s*:[^,]*,\s*)?"(people|bodies)"\s*:|\[\s*\]|\[\s*\{\s*"keypoints"\s*:\s*\[\s*\[)'
)
"""How a file of a single frame starts: OpenPose's and AlphaPose's, MMPose's without and with somebody in it."""


def is_keypoints(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a file of keypoints by its name, or a folder of `.json` files with a frame in each."""
    if os.path.isdir(path):
        return bool(frames_in(path))
    return Path(path).suffix.lower() in KEYPOINTS


def frames_in(folder: str | os.PathLike[str]) -> list[str]:
    """The names of the `.json` files in a folder, sorted; none if it holds images or videos, which it is one of then,
    or can't be read."""
    try:
        return json_among(os.listdir(folder))
    except OSError:
        return []


def json_among(names: Iterable[str]) -> list[str]:
    """The `.json` files among those in a folder, sorted; none if there are images or videos."""
    shown = sorted(name for name in names if not name.startswith("."))
    if any(name.lower().endswith(IMAGE_SUFFIXES + VIDEOS) for name in shown):
        return []
    return [name for name in shown if name.lower().endswith(".json")]


def is_one_video(folder: str | os.PathLike[str], names: Iterable[str]) -> bool:
    """Whether the files `names` of a folder are the frames of one video, and not a video each: by the first one."""
    first = next(iter(json_among(names)), None)
    if first is None:
        return False
    try:
        with open(os.path.join(folder, first), "rb") as file:
            return bool(FRAME.match(file.read(512)))
    except OSError:
        return False
