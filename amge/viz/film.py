"""A video of a prediction: the video itself, the body map of the moment beside it, a timeline with a cursor below."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from itertools import chain, groupby, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from amge.files import whole
from amge.muscles import REGION_NAMES
from amge.video.read import read_frames
from amge.video.write import timed_video
from amge.viz.body_map import BodyPage
from amge.viz.page import FOOTNOTE, Page, each_threshold, font
from amge.viz.theme import LIGHT, Colour, Theme, theme_of
from amge.viz.timeline import Span, clock, lasting

HIGH, WIDE, PANEL, MARGIN = 540, 960, 400, 16
"""Pixels: the most that the video takes, the width of what is beside it, what is left free at edges."""
LABELS, ROW, AXIS = 152, 22, 62
"""Pixels of the timeline: the column of its labels, a row, all that is below the rows."""
SHOWN = 3
"""Persons who get a map each."""
ROWS = (6, 4, 3)
"""Labels in the timeline of each, where one, two or three persons are shown."""
STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
"""Seconds between the marks of the time axis."""
STALE = 3.0
"""Seconds for which a place that was seen is believed."""
AROUND = 0.08
"""Of the size of a person, that an outline leaves free around the joints."""
PERSONS: tuple[Colour, ...] = ((86, 180, 233), (230, 159, 0), (204, 121, 167))
"""Of outlines: told apart by all eyes (Okabe and Ito)."""


class Person(NamedTuple):
    """One of those that are shown; or the only one, where a model looks at the whole picture."""

    title: str
    spans: Sequence[Span]
    """Their windows, in the order of time."""
    notes: Sequence[str]
    """Of each window, what to think of it; empty where nothing speaks against it."""
    threshold: float | Mapping[str, float]
    places: np.ndarray | None = None
    """Where they are, `(N, 5)` in any order: seconds, then left, top, right and bottom as shares of the picture, NaN
    where they are not seen."""
    expected: Collection[str] | None = None
    """Regions that should be active, to mark in each window what differs; None: nothing is marked."""


def film(
    path: Path,
    source: str | Path,
    persons: Sequence[Person],
    theme: str = "light",
    fps: float | None = None,
    progress: Callable[[float, float | None], None] | None = None,
) -> None:
    """Write a video of a prediction, frame by frame as `source` is read, so that memory does not grow with its length.

    Each window is shown while its middle is the nearest. The frames keep their times; there is no sound.

    Args:
        path: of the new file, which is there whole or not at all; one of `amge.video.path.WRITTEN`.
        source: the video file, or folder of images, that was looked at.
        persons: the most prominent first; three are shown.
        theme: `light`, `dark` or `colour-blind`.
        fps: frames a second of a folder of images; default 30.
        progress: called with the seconds written and the seconds in all.

    Raises:
        VideoError: if the source cannot be read.
        OSError: if the file cannot be written.
    """
    rate = 30.0 if fps is None else fps
    with closing(read_frames(source, rate, WIDE)) as stream:
        high, wide = next(stream).image().shape[:2]
    scale = min(HIGH / high, WIDE / wide)
    size = max(2, round(wide * scale)), max(2, round(high * scale))
    board = Board(persons[:SHOWN], size, theme_of(theme))
    with closing(read_frames(source, rate, max(size))) as stream, whole(path) as part:
        first = list(islice(stream, 2))
        gap = first[-1].time - first[0].time
        with timed_video(part, *board.size, min(max(1 / gap, 1.0), 240.0) if gap else rate) as add:
            for shown in chain(first, stream):
                add(board.at(shown.time, shown.image()), shown.time)
                if progress:
                    progress(shown.time, board.end)


class Board:
    """The picture around the frames of a video, of which only what changes is drawn again.

    Args:
        persons: who are shown.
        size: width and height of the video in the picture.
        theme: colours.
    """

    def __init__(self, persons: Sequence[Person], size: tuple[int, int], theme: Theme) -> None:
        self.persons, self.video, self.theme = persons, size, theme
        self.windows = sorted({(span.start, span.end) for person in persons for span in person.spans})
        self.end = max(end for _, end in self.windows)
        middles = np.array([(start + end) / 2 for start, end in self.windows])
        self.changes = (middles[1:] + middles[:-1]) / 2
        """Seconds at which the next window is the nearest."""
        self.tracks = [None if person.places is None else Track(person.places) for person in persons]
        wide = size[0] + PANEL * len(persons)
        self.timeline = self._timeline(wide + wide % 2)
        high = HIGH + len(self.timeline)
        self.canvas = np.full((high + high % 2, wide + wide % 2, 3), theme.paper, np.uint8)
        self.size = self.canvas.shape[1], self.canvas.shape[0]
        self.now = -1

    def at(self, seconds: float, frame: np.ndarray) -> np.ndarray:
        """The picture with a frame `(H, W, 3)` of a moment; the next call changes it."""
        now = int(np.searchsorted(self.changes, seconds, side="right"))
        if now != self.now:
            for number in range(len(self.persons)):
                left = self.video[0] + number * PANEL
                self.canvas[:HIGH, left : left + PANEL] = np.asarray(self._panel(number, now).finish())
            self.now = now
        top = (HIGH - self.video[1]) // 2
        self.canvas[top : top + self.video[1], : self.video[0]] = self._outlined(seconds, frame)
        self.canvas[HIGH : HIGH + len(self.timeline)] = self.timeline
        self._cursor(seconds)
        return self.canvas

    def _outlined(self, seconds: float, frame: np.ndarray) -> np.ndarray:
        """A frame in its size, with a box around each person who is seen."""
        image = Image.fromarray(frame)
        if image.size != self.video:
            image = image.resize(self.video, Image.Resampling.BILINEAR)
        brush = ImageDraw.Draw(image)
        for number, track in enumerate(self.tracks):
            if track is None or (box := track.at(seconds)) is None:
                continue
            left, top, right, bottom = (box * (*self.video, *self.video)).tolist()
            for grown, colour, width in ((1, LIGHT.ink, 4), (0, PERSONS[number], 2)):
                edges = left - grown, top - grown, right + grown, bottom + grown
                brush.rounded_rectangle(edges, 8, outline=colour, width=width)
        return np.asarray(image)

    def _panel(self, number: int, now: int) -> Page:
        """What is beside the video in a window: title, body map, the likeliest labels of a person."""
        person, page = self.persons[number], BodyPage(PANEL, HIGH, self.theme, PANEL)
        muted, right = self.theme.muted, PANEL - MARGIN
        left = MARGIN
        if len(self.persons) > 1 and self.tracks[number] is not None:
            page.box((left, 14, left + 14, 28), PERSONS[number], 3)
            left += 22
        page.text((left, 11), person.title, 18, self.theme.ink, room=right - left, bold=True)
        found = [place for place, span in enumerate(person.spans) if (span.start, span.end) == self.windows[now]]
        span = person.spans[found[0]] if found else Span(*self.windows[now])
        said = [lasting(span, self.end)] if len(self.windows) > 1 else []
        said += [person.notes[found[0]] if found else "not seen"]
        for line, text in enumerate(page.wrapped("; ".join(filter(None, said)), 12, right - MARGIN, 3)):
            page.text((MARGIN, 35 + 15 * line), text, 12, muted, room=right - MARGIN)
        values = dict(span.probabilities or {})
        known = dict(next((each.probabilities for each in person.spans if each.probabilities), {}))
        thresholds = each_threshold(person.threshold, known)
        muscles = known.keys() <= REGION_NAMES.keys()
        if muscles:
            middles = (0.28 * PANEL, 0.72 * PANEL)
            for name, middle in zip(("Front", "Back"), middles, strict=True):
                page.text((middle, 83), name, 12, muted, anchor="ma")
            page.figures(values, thresholds, middles, 100, 0.37, person.expected)
            if person.expected is not None and values:
                page.mark_legend(PANEL / 2, 386, 12)
        if values:
            top, listed = (388, 4) if person.expected is None else (410, 3)
            top, listed, title = (top, listed, "Most likely regions") if muscles else (86, 12, "Most likely labels")
            names = REGION_NAMES if muscles else None
            page.ranking(values, thresholds, (MARGIN, top, right, HIGH - 12), title, min(listed, len(values)), names)
        return page

    def _timeline(self, width: int) -> np.ndarray:
        """All of the video, `(H, W, 3)`: a row for each of the likeliest labels of each person."""
        rows = ROWS[len(self.persons) - 1]
        listed = [likeliest(person, rows) for person in self.persons]
        several = len(self.persons) > 1
        self.below = ROW * sum(max(len(names), 1) + several for names in listed) + 14
        """Where the rows end and the axis begins."""
        page = Page(width, self.below + AXIS, self.theme, width)
        ink, muted, right = self.theme.ink, self.theme.muted, width - MARGIN
        self.span = LABELS, right
        y = 14.0
        for number, (person, names) in enumerate(zip(self.persons, listed, strict=True)):
            if several:
                if self.tracks[number] is not None:
                    page.box((MARGIN, y + 3, MARGIN + 12, y + 15), PERSONS[number], 3)
                page.text((MARGIN + 18, y), person.title, 14, ink, room=right - MARGIN - 18)
                y += ROW
            if not names:
                page.text((LABELS, y), "nobody is seen", 13, muted, room=right - LABELS)
                y += ROW
            thresholds = each_threshold(person.threshold, names)
            for name in names:
                shown = REGION_NAMES.get(name, name)
                page.text((LABELS - 10, y + 1), shown, 13, ink, anchor="ra", room=LABELS - 10 - MARGIN)
                page.box((LABELS, y + 8, right, y + 9), self.theme.track)
                for first, last, value in self._stretches(person, name, right - LABELS):
                    fill = self.theme.shade(value, thresholds[name])
                    page.box((LABELS + first, y, LABELS + last, y + ROW - 5), fill)
                y += ROW
        step = next((each for each in STEPS if self.end / each * 80 <= right - LABELS), STEPS[-1])
        for mark in range(int(self.end / step) + 1):
            x = LABELS + mark * step / self.end * (right - LABELS)
            page.box((x, self.below, x + 1, self.below + 5), muted)
            text = clock(mark * step, self.end) if self.end >= 60 else f"{mark * step:g} s"
            if x + page.length(text, 12) / 2 <= width - 4:
                page.text((x, self.below + 8), text, 12, muted, "ma" if mark else "la")
        page.text((MARGIN, self.below + AXIS - 24), FOOTNOTE, 12, muted, room=right - MARGIN)
        return np.asarray(page.finish())

    def _stretches(self, person: Person, name: str, width: int) -> list[tuple[int, int, float]]:
        """Where a label has which probability, in pixels from the left; in a pixel of many windows the highest."""
        of = {(span.start, span.end): span.probabilities for span in person.spans}
        values = [(of.get(window) or {}).get(name) for window in self.windows]
        edges = np.arange(width + 1) / width * self.end
        first, last = (np.searchsorted(self.changes, each, side="right") for each in (edges[:-1], edges[1:] - 1e-9))
        highest = [
            max((value for value in values[one : max(one, other) + 1] if value is not None), default=None)
            for one, other in zip(first.tolist(), last.tolist(), strict=True)
        ]
        stretches = []
        for value, run in groupby(range(width), highest.__getitem__):
            pixels = list(run)
            if value is not None:
                stretches.append((pixels[0], pixels[-1] + 1, value))
        return stretches

    def _cursor(self, seconds: float) -> None:
        """The line at a moment, and the time in words."""
        left, right = self.span
        x = left + round(min(seconds / self.end, 1.0) * (right - left - 1))
        top, bottom = HIGH + 8, HIGH + self.below + 5
        self.canvas[top:bottom, x - 2 : x + 3] = self.theme.paper
        self.canvas[top:bottom, x - 1 : x + 2] = self.theme.ink
        text = f"{seconds:.1f} / {self.end:.1f} s"
        if self.end >= 60:
            text = " / ".join(clock(each, self.end, int(self.end < 3600)) for each in (seconds, self.end))
        image = Image.new("RGB", (LABELS - MARGIN - 12, 18), self.theme.paper)
        ImageDraw.Draw(image).text((0, 0), text, self.theme.ink, font(13))
        y = HIGH + self.below + 6
        self.canvas[y : y + image.height, MARGIN : MARGIN + image.width] = np.asarray(image)


class Track:
    """Where somebody is at any time, out of where they were at some: a box that moves smoothly, and holds them at the
    moments around.

    Args:
        places: `Person.places`.
    """

    def __init__(self, places: np.ndarray) -> None:
        order = np.argsort(places[:, 0], kind="stable")
        self.times, boxes = places[order, 0], places[order, 1:]
        around = np.stack([np.vstack([boxes[:1], boxes[:-1]]), boxes, np.vstack([boxes[1:], boxes[-1:]])])
        around[:, np.isnan(boxes[:, 0])] = np.nan
        low, high = np.fmin.reduce(around[..., :2]), np.fmax.reduce(around[..., 2:])
        free = AROUND * np.linalg.norm(high - low, axis=1, keepdims=True)
        self.boxes = np.hstack([low - free, high + free]).clip(0, 1)

    def at(self, seconds: float) -> np.ndarray | None:
        """Left, top, right and bottom as shares of the picture; None where they are not seen."""
        after = int(np.searchsorted(self.times, seconds))
        pair = [max(after - 1, 0), min(after, len(self.times) - 1)]
        apart = np.abs(self.times[pair] - seconds)
        nearest = pair[int(apart.argmin())]
        if apart.min() > STALE or np.isnan(self.boxes[nearest]).any():
            return None
        before, following = (self.boxes[nearest if np.isnan(self.boxes[each]).any() else each] for each in pair)
        share = float(apart[0] / apart.sum()) if apart.sum() else 0.0
        return (1 - share) * before + share * following


def likeliest(person: Person, count: int) -> list[str]:
    """The labels that are highest somewhere, those first that ever are active."""
    known = [span.probabilities for span in person.spans if span.probabilities]
    if not known:
        return []
    most = {name: max(each[name] for each in known) for name in known[0]}
    thresholds = each_threshold(person.threshold, most)
    return sorted(most, key=lambda name: (most[name] < thresholds[name], -most[name]))[:count]
