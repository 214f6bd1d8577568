"""Which regions an exercise trains, and whether a prediction is that of the exercise which was expected.

The table in `exercises.json` has the names, families of movement and regions of 716 exercises of
github.com/yuhonas/free-exercise-db (Unlicense), its muscles put into the 20 regions as `docs/open_exercise.md` says.
Those of `amge.synthetic` come after it.
"""

import json
import re
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from amge.errors import one_of
from amge.muscles import REGION_IDS, REGION_NAMES
from amge.prediction import Prediction, Threshold, WindowPrediction, reaching


@dataclass(frozen=True)
class KnownExercise:
    """An exercise and the regions it trains, in the order of `REGION_IDS`."""

    name: str
    family: str
    """Of movement, such as `squat`."""
    regions: tuple[str, ...]
    source: str
    """Who says so: `free-exercise-db`, or `amge.synthetic`."""


@cache
def known() -> Mapping[str, KnownExercise]:
    """All exercises by name."""
    from amge import synthetic

    table = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    found = {}
    for name, said in table["exercises"].items():
        family, _, regions = said.partition(": ")
        found[name] = KnownExercise(name, family, tuple(regions.split()), "free-exercise-db")
    for each in synthetic.EXERCISES.values():
        found.setdefault(each.name, KnownExercise(each.name, each.family, each.regions, "amge.synthetic"))
    return found


def exercise(name: str) -> KnownExercise:
    """The exercise called `name`: `Barbell Squat`, `barbell squat`, `barbell-squats`.

    Capitals, spaces, hyphens and a plural make no difference, unless a name is spelled exactly like one; of two that
    are the same then the one of the table is meant.

    Raises:
        ValueError: if there is none, with those that come closest.
    """
    table = known()
    if name in table:
        return table[name]
    wanted = _words(name)
    for each in table:
        if "".join(_words(each)) == "".join(wanted):
            return table[each]
    shared = {each: len({*wanted} & {*_words(each)}) / len({*wanted} | {*_words(each)}) for each in table}
    alike = sorted((each for each in table if shared[each]), key=lambda each: -shared[each])
    return table[one_of("exercise", name, alike[:20] or table)]


@cache
def _words(name: str) -> tuple[str, ...]:
    """The words of a name, small and singular."""
    return tuple(word[:-1] if word.endswith("s") and len(word) > 2 else word for word in _WORD.findall(name.lower()))


_WORD = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True)
class Comparison:
    """What is active, against what was expected to be."""

    name: str
    """What was expected: an exercise, or the path of a video."""
    expected: tuple[str, ...]
    matched: tuple[str, ...]
    """Expected and active."""
    missing: tuple[str, ...]
    """Expected, and not active."""
    unexpected: tuple[str, ...]
    """Active, and not expected."""
    score: float | None
    """0..1, see `compare`. None where nobody is seen; then all but `expected` are empty."""

    def mark(self, region: str) -> str:
        """`ok`, `missing`, `unexpected`, or nothing for a region that is neither expected nor active."""
        marks = {"ok": self.matched, "missing": self.missing, "unexpected": self.unexpected}
        return next((mark for mark, regions in marks.items() if region in regions), "")

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        score = None if self.score is None else round(self.score, 4)
        lists = {name: list(getattr(self, name)) for name in ("expected", "matched", "missing", "unexpected")}
        return {"name": self.name, "score": score} | lists

    def __str__(self) -> str:
        if self.score is None:
            return f"expected {self.name}: nobody is seen"
        wrong = [
            f"{mark}: {', '.join(getattr(self, mark))}" for mark in ("missing", "unexpected") if getattr(self, mark)
        ]
        return "; ".join(
            [f"expected {self.name}: score {self.score:.2f}", *(wrong or ["nothing missing or unexpected"])]
        )


class Expected(NamedTuple):
    """What should be active."""

    name: str
    regions: tuple[str, ...]
    weights: Mapping[str, float]
    """Region to how much of it is expected, 0..1."""


def expect(expected: "str | KnownExercise | Collection[str] | Prediction | Expected") -> Expected:
    """What is expected of an exercise by name, of regions by name, or of the prediction for a reference.

    Raises:
        ValueError: for an exercise or a region that is not known, no regions, or a reference without anybody.
    """
    if isinstance(expected, Expected):
        return expected
    if isinstance(expected, Prediction):
        if expected.verdict == "nobody":
            raise ValueError(f"{expected.title}: nobody is seen in the reference; take another")
        active = tuple(label for label in expected if label in expected.active)
        return Expected(expected.source or "the reference", active, {name: p or 0.0 for name, p in expected.items()})
    if isinstance(expected, str):
        expected = exercise(expected)
    if isinstance(expected, KnownExercise):
        return Expected(expected.name, expected.regions, dict.fromkeys(expected.regions, 1.0))
    named = {one_of("muscle region", region, REGION_IDS) for region in expected}
    if not named:
        raise ValueError("expected no region at all; name one at least")
    regions = tuple(region for region in REGION_IDS if region in named)
    return Expected(", ".join(regions), regions, dict.fromkeys(regions, 1.0))


