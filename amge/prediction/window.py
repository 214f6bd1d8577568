"""What a model says of one window of a video.

Shapes: `T` frames of `H W`, `V` joints.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from amge.evidence import Evidence, Verdict, judge
from amge.prediction.thresholds import Threshold, reaching


@dataclass(frozen=True)
class WindowPrediction:
    """The prediction for one window of a video."""

    start: float
    end: float
    """In seconds."""
    probabilities: Mapping[str, float | None]
    """All None where nobody is seen."""
    frames: np.ndarray | None = field(compare=False)
    """The frames that the model, or the pose estimator, looked at, uint8 `(T, H, W, 3)`; None for skeletons given."""
    person: int | None = None
    """Whose it is, numbered in the order of appearance; None where the model looks at the whole picture, or nobody is
    seen."""
    weight: float = 1.0
    """Summed over windows it is largest for the main person: their mean size in pixels."""
    shares: tuple[float, ...] | None = None
    """Of the window, for which each of the frames that a video model looks at stands."""
    keypoints: np.ndarray | None = field(default=None, compare=False)
    """Of the person, `(T, V, 3)` in pixels of `frames`, or `(T, V, 6)` with world joints in metres besides, in the
    layout of the pose estimator."""
    evidence: Evidence | None = None
    verdict: Verdict = "ok"
    reasons: tuple[str, ...] = ()
    """For doubt, in words."""
    places: np.ndarray | None = field(default=None, compare=False)
    """Where the person is, `(T, 5)`: seconds, then left, top, right and bottom as shares 0..1 of the picture, NaN where
    they are not seen. None without poses."""

    def active(self, threshold: Threshold) -> list[str]:
        """Regions from the threshold up, most likely first."""
        return reaching(self.probabilities, threshold)

    def judged(
        self,
        probabilities: Mapping[str, float | None],
        evidence: Evidence,
        limits: Mapping[str, float],
        doubts: tuple[str, ...] = (),
    ) -> "WindowPrediction":
        """The same with its probabilities, or None for each where the evidence says that nobody is there.

        Args:
            probabilities: by label.
            evidence: that they rest on.
            limits: of the model, see `amge.evidence.judge`.
            doubts: reasons for doubt that are not in the evidence.
        """
        verdict, reasons = judge(evidence, limits)
        if verdict == "nobody":
            probabilities = dict.fromkeys(probabilities)
        elif doubts:
            verdict, reasons = "doubtful", (*doubts, *reasons)
        return replace(self, probabilities=probabilities, evidence=evidence, verdict=verdict, reasons=reasons)


def light(window: WindowPrediction) -> WindowPrediction:
    """A prediction without its pictures, so that memory does not grow with a video."""
    return replace(window, frames=None, keypoints=None)


def by_prominence(windows: Sequence[WindowPrediction]) -> list[int | None]:
    """The persons, the one who is seen largest and longest first; `[None]` if the model looks at the whole picture, or
    nobody is seen."""
    weights: dict[int | None, float] = defaultdict(float)
    for window in windows:
        weights[window.person] += window.weight
    persons = sorted(weights, key=lambda person: -weights[person])
    return [person for person in persons if person is not None] or persons
