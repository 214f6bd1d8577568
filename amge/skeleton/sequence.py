"""Skeletons as they come from a pose estimator: checking them, cutting them in time, and bringing them to what a model
takes.

Shapes: `P` persons, `T` frames, `V` joints; the last axis, `A`, is x and y in pixels, y downwards, and confidence in
0..1. In three dimensions the world joint follows: X, Y and Z in metres from between the hips, to the right of the
picture, down, and away from the camera. A joint of confidence 0 is missing, and zero in all axes; a person without
joints in a frame is not seen there.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from amge.errors import VideoError
from amge.skeleton.graph import Graph

FARTHEST = 1e9
"""Pixels; the squares of what is nearer have room in float32."""
MOST = np.array([np.inf, np.inf, 1, np.inf, np.inf, np.inf], np.float32)
LONGEST = 7 * 24 * 3600
"""Seconds; times that reach further are no seconds, or one of them is broken."""


@dataclass(frozen=True, eq=False)
class Skeletons:
    """Persons through time, checked when made.

    `keypoints` may be `(T, V, A)` for one person, and may lack confidence, `(..., 2)`, which is 1 then. Joints with NaN
    or infinity, or a thousand million pixels away, are missing; confidence is cut to 0..1.

    Raises:
        VideoError: if nobody is there, or shapes and times make no sense; says what would.
    """

    keypoints: np.ndarray
    """float32 `(P, T, V, A)`, `A` 3 or 6."""
    times: np.ndarray
    """When each frame was taken, in seconds, ascending, `(T,)`."""

    def __post_init__(self) -> None:
        given = np.asarray(self.keypoints)
        if given.dtype.kind not in "fiu" or given.ndim not in (3, 4) or given.shape[-1] not in (2, 3, 6):
            raise VideoError(
                "expected keypoints (P, T, V, 3) or (T, V, 3), x and y in pixels and confidence, or 6 with the world "
                f"joint in metres, got {given.dtype} {given.shape}"
            )
        with np.errstate(over="ignore"):  # to infinity, which is missing
            points = (given if given.ndim == 4 else given[None]).astype(np.float32)
        if points.shape[-1] == 2:
            points = np.concatenate([points, np.ones_like(points[..., :1])], axis=-1)
        points = without_missing(points)
        if points.shape[1] < 2:
            raise VideoError(f"the skeletons have {points.shape[1]} frame(s): a movement needs at least 2 frames")
        if not points[..., 2].any():
            raise VideoError("nobody is in these skeletons: every joint is missing")
        times = np.asarray(self.times, np.float64)
        if times.shape != points.shape[1:2] or not np.isfinite(times).all() or (np.diff(times) <= 0).any():
            raise VideoError(
                f"{points.shape[1]} frames need as many times in seconds, each after the one before; sort the frames"
            )
        if not times[-1] - times[0] <= LONGEST:
            raise VideoError(f"times from {times[0]:g} to {times[-1]:g} are over a week; give them in seconds")
        object.__setattr__(self, "keypoints", points)
        object.__setattr__(self, "times", times - times[0])

    @classmethod
    def at_rate(cls, keypoints: np.ndarray, fps: float = 30.0) -> "Skeletons":
        """Keypoints `(P, T, V, A)` or `(T, V, A)` of frames that were taken `fps` times a second.

        Raises:
            VideoError: as for `Skeletons`, or if the rate is not over 0.
        """
        if not 0 < fps < float("inf"):
            raise VideoError(f"fps must be a number over 0, got {fps}")
        frames = np.shape(keypoints)[-3] if np.ndim(keypoints) >= 3 else 0
        return cls(keypoints, np.arange(frames) / fps)

    @property
    def end(self) -> float:
        """When the last frame leaves the screen, in seconds."""
        return float(self.times[-1] + np.median(np.diff(self.times)))


def without_missing(points: np.ndarray) -> np.ndarray:
    """Joints `(..., A)`, zero where one is not finite, too far out or has no confidence, which is cut to 1."""
    there = (np.abs(points) < FARTHEST).all(axis=-1, keepdims=True) & (points[..., 2:3] > 0)
    return np.where(there, np.minimum(points, MOST[: points.shape[-1]]), 0).astype(np.float32)


def cut(skeletons: Skeletons, num_frames: int, seconds: float) -> Iterator[tuple[float, float, np.ndarray]]:
    """Clips of skeletons, cut as `amge.video.windows` cuts those of video: start, end and the `num_frames` frames."""
    end = skeletons.end
    starts = [0.0]
    if end > 1.5 * seconds + 1e-6:
        starts = list(np.arange(0, end - seconds + 1e-6, seconds / 2))
        if end - seconds - starts[-1] > seconds / (4 * num_frames):
            starts.append(end - seconds)
    length = min(seconds, end) if len(starts) > 1 else end
    for start in starts:
        middles = start + (np.arange(num_frames) + 0.5) * length / num_frames
        chosen = np.searchsorted(skeletons.times, middles + 1e-3, side="right") - 1
        yield float(start), float(start + length), chosen.clip(0)


def hold(person: np.ndarray) -> np.ndarray:
    """A person `(T, V, A)` with the pose nearest in time in frames where they are not seen at all."""
    seen = np.flatnonzero((person[..., 2] > 0).any(axis=1))
    if not len(seen):
        return person
    return person[seen[np.abs(np.arange(len(person))[:, None] - seen).argmin(axis=1)]]


def middle(points: np.ndarray, there: np.ndarray) -> np.ndarray:
    """The mean `(..., 1, D)` of those of the points `(..., V, D)` that are there, `(..., V, 1)`; zero without any."""
    return (points * there).sum(axis=-2, keepdims=True) / np.maximum(there.sum(axis=-2, keepdims=True), 1)


def normalise(persons: np.ndarray, graph: Graph | None = None) -> np.ndarray:
    """Persons in pixels to what a model takes: about the middle of the hips, in each person's own size.

    In each frame the middle of the hips is the origin; where the joints have no such names, or the hips are missing,
    the mean of the joints that are there. The unit is the largest root mean square distance of the joints of a frame
    from their mean. So neither the place of the person in the picture nor the distance of the camera counts. World
    joints likewise, by an origin and a unit of their own. Missing joints are zero.

    Args:
        persons: `(..., T, V, A)`.
        graph: of the joints, for their names.

    Returns:
        float32 `(..., T, V, A)`.
    """
    there = (persons[..., 2:3] > 0).astype(np.float32)
    sides = ("left_hip", "right_hip")
    hips = list(graph.indices(*sides)) if graph and {*sides} <= set(graph.names) else None

    def about_the_hips(points: np.ndarray) -> np.ndarray:
        origin = mean = middle(points, there)
        size = np.sqrt(middle(((points - mean) ** 2).sum(axis=-1, keepdims=True), there).max(axis=-3, keepdims=True))
        if hips:
            both = there[..., hips, :].all(axis=-2, keepdims=True)
            origin = np.where(both, points[..., hips, :].mean(axis=-2, keepdims=True), mean)
        return (points - origin) * there / np.maximum(size, 1e-6)

    parts = about_the_hips(persons[..., :2]), persons[..., 2:3], about_the_hips(persons[..., 3:])
    return np.concatenate(parts, axis=-1).astype(np.float32)
