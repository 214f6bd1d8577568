"""The skeletons of a whole video.

Shapes: `P` persons, `T` frames, `V` joints; the last axis, `A`, is x and y in pixels and confidence, and in three
dimensions the world joint besides.
"""

from contextlib import closing
from pathlib import Path

import numpy as np
from torch import Tensor

from amge.errors import VideoError, describe
from amge.skeleton.pose.estimators import PoseEstimator, estimator
from amge.skeleton.pose.persons import check_poses
from amge.skeleton.tracking import Tracker
from amge.video.read import read_frames

BATCH = 16
"""Frames that are given to the estimator together."""


def video_skeletons(
    video: "Path | str | np.ndarray | Tensor",
    pose: str | PoseEstimator = "mediapipe",
    fps: float = 10.0,
    max_side: int = 640,
    rate: float = 30.0,
) -> tuple[np.ndarray, np.ndarray]:
    """The persons of a whole video, tracked.

    Args:
        video: a file or a folder of images, or raw frames, uint8 `(T, H, W, 3)`.
        pose: a pose estimator, or its name.
        fps: frames a second that are looked at, at most.
        max_side: larger frames are scaled down to this many pixels on their longer side; the joints lie in these.
        rate: frames a second of what has no rate of its own: images and raw frames.

    Returns:
        float32 `(P, T, V, A)`, zero where a person is not seen, and the seconds of each frame `(T,)`.

    Raises:
        VideoError: if the video can't be read, or nobody is in it.
        ImportError: if the estimator is not installed.
    """
    estimate, tracker = estimator(pose), Tracker()
    times: list[float] = []
    waiting: list[tuple[float, np.ndarray]] = []

    def look() -> None:
        found = check_poses(estimate(np.stack([frame for _, frame in waiting])), len(waiting))
        for (time, _), persons in zip(waiting, found, strict=True):
            tracker.add(time, persons)
        waiting.clear()

    with closing(read_frames(video, rate, max_side)) as stream:
        for shown in stream:
            if not times or shown.time - times[-1] >= 1 / fps - 1e-3:
                times.append(shown.time)
                waiting.append((shown.time, shown.image()))
                if len(waiting) == BATCH:
                    look()
    if waiting:
        look()
    persons = tracker.clip(tuple(times))
    if not persons:
        raise VideoError(f"no person was found in {describe(video)}")
    return np.stack(list(persons.values())), np.array(times)
