"""What a model says of a video over time: a column for each window, a row for each label."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from amge.viz.page import FOOTNOTE, Page, check_picture, check_values, drawn, each_threshold
from amge.viz.theme import theme_of

COLUMNS = 12
ROWS = 24
_LEFT, _RIGHT, _STRIP, _PITCH = 264, 1544, 104, 27


class Span(NamedTuple):
    """One window of a video."""

    start: float
    end: float
    """In seconds."""
    probabilities: Mapping[str, float] | None = None
    """Label to a probability in 0..1; None: nothing was predicted, such as where nobody is."""
    frames: np.ndarray | None = None
    """A few frames, uint8 `(T, H, W, 3)` RGB, or None."""


def timeline_page(
    windows: Sequence[Span],
    threshold: float | Mapping[str, float] = 0.5,
    width: int = 1600,
    theme: str = "light",
) -> Page:
    """Draw the probabilities of each window, under its time and its frames.

    Where there are over 12 windows, neighbours share a column, which shows the highest probability of each label in
    them; over 24 labels, the least likely are left out. The picture says so.

    Args:
        windows: in the order of time; they may overlap. All have the same labels.
        threshold: from which probability on a label counts as active; one for all, or one per label.
        width: width of the picture in pixels; its height goes with the number of labels.
        theme: `light`, `dark` or `colour-blind`.

    Returns:
        a page; `timeline` gives it as an RGB image.

    Raises:
        ValueError: for no windows, none with probabilities, labels that differ, a value outside 0..1, or frames or a
            width that cannot be drawn.
    """
    spans = [Span(*window) for window in windows]
    known = [check_values("probability", span.probabilities) for span in spans if span.probabilities is not None]
    if not known or not known[0]:
        raise ValueError(f"a timeline needs a window with probabilities, got {len(spans)} without")
    if other := [each for each in known if each.keys() != known[0].keys()]:
        some = ", ".join(sorted(known[0].keys() ^ other[0].keys())[:3])
        raise ValueError(f"the windows of a timeline must have the same labels; only some of these have {some}")
    thresholds = each_threshold(threshold, known[0])
    check_picture(None, width)
    for span in spans:
        check_picture(span.frames, width)

    size = -(-len(spans) // COLUMNS)
    columns = [merged(spans[first : first + size]) for first in range(0, len(spans), size)]
    most = {name: max(each[name] for each in known) for name in known[0]}
    ever = {name for name, value in most.items() if value >= thresholds[name]}
    ranked = sorted(most, key=lambda name: (name not in ever, -most[name]))
    rows = ranked[:ROWS]

    strip = _STRIP if any(column.frames is not None for column in columns) else 0
    top = 122 + strip
    bottom = top + len(rows) * _PITCH
    page = Page(width, bottom + 74, theme_of(theme))
    ink, muted = page.theme.ink, page.theme.muted
    page.text((56, 12), "Timeline", 26, ink, bold=True)
    notes = [f"{len(spans)} windows, {size} to a column, which shows the highest of each"] if size > 1 else []
    notes += [f"the {len(rows)} likeliest of {len(ranked)} labels"] if len(rows) < len(ranked) else []
    page.text((56, 52), "; ".join(notes), 17, muted, room=1100)
    page.scale((1224, 40, 1544, 52), thresholds)
    pitch = (_RIGHT - _LEFT + 6) / len(columns)
    hours = spans[-1].end >= 3600
    for number, column in enumerate(columns):
        left, right = _LEFT + number * pitch, _LEFT + (number + 1) * pitch - 6
        page.text(((left + right) / 2, 94), lasting(column, spans[-1].end), 13 if hours else 16, muted, "ma", pitch)
        if column.frames is not None:
            page.contact_grid(few(column.frames, (right - left) / (_STRIP - 10)), (left, 118, right, 118 + _STRIP - 10))
    for row, name in enumerate(rows):
        y = top + row * _PITCH
        page.text((_LEFT - 12, y + 2), name, 18, ink if name in ever else muted, anchor="ra", room=_LEFT - 68)
        for number, column in enumerate(columns):
            left, right = _LEFT + number * pitch, _LEFT + (number + 1) * pitch - 6
            if column.probabilities is None:
                page.text(((left + right) / 2, y + 2), "-", 16, muted, "ma")
                continue
            value = column.probabilities[name]
            fill = page.theme.shade(value, thresholds[name])
            page.box((left, y, right, y + _PITCH - 3), fill, 4)
            if value >= thresholds[name]:
                page.text(((left + right) / 2, y + 3), f"{value:.0%}", 15, page.theme.over(fill), "ma", right - left)
    page.text((56, bottom + 32), FOOTNOTE, 15, muted)
    return page


timeline = drawn(timeline_page)


def finished(page: Page, windows: Sequence[Span], threshold: float | Mapping[str, float], theme: str) -> Page:
    """A page with its footnote; or with a timeline below, which has one."""
    if windows:
        page.below.append(timeline_page(windows, threshold, page.size[0], theme))
    else:
        page.text((56, 858), FOOTNOTE, 15, page.theme.muted)
    return page


def merged(spans: Sequence[Span]) -> Span:
    """Neighbours as one window: the highest probability of each label, the frames of the middle one that has any."""
    known = [span.probabilities for span in spans if span.probabilities is not None]
    highest = {name: max(each[name] for each in known) for name in known[0]} if known else None
    shown = [span.frames for span in spans if span.frames is not None]
    return Span(spans[0].start, spans[-1].end, highest, shown[len(shown) // 2] if shown else None)


def few(frames: np.ndarray, room: float) -> np.ndarray:
    """As many of the frames, evenly spread, as fit side by side into `room`, the width of a strip to its height."""
    count = min(len(frames), max(1, int(room * frames.shape[1] / frames.shape[2])))
    return frames[((np.arange(count) + 0.5) * len(frames) / count).astype(int)]


def lasting(span: Span, whole: float) -> str:
    """From when to when, as the length of the video asks for: `2.5 - 7.5 s`, `1:05 - 1:15`, `1:02:05 - 1:02:15`."""
    if whole < 100:
        return f"{span.start:.3g} - {span.end:.3g} s"

    return f"{clock(span.start, whole)} - {clock(span.end, whole)}"


def clock(seconds: float, whole: float, digits: int = 0) -> str:
    """A time as the length of the video asks for: `1:05`, `1:02:05`; with some digits after the point."""
    minutes, rest = divmod(round(seconds, digits), 60)
    exact = f"{rest:0{digits + 3 if digits else 2}.{digits}f}"
    hours, minutes = divmod(int(minutes), 60) if whole >= 3600 else (0, int(minutes))
    return f"{hours}:{minutes:02}:{exact}" if whole >= 3600 else f"{minutes}:{exact}"
