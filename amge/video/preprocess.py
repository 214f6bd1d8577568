"""Raw frames to the normalised square clip that a model takes."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from amge.errors import one_of
from amge.video.view import View


def movement_box(frames: np.ndarray, least: float = 1.0, margin: float = 0.6) -> tuple[float, float, float]:
    """The square that holds the movement of a clip: centre x, centre y and side, in pixels.

    A person seldom fills a phone video; what changes between the frames shows where they are. The square spans the
    5th to 95th percentile of the change in each direction, widened by `margin` on every side. If nothing changes it
    is the largest square in the middle of the picture; if everything does (a moving camera), all of the picture.

    Args:
        frames: uint8 `(T, H, W, 3)`.
        least: smallest side, in short sides of the picture, or in three quarters of its height if that is more: in
            an upright picture somebody who stands is taller than it is wide, also where only the arms move.
        margin: of the movement's extent.
    """
    height, width = frames.shape[1:3]
    step = max(1, min(height, width) // 64)
    small = frames[:, ::step, ::step].astype(np.float32).mean(axis=-1)
    change = small.std(axis=0)
    change = np.maximum(change - 2 * np.median(change) - 2, 0)
    short, long = min(height, width), max(height, width)
    smallest = least * max(short, 0.75 * height)
    if change.sum() <= 0:
        return width / 2, height / 2, float(short)
    spans = []
    for axis in (0, 1):
        mass = change.sum(axis=axis).cumsum()
        low, high = np.searchsorted(mass, (0.05 * mass[-1], 0.95 * mass[-1])) * step
        spans.append((low, high))
    extent = max(high - low for low, high in spans) * (1 + 2 * margin)
    side = float(np.clip(extent, smallest, long))
    (left, right), (top, bottom) = spans
    centre = []
    for low, high, full in ((left, right, width), (top, bottom, height)):
        middle = (low + high) / 2
        centre.append(float(np.clip(middle, side / 2, full - side / 2)) if side <= full else full / 2)
    return centre[0], centre[1], side


CROPS = ("movement", "centre")
"""How a model looks at a clip: at the square that holds the movement, or at the largest in the middle (paper)."""


def still_view(frames: np.ndarray, crop: str = "movement") -> View:
    """The look at a clip, uint8 `(T, H, W, 3)`, that a crop of `CROPS` gives.

    Raises:
        ValueError: for an unknown crop.
    """
    height, width = frames.shape[1:3]
    if one_of("crop", crop, CROPS) == "movement":
        x, y, side = movement_box(frames)
    else:
        x, y, side = width / 2, height / 2, float(min(height, width))
    return View((x - side / 2) / width, (y - side / 2) / height, side / width, side / height)


def normalise(frames: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Frames `(T, 3, S, S)` of pixels in 0..255 to a clip `(3, T, S, S)`."""
    shape = (1, 3, 1, 1)
    return (
        ((frames / 255 - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)).transpose(0, 1).contiguous()
    )


def to_clip(
    frames: np.ndarray, size: int, mean: Sequence[float], std: Sequence[float], crop: str = "movement"
) -> Tensor:
    """Crop, resize to a square and normalise; outside the picture is mid-grey.

    Args:
        frames: uint8 `(T, H, W, 3)`.
        size: side of the square in pixels.
        mean: per channel, of pixels in 0..1.
        std: per channel.
        crop: one of `CROPS`.

    Returns:
        float32 `(3, T, size, size)`.
    """
    pictures = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
    return normalise(still_view(frames, crop).video(pictures, size), mean, std)
