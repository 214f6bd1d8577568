"""What a model looks at in a video when it says how active a region is.

Shapes: `T H W` frames or grid, `V` joints.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from amge.errors import VideoError, describe, one_of
from amge.explain.looks import METHODS, Maps, seeing
from amge.explain.moments import LEAST, Moment, moment
from amge.inputs import Input
from amge.muscles import REGION_NAMES
from amge.prediction import Prediction, WindowPrediction, light, of_windows, threshold_of
from amge.results import stacked
from amge.skeleton.graph import Graph
from amge.spec import ModelSpec
from amge.viz.explanation import MOVING, Marks, Panel, Sheet, animate, check_format, strip
from amge.viz.overlay import heated, jointed
from amge.viz.page import save

if TYPE_CHECKING:
    from PIL.Image import Image

MOST = 32
"""Windows that are explained; of a longer video every second goes, again and again."""
TITLES = {"grad-cam": "Grad-CAM", "hires-cam": "HiResCAM", "attention": "Attention of the muscle tokens"}


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """Where a model sees what speaks for a region.

    Numbers are shares of the largest one in the video: 1 is the place that speaks most for the region, and all are 0
    where none does. Windows in which nobody is seen are left out; of a long video at most 32 are shown.
    """

    region: str
    prediction: Prediction
    """Of the whole video; in a skeleton model of the main person."""
    method: str
    """One of `METHODS`."""
    moments: tuple[Moment, ...]
    """The windows in order of time: frames, their times, joints in pixels."""
    cells: np.ndarray | None
    """float32 `(windows, T', H', W')`, the grid that the maps are drawn from; None for a model of joints alone."""
    joints: np.ndarray | None
    """Importance of each joint, float32 `(windows, T, V)` in 0..1, smoothed over time: a frame counts half, the one
    before it and the one after it a quarter each. None for a model that sees no joints."""
    graph: Graph | None = None
    """Of the joints."""

    @property
    def maps(self) -> np.ndarray | None:
        """float32 `(windows, T, H, W)` in 0..1, on the pixels of `frames`; None for a model of joints alone."""
        if self.cells is None:
            return None
        moments = range(len(self.moments[0].times))
        return np.stack([[self._map(window, t) for t in moments] for window in range(len(self.moments))])

    @property
    def frames(self) -> np.ndarray:
        """What the model sees, uint8 `(windows, T, H, W, 3)`: the square that is cut out for it; for a skeleton model
        one around the person, white where joints come without pictures."""
        return np.stack([each.frames for each in self.moments])

    @property
    def probability(self) -> float:
        """Of the region, the mean over the windows."""
        return self.prediction[self.region] or 0.0

    @property
    def brightest(self) -> float | None:
        """Seconds of the frame, among those that `at` shows, whose brightest place and brightest joint are the most
        together; the first of several; None if nothing is lit."""
        most, when = 0.0, None
        ends = [*(each.times[0] for each in self.moments[1:]), np.inf]
        for window, (shown, end) in enumerate(zip(self.moments, ends, strict=True)):
            lit = np.zeros(len(shown.times))
            if self.cells is not None:
                lit += self._cells(window).amax(dim=(1, 2)).numpy()
            if self.joints is not None and shown.keypoints is not None:
                lit += (self.joints[window] * (shown.keypoints[..., 2] >= LEAST)).max(axis=1)
            lit[np.asarray(shown.times) >= end] = 0  # the next window is shown then
            if lit.max() > most:
                most, when = float(lit.max()), float(shown.times[lit.argmax()])
        return when

    def _shown(self, seconds: float) -> tuple[int, int]:
        """The window, and the frame in it, that is shown at a time."""
        starts = [each.times[0] for each in self.moments]
        window = max(0, int(np.searchsorted(starts, seconds, "right")) - 1)
        return window, max(0, int(np.searchsorted(self.moments[window].times, seconds, "right")) - 1)

    def _cells(self, window: int) -> Tensor:
        """Of each frame of a window, `(T, H', W')`."""
        cells = torch.from_numpy(self.cells[window])  # type: ignore[index]
        in_time = F.interpolate(cells.flatten(1).T[None], len(self.moments[window].frames), mode="linear")
        return in_time[0].T.unflatten(1, cells.shape[1:])

    def _map(self, window: int, index: int) -> np.ndarray:
        """Of one frame, `(H, W)`."""
        frame = self._cells(window)[None, index : index + 1]
        return F.interpolate(frame, self.moments[window].frames.shape[1:3], mode="bilinear")[0, 0].numpy()

    def at(self, seconds: float, bare: bool = False) -> np.ndarray:
        """The frame at a time, with what the model looks at drawn over it unless it is to be bare, `(H, W, 3)`."""
        window, index = self._shown(seconds)
        shown = self.moments[window]
        frame = shown.frames[index]
        if self.cells is not None and not bare:
            frame = heated(frame, self._map(window, index))
        if self.joints is not None and shown.keypoints is not None and not bare:
            frame = jointed(frame, shown.keypoints[index], self.joints[window, index], self.graph)
        return frame

    def plot(self) -> "Image":
        """A strip of frames with what the model looks at."""
        return strip(sheet([[self]]))

    def save(self, path: str | Path) -> None:
        """Write a strip of frames (png, jpg, webp) or a video (gif, mp4).

        Raises:
            ValueError: for another suffix.
            OSError: if it can't be written.
        """
        save_explanations(path, [[self]])

    def __repr__(self) -> str:
        return (
            f"Explanation of {self.region}, {self.probability:.2f}, by {self.prediction.model}: {self.method}, "
            f"{len(self.moments)} window(s) of {len(self.moments[0].frames)} frames"
        )


def explain(
    model: Any,
    spec: ModelSpec,
    rows: Iterable[Input],
    answer: Callable[[Input], WindowPrediction],
    source: object,
    regions: Sequence[str] | None,
    method: str,
) -> list[Explanation]:
    """What `MuscleModel.explain` does.

    Args:
        model: takes what the rows give.
        spec: of the model.
        rows: window by window.
        answer: what the model says of one.
        source: of the rows.
        regions: labels of the spec; None: the likeliest one.
        method: one of `METHODS`.
    """
    look = METHODS[one_of("method", method, METHODS)]
    labels = {name: spec.labels.index(one_of("region", name, spec.labels)) for name in regions or spec.labels}
    parts = seeing(model, method)
    windows: list[WindowPrediction] = []
    kept: list[tuple[int, int | None, Moment, dict[str, Maps]]] = []
    numbers: dict[float, int] = {}
    step = 1
    for row in rows:
        number = numbers.setdefault(row.window.start, len(numbers))
        found = answer(row)
        windows.append(light(found))
        if row.given is None or found.verdict == "nobody" or number % step:
            continue
        maps = look(model, parts, stacked([row.given]), labels)
        kept.append((number, found.person, moment(row.window, spec, parts.get("joints")), maps))
        if len({each[0] for each in kept}) > MOST:
            step *= 2
            kept = [each for each in kept if each[0] % step == 0]
    path = str(source) if isinstance(source, str | os.PathLike) else None
    prediction = of_windows(windows, spec.labels, spec.threshold, spec.name, path)
    shown = [(moment, maps) for _, person, moment, maps in kept if person == prediction.person]
    if prediction.verdict == "nobody" or not shown:
        raise VideoError(f"nobody is seen in {describe(source)}: {'; '.join(prediction.reasons)}")
    moments = tuple(moment for moment, _ in shown)

    graph = getattr(parts.get("joints"), "graph", None)

    def of(region: str) -> Explanation:
        arrays = {part: to_shares(torch.stack([maps[region][part] for _, maps in shown])) for part in parts}
        if "joints" in arrays:  # (windows, T', V, 1) to (windows, T, V)
            each_joint = arrays["joints"][..., 0].transpose(1, 2)
            in_time = F.interpolate(each_joint, len(moments[0].times), mode="linear")
            around = F.pad(in_time, (1, 1), mode="replicate")
            smooth = (around[..., :-2] + 2 * in_time + around[..., 2:]) / 4  # that colours do not flicker
            arrays["joints"] = to_shares(smooth).transpose(1, 2)
        cells, joints = (arrays[part].numpy() if part in arrays else None for part in ("pictures", "joints"))
        return Explanation(region, prediction, method, moments, cells, joints, graph)

    return [of(region) for region in regions or [prediction.top(1)[0][0]]]


def to_shares(maps: Tensor) -> Tensor:
    """Maps in shares of their largest number; zeros stay."""
    return maps / maps.max().clamp(min=1e-12)


def save_explanations(
    path: str | Path, rows: Sequence[Sequence[Explanation]], truth: Iterable[str] | None = None
) -> None:
    """Write explanations side by side into a strip of frames (png, jpg, webp) or a video (gif, mp4).

    Args:
        path: its suffix says which.
        rows: one for each region; in a row one for each model.
        truth: regions that are active in truth, to mark what each model has right, misses and falsely says.

    Raises:
        ValueError: for another suffix, or a region that a model does not know.
        OSError: if it can't be written.
    """
    path = Path(path)
    check_format(path)
    page = sheet(rows, truth)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() in MOVING:
        animate(path, page)
    else:
        save(path, strip(page))


def sheet(rows: Sequence[Sequence[Explanation]], truth: Iterable[str] | None = None) -> Sheet:
    """What is drawn of explanations, see `save_explanations`."""
    first = rows[0][0]
    title = Path(first.prediction.source or "").stem.replace("_", " ") or "What the model looks at"
    doubts = [
        f"{each.prediction.verdict}: {'; '.join(each.prediction.reasons)}"
        for each in rows[0]
        if each.prediction.reasons
    ]
    marks = None if truth is None else [marked(each.prediction, [*truth]) for each in rows[0]]
    panels = [[panel(each) for each in row] for row in rows]
    bare = Panel(first.prediction.model, "as the model sees it", "", lambda seconds: first.at(seconds, bare=True))
    end = max(each.prediction.windows[-1].end for each in rows[0])
    return Sheet(title, TITLES[first.method], "; ".join(dict.fromkeys(doubts)), panels, bare, end, marks)


def panel(each: Explanation) -> Panel:
    """One explanation as a panel."""
    active = each.probability >= threshold_of(each.prediction.threshold, each.region)
    said = f"{each.probability:.0%}, {'active' if active else 'under the threshold'}"
    if not any(values is not None and values.any() for values in (each.cells, each.joints)):
        said += "; nothing that is seen speaks for it"
    name = REGION_NAMES.get(each.region, "")
    title = f"{name} ({each.region})" if name else each.region
    return Panel(each.prediction.model, title, said, each.at, each.brightest)


def marked(prediction: Prediction, truth: Sequence[str]) -> Marks:
    """The regions that a prediction has right, misses and falsely says, with their probabilities."""
    for region in truth:
        one_of("region", region, prediction)
    active = set(prediction.active)

    def said(names: Iterable[str]) -> list[str]:
        return [f"{name} {prediction[name] or 0:.0%}" for name in names]

    return Marks(
        said(name for name in prediction.active if name in truth),
        said(name for name in dict.fromkeys(truth) if name not in active),
        said(name for name in prediction.active if name not in truth),
    )
