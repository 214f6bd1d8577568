"""Reads a whole data set once, before a training run finds what is broken in it."""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from amge.data.sample import SPLITS, Sample, fingerprint, leaks
from amge.errors import VideoError
from amge.muscles import REGION_IDS
from amge.skeleton.files import BROKEN, joined, read_skeletons
from amge.video.frames import IMAGE_SUFFIXES, from_images
from amge.video.read import read_frames

FULL_SIZE = 2**20
"""A largest side, in pixels, that scales nothing down."""
SLACK = 0.5
"""Seconds that a sample may end after its video, as containers round."""


@dataclass(frozen=True)
class Contents:
    """What is in a video, or in the pictures that stand for one."""

    frames: int
    seconds: float | None
    """None for pictures."""
    width: int
    height: int


@dataclass(frozen=True)
class Broken:
    """A sample that can't be used."""

    id: str
    split: str
    reason: str


@dataclass(frozen=True)
class Report:
    """What there is, and what is wrong with it."""

    fingerprint: str
    """That of `amge.data.sample.fingerprint`."""
    splits: dict[str, int]
    """Samples in each of `SPLITS`."""
    activities: dict[str, int]
    """Activities in each of `SPLITS`."""
    regions: dict[str, dict[str, int]]
    """For each label, samples in each of `SPLITS` in which it is true."""
    contents: dict[str, Contents]
    """By the id of each sample whose video can be read."""
    broken: tuple[Broken, ...]
    leaks: tuple[str, ...]
    warnings: tuple[str, ...]
    seconds: float
    """How long it took."""

    @property
    def ok(self) -> bool:
        """Whether every sample can be used."""
        return not self.broken

    def as_json(self) -> dict[str, Any]:
        """The report as JSON can hold it."""
        return asdict(self)


def counts(samples: Iterable[Sample]) -> tuple[dict[str, int], dict[str, int], dict[str, dict[str, int]]]:
    """Samples and activities in each split, and samples of each region in each; regions in the order of `REGION_IDS`,
    then others by name. Where all are others, these alone."""
    samples = list(samples)
    found = {region for sample in samples for region in sample.regions}
    labels = sorted(found - set(REGION_IDS))
    if found & set(REGION_IDS) or not found:
        labels = [*REGION_IDS, *labels]
    number = dict.fromkeys(SPLITS, 0)
    activities: dict[str, set[str]] = {split: set() for split in SPLITS}
    regions = {label: dict.fromkeys(SPLITS, 0) for label in labels}
    for sample in samples:
        number[sample.split] += 1
        activities[sample.split].add(sample.activity)
        for region in sample.regions:
            regions[region][sample.split] += 1
    return number, {split: len(names) for split, names in activities.items()}, regions


def check(samples: Sequence[Sample], workers: int = 1, progress: Callable[[int, int], None] | None = None) -> Report:
    """Read each video from start to end, once, and each file of skeletons.

    Args:
        samples: of any splits.
        workers: threads that read.
        progress: called with the number of samples done and of all.

    Raises:
        ValueError: for no samples, or no workers.
    """
    if not samples or workers < 1:
        raise ValueError(f"expected at least one sample and one worker, got {len(samples)} and {workers}")
    begin = time.perf_counter()
    poses = cache(_poses)
    videos = list(dict.fromkeys(sample.video for sample in samples))
    read: dict[Path | tuple[Path, ...], Contents | str] = {}
    with ThreadPoolExecutor(workers) as pool:
        for video, found in zip(videos, pool.map(_contents, videos), strict=True):
            read[video] = found
            if progress:
                progress(len(read), len(videos))
    contents: dict[str, Contents] = {}
    broken: list[Broken] = []
    warnings: list[str] = []
    for sample in samples:
        found = read[sample.video]
        if isinstance(found, str):
            reason: str | None = found
        else:
            contents[sample.id] = found
            reason = _misplaced(sample, found, warnings)
        try:
            _check_skeletons(sample, poses, warnings)
        except VideoError as error:
            reason = f"{reason}; {error}" if reason else str(error)
        if reason:
            broken.append(Broken(sample.id, sample.split, reason))
    splits, activities, regions = counts(samples)
    for name in regions.keys() - set(REGION_IDS):
        if close := get_close_matches(name, REGION_IDS, n=1, cutoff=0.8):
            warnings.append(f"label {name} is no muscle region, is {close[0]} meant?")
    warnings += [f"region {name} is in no training sample" for name, row in regions.items() if _untrained(row)]
    return Report(
        fingerprint(samples),
        splits,
        activities,
        regions,
        contents,
        tuple(broken),
        tuple(leaks(samples)),
        tuple(warnings),
        time.perf_counter() - begin,
    )


