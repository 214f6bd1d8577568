"""Reading a clip of 2-D keypoints as a body: its scale, which way it faces, which side is near.

Points are complex numbers `x + 1j * y` in pixels, y downwards; multiplying by `1j` turns clockwise on the screen.
The "up" of a body part points towards the head; a body seen from its right side has its front at `up * 1j`.
"""

from dataclasses import dataclass
from math import isnan

import numpy as np

from amge.skeleton import layouts

COCO17 = layouts.COCO17.names
"""Joint names in the order of COCO."""

CONFIDENT = 0.2
"""Joints below this confidence are taken as missing."""

SHOULDERS, HIPS = 0.21, 0.12
"""Usual distance between shoulder joints and between hip joints, in statures."""

TORSO = 0.29
"""Usual distance from the middle of the shoulders to the middle of the hips, in statures."""

_LENGTHS = {
    (5, 7): 0.172, (6, 8): 0.172, (7, 9): 0.15, (8, 10): 0.15,
    (11, 13): 0.24, (12, 14): 0.24, (13, 15): 0.24, (14, 16): 0.24,
    (5, 11): 0.295, (6, 12): 0.295, (5, 6): SHOULDERS,
}  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """One frame: 17 points (None where missing and not to be guessed), and how the body stands to the camera.

    `stature` is in pixels. `front` runs from 1 (faces the camera) over 0 (side view) to -1 (seen from behind).
    `side` is 1 where the right side is the near one and -1 where the left one is. `depths` are of the 17 joints,
    larger is nearer, or None.
    """

    points: tuple[complex | None, ...]
    stature: float
    up: complex
    front: float
    side: int
    depths: tuple[float, ...] | None

    def middle(self, *joints: int) -> complex | None:
        """The mean of those joints that are there."""
        found = [point for joint in joints if (point := self.points[joint]) is not None]
        return sum(found) / len(found) if found else None

    @property
    def sideness(self) -> float:
        """1 in a side view, 0 in a view from the front or the back."""
        return 1 - abs(self.front)


def turn(a: complex, b: complex) -> float:
    """The cross product: positive where `b` lies clockwise of `a` on the screen."""
    return (a.conjugate() * b).imag


def unit(vector: complex, fallback: complex = -1j) -> complex:
    """`vector` with length 1, or `fallback` where it has none."""
    length = abs(vector)
    return vector / length if length > 1e-6 else fallback


def read(keypoints: np.ndarray, depth: np.ndarray | None) -> list[Reading]:
    """Keypoints `(T, 17, 3)` in pixels, and depths `(T, 17)` if known, to one reading a frame."""
    there = (keypoints[..., 2] >= CONFIDENT) & np.isfinite(keypoints).all(-1)
    flat = np.where(there[..., None], keypoints[..., :2], np.nan).astype(np.float64)
    clip = [tuple(_points(frame)) for frame in flat]
    statures = _statures(flat)
    side = _near_side(clip, keypoints[..., 2]) if depth is None else 0
    readings = []
    for time, points in enumerate(clip):
        stature = float(statures[time])
        up = _up(points, stature)
        depths = None if depth is None else tuple(float(value) for value in depth[time])
        near = side
        if depths is not None:
            near = 1 if sum(depths[j] for j in (6, 8, 12, 14)) > sum(depths[j] for j in (5, 7, 11, 13)) else -1
        readings.append(Reading(_guess(points, stature, up), stature, up, _front(points, stature, up), near, depths))
    return readings


def _points(frame: np.ndarray) -> list[complex | None]:
    """One frame `(17, 2)`, NaN where missing, to points."""
    return [None if isnan(x) else complex(x, y) for x, y in frame.tolist()]


def _statures(flat: np.ndarray) -> np.ndarray:
    """Body height in pixels a frame, `(T,)`, from `(T, 17, 2)`: foreshortening only ever makes a limb shorter."""
    a, b = np.array(list(_LENGTHS)).T
    lengths = np.linalg.norm(flat[:, a] - flat[:, b], axis=-1) / np.array(list(_LENGTHS.values()))
    frames = np.full(len(flat), np.nan)
    for time, row in enumerate(lengths):
        known = row[np.isfinite(row)]
        if len(known) >= 2:
            frames[time] = np.quantile(known, 0.7)
    if not np.isfinite(frames).any():
        return np.full(len(flat), _stature_of_head(flat))
    whole = float(np.nanquantile(frames, 0.6))
    return whole * np.sqrt(np.clip(np.nan_to_num(frames / max(whole, 1e-6), nan=1.0), 0.7, 1.3))


