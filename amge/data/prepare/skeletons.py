"""Skeletons of the videos of a data set, estimated once and kept, for training on the modality `skeleton`."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from amge.data.manifest import MANIFEST, write_manifest
from amge.data.sample import Sample
from amge.errors import VideoError
from amge.files import whole
from amge.skeleton.files import parted
from amge.skeleton.pose.estimators import PoseEstimator
from amge.skeleton.pose.whole_video import video_skeletons


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
                    np.savez_compressed(part, times=times, **parted(keypoints))
            made.append(replace(sample, video=sample.video.resolve(), skeletons=path.resolve()))
        except VideoError as error:
            left_out[sample.id] = str(error)
    if not made:
        name, reason = next(iter(left_out.items()))
        raise ValueError(f"none of {len(samples)} samples has skeletons, such as {name}: {reason}")
    write_manifest(made, Path(out) / MANIFEST)
    return made, left_out
