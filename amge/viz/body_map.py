"""One picture of a prediction: a front and a back body map beside the frames and a ranked list of regions."""

import os
import secrets
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from amge.errors import one_of
from amge.muscles import REGION_IDS, region
from amge.viz.body_shapes import BACK, FINGERS, FRONT, SILHOUETTE

Colour = tuple[int, int, int]
Box = tuple[float, float, float, float]

SUPERSAMPLING = 3
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
FOOTNOTE = "Estimated from video by amge. Not medical advice."

_PAGE, _BODY, _EDGE, _PASSIVE = (255, 255, 255), (235, 239, 244), (166, 177, 192), (216, 223, 232)
_INK, _MUTED, _TRACK = (28, 37, 54), (115, 126, 144), (236, 239, 244)
_LEVELS = (0.0, 0.1, 0.25, 0.4, 0.6, 0.8, 1.0)
_COLOURS = (
    (192, 203, 217),
    (203, 209, 216),
    (235, 221, 184),
    (252, 217, 130),
    (247, 155, 69),
    (217, 74, 44),
    (139, 14, 38),
)
_LISTED = 8


def colour(probability: float) -> Colour:
    """The colour of a probability: grey-blue, pale yellow, orange, deep red; lightness never rises by much."""
    red, green, blue = (
        round(float(np.interp(probability, _LEVELS, channel))) for channel in zip(*_COLOURS, strict=True)
    )
    return red, green, blue


@cache
def curves(shape: str) -> tuple[np.ndarray, ...]:
    """The closed curves `(N, 2)` of one entry of `amge.viz.body_shapes`: one across the midline, or a mirrored pair."""
    entries = shape.split()
    half = np.array([[float(number) for number in entry.rstrip("*").split(",")] for entry in entries])
    smooth = np.array([not entry.endswith("*") for entry in entries])
    mirrored = half * (-1, 1)
    if half[0, 0] == 0 and half[-1, 0] == 0:
        return (_spline(np.vstack([half, mirrored[-2:0:-1]]), np.concatenate([smooth, smooth[-2:0:-1]])),)
    return _spline(half, smooth), _spline(mirrored, smooth)


def _spline(points: np.ndarray, smooth: np.ndarray, steps: int = 10) -> np.ndarray:
    """A closed Catmull-Rom curve `(N * steps, 2)` through `points` `(N, 2)`; corners where `smooth` `(N,)` is false."""
    after = np.roll(points, -1, axis=0)
    length = np.linalg.norm(after - points, axis=1, keepdims=True)
    before, length_before = np.roll(points, 1, axis=0), np.roll(length, 1, axis=0)
    tangent = (after - before) / (length + length_before) * smooth[:, None]
    t = np.linspace(0, 1, steps, endpoint=False)[:, None, None]
    parts = (
        (2 * t**3 - 3 * t**2 + 1) * points
        + (t**3 - 2 * t**2 + t) * tangent * length
        + (3 * t**2 - 2 * t**3) * after
        + (t**3 - t**2) * np.roll(tangent, -1, axis=0) * length
    )
    return parts.transpose(1, 0, 2).reshape(-1, 2)


def draw(
    probabilities: Mapping[str, float],
    frames: np.ndarray | None = None,
    title: str = "",
    threshold: float | Mapping[str, float] = 0.5,
    width: int = 1600,
) -> Image.Image:
    """Draw probabilities on the body, next to the frames they were estimated from.

    Args:
        probabilities: region id to a probability in 0..1; regions left out are drawn as inactive and not listed.
        frames: uint8 `(T, H, W, 3)` RGB frames, or None.
        title: one line, shortened with an ellipsis where it does not fit.
        threshold: from which probability on a region counts as active; one for all, or one per region.
        width: width of the picture in pixels; its height is 9/16 of that.

    Returns:
        an RGB image.

    Raises:
        ValueError: for an unknown region, a value outside 0..1, or frames or a width that cannot be drawn.
    """
    values = _checked("probability", probabilities)
    shared = threshold if isinstance(threshold, Mapping) else dict.fromkeys(values, threshold)
    thresholds = _checked("threshold", shared)
    if missing := [name for name in values if name not in thresholds]:
        raise ValueError(f"no threshold for muscle region {missing[0]!r}")
    if frames is not None and (frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or not frames.size):
        raise ValueError(f"expected uint8 frames of shape (T, H, W, 3), got {frames.dtype} {frames.shape}")
    if width < 320:
        raise ValueError(f"the picture must be at least 320 pixels wide, got {width}")

    page = _Page(width)
    page.text((56, 40), title or "Activated muscle regions", 34, _INK, room=1488, bold=True)
    if frames is not None:
        page.text((56, 108), "Frames", 17, _MUTED)
        page.contact_grid(frames, (56, 140, 536, 832))
    middles = (336, 836) if frames is None else (710, 1034)
    for side, name, middle in zip((FRONT, BACK), ("Front", "Back"), middles, strict=True):
        page.text((middle, 108), name, 17, _MUTED, anchor="ma")
        page.figure(side, values, middle, 142, 0.9)
    page.ranking(values, thresholds, (1224, 108, 1544, 700))
    page.scale((1224, 764, 1544, 780))
    page.text((56, 858), FOOTNOTE, 15, _MUTED)
    return page.finish()


