"""Random views and colours of many clips at once, on the device that holds them.

Shapes: `B` clips, `T` frames, `S` side of the source squares, `s` that of the clips. Chance is drawn on the CPU, so
that it is the same for every device. Pixels are in 0..1 and grey is 127 / 255.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from amge.skeleton.layouts import COCO17

GREY = 127 / 255
TILT = np.deg2rad(15)
LUMA = (0.299, 0.587, 0.114)
MIRRORED = list(COCO17.mirrored())


def person_views(count: int, rng: np.random.Generator) -> Tensor:
    """Where views look in squares of side 2 around 0, as `affine_grid` takes it, `(B, 2, 3)`."""
    return views(rng.uniform(0.55, 1.1, count), 0.2, rng.uniform(-TILT, TILT, count), rng)


def place_views(count: int, rng: np.random.Generator) -> Tensor:
    """The same for backgrounds: a part of the picture, without the grey above and below it."""
    return views(rng.uniform(0.3, 0.6, count), 0.1, np.zeros(count), rng)


def views(scale: np.ndarray, shift: float, angle: np.ndarray, rng: np.random.Generator) -> Tensor:
    count = len(scale)
    stretch = np.exp(rng.uniform(-0.15, 0.15, count))
    flip = rng.choice([-1.0, 1.0], count)
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=-1).reshape(count, 2, 2)
    linear = turn * (scale[:, None] * np.stack([flip * stretch, 1 / stretch], axis=-1))[:, None]
    middle = rng.uniform(-shift, shift, (count, 2, 1))
    return torch.from_numpy(np.concatenate([linear, middle], axis=-1).astype(np.float32))


def look(squares: Tensor, view: Tensor, size: int, around: float = GREY) -> Tensor:
    """uint8 `(B, C, S, S)` to what views show of it, float `(B, C, s, s)` in 0..1."""
    shape = [len(squares), squares.shape[1], size, size]
    grid = F.affine_grid(view.to(squares.device), shape, align_corners=False)
    return F.grid_sample(squares / 255 - around, grid, align_corners=False) + around


def seen_joints(joints: Tensor, view: Tensor) -> Tensor:
    """Joints `(B, 17, 3)` of squares, -1..1, to those of the views, 0..1; beyond these they are not visible."""
    view = view.to(joints.device)
    linear, middle = view[..., :2], view[..., 2]
    places = torch.linalg.solve(linear, (joints[..., :2] - middle[:, None]).transpose(1, 2)).transpose(1, 2)
    places = (places + 1) / 2
    visible = joints[..., 2:] * ((places >= 0) & (places < 1)).all(-1, keepdim=True)
    moved = torch.cat([places, visible], dim=-1)
    return torch.where(torch.linalg.det(linear)[:, None, None] < 0, moved[:, MIRRORED], moved)


def recolour(clips: Tensor, rng: np.random.Generator) -> Tensor:
    """Light, contrast, saturation, grey, tint and two erased boxes, the same for all frames of `(B, T, 3, s, s)`."""
    count, size = len(clips), clips.shape[-1]

    def each(*values: Any) -> Tensor:
        return torch.from_numpy(np.stack(values, axis=-1).astype(np.float32)).to(clips.device)[:, None, :, None, None]

    def between(low: float, high: float) -> np.ndarray:
        return rng.uniform(low, high, count)

    colour = between(0.2, 1.8) * (rng.random(count) > 0.15)
    luma = torch.tensor(LUMA, device=clips.device).view(3, 1, 1)
    grey = (clips * luma).sum(dim=2, keepdim=True)
    clips = (grey + (clips - grey) * each(colour)) * each(between(0.6, 1.4))
    middle = clips.mean(dim=(1, 2, 3, 4), keepdim=True)
    clips = (clips - middle) * each(between(0.6, 1.4)) + middle
    clips = clips * each(*(between(0.8, 1.2) for _ in range(3)))
    place = (torch.arange(size, device=clips.device) + 0.5) / size
    for _ in range(2):
        (x, y), (w, h) = ([each(between(*limits)) for _ in range(2)] for limits in ((0, 1), (0.04, 0.15)))
        inside = ((place - x).abs() < w) & ((place[:, None] - y).abs() < h)
        clips = torch.where(inside, each(*(between(0, 1) for _ in range(3))), clips)
    return clips.clamp(0, 1)
