"""Rendered clips of a human figure that exercises: labelled video for tests, demos and pre-training."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from amge.errors import one_of

from .camera import Camera, sample_camera
from .clip import compose
from .empty import render_empty
from .exercises import EXERCISES, Exercise
from .figure import COCO17, draw
from .look import Look, sample_look
from .motion import Body, sample_body
from .style import Style, sample_style

__all__ = [
    "COCO17",
    "EXERCISES",
    "Body",
    "Camera",
    "Exercise",
    "Look",
    "Style",
    "SyntheticClip",
    "draw",
    "render",
    "render_empty",
    "sample_body",
    "sample_camera",
    "sample_look",
    "sample_style",
]


class SyntheticClip(NamedTuple):
    """A rendered clip: what it shows and what it is labelled with."""

    frames: np.ndarray
    """RGB uint8 `(T, H, W, 3)`."""
    keypoints: np.ndarray
    """float32 `(T, 17, 3)`: x and y in pixels, confidence 1, or 0 outside the picture."""
    regions: tuple[str, ...]
    exercise: str
    fps: float


def render(
    exercise: str | None = None,
    frames: int = 16,
    size: int | tuple[int, int] = 224,
    seed: int = 0,
    fps: float = 8.0,
    look: Look | None = None,
) -> SyntheticClip:
    """A clip of somebody who does an exercise; the same arguments give the same bytes.

    Args:
        exercise: a name of `EXERCISES`; drawn from the seed if left out.
        frames: how many, at least 1.
        size: height and width of the picture in pixels, or one number for both.
        seed: decides body, tempo, amplitude, side, camera and appearance.
        fps: frames a second.
        look: the appearance, in place of a random one.

    Raises:
        ValueError: for an unknown exercise, or no frames.
    """
    if frames < 1 or fps <= 0:
        raise ValueError(f"expected at least one frame and a positive rate, got frames={frames}, fps={fps}")
    rng = np.random.default_rng(seed)
    names = list(EXERCISES)
    drawn = names[rng.integers(len(names))]
    move = EXERCISES[drawn if exercise is None else one_of("exercise", exercise, names)]
    body, style, camera = sample_body(rng), sample_style(rng), sample_camera(rng)
    phase = rng.random() + np.arange(frames) / fps / rng.uniform(*move.seconds)
    held = move.equipment[rng.integers(len(move.equipment))]
    random_look = sample_look(rng)
    if look is None:
        look = replace(random_look, equipment=held)
    height, width = (size, size) if isinstance(size, int) else size
    pictures, keypoints = compose(move, phase, body, style, camera, look, (height, width), int(rng.integers(2**31)))
    return SyntheticClip(pictures, keypoints, move.regions, move.name, float(fps))
