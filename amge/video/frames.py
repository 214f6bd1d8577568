"""Frames one by one, with their times, from an array, a tensor, a folder of images or an animated image.

Nothing here holds more than the frame at hand: a picture is made only when it is asked for.
"""

import re
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from amge.errors import VideoError, describe
from amge.video.path import IMAGE_SUFFIXES as IMAGE_SUFFIXES
from amge.video.path import images_in
from amge.video.picture import MAX_PIXELS, read_animation, read_picture, upright_size

MIN_SIDE = 16

_SCALE = "`ffmpeg -i in.mp4 -vf scale=1280:-2 out.mp4`"


class Shown(NamedTuple):
    """One frame and the time it is on screen, in seconds since the first frame.

    `image` makes its uint8 RGB picture (H, W, 3); call it before taking the next frame but one.
    """

    time: float
    end: float
    total: float | None
    image: Callable[[], np.ndarray]
    side: int
    """Short side of what was recorded, in pixels."""


def fit(width: float, height: float, max_side: int) -> tuple[int, int]:
    """The whole (width, height) in pixels of the same shape with no side longer than `max_side`."""
    scale = min(1.0, max_side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def check_size(name: str, width: int, height: int) -> None:
    """Refuses frames too large to be decoded safely and too small to show a person."""
    if width * height > MAX_PIXELS:
        raise VideoError(
            f"{name}: frames of {width}x{height} pixels are over the limit of {MAX_PIXELS} pixels (4096x4096); "
            f"scale it down first, e.g. {_SCALE}"
        )
    if min(width, height) < MIN_SIDE:
        raise VideoError(
            f"{name}: frames of {width}x{height} pixels show no person; give at least {MIN_SIDE} pixels on each side"
        )


def check_array(array: np.ndarray | torch.Tensor) -> None:
    """Refuses an array that is not raw video: uint8 (T, H, W, 3)."""
    shape, dtype = tuple(array.shape), str(array.dtype).removeprefix("torch.")
    move = "transpose" if isinstance(array, np.ndarray) else "permute"
    hints = []
    if dtype.startswith(("float", "bfloat")):
        hints.append("scale 0..1 to 0..255 and convert to uint8")
    elif dtype != "uint8":
        hints.append("convert to uint8")
    if len(shape) == 4 and shape[3] != 3 and 3 in shape[:2]:
        order = "1, 2, 3, 0" if shape[0] == 3 else "0, 2, 3, 1"
        hints.append(f"put the channels last with .{move}({order})")
    elif len(shape) == 5:
        hints.append("give one clip of the batch at a time")
    elif len(shape) != 4 or shape[3] != 3:
        hints.append("stack RGB frames along the first axis")
    if hints:
        raise VideoError(
            f"{describe(array)} has shape {shape} and dtype {dtype}; "
            f"raw video is uint8 0..255 of shape (T, H, W, 3): {' and '.join(hints)}"
        )


def from_array(array: np.ndarray, fps: float, max_side: int) -> Generator[Shown, None, None]:
    """The frames of `array`, uint8 (T, H, W, 3)."""
    check_size("the array", array.shape[2], array.shape[1])
    size = fit(array.shape[2], array.shape[1], max_side)
    for i, frame in enumerate(array):
        yield Shown(i / fps, (i + 1) / fps, len(array) / fps, partial(_resized, frame, size), min(array.shape[1:3]))


def from_animation(path: Path, max_side: int) -> Generator[Shown, None, None]:
    """The frames of an animated WebP."""
    end = 0.0
    for picture, seconds in read_animation(path):
        height, width = picture.shape[:2]
        check_size(str(path), width, height)
        time, end = end, end + seconds
        yield Shown(time, end, None, partial(_resized, picture, fit(width, height, max_side)), min(width, height))


def _resized(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if (frame.shape[1], frame.shape[0]) == size:
        return frame
    return np.asarray(Image.fromarray(np.ascontiguousarray(frame)).resize(size, Image.Resampling.BILINEAR))


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part.lower()) for part in re.split(r"(\d+)", name) if part]


def from_images(folder: Path, names: list[str], fps: float, max_side: int) -> Generator[Shown, None, None]:
    """The images among the files `names` of `folder`, frame2 before frame10."""
    names = images_in(folder, names)
    size = (0, 0)
    for i, name in enumerate(sorted(names, key=_natural)):
        width, height = upright_size(folder / name)
        check_size(str(folder / name), width, height)
        if i == 0:
            first, size = (name, width, height), fit(width, height, max_side)
        elif (width, height) != first[1:]:
            raise VideoError(
                f"{folder / name} is {width}x{height} but {first[0]} is {first[1]}x{first[2]}: "
                "all images of a folder must have the same size"
            )
        yield Shown(
            i / fps, (i + 1) / fps, len(names) / fps, partial(read_picture, folder / name, size), min(first[1:])
        )
