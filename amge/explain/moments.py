"""What a model sees in a window, for people: frames, cut to a square, with their times and joints.

Shapes: `T H W` frames, `V` joints.
"""

from typing import Any, NamedTuple

import numpy as np
import torch

from amge.inputs import joint_sizes
from amge.prediction import WindowPrediction
from amge.skeleton.layouts import fit_layout
from amge.spec import ModelSpec
from amge.video.preprocess import still_view
from amge.video.view import View

SIDE = 384
"""Pixels of the longer side of what is shown."""
MARGIN = 0.15
"""Around joints, in their height or width, whichever is more."""
LEAST = 0.3
"""Confidence below which a joint is not shown."""


class Moment(NamedTuple):
    """One window."""

    times: np.ndarray
    """From when on each frame stands, in seconds, `(T,)`."""
    frames: np.ndarray
    """uint8 `(T, H, W, 3)`, `SIDE` squared."""
    keypoints: np.ndarray | None
    """In pixels of the frames, `(T, V, 3)`, in the layout of the model; None where no joints are known."""


def moment(window: WindowPrediction, spec: ModelSpec, joints: Any) -> Moment:
    """What is shown of a window: the square that a model of pictures sees; for a skeleton model one around the person.

    Args:
        window: with its frames or its keypoints.
        spec: of the model.
        joints: the backbone whose joints are shown, or None.
    """
    points: Any = None if joints is None else window.keypoints
    if points is not None:
        _, count, axes = joint_sizes(joints)
        points = fit_layout(points, count, getattr(joints, "graph", None), axes)[..., :3].copy()
    if spec.modality == "skeleton":
        (left, top), side = around(points)
    if window.frames is None:
        frames = np.full((len(points), SIDE, SIDE, 3), 255, np.uint8)
    else:
        height, width = window.frames.shape[1:3]
        view = still_view(window.frames, spec.crop)
        if spec.modality == "skeleton":
            view = View(left / width, top / height, side / width, side / height)
        left, top, side = view.left * width, view.top * height, view.width * width
        shown = view.video(torch.from_numpy(np.ascontiguousarray(window.frames)).permute(0, 3, 1, 2), SIDE)
        frames = shown.round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()
    if points is not None:
        points[..., :2] = (points[..., :2] - (left, top)) * (SIDE / side)
    parts = window.shares or (1 / len(frames),) * len(frames)
    before = np.cumsum((0.0, *parts[:-1]))
    return Moment(window.start + before * (window.end - window.start), frames, points)


def around(points: Any) -> tuple[np.ndarray, float]:
    """The square that holds joints `(T, V, 3)`: its left upper corner and its side, in pixels."""
    there = points[points[..., 2] >= LEAST if (points[..., 2] >= LEAST).any() else points[..., 2] > 0][:, :2]
    low, high = there.min(axis=0), there.max(axis=0)
    side = max(float((high - low).max()) * (1 + 2 * MARGIN), 1.0)
    return (low + high - side) / 2, side