def save(path: str | os.PathLike[str], image: Image.Image) -> None:
    """Write `image` to `path` whole or not at all; the suffix (png, jpg, webp) says the format.

    Raises:
        ValueError: for another suffix, or a folder that is missing or cannot be written to.
    """
    target = Path(path)
    kind = FORMATS[one_of("picture format", target.suffix.lower(), FORMATS)]
    if not target.parent.is_dir():
        raise ValueError(f"cannot save {target}: there is no folder {target.parent}")
    partial = target.parent / f".amge-{secrets.token_hex(8)}.tmp"
    try:
        image.save(partial, format=kind, quality=92)
        os.replace(partial, target)
    except OSError as error:
        raise ValueError(f"cannot save {target}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _checked(kind: str, values: Mapping[str, float]) -> dict[str, float]:
    checked = {one_of("muscle region", name, REGION_IDS): float(value) for name, value in values.items()}
    for name, value in checked.items():
        if not 0 <= value <= 1:
            raise ValueError(f"the {kind} of muscle region {name!r} must lie in 0..1, got {value}")
    return checked


@cache
def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


class _Page:
    """A supersampled 16:9 canvas that is addressed as if it were 1600 by 900."""

    def __init__(self, width: int) -> None:
        self.size = (width, round(width * 9 / 16))
        self.unit = width / 1600 * SUPERSAMPLING
        self.image = Image.new("RGB", (self.size[0] * SUPERSAMPLING, self.size[1] * SUPERSAMPLING), _PAGE)
        self.canvas = ImageDraw.Draw(self.image)

    def finish(self) -> Image.Image:
        return self.image.reduce(SUPERSAMPLING)

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
        font, line = _font(size * self.unit), " ".join(text.split())
        shown = line
        while shown and font.getlength(shown) > room * self.unit:
            line = line[:-1]
            shown = line.rstrip() + "…"
        stroke = round(size * self.unit / 60) if bold else 0
        self.canvas.text((at[0] * self.unit, at[1] * self.unit), shown, fill, font, anchor, stroke_width=stroke)

    def box(self, box: Box, fill: Colour, radius: float = 0) -> None:
        self.canvas.rounded_rectangle([edge * self.unit for edge in box], radius * self.unit, fill)

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

    def figure(
        self, side: Mapping[str, tuple[str, ...]], values: Mapping[str, float], x: float, y: float, size: float
    ) -> None:
        """One view of the body, its midline at `x`, its top at `y`, `size` page units to a unit of the shapes."""
        unit = size * self.unit
        half, margin = round(166 * unit), round(6 * unit)

        def path(curve: np.ndarray) -> list[tuple[float, float]]:
            return [(half + float(px) * unit, margin + float(py) * unit) for px, py in curve]

        def stroke(
            canvas: ImageDraw.ImageDraw, points: list[tuple[float, float]], fill: int | Colour, wide: float
        ) -> None:
            canvas.line([*points, *points[:2]], fill, max(1, round(wide * unit)), joint="curve")

        body = path(curves(SILHOUETTE)[0])
        layer = Image.new("RGB", (2 * half + 1, round(764 * unit)), _BODY)
        canvas = ImageDraw.Draw(layer)
        for name, shapes in (*side.items(), ("", FINGERS)):
            fill = colour(values.get(name, 0)) if name else _PASSIVE
            for points in (path(curve) for shape in shapes for curve in curves(shape)):
                canvas.polygon(points, fill)
                stroke(canvas, points, _BODY, 1)
        stroke(canvas, body, _BODY, 4.5)
        stroke(canvas, body, _EDGE, 1.5)
        inside = Image.new("L", layer.size)
        mask = ImageDraw.Draw(inside)
        mask.polygon(body, 255)
        stroke(mask, body, 255, 1.5)
        self.image.paste(layer, (round(x * self.unit) - half, round(y * self.unit) - margin), inside)

    def ranking(self, values: Mapping[str, float], thresholds: Mapping[str, float], box: Box) -> None:
        """The likeliest regions with their bars; active ones in full ink, a tick at each threshold."""
        left, top, right, bottom = box
        self.text((left, top), "Most likely regions", 17, _MUTED)
        self.text((right, top), "threshold", 15, _MUTED, anchor="ra")
        self.tick(right - 78, top + 2, top + 18)
        pitch = (bottom - top - 36) / _LISTED
        ranked = sorted(values, key=lambda name: -values[name])[:_LISTED]
        for index, name in enumerate(ranked):
            y, value = top + 36 + index * pitch, values[name]
            ink = _INK if value >= thresholds[name] else _MUTED
            self.text((left, y), region(name).name, 21, ink)
            self.text((right, y), f"{value:.0%}", 21, ink, anchor="ra")
            self.box((left, y + 32, right, y + 44), _TRACK, 6)
            if value > 0:
                self.box((left, y + 32, left + max(12, (right - left) * value), y + 44), colour(value), 6)
            self.tick(left + (right - left) * thresholds[name], y + 29, y + 47)

    def tick(self, x: float, top: float, bottom: float) -> None:
        """The mark of a threshold, with a halo that keeps it apart from dark bars."""
        self.box((x - 2.5, top, x + 2.5, bottom), _PAGE)
        self.box((x - 1, top, x + 1, bottom), _INK)

    def scale(self, box: Box) -> None:
        """The colour scale with its label and ends."""
        left, top, right, bottom = box
        self.text((left, top - 28), "Probability", 17, _MUTED)
        for step in range(round((right - left) * self.unit)):
            x = left + step / self.unit
            self.box((x, top, x + 1 / self.unit, bottom), colour((x - left) / (right - left)))
        for value, anchor in ((0, "la"), (0.5, "ma"), (1, "ra")):
            self.text((left + (right - left) * value, bottom + 8), f"{value:.0%}", 15, _MUTED, anchor=anchor)
