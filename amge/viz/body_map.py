"""One picture of a prediction: a front and a back body map beside the frames and a ranked list of regions."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache, partial

import numpy as np
from PIL import Image, ImageDraw

from amge.errors import one_of
from amge.muscles import REGION_IDS, REGION_NAMES
from amge.viz import svg
from amge.viz.body_shapes import BACK, FINGERS, FRONT, SILHOUETTE
from amge.viz.page import Page, check_picture, check_values, drawn, each_threshold
from amge.viz.page import colour as colour
from amge.viz.page import save as save
from amge.viz.theme import Colour, Theme, theme_of
from amge.viz.timeline import Span, finished

_LISTED = 8
MARKS = {"missing": "expected, not active", "unexpected": "active, not expected"}
LINE, DASH = 2.2, (9.0, 7.0)
"""Of the outline of a marked region: its width, its dashes and gaps; in units of the shapes where the size is 1."""


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


def dashes(points: Sequence[tuple[float, float]], unit: float) -> Iterator[list[tuple[float, float]]]:
    """The dashes along a closed curve, `unit` pixels being the width of their line."""
    around = np.array([*points, points[0]])
    way = np.concatenate([[0], np.hypot(*np.diff(around, axis=0).T).cumsum()])
    dash, gap = (part / LINE * unit for part in DASH)
    for start in np.arange(0, way[-1], way[-1] / max(1, round(way[-1] / (dash + gap)))):
        places = np.linspace(start, start + dash, 5)
        yield [*zip(*(np.interp(places, way, axis).tolist() for axis in around.T), strict=True)]


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


def body_page(
    probabilities: Mapping[str, float],
    frames: np.ndarray | None = None,
    title: str = "",
    threshold: float | Mapping[str, float] = 0.5,
    width: int = 1600,
    windows: Sequence[Span] = (),
    note: str = "",
    theme: str = "light",
    expected: Collection[str] | None = None,
) -> Page:
    """Draw probabilities on the body, next to the frames they were estimated from.

    Args:
        probabilities: region id to a probability in 0..1; regions left out are drawn as inactive and not listed.
        frames: uint8 `(T, H, W, 3)` RGB frames, or None.
        title: one line, shortened with an ellipsis where it does not fit.
        threshold: from which probability on a region counts as active; one for all, or one per region.
        width: width of the picture in pixels; its height is 9/16 of that, and what the timeline takes.
        windows: for a timeline below; see `amge.viz.timeline.timeline`.
        note: a line under the title, such as what to think of the prediction.
        theme: `light`, `dark` or `colour-blind`.
        expected: regions that should be active: those that are not get a dashed outline, and those that are active
            besides another one; None: nothing is marked.

    Returns:
        a page; `draw` gives it as an RGB image.

    Raises:
        ValueError: for an unknown region, expected or not, a value outside 0..1, or frames or a width that cannot be
            drawn.
    """
    values, thresholds = _checked(probabilities, threshold)
    check_picture(frames, width)

    page = BodyPage(width, theme=theme_of(theme))
    page.heading(title or "Activated muscle regions", note, frames)
    middles = (336, 836) if frames is None else (710, 1034)
    for name, middle in zip(("Front", "Back"), middles, strict=True):
        page.text((middle, 108), name, 17, page.theme.muted, anchor="ma")
    page.figures(values, thresholds, middles, 142, 0.9, expected)
    if expected is not None and values:
        page.mark_legend((middles[0] + middles[1]) / 2, 822 if frames is None else 858, 15)
    page.ranking(values, thresholds, (1224, 108, 1544, 700), "Most likely regions", _LISTED, REGION_NAMES)
    page.scale((1224, 764, 1544, 780), thresholds)
    return finished(page, windows, threshold, theme)


draw = drawn(body_page)


def marked(
    values: Mapping[str, float], thresholds: Mapping[str, float], expected: Collection[str] | None
) -> dict[str, str]:
    """The regions that differ from what is expected to which of `MARKS` they are; none where nothing is known.

    Raises:
        ValueError: for what is expected and no region.
    """
    if expected is None:
        return {}
    if isinstance(expected, str):
        raise ValueError(f"expected takes regions, not {expected!r}; amge.exercises.exercise(name).regions has them")
    wanted = {one_of("muscle region", name, REGION_IDS) for name in expected}
    if not values:
        return {}
    active = {name for name, value in values.items() if value >= thresholds[name]}
    return {name: "unexpected" if name in active else "missing" for name in REGION_IDS if name in active ^ wanted}


def bodies(
    probabilities: Mapping[str, float],
    threshold: float | Mapping[str, float] = 0.5,
    width: int = 640,
    expected: Collection[str] | None = None,
) -> Image.Image:
    """The front and the back alone, side by side, for a page that says the rest itself.

    Args:
        probabilities: as for `draw`.
        threshold: as for `draw`.
        width: of the picture in pixels.
        expected: as for `draw`; what the outlines mean is for the page to say.

    Returns:
        an RGB image.

    Raises:
        ValueError: as `draw`.
    """
    values, thresholds = _checked(probabilities, threshold)
    check_picture(None, width)
    page = BodyPage(width, 700, across=640)
    page.figures(values, thresholds, (160, 480), 10, 0.9, expected)
    return page.finish()


def _checked(
    probabilities: Mapping[str, float], threshold: float | Mapping[str, float]
) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Probabilities and the threshold of each region."""
    for name in (*probabilities, *(threshold if isinstance(threshold, Mapping) else ())):
        one_of("muscle region", name, REGION_IDS)
    values = check_values("probability", probabilities, "muscle region")
    return values, each_threshold(threshold, values, "muscle region")