def _untrained(row: dict[str, int]) -> bool:
    return not row["train"] and any(row.values())


def _contents(video: Path | tuple[Path, ...]) -> Contents | str:
    """What is in a video, or why it can't be read."""
    try:
        return _pictures(video) if isinstance(video, tuple) else _frames(video)
    except (VideoError, OSError) as error:
        return " ".join(str(error).split())


def _frames(video: Path) -> Contents:
    count, end, size = 0, 0.0, (0, 0)
    images = video.is_dir()
    with closing(read_frames(video, 30.0, FULL_SIZE)) as stream:
        for shown in stream:
            if images or not count:
                height, width = shown.image().shape[:2]
                size = width, height
            count, end = count + 1, shown.end
    if count < 2:
        raise VideoError(f"{video} has {count} frame{'s' * (count != 1)}: a movement needs at least 2 frames")
    return Contents(count, end, *size)


def _pictures(pictures: tuple[Path, ...]) -> Contents:
    size = (0, 0)
    for picture in pictures:
        with closing(_read_picture(picture)) as stream:
            height, width = next(stream).image().shape[:2]
            if size not in ((0, 0), (width, height)):
                raise VideoError(
                    f"{picture} is {width}x{height}, {pictures[0].name} {size[0]}x{size[1]}: pictures of one movement "
                    "must have one size"
                )
            size = width, height
    return Contents(len(pictures), None, *size)


def _read_picture(picture: Path) -> Any:
    if not picture.is_file():
        raise VideoError(f"{picture}: no such file; check the path")
    if picture.suffix.lower() not in IMAGE_SUFFIXES or picture.name.startswith("."):
        raise VideoError(f"{picture} is not called like a picture; known are {', '.join(IMAGE_SUFFIXES)}")
    return from_images(picture.parent, [picture.name], 1.0, FULL_SIZE)


def _misplaced(sample: Sample, found: Contents, warnings: list[str]) -> str | None:
    """What is wrong with the part of the video that the sample is."""
    if found.seconds is None:
        return None
    if sample.start is not None and sample.start >= found.seconds:
        return f"it starts at {sample.start:g} s, {sample.files[0].name} ends at {found.seconds:.2f} s"
    if sample.end is not None and sample.end > found.seconds + SLACK:
        warnings.append(f"{sample.id} ends at {sample.end:g} s, {sample.files[0].name} at {found.seconds:.2f} s")
    return None


def _check_skeletons(sample: Sample, poses: Callable[[Path], np.ndarray], warnings: list[str]) -> None:
    """Raises `VideoError` if the skeletons can't be used; that nobody is in a pose is only worth a warning."""
    if sample.skeletons is None:
        return
    if isinstance(sample.skeletons, Path):
        read_skeletons(sample.skeletons)
        return
    path, row = sample.skeletons
    keypoints = poses(path)
    if not 0 <= row < len(keypoints):
        raise VideoError(f"{path} has poses 0..{len(keypoints) - 1}, none of row {row}")
    if keypoints.shape[1] != len(sample.files):
        raise VideoError(f"{path} has poses of {keypoints.shape[1]} pictures, the sample has {len(sample.files)}")
    if not (np.isfinite(keypoints[row]).all(axis=-1) & (keypoints[row, ..., 2] > 0)).any():
        warnings.append(f"{sample.id}: nobody is in its poses")


def _poses(path: Path) -> np.ndarray:
    """The keypoints `(n, pictures, V, A)` of a file."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            keypoints = joined(archive)
    except FileNotFoundError:
        raise VideoError(f"{path}: no such file; check the path") from None
    except (OSError, KeyError, ValueError, AttributeError, *BROKEN) as error:
        raise VideoError(f"{path} holds no poses ({error!r})") from None
    if keypoints.ndim != 4 or keypoints.shape[-1] not in (3, 6):
        raise VideoError(f"{path}: expected keypoints (n, pictures, V, 3), got {keypoints.shape}")
    return keypoints
