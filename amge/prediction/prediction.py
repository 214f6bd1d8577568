"""What a model says of a video: a mapping of region to probability that knows what it rests on."""

import html
import json
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from amge.evidence import Verdict
from amge.muscles import REGION_NAMES
from amge.prediction.thresholds import Threshold, check_threshold, in_words, ranked, reaching, threshold_of
from amge.prediction.window import WindowPrediction, by_prominence, light

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-untyped]
    from PIL.Image import Image

    from amge.viz.film import Person
    from amge.viz.page import Page
    from amge.viz.timeline import Span

ROUNDED = 4
"""Digits of a probability in text."""


@dataclass(frozen=True, eq=False, repr=False)
class Prediction(Mapping[str, "float | None"]):
    """What a model says of a video, or of one person in it: region to probability, the mean over its windows.

    >>> prediction = model.predict("squat.mp4")
    >>> prediction["quadriceps"], prediction.active, prediction.verdict
    (0.67, ['hamstring', 'gluteus', 'quadriceps', 'calves'], 'ok')

    Where nobody is seen, `verdict` is `nobody`, no region is active, and all probabilities are None.
    """

    probabilities: Mapping[str, float | None]
    """In the order of the model's labels."""
    threshold: Threshold
    """From which a region is active; one for all, or by name each region's own."""
    windows: tuple[WindowPrediction, ...]
    """In order of time, without their pictures."""
    model: str
    """The name of the model's spec."""
    source: str | None = None
    """The path of the video, if it has one."""
    person: int | None = None
    """Whose it is, of a skeleton model."""
    others: "tuple[Prediction, ...]" = ()
    """The other persons of a skeleton model, the most prominent first."""
    verdict: Verdict = "ok"
    """`ok`, `doubtful` or `nobody`."""
    reasons: tuple[str, ...] = ()
    """For doubt, in words."""

    def __getitem__(self, region: str) -> float | None:
        return self.probabilities[region]

    def __iter__(self) -> Iterator[str]:
        return iter(self.probabilities)

    def __len__(self) -> int:
        return len(self.probabilities)

    @property
    def active(self) -> list[str]:
        """Regions from the threshold up, most likely first."""
        return reaching(self.probabilities, self.threshold)

    @property
    def persons(self) -> "tuple[Prediction, ...]":
        """Everybody, the main person first; of a model that looks at the whole picture this alone."""
        return (replace(self, others=()), *self.others)

    def top(self, count: int = 3) -> list[tuple[str, float]]:
        """The most likely regions with their probabilities; none where nobody is seen."""
        return ranked(self.probabilities)[:count]

    def with_threshold(self, threshold: Threshold) -> "Prediction":
        """The same with another threshold, for all regions or by name one for each.

        Raises:
            ValueError: unless it lies in 0..1, or if one is missing.
        """
        threshold = check_threshold(threshold, self.probabilities)
        others = tuple(other.with_threshold(threshold) for other in self.others)
        return replace(self, threshold=threshold, others=others)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `amge predict --json` prints them."""
        video: dict[str, Any] = {} if self.source is None else {"video": self.source}
        return video | self._plain()

    def _plain(self) -> dict[str, Any]:
        persons: dict[str, Any] = {} if self.person is None else {"person": self.person}
        if self.others:
            persons["others"] = [other._plain() for other in self.others]
        return {
            **persons,
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "regions": rounded(self.probabilities),
            "active": self.active,
            "windows": [
                {
                    "start": round(window.start, 3),
                    "end": round(window.end, 3),
                    "verdict": window.verdict,
                    "reasons": list(window.reasons),
                    "regions": rounded(window.probabilities),
                    "evidence": window.evidence.to_dict() if window.evidence else None,
                }
                for window in self.windows
            ],
        }

    def to_json(self) -> str:
        """`to_dict` as text."""
        return json.dumps({"model": self.model, "threshold": self.threshold} | self.to_dict(), indent=2)

    def rows(self) -> Iterator[dict[str, Any]]:
        """One for each person, window and region, as `amge predict --csv` prints them."""
        for each in self.persons:
            for window in each.windows:
                for region, p in window.probabilities.items():
                    yield {
                        "video": self.source,
                        "start": round(window.start, 3),
                        "end": round(window.end, 3),
                        "region": region,
                        "probability": None if p is None else round(p, ROUNDED),
                        "active": int(p is not None and p >= threshold_of(self.threshold, region)),
                        "person": window.person,
                        "verdict": window.verdict,
                    }

    def to_frame(self) -> "DataFrame":
        """`rows` as a table of pandas.

        Raises:
            ImportError: if pandas is not installed.
        """
        try:
            from pandas import DataFrame
        except ImportError:
            raise ImportError("to_frame needs pandas: pip install pandas") from None
        return DataFrame(self.rows())

    def plot(
        self,
        title: str | None = None,
        frames: np.ndarray | None = None,
        windows: "Sequence[Span] | None" = None,
        *,
        theme: str = "light",
        remark: str = "",
        expected: Collection[str] | None = None,
    ) -> "Image":
        """The body map, or bars for labels that are no muscle regions, with what to think of it; for several persons
        one each.

        Args:
            title: default: the name of the video.
            frames: to show beside it, uint8 `(T, H, W, 3)`.
            windows: for a timeline below; default: its own, if there are several.
            theme: `light`, `dark` or `colour-blind`.
            remark: one more line of text, such as a comparison.
            expected: regions that should be active, to mark on the body map what differs; None: nothing is marked.
        """
        return self.page(title, frames, windows, theme=theme, remark=remark, expected=expected).finish()

    def page(
        self,
        title: str | None = None,
        frames: np.ndarray | None = None,
        windows: "Sequence[Span] | None" = None,
        *,
        theme: str = "light",
        remark: str = "",
        expected: Collection[str] | None = None,
    ) -> "Page":
        """What `plot` draws, as a page: `finish()` makes an image of it, `svg()` the text of an SVG."""
        from amge.viz.bars import bars_page
        from amge.viz.body_map import body_page

        if title is None:
            title = Path(self.source or "").stem.replace("_", " ")
        if self.others:
            titles = [f"{title}, person {each.person}" for each in self.persons]
            one, *more = (
                each.page(of, frames, windows, theme=theme, remark=remark, expected=expected)
                for each, of in zip(self.persons, titles, strict=True)
            )
            one.below += more
            return one
        if windows is None:
            windows = self.spans() if len(self.windows) > 1 and self.verdict != "nobody" else ()
        remark = ". ".join(text for text in (remark, note(self.verdict, self.reasons)) if text)
        drawn = partial(body_page, expected=expected) if self.keys() <= REGION_NAMES.keys() else bars_page
        return drawn(dict(ranked(self)), frames, title, self.threshold, windows=windows, note=remark, theme=theme)

    def spans(self) -> "list[Span]":
        """The windows for pictures of them, without frames."""
        from amge.viz.timeline import Span

        return [Span(each.start, each.end, dict(ranked(each.probabilities)) or None) for each in self.windows]

    def save(
        self,
        path: str | Path,
        *,
        theme: str = "light",
        fps: float | None = None,
        progress: Callable[[float, float | None], None] | None = None,
        expected: Collection[str] | None = None,
    ) -> None:
        """Write what `plot` draws as a picture (png, jpg, webp, svg). Or a video (mp4, mov, mkv): the body map of the
        moment beside what was filmed, the person outlined where poses are known, the timeline below.

        Args:
            path: of the new file; its suffix says which.
            theme: `light`, `dark` or `colour-blind`.
            fps: frames a second of a folder of images, for a video.
            progress: called with the seconds of a video that are written, and those in all.
            expected: as for `plot`; in a video, marked window by window.

        Raises:
            ValueError: for another suffix or theme, or a video of what was not read from a video.
            OSError: if the file cannot be written.
        """
        from amge.viz.formats import check_saved, is_video

        check_saved(path, self.source)
        if is_video(path) and self.source:
            from amge.viz.film import film

            people = [each._filmed(bool(self.others), expected) for each in self.persons]
            film(Path(path), self.source, people, theme, fps, progress)
        else:
            from amge.viz.page import save_page

            save_page(path, self.page(theme=theme, expected=expected))

    def _filmed(self, several: bool, expected: Collection[str] | None) -> "Person":
        from amge.viz.film import Person

        title = f"Person {self.person}" if several else Path(self.source or "").stem.replace("_", " ")
        notes = [note(each.verdict, each.reasons) for each in self.windows]
        places = [each.places for each in self.windows if each.places is not None]
        seen = np.concatenate(places) if places else None
        return Person(title, self.spans(), notes, self.threshold, seen, expected)

    @property
    def title(self) -> str:
        """Whose prediction it is, for people to read."""
        video = self.source or "video"
        return video if self.person is None else f"{video}, person {self.person}"

    def __repr__(self) -> str:
        known = ", ".join(f"{name} {p:.2f}" for name, p in self.top(5))
        lines = [f"Prediction of {self.title} by {self.model}"]
        lines.append(f"verdict: {self.verdict}{''.join(f'; {reason}' for reason in self.reasons)}")
        if self.verdict != "nobody":
            lines.append(f"active from {in_words(self.threshold)}: {', '.join(self.active) or 'none'}")
            lines.append(f"top: {known}")
        if len(self.windows) > 1 or self.others:
            others = f", {len(self.others)} more person(s)" if self.others else ""
            lines.append(f"{len(self.windows)} window(s){others}")
        return "\n  ".join(lines)

    def _repr_html_(self) -> str:
        said = "; ".join((self.verdict, *self.reasons))
        rows = "".join(
            f"<tr style='opacity:{1 if p >= threshold_of(self.threshold, name) else 0.45}'><td>{html.escape(name)}</td>"
            f"<td>{html.escape(REGION_NAMES.get(name, ''))}</td>"
            f"<td><div style='background:#2a9d5c;height:0.8em;width:{120 * p:.0f}px'></div></td><td>{p:.2f}</td></tr>"
            for name, p in ranked(self.probabilities)
        )
        return f"<b>{html.escape(self.title)}</b><br>{html.escape(said)}<table>{rows}</table>"


def rounded(values: Mapping[str, float | None]) -> dict[str, float | None]:
    """Probabilities as text has them."""
    return {name: None if value is None else round(value, ROUNDED) for name, value in values.items()}


def note(verdict: Verdict, reasons: Sequence[str]) -> str:
    """What to think of an answer, in one line; empty where nothing speaks against it."""
    return "" if verdict == "ok" else f"{verdict}: {'; '.join(reasons)}"


def of_windows(
    windows: Sequence[WindowPrediction],
    labels: Sequence[str],
    threshold: Threshold,
    model: str,
    source: str | None = None,
) -> Prediction:
    """The means over the windows in which somebody is seen: of the main person, with those of the others."""
    predictions = []
    main, *others = by_prominence(windows)
    for person in (main, *others):
        mine = (person, None) if person == main else (person,)  # where nobody is seen the main person is not
        own = tuple(light(window) for window in windows if window.person in mine)
        seen = [window for window in own if window.verdict != "nobody"]
        means: dict[str, float | None] = dict.fromkeys(labels)
        for label in labels if seen else ():
            means[label] = sum(window.probabilities[label] or 0.0 for window in seen) / len(seen)
        verdict, reasons = overall(own)
        predictions.append(Prediction(means, threshold, own, model, source, person, verdict=verdict, reasons=reasons))
    return replace(predictions[0], others=tuple(predictions[1:]))


def overall(windows: Sequence[WindowPrediction]) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict on a video: doubtful if half of the windows that somebody is seen in are, for the kinds of reasons
    that are most frequent in these, or if nobody is seen in some windows."""
    seen = [window for window in windows if window.verdict != "nobody"]
    if not seen:
        return "nobody", windows[0].reasons if windows else ()
    kinds: dict[str, list[str]] = defaultdict(list)
    for window in seen:
        for reason in window.reasons:
            kinds[re.sub(r"[\d.]+", "", reason)].append(reason)
    reasons = [texts[len(texts) // 2] for texts in kinds.values() if 2 * len(texts) >= len(seen)]
    if not reasons and 2 * sum(window.verdict == "doubtful" for window in seen) >= len(seen):
        reasons = [texts[0] for texts in sorted(kinds.values(), key=len, reverse=True)[:3]]
    if empty := len(windows) - len(seen):
        reasons.append(f"nobody is seen in {empty} of {len(windows)} windows")
    return ("doubtful" if reasons else "ok"), tuple(reasons)
