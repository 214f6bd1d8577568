"""Clips of each person in a video, or in skeletons that are there already.

Shapes: `T` frames, `V` joints; the last axis, `A`, is x and y in pixels and confidence, and in three dimensions the
world joint besides.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch

from amge.errors import one_of
from amge.skeleton.files import as_skeletons, is_skeletons
from amge.skeleton.layouts import TRUNK, layout_of
from amge.skeleton.pose.estimators import ESTIMATORS, PoseEstimator, estimator
from amge.skeleton.sequence import cut, without_missing
from amge.skeleton.tracking import Tracker, extents
from amge.video.windows import Window, windows

LEAST_SEEN = 0.25
"""Share of a clip's frames that a person must be seen in to be reported."""


SURE = 0.64
"""Mean confidence of the joints in the picture from which a pose is believed."""
INSIDE = 0.5
"""Share of the joints that must lie in the picture."""
LONGEST = 2.0
"""Length of a limb, in trunks or shoulders, up to which a pose is believed."""
LIMBS = (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))


class PersonClip(NamedTuple):
    """One person in one clip."""

    start: float
    end: float
    """In seconds."""
    person: int | None
    """Their number, from 0 in the order they appear; the same in all clips of a source. None: nobody is seen."""
    weight: float
    """Their mean size in pixels, 0 in frames where they are not seen: the main person's is the largest."""
    keypoints: np.ndarray
    """float32 `(T, V, A)`, zero where the person is not seen."""
    frames: np.ndarray | None
    """The frames that the keypoints lie in, uint8 `(T, H, W, 3)`; None for a source of skeletons."""
    times: tuple[float, ...] = ()
    """When each of these is on screen, in seconds; none for a source of skeletons."""


def person_clips(
    source: object,
    num_frames: int,
    seconds: float = 10.0,
    pose: str | PoseEstimator = "mediapipe",
    progress: Callable[[float, float | None], None] | None = None,
    fps: float | None = None,
) -> Iterator[PersonClip]:
    """Clips of `num_frames` frames, cut as by `amge.video.windows.windows`, one for each person in each.

    A video is decoded once, in order, and poses are estimated on the chosen frames alone. Of estimators that come by
    name, poses that do not look like a person's (`believable`) count as none. Persons seen in less than a quarter of a
    clip's frames are left out of it, unless nobody is seen in more; a clip without anybody has `person=None`.

    Args:
        source: a video, as for `windows`; skeletons, as for `amge.skeleton.files.as_skeletons`. An array or tensor is
            video if it is uint8.
        num_frames: `T`.
        seconds: length of a clip of a long source.
        pose: a pose estimator, or its name.
        progress: called with the seconds read and the seconds in all, `None` if not known.
        fps: frames a second of keypoints, a folder of images or an array; default: what a file says, or 30.

    Raises:
        VideoError: if the source can't be used.
        ValueError: for an unknown pose estimator, or one that does not give poses.
        ImportError: if the estimator's library is not installed.
    """
    if isinstance(pose, str):
        one_of("pose estimator", pose, ESTIMATORS)
    for start, end, persons, frames, times in _clips(source, num_frames, seconds, pose, progress, fps):
        there = seen_enough(persons)
        for number, clip in there.items():
            yield PersonClip(start, end, number, prominence(clip), clip, frames, times)
        if not there:
            yield PersonClip(start, end, None, 0.0, np.zeros((num_frames, 1, 3), np.float32), frames, times)


def _clips(
    source: object,
    num_frames: int,
    seconds: float,
    pose: str | PoseEstimator,
    progress: Callable[[float, float | None], None] | None,
    fps: float | None,
) -> Iterator[tuple[float, float, dict[int, np.ndarray], np.ndarray | None, tuple[float, ...]]]:
    if is_skeletons(source):
        skeletons = as_skeletons(source, fps)
        for start, end, chosen in cut(skeletons, num_frames, seconds):
            yield start, end, dict(enumerate(skeletons.keypoints[:, chosen])), None, ()
        return
    poses = Poses(pose)
    for window in windows(source, num_frames, seconds, progress=progress, fps=fps):  # type: ignore[arg-type]
        yield window.start, window.end, poses.of(window), window.frames, window.times
        poses.forget(window.end - seconds)


