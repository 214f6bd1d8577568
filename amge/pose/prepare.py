"""Skeletons of the videos of a data set, estimated once and kept, for training on the modality `skeleton`."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from amge.data.frames import VideoError
from amge.data.manifest import write_manifest
from amge.data.sample import Sample
from amge.data.track import Tracker
from amge.data.video import _read
from amge.files import whole
from amge.pose.estimators import PoseEstimator, estimator
from amge.pose.persons import check_poses

MANIFEST = "manifest.csv"
BATCH = 16
"""Frames that are given to the estimator together."""


def video_skeletons(
    video: Path, pose: str | PoseEstimator = "mediapipe", fps: float = 10.0, max_side: int = 640
) -> tuple[np.ndarray, np.ndarray]:
    """The persons of a whole video, tracked.

    Args:
        video: a file or a folder of images.
        pose: a pose estimator, or its name.
        fps: frames a second that are looked at, at most.
        max_side: larger frames are scaled down to this many pixels on their longer side; the joints lie in these.

    Returns:
        float32 `(P, T, V, 3)`, zero where a person is not seen, and the seconds of each frame `(T,)`.

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

    with closing(_read(video, 30.0, max_side)) as stream:
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
        raise VideoError(f"no person was found in {video}")
    return np.stack(list(persons.values())), np.array(times)


def prepare(
    samples: Sequence[Sample],
    out: str | Path,
    pose: str | PoseEstimator = "mediapipe",
    fps: float = 10.0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Sample], dict[str, str]]:
    """Estimate the skeletons of all videos into `out/skeletons/*.npz`, and list the samples with them in a manifest.

    Videos that are done are left alone, so that it goes on after a cut. Samples whose video can't be read, or shows
    nobody, are left out.

    Args:
        samples: of video files or folders; those that have skeletons keep them.
        out: the folder to make; `amge` reads it as the data set `folder`.
        pose: a pose estimator, or its name.
        fps: frames a second that are looked at, at most.
        progress: called with the number of samples done and of all.

    Returns:
        the samples with skeletons, and why others were left out, by id.

    Raises:
        ValueError: if no sample is left.
        ImportError: if the estimator is not installed.
    """
    folder = Path(out) / "skeletons"
    made: list[Sample] = []
    left_out: dict[str, str] = {}
    for number, sample in enumerate(samples):
        if progress:
            progress(number, len(samples))
        if sample.skeletons is not None or isinstance(sample.video, tuple):
            made.append(sample)
            continue
        name = hashlib.sha256(str(sample.video.resolve()).encode()).hexdigest()[:12]
        path = folder / f"{sample.video.stem}-{name}.npz"
        try:
            if not path.exists():
                keypoints, times = video_skeletons(sample.video, pose, fps)
                with whole(path) as part:
                    np.savez_compressed(part, keypoints=keypoints, times=times)
            made.append(replace(sample, video=sample.video.resolve(), skeletons=path.resolve()))
        except VideoError as error:
            left_out[sample.id] = str(error)
    if not made:
        name, reason = next(iter(left_out.items()))
        raise ValueError(f"none of {len(samples)} samples has skeletons, such as {name}: {reason}")
    write_manifest(made, Path(out) / MANIFEST)
    return made, left_out