class BodyPage(Page):
    """A page with bodies on it."""

    def figures(
        self,
        values: Mapping[str, float],
        thresholds: Mapping[str, float],
        middles: tuple[float, float],
        y: float,
        size: float,
        expected: Collection[str] | None = None,
    ) -> None:
        """The front and the back, in the colours of probabilities, with the outlines of what is not as expected."""
        colours = {name: self.theme.shade(value, thresholds[name]) for name, value in values.items()}
        for side, middle in zip((FRONT, BACK), middles, strict=True):
            self.figure(side, colours, middle, y, size, marked(values, thresholds, expected))

    def figure(
        self,
        side: Mapping[str, tuple[str, ...]],
        colours: Mapping[str, Colour],
        x: float,
        y: float,
        size: float,
        marks: Mapping[str, str],
    ) -> None:
        """One view of the body, its midline at `x`, its top at `y`, `size` page units to a unit of the shapes; some
        regions with the outlines of `MARKS`."""
        unit = size * self.unit
        half, margin = round(166 * unit), round(6 * unit)

        def path(curve: np.ndarray) -> list[tuple[float, float]]:
            return [(half + float(px) * unit, margin + float(py) * unit) for px, py in curve]

        def stroke(
            canvas: ImageDraw.ImageDraw, points: list[tuple[float, float]], fill: int | Colour, wide: float
        ) -> None:
            canvas.line([*points, *points[:2]], fill, max(1, round(wide * unit)), joint="curve")

        body = path(curves(SILHOUETTE)[0])
        layer = Image.new("RGB", (2 * half + 1, round(764 * unit)), self.theme.body)
        canvas = ImageDraw.Draw(layer)
        for name, shapes in (*side.items(), ("", FINGERS)):
            fill = colours.get(name, self.theme.inactive)
            for points in (path(curve) for shape in shapes for curve in curves(shape)):
                canvas.polygon(points, fill)
                stroke(canvas, points, self.theme.body, 1)
        stroke(canvas, body, self.theme.body, 4.5)
        stroke(canvas, body, self.theme.edge, 1.5)
        inside = Image.new("L", layer.size)
        mask = ImageDraw.Draw(inside)
        mask.polygon(body, 255)
        stroke(mask, body, 255, 1.5)
        wide = LINE / size**0.5  # in small figures finer, but less so than all else
        outlines = [
            (mark, path(curve))
            for name, mark in marks.items()
            for shape in side.get(name, ())
            for curve in curves(shape)
        ]
        for _, points in outlines:  # before all lines, as neighbours touch
            stroke(mask, points, 255, 2 * wide)
            stroke(canvas, points, self.theme.paper, 2 * wide)
        for mark, points in outlines:
            for dash in dashes(points, wide * unit) if mark == "missing" else ([*points, *points[:2]],):
                canvas.line(dash, getattr(self.theme, mark), max(1, round(wide * unit)), joint="curve")
        self.image.paste(layer, (round(x * self.unit) - half, round(y * self.unit) - margin), inside)
        self.elements.append(partial(_figure, self.theme, side, dict(colours), x, y, size, dict(marks)))

    def mark_legend(self, middle: float, y: float, size: float) -> None:
        """What the outlines of `MARKS` mean, in one line."""
        long, gap = 2 * size, size / 2
        x = middle - (sum(self.length(text, size) for text in MARKS.values()) + 2 * (long + gap) + 2 * gap) / 2
        for mark, text in MARKS.items():
            parts = ((0, 0.24), (0.38, 0.62), (0.76, 1)) if mark == "missing" else ((0, 1),)
            for start, end in parts:
                box = (x + start * long, y + 0.5 * size, x + end * long, y + 0.68 * size)
                self.box(box, getattr(self.theme, mark))
            self.text((x + long + gap, y), text, size, self.theme.muted)
            x += long + 3 * gap + self.length(text, size)


