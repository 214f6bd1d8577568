"""The page that pictures of predictions are drawn on: its text, frames, bars, and how it becomes a file."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial, wraps
from itertools import groupby
from pathlib import Path
from typing import ParamSpec

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from amge.errors import one_of
from amge.files import whole
from amge.viz import svg
from amge.viz.theme import LIGHT, Colour, Theme

Box = tuple[float, float, float, float]

SUPERSAMPLING = 3
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
VECTOR = ".svg"
FOOTNOTE = "Estimated from video by amge. Not medical advice."

WHITE, INK, MUTED, INACTIVE = LIGHT.paper, LIGHT.ink, LIGHT.muted, LIGHT.inactive
colour, shade = LIGHT.colour, LIGHT.shade


def check_values(kind: str, values: Mapping[str, float], what: str = "label") -> dict[str, float]:
    """Numbers in 0..1 by name; a `ValueError` names the one that is not."""
    checked = {name: float(value) for name, value in values.items()}
    for name, value in checked.items():
        if not 0 <= value <= 1:
            raise ValueError(f"the {kind} of {what} {name!r} must lie in 0..1, got {value}")
    return checked


def check_picture(frames: np.ndarray | None, width: int) -> None:
    """`ValueError` for frames or a width that cannot be drawn."""
    if frames is not None and (frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or not frames.size):
        raise ValueError(f"expected uint8 frames of shape (T, H, W, 3), got {frames.dtype} {frames.shape}")
    if width < 320:
        raise ValueError(f"the picture must be at least 320 pixels wide, got {width}")


def each_threshold(
    threshold: float | Mapping[str, float], names: Iterable[str], what: str = "label"
) -> dict[str, float]:
    """The threshold of each label, from one for all or one per label; `ValueError` if one is missing or not in 0..1."""
    given = threshold if isinstance(threshold, Mapping) else dict.fromkeys(names, threshold)
    if missing := [name for name in names if name not in given]:
        raise ValueError(f"no threshold for {what} {missing[0]!r}")
    return check_values("threshold", given, what)


def stack(*pictures: Image.Image) -> Image.Image:
    """Pictures of one width, one under the other."""
    whole = Image.new("RGB", (pictures[0].width, sum(picture.height for picture in pictures)), WHITE)
    top = 0
    for picture in pictures:
        whole.paste(picture, (0, top))
        top += picture.height
    return whole


def save(path: str | os.PathLike[str], image: Image.Image) -> None:
    """Write `image` to `path` whole or not at all; the suffix (png, jpg, webp) says the format.

    Raises:
        ValueError: for another suffix, or a folder that is missing or cannot be written to.
    """
    kind = FORMATS[one_of("picture format", Path(path).suffix.lower(), FORMATS)]
    with _writing(Path(path)) as partial_path:
        image.save(partial_path, format=kind, quality=92)


def save_page(path: str | os.PathLike[str], page: "Page") -> None:
    """Write a page like `save` writes a picture; also as svg."""
    target = Path(path)
    if one_of("picture format", target.suffix.lower(), (*FORMATS, VECTOR)) != VECTOR:
        save(target, page.finish())
        return
    with _writing(target) as partial_path:
        partial_path.write_text(page.svg(), encoding="utf-8")


@contextmanager
def _writing(target: Path) -> Iterator[Path]:
    if not target.parent.is_dir():
        raise ValueError(f"cannot save {target}: there is no folder {target.parent}")
    try:
        with whole(target) as part:
            yield part
    except OSError as error:
        raise ValueError(f"cannot save {target}: {error.strerror or error}") from error


P = ParamSpec("P")


def drawn(layout: "Callable[P, Page]") -> Callable[P, Image.Image]:
    """The same as an RGB image."""

    @wraps(layout)
    def draw(*args: P.args, **kwargs: P.kwargs) -> Image.Image:
        return layout(*args, **kwargs).finish()

    return draw


@cache
def font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


class Page:
    """A supersampled canvas that is addressed as if it were 1600 wide, and 900 high unless it is to be otherwise.

    Args:
        width: in pixels.
        height: in units of the page.
        theme: its colours.
        across: its width in units.
    """

    def __init__(self, width: int, height: float = 900, theme: Theme = LIGHT, across: float = 1600) -> None:
        self.theme, self.across, self.height = theme, across, height
        self.size = (width, round(width * height / across))
        self.unit = width / across * SUPERSAMPLING
        self.image = Image.new("RGB", (self.size[0] * SUPERSAMPLING, self.size[1] * SUPERSAMPLING), theme.paper)
        self.canvas = ImageDraw.Draw(self.image)
        self.elements: list[Callable[[], str]] = [partial(svg.box, 0, 0, across, height, theme.paper)]
        """Of its SVG."""
        self.below: list[Page] = []
        """Pages of the same width that follow."""

    def finish(self) -> Image.Image:
        """The page, and those below, as an RGB image."""
        page = self.image.reduce(SUPERSAMPLING)
        return stack(page, *(each.finish() for each in self.below)) if self.below else page

    def svg(self) -> str:
        """The same as the text of an SVG."""
        parts = [(page.across, page.height, [element() for element in page.elements]) for page in self.pages()]
        return svg.document(parts, self.size[0])

    def pages(self) -> "Iterator[Page]":
        yield self
        for page in self.below:
            yield from page.pages()

    def text(
        self,
        at: tuple[float, float],
        text: str,
        size: float,
        fill: Colour,
        anchor: str = "la",
        room: float = float("inf"),
        bold: bool = False,
    ) -> None:
        """One line of text, cut with an ellipsis where it is wider than `room`."""
        face, line = font(size * self.unit), " ".join(text.split())
        shown = line
        while shown and face.getlength(shown) > room * self.unit:
            line = line[:-1]
            shown = line.rstrip() + "…"
        stroke = round(size * self.unit / 60) if bold else 0
        self.canvas.text((at[0] * self.unit, at[1] * self.unit), shown, fill, face, anchor, stroke_width=stroke)
        if shown:
            baseline = at[1] + face.getmetrics()[0] / self.unit  # type: ignore[union-attr]
            length = face.getlength(shown) / self.unit
            self.elements.append(partial(svg.text, at[0], baseline, shown, size, fill, anchor[0], length, bold))

    def wrapped(self, text: str, size: float, room: float, most: int) -> list[str]:
        """A text as lines that fit into a room, of which the last takes the rest."""
        lines = [""]
        for word in text.split():
            longer = f"{lines[-1]} {word}".strip()
            if lines[-1] and len(lines) < most and self.length(longer, size) > room:
                lines.append(word)
            else:
                lines[-1] = longer
        return lines

    def heading(self, title: str, note: str, frames: np.ndarray | None) -> None:
        """A title, a line of remarks, and the frames on the left, if there are any."""
        self.text((56, 32), title, 34, self.theme.ink, room=1488, bold=True)
        self.text((56, 76), note, 19, self.theme.muted, room=1488)
        if frames is not None:
            self.text((56, 108), "Frames", 17, self.theme.muted)
            self.contact_grid(frames, (56, 140, 536, 832))

    def length(self, text: str, size: float) -> float:
        """How wide a line of text is."""
        return font(size * self.unit).getlength(text) / self.unit

    def box(self, box: Box, fill: Colour, radius: float = 0) -> None:
        self.canvas.rounded_rectangle([edge * self.unit for edge in box], radius * self.unit, fill)
        self.elements.append(partial(svg.box, *box, fill, radius))

    def contact_grid(self, frames: np.ndarray, box: Box, gap: float = 10) -> None:
        """`frames` `(T, H, W, 3)` in the grid that shows them large in `box`; a full last row is worth some size."""
        left, top, right, bottom = box
        count, aspect = len(frames), frames.shape[2] / frames.shape[1]

        def tile_width(columns: int) -> float:
            rows = -(-count // columns)
            return min((right - left + gap) / columns - gap, ((bottom - top + gap) / rows - gap) * aspect)

        columns = max(range(1, count + 1), key=lambda n: tile_width(n) * (0.85 if count % n else 1))
        wide = tile_width(columns)
        high = wide / aspect
        for index, frame in enumerate(frames):
            row, column = divmod(index, columns)
            x, y = left + column * (wide + gap), top + row * (high + gap)
            x0, y0, x1, y1 = (round(edge * self.unit) for edge in (x, y, x + wide, y + high))
            tile = Image.fromarray(frame).resize((max(1, x1 - x0), max(1, y1 - y0)), Image.Resampling.LANCZOS)
            mask = Image.new("L", tile.size)
            ImageDraw.Draw(mask).rounded_rectangle((0, 0, tile.width - 1, tile.height - 1), 8 * self.unit, 255)
            self.image.paste(tile, (x0, y0), mask)
            small = Image.fromarray(frame) if frame.shape[1] < tile.width else tile
            self.elements.append(partial(svg.picture, x, y, x + wide, y + high, small))

    def ranking(
        self,
        values: Mapping[str, float],
        thresholds: Mapping[str, float],
        box: Box,
        title: str,
        listed: int,
        names: Mapping[str, str] | None = None,
    ) -> None:
        """The `listed` likeliest labels with their bars; active ones in full ink, a tick at each threshold; where a
        label has a name for people, that comes first."""
        left, top, right, bottom = box
        self.text((left, top), title, 17, self.theme.muted)
        self.text((right, top), "threshold", 15, self.theme.muted, anchor="ra")
        self.tick(right - 78, top + 2, top + 18)
        ranked = sorted(values, key=lambda name: -values[name])[:listed]
        pitch = (bottom - top - 36) / listed
        high = pitch * 12 / 83
        for index, label in enumerate(ranked):
            y, value = top + 36 + index * pitch, values[label]
            active = value >= thresholds[label]
            ink = self.theme.ink if active else self.theme.muted
            x, size, share = left, min(20, pitch * 0.5), f"{value:.0%}"
            self.text((right, y), share, size, ink, anchor="ra")
            end = right - self.length(share, size) - 6
            if name := (names or {}).get(label):
                self.text((x, y), name, size, ink)
                x += self.length(name, size) + 6
                self.text((x, y + size - 12), label, 12, self.theme.muted, room=end - x)
            else:
                self.text((x, y), label, size, ink, room=end - x)
            bar = y + size * 1.5
            self.box((left, bar, right, bar + high), self.theme.track, high / 2)
            if value > 0:
                end = left + max(high, (right - left) * value)
                self.box((left, bar, end, bar + high), self.theme.shade(value, thresholds[label]), high / 2)
            self.tick(left + (right - left) * thresholds[label], bar - 3, bar + high + 3)

    def tick(self, x: float, top: float, bottom: float) -> None:
        """The mark of a threshold, with a halo that keeps it apart from dark bars."""
        self.box((x - 2.5, top, x + 2.5, bottom), self.theme.paper)
        self.box((x - 1, top, x + 1, bottom), self.theme.ink)

    def scale(self, box: Box, thresholds: Mapping[str, float]) -> None:
        """The colour scale with its label and ends; grey as far as no threshold is reached, which it says."""
        left, top, right, bottom = box
        lowest = min(thresholds.values(), default=0.5)
        self.text((left, top - 28), "Probability", 17, self.theme.muted)
        self.box((right - 180, top - 25, right - 165, top - 11), self.theme.inactive, 3)
        self.text((right, top - 28), "under the threshold", 17, self.theme.muted, anchor="ra")
        steps = round((right - left) * self.unit)
        for fill, run in groupby(range(steps), lambda step: self.theme.shade(step / steps, lowest)):
            first, *_, last = [*run] * 2
            end = min(last + 2, steps)  # the next covers what is too much, so that no seam shows
            self.box((left + first / self.unit, top, left + end / self.unit, bottom), fill)
        for value, anchor in ((0, "la"), (0.5, "ma"), (1, "ra")):
            self.text((left + (right - left) * value, bottom + 8), f"{value:.0%}", 15, self.theme.muted, anchor=anchor)
