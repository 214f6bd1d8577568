"""What a data set is: a list of samples, each a video with its labels. It is read lazily, by `amge.data.clips`."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from amge.data.activities import canonical
from amge.errors import one_of

SPLITS = ("train", "val_seen", "val_unseen", "test_seen", "test_unseen")
"""Seen: activities that are in `train`; unseen: activities that are not."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One video, or one part of a video, and its labels."""

    id: str
    """Unique within its data set."""
    video: Path | tuple[Path, ...]
    """A video file, a folder of images, or pictures shown in turn, over and over: start and end of a movement."""
    regions: tuple[str, ...]
    """Labels that are true."""
    activity: str
    split: str
    source: str = ""
    """The recording it was cut from: samples of one source belong to one side of a split. Empty: the sample itself."""
    start: float | None = None
    end: float | None = None
    """Part of the video, in seconds; None: from its start, to its end."""
    skeletons: Path | tuple[Path, int] | None = None
    """What `read_skeletons` takes; or an npz of poses `keypoints` `(n, pictures, V, 3)` and the row to take."""

    def __post_init__(self) -> None:
        one_of("split", self.split, SPLITS)
        if not self.id:
            raise ValueError(f"a sample needs an id; {self.video} has none")
        begin, end = self.start or 0.0, float("inf") if self.end is None else self.end
        if not 0 <= begin < end:
            raise ValueError(f"{self.id}: expected 0 <= start < end in seconds, got {self.start} and {self.end}")

    @property
    def files(self) -> tuple[Path, ...]:
        """What it is read from."""
        return self.video if isinstance(self.video, tuple) else (self.video,)


def of_split(samples: Iterable[Sample], *splits: str) -> list[Sample]:
    """The samples of some splits."""
    for split in splits:
        one_of("split", split, SPLITS)
    return [sample for sample in samples if sample.split in splits]


def fingerprint(samples: Sequence[Sample]) -> str:
    """A SHA-256 of ids, labels and splits and of the name and size of each file: the same for the same data, wherever
    it lies."""
    digest = hashlib.sha256()
    for sample in sorted(samples, key=lambda sample: sample.id):
        names: list[Any] = [sample.id, sorted(sample.regions), sample.activity, sample.split, sample.start, sample.end]
        for path in sample.files:
            names += [path.name, path.stat().st_size if path.is_file() else None]
        digest.update(repr(names).encode())
    return digest.hexdigest()


def leaks(samples: Iterable[Sample]) -> list[str]:
    """Ways in which a test could profit from training, a line each: an unseen activity that is in `train`, and sources,
    or else files, that lie on both sides of a split. Activities are the same however they are spelled. No lines: none.
    """
    activities: dict[str, dict[str, str]] = {}
    sources: dict[str, set[str]] = {}
    files: dict[Path, dict[str, str]] = {}
    for sample in samples:
        source = sample.source or sample.id
        activities.setdefault(sample.split, {})[canonical(sample.activity)] = sample.activity
        sources.setdefault(source, set()).add(sample.split)
        for path in sample.files:
            files.setdefault(Path(os.path.normpath(path)), {})[source] = sample.split
    trained = activities.get("train", {})
    found = [
        f"activity {activity!r} is in train and in {split}"
        for split in ("val_unseen", "test_unseen")
        for spelling, activity in sorted(activities.get(split, {}).items())
        if spelling in trained
    ]
    shared = {source for source, splits in sources.items() if len(splits) > 1}
    found += [f"source {source!r} is in {', '.join(sorted(sources[source]))}" for source in sources if source in shared]
    return found + [
        f"file {path} is in {', '.join(sorted(set(sides.values())))}"
        for path, sides in files.items()
        if len(set(sides.values())) > 1 and not shared & sides.keys()
    ]


def combined(sets: dict[str, Sequence[Sample]]) -> list[Sample]:
    """Several data sets as one; ids and sources get the name of their set before them."""
    if len(sets) == 1:
        return list(next(iter(sets.values())))
    return [
        replace(sample, id=f"{name}/{sample.id}", source=f"{name}/{sample.source or sample.id}")
        for name, samples in sets.items()
        for sample in samples
    ]