def compare(
    prediction: Prediction, expected: "str | KnownExercise | Collection[str] | Prediction | Expected"
) -> Comparison:
    """A prediction against the exercise that was expected, by its name, or against the prediction for a reference.

    A region is active from the prediction's threshold on. The score is the soft Jaccard index (Ruzicka's) of the
    probabilities `p`, `sum(min(p, e)) / sum(max(p, e))` over all regions. `e` is 1 for the regions of an exercise and
    0 for others; of a reference it is the probability there.

    Args:
        prediction: of one person.
        expected: the name of an exercise, an entry of `known`, names of regions, or a prediction.

    Raises:
        ValueError: as `expect`, or if the model does not know a region that is expected.
    """
    wanted = expect(expected)
    check_labels(wanted, prediction)
    return _compared(prediction, prediction.threshold, wanted)


def check_labels(wanted: Expected, labels: Iterable[str]) -> None:
    """`ValueError` if a region that is expected is none of the labels of a model."""
    labels = tuple(labels)
    if unknown := [region for region in wanted.weights if region not in labels]:
        raise ValueError(
            f"{wanted.name} works {unknown[0]}, which is none of the model's {len(labels)} labels; "
            "take a model of muscle regions, such as transm3e-lite"
        )


def _compared(probabilities: Mapping[str, float | None], threshold: Threshold, wanted: Expected) -> Comparison:
    pairs = [(p, wanted.weights.get(region, 0.0)) for region, p in probabilities.items() if p is not None]
    if not pairs:
        return Comparison(wanted.name, wanted.regions, (), (), (), None)
    active = {*reaching(probabilities, threshold)}
    most = sum(max(pair) for pair in pairs)
    return Comparison(
        wanted.name,
        wanted.regions,
        tuple(region for region in wanted.regions if region in active),
        tuple(region for region in wanted.regions if region not in active),
        tuple(region for region in probabilities if region in active and region not in wanted.regions),
        sum(min(pair) for pair in pairs) / most if most else 1.0,
    )


class Change(NamedTuple):
    """Something that has been wrong for a while, or is no longer."""

    region: str
    mark: str
    """`missing` or `unexpected`."""
    on: bool

    def __str__(self) -> str:
        wrong = {"missing": "should be active and is not", "unexpected": "is active and should not be"}[self.mark]
        return f"{REGION_NAMES.get(self.region, self.region)}: {wrong if self.on else 'as expected again'}"


class Alert:
    """Tells what differs from what is expected while windows of a live video come, without flickering.

    A region is told once it was wrong in the same way in `k` of the last `n` windows with somebody in them, and again
    once it was not in `k` of the last `n`. Windows without anybody count for nothing.

    >>> alert = Alert("barbell squat", model.spec.threshold)
    >>> for window in model.predict_windows("squat.mp4"):
    ...     for change in alert.update(window):
    ...         print(change)

    Args:
        expected: as for `compare`.
        threshold: from which probability a region is active.
        k: windows that must agree, over half of `n`.
        n: windows that are looked back at.

    Raises:
        ValueError: as `expect`, or unless `n / 2 < k <= n`.
    """

    def __init__(
        self,
        expected: "str | KnownExercise | Collection[str] | Prediction | Expected",
        threshold: Threshold,
        k: int = 3,
        n: int = 4,
    ) -> None:
        if not n / 2 < k <= n:
            raise ValueError(f"an alert takes k of n windows with n / 2 < k <= n, got k={k} and n={n}")
        self.expected, self.threshold, self.k = expect(expected), threshold, k
        self.on: set[tuple[str, str]] = set()
        """What is told at the moment: region and `missing` or `unexpected`."""
        self._last: deque[set[tuple[str, str]]] = deque(maxlen=n)

    def update(self, window: "WindowPrediction | Mapping[str, float | None]") -> list[Change]:
        """What begins or ends with this window.

        Raises:
            ValueError: if the model does not know a region that is expected.
        """
        probabilities = window.probabilities if isinstance(window, WindowPrediction) else window
        check_labels(self.expected, probabilities)
        found = _compared(probabilities, self.threshold, self.expected)
        if found.score is None:
            return []
        marks = {"missing": found.missing, "unexpected": found.unexpected}
        self._last.append({(region, mark) for mark, regions in marks.items() for region in regions})
        changes = []
        for each in sorted(set().union(self.on, *self._last)):
            times, most = sum(each in wrong for wrong in self._last), len(self._last)
            if each not in self.on and times >= self.k:
                self.on.add(each)
                changes.append(Change(*each, True))
            elif each in self.on and most - times >= self.k:
                self.on.discard(each)
                changes.append(Change(*each, False))
        return changes
