"""How often a movement is repeated in a video, how long each repetition takes, and what works in it.

Shapes: `T` times, `D` measures of a movement, `V` joints; the last axis of joints is x, y and confidence, and more.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from amge.errors import VideoError, describe
from amge.skeleton.files import as_skeletons, is_skeletons
from amge.skeleton.pose.persons import prominence
from amge.skeleton.sequence import Skeletons
from amge.video.path import check_fps
from amge.video.read import frames_at, read_frames

if TYPE_CHECKING:
    from amge.inputs import Source
    from amge.model import MuscleModel
    from amge.prediction import Prediction
    from amge.skeleton.pose import PoseEstimator

RATE = 20.0
"""Looks at a movement, a second."""
MAIN = 0.35
"""Least share of the variance in the main direction of a movement that is done once."""
LOOKS = 15.0
"""Pictures a second in which a pose estimator looks for joints."""
SIDE = 32
"""Longer side, in pixels, of the pictures that a movement is seen in."""
SMOOTHED = 0.15
"""Seconds."""
LOW, HIGH = 0.35, 0.65
"""Of the way between the ends of a movement: a repetition goes over one and back under the other."""
DIRECTIONS, LEAST = 3, 0.05
"""Principal components in which repetitions are looked for, and the least share of the variance in one."""
ALIKE = 0.5
"""Likeness from which movements count as repetitions of one another."""
FRAMES = 32
"""Of a repetition, that a model is shown to choose its own from."""
MOVES = {"joints": 0.04, "pictures": 3.0}
"""Least movement: of joints in sizes of the body, of pictures in grey levels where most changes."""


class Repetition(NamedTuple):
    """One repetition, from where the movement starts back to it."""

    start: float
    end: float
    """In seconds."""

    @property
    def seconds(self) -> float:
        return self.end - self.start


@dataclass(frozen=True)
class Repetitions:
    """The repetitions in a video, in order."""

    repetitions: tuple[Repetition, ...]
    likeness: float | None = None
    """How much alike they are, up to 1; None of fewer than two."""

    @property
    def count(self) -> int:
        return len(self.repetitions)

    @property
    def seconds(self) -> float | None:
        """Of one repetition, the median; None without any."""
        return float(np.median([each.seconds for each in self.repetitions])) if self.repetitions else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        spans = [{"start": round(each.start, 3), "end": round(each.end, 3)} for each in self.repetitions]
        seconds = None if self.seconds is None else round(self.seconds, 3)
        likeness = None if self.likeness is None else round(self.likeness, 3)
        return {"count": self.count, "seconds": seconds, "likeness": likeness, "repetitions": spans}


def repetitions(
    source: "Source",
    pose: "str | PoseEstimator | None" = None,
    fps: float | None = None,
    progress: Callable[[float, float | None], None] | None = None,
) -> Repetitions:
    """The repetitions in a video, by the joints of the main person, or by all that moves in the picture.

    Made for a video of one exercise, taken by a camera that stands still. A movement that is not repeated at all,
    there and back once, is one repetition; where movements are not alike, there is none. An exercise that is done left
    and right in turn may count once for both, or once for each.

    Args:
        source: as for `MuscleModel.preprocess`: a video, raw frames, or keypoints.
        pose: a pose estimator, or its name, that finds joints in a video; without it the pictures are compared.
        fps: frames a second of a folder of images, of frames or of keypoints; default: what a file says, or 30.
        progress: called with the seconds read and those in all, None if not known; of pictures alone.

    Raises:
        VideoError: if the source can't be used.
        ImportError: if the pose estimator is not installed.
    """
    if is_skeletons(source):
        skeletons = as_skeletons(source, fps)
        return of_joints(max(skeletons.keypoints, key=prominence), skeletons.times)
    check_fps(source, fps)  # type: ignore[arg-type]
    if pose is not None:
        from amge.skeleton.pose.whole_video import video_skeletons

        persons, when = video_skeletons(source, pose, LOOKS, rate=fps or 30.0)  # type: ignore[arg-type]
        return of_joints(max(persons, key=prominence), when)
    times: list[float] = []
    pictures: list[np.ndarray] = []
    with closing(read_frames(source, fps or 30.0, SIDE)) as stream:
        for shown in stream:
            if not times or shown.time - times[-1] >= 0.9 / RATE:
                times.append(shown.time)
                pictures.append(shown.image().mean(axis=-1).astype(np.float32).ravel())
                if progress:
                    progress(shown.time, shown.total)
    if len(times) < 2:
        raise VideoError(f"{describe(source)} has {len(times)} frame: a movement needs at least 2 frames")
    movement = _evenly(np.stack(pictures), np.array(times))
    change = np.sort(movement.std(axis=0))
    return _count(movement, float(change[-max(1, len(change) // 50) :].mean()), MOVES["pictures"])


def of_joints(person: np.ndarray, times: np.ndarray) -> Repetitions:
    """The repetitions of one person.

    Args:
        person: joints `(T, V, 3)` in pixels; of confidence 0 where they are not seen.
        times: ascending seconds of each frame, `(T,)`.
    """
    seen = person[..., 2] > 0
    joints = np.flatnonzero(seen.mean(axis=0) >= 0.5)
    if not len(joints):
        return Repetitions(())
    columns = [_evenly(person[seen[:, j], j, :2], times[seen[:, j]], times) for j in joints]
    places = np.stack(columns, axis=1)
    size = np.median(np.linalg.norm(np.ptp(places, axis=1), axis=-1))
    movement = (places / max(float(size), 1e-6)).reshape(len(places), -1)
    low, high = np.quantile(movement, (0.05, 0.95), axis=0)
    return _count(movement, float((high - low).max()), MOVES["joints"])


def activations(
    model: "MuscleModel",
    source: "Source",
    found: Repetitions,
    pose: "str | PoseEstimator | None" = None,
    fps: float | None = None,
) -> "list[Prediction]":
    """What a model says of each repetition, as if it were a video of its own.

    Args:
        model: of muscle regions, or any other.
        source: that the repetitions were found in.
        found: the repetitions.
        pose: as for `model.predict`.
        fps: as for `model.predict`.

    Raises:
        VideoError: if the source can't be used.
    """
    answers = []
    for each in found.repetitions:
        times = each.start + (np.arange(FRAMES) + 0.5) * each.seconds / FRAMES
        if is_skeletons(source):
            whole = as_skeletons(source, fps)
            chosen = np.unique(np.searchsorted(whole.times, times, side="right").clip(1) - 1)
            chosen = chosen if len(chosen) > 1 else np.arange(len(whole.times))[:2]
            answers.append(model.predict(Skeletons(whole.keypoints[:, chosen], whole.times[chosen])))
            continue
        if isinstance(source, str | Path):
            part = frames_at(source, times, fps=fps or 30.0)
        else:
            part = np.asarray(source)[(times * (fps or 30.0)).astype(int).clip(0, len(source) - 1)]  # type: ignore[arg-type]
        answers.append(model.predict(part, pose, FRAMES / each.seconds))
    return answers


def _evenly(values: np.ndarray, times: np.ndarray, span: np.ndarray | None = None) -> np.ndarray:
    """Values `(T, D)` at ascending times, at `RATE` a second through all of a span of time, smoothed; `(T', D)`."""
    first, last = (times if span is None else span)[[0, -1]]
    grid = np.arange(first, last + 1e-6, 1 / RATE)
    after = np.searchsorted(times, grid).clip(1, max(len(times) - 1, 1)).clip(max=len(times) - 1)
    before = (after - 1).clip(0)
    share = (grid - times[before]) / np.maximum(times[after] - times[before], 1e-9)
    even = values[before] + (values[after] - values[before]) * share.clip(0, 1)[:, None]
    weights = np.hanning(round(SMOOTHED * RATE) + 2)[1:-1]
    reach = len(weights) // 2
    padded = np.pad(even, ((reach, reach), (0, 0)), mode="edge")
    return sum(w * padded[i : i + len(even)] for i, w in enumerate(weights / weights.sum()))  # type: ignore[return-value]


def _count(movement: np.ndarray, moved: float, least: float) -> Repetitions:
    """The repetitions of a movement `(T, D)` at `RATE` a second, unless it moves less than the least."""
    if moved < least:
        return Repetitions(())
    movement = movement - movement.mean(axis=0)
    line = np.linspace(-1, 1, len(movement))[:, None]
    drift = line * (line * movement).sum(axis=0) / (line**2).sum()
    found = _repeated(movement)
    return found if found.count else _repeated(movement - drift, once=False)


def _repeated(movement: np.ndarray, once: bool = True) -> Repetitions:
    """The repetitions of a movement `(T, D)` in the principal direction in which they are most alike, at least two; or
    the one, if it may be a single one, of a movement that mostly has one direction."""
    variances, axes = np.linalg.eigh(movement.T @ movement)
    paths = movement @ axes[:, : -2 * DIRECTIONS - 1 : -1]
    shares = variances[::-1] / variances.sum()
    best = single = Repetitions(())
    for number in range(min(DIRECTIONS, paths.shape[1])):
        if number and shares[number] < LEAST:
            break
        found = _excursions(paths[:, number])
        if len(found) < 2:
            if once and not number and shares[0] >= MAIN:
                single = Repetitions(_spans(found, len(paths)))
            continue
        likeness = _likeness(paths, found)
        if likeness >= ALIKE and likeness > (best.likeness or 0) + 0.1:
            best = Repetitions(_spans(found, len(paths)), likeness)
    return best if best.count else single


def _excursions(path: np.ndarray) -> list[tuple[int, int]]:
    """Out and back: the last index at an end of a path `(T,)`, and the first there again, after the other end."""
    low, high = np.quantile(path, (0.03, 0.97))
    share = (path - low) / max(high - low, 1e-9)
    visits: list[list[int]] = []
    for index, value in enumerate(share):
        end = 1 if value >= HIGH else -1 if value <= LOW else 0
        if visits and visits[-1][0] == end:
            visits[-1][2] = index
        elif end or not index:
            visits.append([end, index, index])
    return [(visits[i][2], visits[i + 2][1]) for i in range(0, len(visits) - 2, 2)]


def _spans(found: list[tuple[int, int]], length: int) -> tuple[Repetition, ...]:
    """Each with the part of the rest around it that a steady movement spends there, up to the middle of the rest."""
    spans = []
    for number, (start, end) in enumerate(found):
        more = (end - start) / 3
        before = (start - found[number - 1][1]) / 2 if number else start
        after = (found[number + 1][0] - end) / 2 if number + 1 < len(found) else length - 1 - end
        spans.append(Repetition((start - min(more, before)) / RATE, (end + min(more, after)) / RATE))
    return tuple(spans)


def _likeness(paths: np.ndarray, found: list[tuple[int, int]], points: int = 16) -> float:
    """Share of the variance of paths `(T, D)` that the mean repetition explains, each stretched to the same length."""
    ways = np.stack(
        [
            [np.interp(np.linspace(start, end, points), np.arange(len(paths)), p) for p in paths.T]
            for start, end in found
        ]
    )
    apart = ways.var(axis=0, ddof=1).mean(axis=-1).sum()
    return float(1 - apart / max(ways.transpose(0, 2, 1).reshape(-1, paths.shape[1]).var(axis=0).sum(), 1e-12))
