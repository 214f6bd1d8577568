"""A model that watches: what it says of the last seconds, again and again, and how far behind it is."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from amge.errors import VideoError
from amge.inputs import choice
from amge.live.newest import Newest, one_by_one, paced
from amge.live.reuse import Remembering, remembering
from amge.live.sliding import Sliding
from amge.live.source import PATIENCE, Source, open_source
from amge.prediction import Threshold, WindowPrediction, check_threshold, rounded

if TYPE_CHECKING:
    from amge.model import MuscleModel
    from amge.skeleton.pose import PoseEstimator

LATENCIES = 100_000
"""Results whose latency is counted, the last ones: a day at two a second takes no more memory than that."""


@dataclass(frozen=True)
class Result:
    """What a model says of one window, of one person in it if it is a skeleton model."""

    prediction: WindowPrediction
    """With its frames."""
    active: list[str]
    """Regions from the threshold up, most likely first."""
    latency: float
    """Seconds from when the last frame of the window was there to this result."""
    dropped: int
    """Frames so far that no window could take, as the model was behind."""
    skipped: int
    """Windows so far that were passed over, as the model was behind."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `amge watch --headless` prints them."""
        said = self.prediction
        person = {} if said.person is None else {"person": said.person}
        return {
            "time": round(said.end, 3),
            "start": round(said.start, 3),
            **person,
            "verdict": said.verdict,
            "reasons": list(said.reasons),
            "regions": rounded(said.probabilities),
            "active": self.active,
            "latency_ms": round(1000 * self.latency, 1),
            "dropped": self.dropped,
            "skipped": self.skipped,
        }


class Watch:
    """Iterates over the results of a model on a camera, a stream or a file, as long as there are frames.

    Every `every` seconds of the source there is a window of its last seconds; the first ones are shorter. A window is
    the same that the model sees of the video offline, and so is the answer. Frames are read in a thread of their own.
    Of a backbone that sees frames one by one (`amge.backbones.contract.EncodesFrames`) those that windows share are
    encoded once.

    Args:
        model: with a spec.
        source: as for `amge.live.source.open_source`, or an opened one.
        every: seconds from result to result; while the model is slower, some are left out.
        seconds: length of a window; default: that of the model's spec.
        threshold: from which probability a region is active; default: the spec's.
        pose: as for `MuscleModel.predict_windows`.
        fast: do not wait for the time of a file's frames, and leave nothing out.
        clock: tells the time in seconds.

    Raises:
        VideoError: (a `ValueError`) if the source can't be opened; or when a camera or stream is lost, from the
            iteration; in one line.
        ValueError: for an argument that can't be used.
    """

    def __init__(
        self,
        model: "MuscleModel",
        source: str | Source,
        every: float = 0.5,
        seconds: float | None = None,
        threshold: Threshold | None = None,
        pose: "str | PoseEstimator | None" = None,
        fast: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if model.spec is None:
            raise ValueError("this model was put together by hand; without a spec it does not know its labels or input")
        spec = model.spec if seconds is None else model.spec.replace(seconds=float(seconds))
        if not 0 < every <= spec.seconds:
            raise ValueError(f"every must be over 0, and at most the {spec.seconds:g} s of a window, got {every:g}")
        self.threshold = check_threshold(spec.threshold if threshold is None else threshold, spec.labels)
        side, spread = choice(spec)
        self.source = open_source(source, side) if isinstance(source, str) else source
        name, frames = self.source.name, self.source.frames
        if fast and self.source.live:
            raise VideoError(f"{name} sends at its own rate; only a file can be read as fast as possible")
        self.model, self.pose, self.clock = remembering(model), pose, clock
        self.model.spec = spec
        self.results = 0
        self.latencies: deque[float] = deque(maxlen=LATENCIES)
        self._closed = threading.Event()
        self._reader: Newest | None = None
        if not fast:
            frames = frames if self.source.live else paced(frames, clock, self._closed.wait)
            self._reader = Newest(frames, name, patience=1.5 * PATIENCE if self.source.live else None, clock=clock)
        batches = self._reader or one_by_one(frames, clock)
        self.sliding = Sliding(batches, name, spec.frames, spec.seconds, every, spread)

    @property
    def picture(self) -> np.ndarray | None:
        """The last frame that came, uint8 `(H, W, 3)`; None before there is one, and for a `fast` file."""
        return self._reader.picture if self._reader else None

    @property
    def dropped(self) -> int:
        """Frames so far that no window could take, as the model was behind."""
        return self._reader.dropped if self._reader else 0

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the iteration and the reading, from any thread."""
        self._closed.set()
        if self._reader:
            self._reader.close()

    def __iter__(self) -> Iterator[Result]:
        for prediction in self.model.predict_windows(iter(self.sliding), pose=self.pose):
            if self._closed.is_set():
                return
            latency = self.clock() - self.sliding.complete
            self.results += 1
            self.latencies.append(latency)
            yield Result(prediction, prediction.active(self.threshold), latency, self.dropped, self.sliding.skipped)

    def summary(self) -> dict[str, Any]:
        """How it went, in plain values: `reused` is the share of the frames in windows that were encoded before; None
        where the backbone does not see frame by frame."""
        backbone = self.model.backbone
        reused = None
        if isinstance(backbone, Remembering) and backbone.looked_at:
            reused = round(1 - backbone.encoded / backbone.looked_at, 3)
        p50, p95 = np.percentile(self.latencies, (50, 95)) if self.latencies else (None, None)
        return {
            "results": self.results,
            "latency_ms": {name: p and round(1000 * float(p), 1) for name, p in (("p50", p50), ("p95", p95))},
            "dropped": self.dropped,
            "skipped": self.sliding.skipped,
            "reused": reused,
        }
