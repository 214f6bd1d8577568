"""Samples as clips for training and for tests: decoded, cut in time, looked at in one way in every modality.

Shapes: `T` frames, `S` side, `K` labels, `P V A` persons, joints and their axes (3, or 6 with the world joint);
`R` rows of a batch, one for each clip.
"""

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from amge.data.sample import Sample
from amge.errors import VideoError, one_of
from amge.muscles import encode
from amge.skeleton.files import BROKEN, joined, read_skeletons
from amge.skeleton.graph import Graph
from amge.skeleton.layouts import fit_layout, layout_of
from amge.skeleton.sequence import Skeletons, hold
from amge.skeleton.sequence import normalise as normalise_skeleton
from amge.skeleton.tracking import extent
from amge.skeleton.view import seen_joints, turned
from amge.spec import ModelSpec
from amge.video.modality import MODALITIES, from_rgb
from amge.video.picture import read_picture
from amge.video.preprocess import normalise, still_view
from amge.video.read import duration, frames_at
from amge.video.sampling import even_starts, frame_times, random_starts
from amge.video.view import View

if TYPE_CHECKING:
    from amge.video.flow_cache import FlowCache

LOADED = {"rgb": "rgb", "rgb_diff": "rgb", "flow": "flow", "skeleton": "skeleton"}
"""Modality to what is loaded for it: differences are taken on the device."""
FULL = (errno.ENOSPC, errno.EDQUOT)
REPLACEMENTS = 10
"""How many samples in a row may be broken before training gives up."""
MAX_SIDE = 640
"""Pixels of the longer side of frames in a test, as in `amge.video.windows.windows`; in training twice the clip's."""
PAUSE = 10.0
"""Seconds between two clips from which the video is searched for the second rather than decoded up to it."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How training clips vary; the defaults are those of the paper and the official configuration."""

    scale: tuple[float, float] = (0.08, 1.0)
    """Least and largest share of the picture that a random crop shows."""
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Least and largest width by height of the crop."""
    mirror: float = 0.5
    jitter: float = 0.4
    operations: int = 4
    """Of RandAugment; 0: none."""
    magnitude: float = 7
    """Of RandAugment, in 0..10."""
    erase: float = 0.25
    """Probability that a box becomes noise."""
    turn: float = 0
    """Degrees up to which 3-D skeletons turn about the vertical, to either side."""

    def __post_init__(self) -> None:
        for name, most in (("scale", 1.0), ("ratio", 100.0)):
            pair = getattr(self, name)
            if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not 0 < pair[0] <= pair[1] <= most:
                raise ValueError(f"{name} is a least and a largest value over 0, up to {most:g}; got {pair!r}")
        for name, limit in (
            ("mirror", 1),
            ("jitter", 1),
            ("erase", 1),
            ("magnitude", 10),
            ("operations", 20),
            ("turn", 180),
        ):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= limit:
                raise ValueError(f"{name} must be a number in 0..{limit}, got {value!r}")


class Moment(NamedTuple):
    """When a clip is: the seconds of its frames, or for pictures shown in turn their indices."""

    times: np.ndarray
    start: float
    end: float


class Clips(Dataset):
    """The clips of a model from samples.

    An item is a dictionary: for each modality that is loaded `(clips, ...)`, `target` `(K,)`, `index`. It depends on
    the sample, and in training on seed, epoch and the item's index alone, whatever process loads it.

    In training a sample that can't be read is replaced by the next, and `broken` says which and why; in a test the item
    is `broken` and `index` alone.

    Args:
        samples: of one data set or several.
        spec: of the model: frames, size, seconds, crop, normalisation, labels.
        modalities: what to load; `rgb_diff` loads `rgb`.
        train: an augmentation, or None for a test.
        clips: of each video, in training at random times, in a test evenly spread.
        joints: `V` of the model that sees the skeletons, and its graph, if another than that of the skeletons.
        graph: of that model.
        flow: where flow is kept; None: computed on each clip.
        seed: of all chance.
        activities: of a model that learns these in place of the labels; targets are one-hot then.
        axes: `A` of the model that sees the skeletons.

    Raises:
        ValueError: for no samples, an unknown modality, or labels that the model does not have.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        spec: ModelSpec,
        modalities: Sequence[str] = ("rgb",),
        train: Augmentation | None = None,
        clips: int = 1,
        graph: Graph | None = None,
        joints: int | None = None,
        flow: "FlowCache | None" = None,
        seed: int = 0,
        activities: Sequence[str] | None = None,
        axes: int = 3,
    ) -> None:
        if not samples:
            raise ValueError("there are no samples of these splits in the data")
        self.samples, self.spec, self.train, self.clips, self.seed = list(samples), spec, train, clips, seed
        self.loads = tuple(dict.fromkeys(LOADED[one_of("modality", name, MODALITIES)] for name in modalities))
        self.graph, self.joints, self.axes, self.flow = graph, joints, axes, flow
        truth = [sample.regions if activities is None else (sample.activity,) for sample in self.samples]
        self.targets = np.stack([encode(names, activities or spec.labels) for names in truth])
        missing = [sample.id for sample in self.samples if sample.skeletons is None]
        if missing and "skeleton" in self.loads:
            raise ValueError(
                f"{len(missing)} samples lack skeletons, such as {missing[0]}; `amge data prepare skeletons` makes them"
            )
        if train:
            from amge.data.augment import appearance, erasing

            self.appearance: Any = appearance(train.jitter, train.operations, train.magnitude, self.loads != ("rgb",))
            self.erasing: Any = erasing(train.erase)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, Any]:
        """The item of that index, in training of an epoch: `(epoch, index)`."""
        epoch, index = key if isinstance(key, tuple) else (0, key)
        broken: list[tuple[str, str]] = []
        for offset in range(min(REPLACEMENTS, len(self))):
            used = (index + offset) % len(self)
            try:
                return self.load(used, epoch, index) | {"broken": broken}
            except (VideoError, OSError) as error:
                if getattr(error, "errno", None) in FULL:
                    raise  # the flow that is kept finds no place
                broken.append((self.samples[used].id, str(error)))
                if not self.train:
                    return {"index": index, "broken": broken}
        reasons = "; ".join(f"{name}: {reason}" for name, reason in broken[:2])
        raise VideoError(f"{len(broken)} samples one after the other can't be read: {reasons}; run amge data check")

    def load(self, index: int, epoch: int, draw: int) -> dict[str, Any]:
        """The clips of a sample, by the chance of item `draw` of an epoch.

        Raises:
            VideoError: if it can't be read.
        """
        sample = self.samples[index]
        rng = np.random.default_rng([self.seed, epoch, draw])
        moments = self.moments(sample, rng)
        pictures = self.pictures(sample, moments) if {"rgb", "flow"} & set(self.loads) else [None] * len(moments)
        rows = []
        with torch.random.fork_rng(devices=[]):
            for moment, frames in zip(moments, pictures, strict=True):
                torch.default_generator.manual_seed(int(rng.integers(2**62)))  # torch.manual_seed would seed GPUs too
                rows.append(self.look(sample, moment, frames))
        stacked = {name: torch.stack([row[name] for row in rows]) for name in self.loads}
        return {**stacked, "target": torch.from_numpy(self.targets[index]), "index": index}

    def moments(self, sample: Sample, rng: np.random.Generator) -> list[Moment]:
        """When the clips of a sample are.

        Raises:
            VideoError: if it starts after its video ends.
        """
        count = self.spec.frames
        if isinstance(sample.video, tuple):
            shown = len(sample.video)
            starts = rng.integers(shown, size=self.clips) if self.train else np.arange(1)
            return [Moment((start + np.arange(count)) % shown, 0.0, 0.0) for start in starts]
        alone = self.loads == ("skeleton",) and not sample.video.exists()
        whole = skeletons_of(sample.skeletons).end if alone else seconds_of(sample.video)
        begin, end = sample.start or 0.0, whole if sample.end is None else min(sample.end, whole)
        if begin >= end:
            raise VideoError(f"{sample.video} ends at {whole:.1f} s, before {sample.id} starts ({begin:.1f} s)")
        video = end - begin
        clip = min(self.spec.seconds, video)
        begins = random_starts(video, clip, self.clips, rng) if self.train else even_starts(video, clip, self.clips)
        return [Moment(frame_times(begin + s, clip, count), begin + s, begin + s + clip) for s in begins]

    def pictures(self, sample: Sample, moments: Sequence[Moment]) -> list[np.ndarray]:
        """The frames of each clip, uint8 `(T, H, W, 3)`, from one pass over the video.

        Raises:
            VideoError: if it can't be read.
        """
        if isinstance(sample.video, tuple):
            shown = [read_picture(path) for path in sample.video]
            if len({each.shape for each in shown}) > 1:
                raise VideoError(f"the pictures of {sample.id} differ in size: those shown in turn must not")
            return [np.stack(shown)[moment.times] for moment in moments]
        side = 2 * self.spec.size if self.train else MAX_SIDE
        every = np.unique(np.concatenate([moment.times for moment in moments]))
        parts = np.split(every, np.flatnonzero(np.diff(every) > PAUSE) + 1)
        frames = np.concatenate([frames_at(sample.video, part, max_side=side) for part in parts])
        return [frames[np.searchsorted(every, moment.times)] for moment in moments]

    def look(self, sample: Sample, moment: Moment, frames: np.ndarray | None) -> dict[str, Tensor]:
        """One clip in all modalities, under one view."""
        person = self.person(sample, moment) if "skeleton" in self.loads else None
        size = frames.shape[1:3] if frames is not None else canvas(person)
        if self.train:
            from amge.data.augment import random_view

            view = random_view(size, self.train.scale, self.train.ratio, self.train.mirror)
        else:
            view = View(0, 0, 1, size[1] / size[0]) if frames is None else still_view(frames, self.spec.crop)
        row: dict[str, Tensor] = {}
        if person is not None:
            row["skeleton"] = self.skeleton(person, view, size)
        if frames is None:
            return row
        plain = view.video(torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2), self.spec.size)
        if "flow" in self.loads:
            row["flow"] = self.flow_of(sample, moment, view, plain)
        if "rgb" in self.loads:
            row["rgb"] = self.rgb(plain)
        return row

    def rgb(self, frames: Tensor) -> Tensor:
        """Frames `(T, 3, S, S)` in 0..255 to a normalised clip `(3, T, S, S)`."""
        if not self.train:
            return normalise(frames, self.spec.mean, self.spec.std)
        from amge.data.augment import apply

        changed = apply(self.appearance, frames.round().to(torch.uint8)).float()
        clip = normalise(changed, self.spec.mean, self.spec.std)
        return apply(self.erasing, clip.transpose(0, 1)).transpose(0, 1).contiguous()

    def flow_of(self, sample: Sample, moment: Moment, view: View, frames: Tensor) -> Tensor:
        """Flow `(3, T, S, S)` of a clip, from what is kept of the whole video, or computed on its frames."""
        if self.flow is None or isinstance(sample.video, tuple):
            return from_rgb(frames.transpose(0, 1)[None], "flow")[0]
        from amge.video.flow_cache import decode

        step = max((moment.end - moment.start) / self.spec.frames, 0.002)  # the least that is kept
        whole, times = self.flow.get(sample.video, step)
        chosen = (np.searchsorted(times, moment.times + 1e-3, side="right") - 1).clip(0)
        moved = torch.from_numpy(decode(np.asarray(whole[chosen]))).permute(0, 3, 1, 2).contiguous()
        moved[0] = 0
        return view.flow(moved, self.spec.size)

    def person(self, sample: Sample, moment: Moment) -> np.ndarray:
        """Skeletons of a clip in pixels, `(P, T, V, A)`."""
        assert sample.skeletons is not None
        if isinstance(sample.skeletons, tuple):
            path, row = sample.skeletons
            poses = poses_of(path)
            if not isinstance(sample.video, tuple) or not 0 <= row < len(poses) or poses.shape[1] != len(sample.video):
                raise VideoError(f"{path} holds poses {poses.shape}, none in row {row} for the pictures of {sample.id}")
            return poses[row][moment.times][None]
        known = skeletons_of(sample.skeletons)
        if isinstance(sample.video, tuple):
            if len(known.times) != len(sample.video):
                raise VideoError(f"{sample.skeletons} has {len(known.times)} poses for {len(sample.video)} pictures")
            return known.keypoints[:, moment.times]
        chosen = (np.searchsorted(known.times, moment.times + 1e-3, side="right") - 1).clip(0)
        return known.keypoints[:, chosen]

    def skeleton(self, persons: np.ndarray, view: View, size: tuple[int, int]) -> Tensor:
        """The main person, as a skeleton model takes it: `(1, T, V, A)`."""
        sizes = [np.mean([extent(frame) for frame in person]) for person in persons]
        person = persons[int(np.argmax(sizes))][None]
        given = seen_joints(view, person, size, layout_of(person.shape[2]) or self.graph)
        if self.train and self.train.turn:
            given = turned(given, self.train.turn * (2 * float(torch.rand(())) - 1))
        fitted = fit_layout(given, self.joints or given.shape[2], self.graph, self.axes)[0]
        return torch.from_numpy(normalise_skeleton(hold(fitted), self.graph or layout_of(fitted.shape[1])))[None]


def canvas(persons: Any) -> tuple[int, int]:
    """A picture that holds all joints: height and width."""
    far = persons[..., :2].reshape(-1, 2).max(axis=0, initial=1)
    return int(far[1]) + 1, int(far[0]) + 1


@lru_cache(maxsize=100_000)
def seconds_of(video: Path) -> float:
    return duration(video)


@lru_cache(maxsize=8)
def poses_of(path: Path) -> np.ndarray:
    """Poses `(n, pictures, V, A)` of an npz."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            poses = joined(archive).astype(np.float32)
            if poses.ndim != 4:
                raise ValueError(f"expected (n, pictures, V, 3), got {poses.shape}")
            return poses
    except (OSError, KeyError, ValueError, *BROKEN) as error:
        raise VideoError(f"{path} holds no poses: {error}") from error


@lru_cache(maxsize=1024)
def skeletons_of(path: Any) -> Skeletons:
    return read_skeletons(path)
