"""Who is who: poses of single frames to persons through time.

Shapes: `T` frames, `N` persons in a frame, `V` joints; the last axis, `A`, is x and y in pixels and confidence, and in
three dimensions the world joint besides.
"""

from bisect import bisect_left, insort

import numpy as np

REACH = 1.0
"""How far a person may get between two frames, in their own sizes."""
LEAST_SIZE = 10.0
"""Pixels; of a person of whom little is seen."""


def extents(poses: np.ndarray) -> np.ndarray:
    """The diagonals of the boxes around persons `(..., V, A)`, in pixels; 0 without joints."""
    sure = poses[..., 2:3] > 0
    high = poses[..., :2].max(axis=-2, initial=-np.inf, where=sure)
    low = poses[..., :2].min(axis=-2, initial=np.inf, where=sure)
    return np.linalg.norm(np.maximum(high - low, 0), axis=-1)


def extent(pose: np.ndarray) -> float:
    """The same of one person `(V, A)`."""
    return float(extents(pose))


def boxes(poses: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Left, top, right and bottom of persons `(..., V, A)` as shares 0..1 of a picture of some width and height,
    `(..., 4)`; NaN without joints."""
    sure = poses[..., 2:3] > 0
    low = poses[..., :2].min(axis=-2, initial=np.inf, where=sure)
    high = poses[..., :2].max(axis=-2, initial=-np.inf, where=sure)
    found = np.concatenate([low, high], axis=-1)
    return np.where(np.isfinite(found), (found / np.array([*size, *size])).clip(0, 1), np.nan)


def distances(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """How far the joints that both have lie apart on average, in sizes of the larger person: `(N, M)` for persons
    `(N, V, A)` and `(M, V, A)`, infinity where they have none in common."""
    both = (some[:, None, :, 2] > 0) & (others[None, :, :, 2] > 0)
    apart = np.linalg.norm(some[:, None, :, :2] - others[None, :, :, :2], axis=-1)
    size = np.maximum(np.maximum.outer(extents(some), extents(others)), LEAST_SIZE)
    return np.where(both.any(axis=-1), (apart * both).sum(axis=-1) / np.maximum(both.sum(axis=-1), 1) / size, np.inf)


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """The same of two persons `(V, A)`."""
    return float(distances(one[None], other[None])[0, 0])


class Person:
    """One person: their pose at each time they were seen."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.times: list[float] = []
        self.poses: dict[float, np.ndarray] = {}

    def see(self, time: float, pose: np.ndarray) -> None:
        insort(self.times, time)
        self.poses[time] = pose

    def nearest(self, time: float) -> np.ndarray:
        """The pose at the time that is closest to `time`."""
        place = bisect_left(self.times, time)
        around = self.times[max(place - 1, 0) : place + 1]
        return self.poses[min(around, key=lambda seen: abs(seen - time))]


class Tracker:
    """Links the persons of each frame to those seen before; frames may come in any order of time.

    Each pose goes to the person whose pose nearest in time is closest, the closest pairs first; one that is more than
    its own size away from all is a new person.
    """

    def __init__(self) -> None:
        self.persons: list[Person] = []
        self.seen: set[float] = set()
        self.count = 0

    def add(self, time: float, poses: np.ndarray) -> None:
        """The persons `(N, V, A)` in the frame at `time` (seconds); a time that was added before is left as it is."""
        if time in self.seen:
            return
        self.seen.add(time)
        placed: dict[int, int] = {}
        if len(poses) and self.persons:
            apart = distances(poses, np.stack([person.nearest(time) for person in self.persons]))
            near = np.argwhere(apart <= REACH).tolist()
            for index, place in sorted(near, key=lambda pair: apart[tuple(pair)]):
                if index not in placed and place not in placed.values():
                    placed[index] = place
        for index, pose in enumerate(poses):
            if not (pose[:, 2] > 0).any():
                continue
            if index not in placed:
                placed[index] = len(self.persons)
                self.persons.append(Person(self.count))
                self.count += 1
            self.persons[placed[index]].see(time, pose)

    def clip(self, times: tuple[float, ...]) -> dict[int, np.ndarray]:
        """Number of each person seen at any of `times`, to their poses `(T, V, A)`, zero where they were not seen."""
        clips = {}
        for person in self.persons:
            seen = [person.poses.get(time) for time in times]
            shapes = [pose for pose in seen if pose is not None]
            if shapes:
                clips[person.number] = np.stack([np.zeros_like(shapes[0]) if p is None else p for p in seen])
        return clips

    def forget(self, before: float) -> None:
        """Drops what was seen before the frame that is on screen at a time, and who was not seen since."""
        before = max((time for time in self.seen if time <= before), default=before)
        for person in self.persons:
            person.times = [time for time in person.times if time >= before]
            person.poses = {time: person.poses[time] for time in person.times}
        self.persons = [person for person in self.persons if person.times]
        self.seen = {time for time in self.seen if time >= before}