def _figure(
    theme: Theme,
    side: Mapping[str, tuple[str, ...]],
    colours: Mapping[str, Colour],
    x: float,
    y: float,
    size: float,
    marks: Mapping[str, str],
) -> str:
    """One view of the body as an element of an SVG. No method: a page that holds one of its own would hold itself, and
    its pixels would stay in memory until a garbage collection."""
    body, edge = svg.hexed(theme.body), svg.hexed(theme.edge)
    around = svg.outline(curves(SILHOUETTE)[0])
    muscles = "".join(
        f'<path d="{"".join(svg.outline(curve) for shape in shapes for curve in curves(shape))}" '
        f'fill="{svg.hexed(colours.get(name, theme.inactive))}"><title>{REGION_NAMES.get(name, "")}</title></path>'
        for name, shapes in (*side.items(), ("", FINGERS))
    )
    wide = LINE / size**0.5
    dash = f' stroke-dasharray="{DASH[0] * wide / LINE:.1f} {DASH[1] * wide / LINE:.1f}"'
    papers = lines = ""
    for name in (name for name in marks if name in side):
        data = "".join(svg.outline(curve) for shape in side[name] for curve in curves(shape))
        line, dashed = svg.hexed(getattr(theme, marks[name])), dash if marks[name] == "missing" else ""
        papers += f'<path d="{data}" stroke="{svg.hexed(theme.paper)}" stroke-width="{2 * wide:.2f}"/>'
        lines += f'<path d="{data}" stroke="{line}" stroke-width="{wide:.2f}"{dashed}/>'
    return (
        f'<g transform="translate({x:g},{y:g}) scale({size:g})"><clipPath id="body"><path d="{around}"/></clipPath>'
        f'<g clip-path="url(#body)" stroke="{body}"><path d="{around}" fill="{body}"/>{muscles}'
        f'<path d="{around}" fill="none" stroke-width="4.5"/></g>'
        f'<path d="{around}" fill="none" stroke="{edge}" stroke-width="1.5"/>'
        f'<g fill="none">{papers}{lines}</g></g>'
    )