class Poses:
    """The persons in the windows of a video, one window after the other; each frame is looked at once.

    Args:
        pose: a pose estimator, or its name; of one that comes by name, poses that do not look like a person's count as
            none.

    Raises:
        ValueError: for an unknown name.
        ImportError: if the estimator's library is not installed.
    """

    def __init__(self, pose: str | PoseEstimator) -> None:
        self.named, self.estimate = isinstance(pose, str), estimator(pose)
        self.tracker = Tracker()
        self.joints: set[tuple[int, ...]] = set()

    def of(self, window: Window) -> dict[int, np.ndarray]:
        """Number of each person seen in a window, to their joints in its frames `(T, V, A)`.

        Raises:
            ValueError: if the estimator does not give poses, or not always the same joints.
        """
        seen, times = self.tracker.seen, window.times
        new = [i for i, time in enumerate(times) if time not in seen and time not in times[:i]]
        poses = check_poses(self.estimate(window.frames[new]), len(new)) if new else []
        self.joints |= {persons.shape[1:] for persons in poses if len(persons)}
        if len(self.joints) > 1:
            raise ValueError(f"a pose estimator must give the same joints always, this one gave {sorted(self.joints)}")
        for i, persons in zip(new, poses, strict=True):
            size = window.frames.shape[2], window.frames.shape[1]
            believed = [not self.named or believable(person, size) for person in persons]
            self.tracker.add(times[i], persons[believed])
        return self.tracker.clip(times)

    def main(self, window: Window) -> np.ndarray | None:
        """The joints of the person who is seen largest and longest in a window, `(T, V, A)`; None: nobody is."""
        return max(seen_enough(self.of(window)).values(), key=prominence, default=None)

    def forget(self, before: float) -> None:
        """Drop what was seen before a time, in seconds."""
        self.tracker.forget(before)


def seen_enough(persons: Mapping[int, np.ndarray]) -> dict[int, np.ndarray]:
    """Those who are seen in a quarter of their clips' frames; if nobody is, those who are seen most."""
    seen = {number: (clip[..., 2] > 0).any(axis=1).mean() for number, clip in persons.items()}
    least = min(LEAST_SEEN, max(seen.values(), default=0))
    return {number: clip for number, clip in persons.items() if seen[number] >= least and seen[number] > 0}


def prominence(clip: np.ndarray) -> float:
    """The mean size in pixels of a person `(T, V, A)`, 0 in frames where they are not seen."""
    return float(extents(clip).mean())


def believable(pose: np.ndarray, size: tuple[int, int]) -> bool:
    """Whether a pose `(V, A)` in a picture of some width and height is that of a person, by its own word: half of the
    joints lie in the picture, these are sure on average, and no limb between sure ones is longer than twice the trunk
    or the shoulders."""
    inside = ((pose[:, :2] >= 0) & (pose[:, :2] <= size)).all(axis=1)
    if inside.mean() < INSIDE or pose[inside, 2].mean() < SURE:
        return False
    graph = layout_of(len(pose))
    if graph is None or not {*TRUNK} <= {*graph.names}:
        return True
    place = dict(zip(graph.names, pose[:, :2], strict=True))
    sure = dict(zip(graph.names, inside & (pose[:, 2] > SURE), strict=True))
    left, right, low_left, low_right = (place[joint] for joint in TRUNK)
    body = max(np.linalg.norm(left + right - low_left - low_right) / 2, np.linalg.norm(left - right))
    limbs = [(f"{side}_{one}", f"{side}_{other}") for side in ("left", "right") for one, other in LIMBS]
    lengths = [np.linalg.norm(place[one] - place[other]) for one, other in limbs if sure[one] and sure[other]]
    return bool(not body or max(lengths, default=0) <= LONGEST * body)


def check_poses(poses: object, frames: int) -> list[np.ndarray]:
    """What an estimator gave, as float32 arrays `(N, V, A)`, one for each of `frames` frames; NaN means missing.

    Raises:
        ValueError: if it is something else.
    """
    try:
        given = [each.detach().cpu() if isinstance(each, torch.Tensor) else each for each in poses]  # type: ignore[attr-defined]
        arrays = [np.asarray(persons, np.float32) for persons in given]
    except (TypeError, ValueError) as error:
        raise ValueError(f"a pose estimator gives an array (N, V, 3) or (N, V, 6) for each frame: {error}") from None
    joints = {array.shape[1:] for array in arrays if array.ndim == 3 and array.size}
    empty = np.zeros((0, *(joints or {(1, 3)}).copy().pop()), np.float32)
    arrays = [array if array.size else empty for array in arrays]
    if len(arrays) != frames or any(a.ndim != 3 or a.shape[2] not in (3, 6) for a in arrays) or len(joints) > 1:
        raise ValueError(
            f"a pose estimator gives an array (N, V, 3) or (N, V, 6) for each frame, with N persons and the same V "
            f"joints; for {frames} frames this one gave {[array.shape for array in arrays[:3]]}"
        )
    return [without_missing(array) for array in arrays]