def _stature_of_head(flat: np.ndarray) -> float:
    """Body height in pixels of a clip in which only a head is seen: a spread of faces is some 9 % of it."""
    seen = flat[:, :5][np.isfinite(flat[:, :5, 0])]
    return float(np.ptp(seen, axis=0).max() / 0.09) if len(seen) > 1 else 0.0


def _mean(points: tuple[complex | None, ...], *joints: int) -> complex | None:
    found = [point for joint in joints if (point := points[joint]) is not None]
    return sum(found) / len(found) if found else None


def _up(points: tuple[complex | None, ...], stature: float) -> complex:
    """The direction from the hips to the shoulders, or what comes closest to it."""
    head, shoulders, hips = _mean(points, 0, 1, 2, 3, 4), _mean(points, 5, 6), _mean(points, 11, 12)
    if shoulders is not None and hips is not None and abs(shoulders - hips) > 0.06 * stature:
        return unit(shoulders - hips)
    if head is not None and shoulders is not None:
        return unit(head - shoulders)
    return -1j


def _front(points: tuple[complex | None, ...], stature: float, up: complex) -> float:
    """How much the chest is turned to the camera, -1..1, from how far apart left and right are across `up`."""
    total = weight = 0.0
    for left, right, width, share in ((5, 6, SHOULDERS, 0.7), (11, 12, HIPS, 0.3)):
        a, b = points[left], points[right]
        if a is not None and b is not None:
            total += share * turn(up, a - b) / (width * max(stature, 1e-6))
            weight += share
    return max(-1.0, min(1.0, total / weight)) if weight else 0.0


def _near_side(clip: list[tuple[complex | None, ...]], confidence: np.ndarray) -> int:
    """1 if the clip shows the right side of the body, -1 if the left one: joints bend one way only, and vote.

    Knees and hips bend forwards, elbows the other way, the nose is before the ears; a hidden side is less sure.
    """
    votes = 0.0
    for points in clip:

        def bend(a: int, b: int, c: int, points: tuple[complex | None, ...] = points) -> float:
            p, q, r = points[a], points[b], points[c]
            if p is None or q is None or r is None:
                return 0.0
            return turn(unit(p - q), unit(r - q))

        knees = -bend(11, 13, 15) - bend(12, 14, 16)
        hips = bend(5, 11, 13) + bend(6, 12, 14)
        elbows = bend(5, 7, 9) + bend(6, 8, 10)
        votes += 1.0 * knees + 1.0 * hips + 0.4 * elbows
        ears, shoulders, hip = _mean(points, 3, 4), _mean(points, 5, 6), _mean(points, 11, 12)
        if points[0] is not None and ears is not None:
            up = unit(shoulders - hip) if shoulders is not None and hip is not None else -1j
            votes += 1.5 * turn(up, unit(points[0] - ears))
    sure = np.clip(confidence, 0, 1).mean(0)
    votes += 2.0 * len(clip) * float(sure[[4, 6, 8, 10, 12, 14]].mean() - sure[[3, 5, 7, 9, 11, 13]].mean())
    return 1 if votes >= 0 else -1


def _guess(points: tuple[complex | None, ...], stature: float, up: complex) -> tuple[complex | None, ...]:
    """Fill in what follows from the rest: the other shoulder or hip, both hips, a joint within a straight limb."""
    filled = list(points)
    for left, right in ((5, 6), (11, 12)):
        if filled[left] is None:
            filled[left] = filled[right]
        elif filled[right] is None:
            filled[right] = filled[left]
    if filled[5] is not None and filled[11] is None and any(point is not None for point in filled[:5]):
        for shoulder, hip in ((5, 11), (6, 12)):
            start = filled[shoulder]
            filled[hip] = None if start is None else start - up * TORSO * stature
    for start, middle, end in ((5, 7, 9), (6, 8, 10), (11, 13, 15), (12, 14, 16)):
        a, b = filled[start], filled[end]
        if filled[middle] is None and a is not None and b is not None:
            filled[middle] = (a + b) / 2
    return tuple(filled)
