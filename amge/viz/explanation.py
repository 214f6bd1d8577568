"""What models look at in a video, side by side: a strip of frames, or a video of it."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from amge.errors import one_of
from amge.files import whole
from amge.viz.overlay import heat_colours
from amge.viz.page import FOOTNOTE, FORMATS, INK, MUTED, Box, Colour, Page

MOVING = (".gif", ".mp4")
FPS = 8
LONGEST = 240
"""Frames of a video; a longer one is shown faster."""
SAMPLE = 60_000
"""Pixels that the colours of a gif are chosen from."""
ACROSS = 6
"""Frames of a strip."""
LEFT, RIGHT, GAP, TALLEST = 56, 1544, 10, 760
COLOURS: dict[str, Colour] = {"right": (0, 122, 80), "missed": (166, 106, 0), "false": (190, 30, 45)}
"""Of each of `Marks`, which has a sign of its own as well."""


class Panel(NamedTuple):
    """One model and one region."""

    model: str
    region: str
    said: str
    """Of the region, by the model."""
    at: Callable[[float], np.ndarray]
    """Seconds to the frame that is shown then, uint8 `(H, W, 3)`, always of one size."""
    brightest: float | None = None
    """Seconds at which most is lit."""


class Marks(NamedTuple):
    """What a model says, beside the truth: names with their probabilities."""

    right: Sequence[str]
    missed: Sequence[str]
    false: Sequence[str]


class Sheet(NamedTuple):
    """What is drawn."""

    title: str
    method: str
    doubts: str
    """What to think of the predictions; empty: nothing speaks against them."""
    panels: Sequence[Sequence[Panel]]
    """A row for each region; in a row one for each model."""
    bare: Panel
    """The frames without anything over them, beside a single panel of a video."""
    end: float
    """Of the video, in seconds."""
    marks: Sequence[Marks] | None = None
    """Of each model."""


def check_format(path: Path) -> None:
    """`ValueError` unless the suffix of a path is one that explanations are saved in, and it is no folder."""
    one_of("picture or video format", path.suffix.lower(), (*FORMATS, *MOVING))
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name the picture or the video")


def strip(sheet: Sheet, width: int = 1600) -> Image.Image:
    """A picture in which each panel is a row of frames, spread evenly over the video but for the brightest one of the
    first panel in a row, which takes the place of its neighbour."""
    count = max(2, ACROSS // len(sheet.panels[0]))
    image, boxes = drawn(sheet, sheet.panels, count, width, 1.0)
    for panels, places in zip(sheet.panels, boxes, strict=True):
        times = (np.arange(count) + 0.5) / count * sheet.end
        if (brightest := panels[0].brightest) is not None:
            times[min(int(brightest / sheet.end * count), count - 1)] = brightest
        for panel, tiles in zip(panels, places, strict=True):
            for seconds, box in zip(times, tiles, strict=True):
                put(image, panel.at(seconds), box)
    return image


def animate(path: Path, sheet: Sheet, width: int = 960) -> None:
    """Write a video, gif or mp4, in which each panel moves; one panel has the bare frames beside it."""
    frames = [np.asarray(frame) for frame in moving(sheet, width)]
    with whole(path) as part:
        if path.suffix.lower() == ".mp4":
            from amge.video.write import write_video

            write_video(part, np.stack(frames), FPS)
        else:
            colours = palette(frames)
            first, *others = (
                Image.fromarray(frame).quantize(palette=colours, dither=Image.Dither.NONE) for frame in frames
            )
            first.save(part, "GIF", save_all=True, append_images=others, duration=1000 // FPS, loop=0)


def palette(frames: Sequence[np.ndarray]) -> Image.Image:
    """256 colours for all frames `(H, W, 3)`, so that nothing flickers that keeps still, as an image that has them. A
    sixth of the pixels they are chosen from are those of heat, however little of it the frames show."""
    rng = np.random.default_rng(0)
    each = min(-(-SAMPLE // len(frames)), frames[0].size // 3)
    pixels = np.concatenate([rng.choice(frame.reshape(-1, 3), each, replace=False) for frame in frames])
    heat = heat_colours(np.linspace(0, 1, len(pixels) // 5)).round().astype(np.uint8)
    chosen = Image.fromarray(np.concatenate([pixels, heat])[None]).quantize(256, kmeans=2)
    colours = np.array(chosen.getpalette()).reshape(-1, 3)
    colours[colours.sum(axis=1).argmax()] = 255  # paper, which the mean of a cluster is not quite
    chosen.putpalette(colours.ravel().tolist())
    return chosen


def moving(sheet: Sheet, width: int) -> Iterator[Image.Image]:
    """The frames of a video."""
    panels = sheet.panels
    if len(panels) == len(panels[0]) == 1:
        panels = [[sheet.bare, panels[0][0]]]
    page, boxes = drawn(sheet, panels, 1, width, 1.6)
    count = max(1, min(round(sheet.end * FPS), LONGEST))
    for number in range(count):
        image = page.copy()
        for row, places in zip(panels, boxes, strict=True):
            for panel, tiles in zip(row, places, strict=True):
                put(image, panel.at((number + 0.5) / count * sheet.end), tiles[0])
        yield image


def put(image: Image.Image, frame: np.ndarray, box: tuple[int, int, int, int]) -> None:
    """Show a frame in a box of pixels."""
    size = box[2] - box[0], box[3] - box[1]
    image.paste(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS), box[:2])


Boxes = list[list[list[tuple[int, int, int, int]]]]


def drawn(
    sheet: Sheet, panels: Sequence[Sequence[Panel]], count: int, width: int, scale: float
) -> tuple[Image.Image, Boxes]:
    """All but the frames, and where they go: for each row and panel `count` boxes in pixels.

    Args:
        sheet: what is drawn.
        panels: in place of its own.
        count: frames of each panel, side by side.
        width: of the picture in pixels.
        scale: of text, on a page that is 1600 wide.
    """
    ink = Later(width, scale)
    ink.y = 28
    ink.text(LEFT, sheet.title, 30, INK, RIGHT - LEFT, bold=True)
    ink.text(LEFT, sheet.method, 18, MUTED, RIGHT - LEFT)
    ink.text(LEFT, sheet.doubts, 18, COLOURS["missed"], RIGHT - LEFT)
    columns = len(panels[0])
    wide = (RIGHT - LEFT + 4 * GAP) / columns - 4 * GAP
    lefts = [LEFT + column * (wide + 4 * GAP) for column in range(columns)]
    boxes: Boxes = []
    for row in panels:
        ink.y += 14 * scale
        heads = [[panel.model, panel.region, panel.said] for panel in row]
        top = ink.y
        for left, lines in zip(lefts, heads, strict=True):
            ink.y = top
            for number, line in enumerate(lines):
                ink.text(left, line, 20 if number == 1 else 18, INK if number == 1 else MUTED, wide)
        top, lowest, places = ink.y + 4, ink.y, []
        for left, panel in zip(lefts, row, strict=True):
            high, broad = panel.at(0.0).shape[:2]
            tile = min((wide + GAP) / count - GAP, TALLEST * broad / high)
            tiles = [(left + n * (tile + GAP), top) for n in range(count)]
            places.append([ink.pixels((x, y, x + tile, y + tile * high / broad)) for x, y in tiles])
            lowest = max(lowest, top + tile * high / broad)
        boxes.append(places)
        ink.y = lowest + 10
    if sheet.marks is not None:
        top, lowest = ink.y + 10 * scale, ink.y
        for left, marks in zip(lefts[-len(sheet.marks) :], sheet.marks, strict=True):
            ink.y = top
            room = wide if len(sheet.marks) > 1 else RIGHT - left
            for kind, names in marks._asdict().items():
                ink.marks(left, kind, names, room)
            lowest = max(lowest, ink.y)
        ink.y = lowest
    ink.y += 14 * scale
    ink.legend("share of the strongest place in the video")
    ink.text(LEFT, FOOTNOTE, 15, MUTED, RIGHT - LEFT)
    return ink.page(), boxes


class Later:
    """A page that becomes as high as what is drawn on it, from the top down.

    Args:
        width: in pixels.
        scale: of text and signs.
    """

    def __init__(self, width: int, scale: float) -> None:
        self.width, self.scale, self.y = width, scale, 28.0
        self.measure = Page(width, 1)
        self.steps: list[Callable[[Page], None]] = []

    def page(self) -> Image.Image:
        page = Page(self.width, self.y + 20)
        for step in self.steps:
            step(page)
        return page.finish()

    def pixels(self, box: Box) -> tuple[int, int, int, int]:
        """A box of the page in pixels of the picture."""
        left, top, right, bottom = (round(edge * self.width / 1600) for edge in box)
        return left, top, max(right, left + 1), max(bottom, top + 1)

    def text(self, x: float, text: str, size: float, fill: Colour, room: float, bold: bool = False) -> None:
        """Text from `x` on, as many lines as it takes in the room."""
        size, line = size * self.scale, ""
        for word in [*text.split(), None]:
            longer = f"{line} {word}".strip()
            if word is None or (line and self.measure.length(longer, size) > room):
                if line:
                    self.steps.append(partial(_text, x, self.y, line, size, fill, room, bold))
                    self.y += 1.4 * size
                line = word or ""
            else:
                line = longer

    def marks(self, x: float, kind: str, names: Sequence[str], room: float) -> None:
        """A sign with its word, and the names that it stands for."""
        side = 16 * self.scale
        self.steps.append(partial(_sign, kind, x, self.y + 3 * self.scale, side))
        self.text(x + 1.5 * side, f"{kind}: {', '.join(names) or 'none'}", 18, COLOURS[kind], room - 1.5 * side)

    def legend(self, meaning: str) -> None:
        """The scale of heat with its ends."""
        left, top, long, high = LEFT, self.y, 220 * self.scale, 14 * self.scale
        for step in range(110):
            x, tone = left + step * long / 110, [round(float(c)) for c in heat_colours(step / 109)]
            self.steps.append(partial(_box, (x, top, x + long / 110 + 1, top + high), (tone[0], tone[1], tone[2])))
        self.text(left + long + 14, f"none to most: {meaning}", 16, MUTED, RIGHT - left - long - 14)
        self.y += 6 * self.scale


def _text(x: float, y: float, line: str, size: float, fill: Colour, room: float, bold: bool, page: Page) -> None:
    page.text((x, y), line, size, fill, room=room, bold=bold)


def _box(box: Box, fill: Colour, page: Page) -> None:
    page.box(box, fill)


def _sign(kind: str, x: float, y: float, side: float, page: Page) -> None:
    """A tick for what is right, a ring for what is missed, a cross for what is false."""
    stroke, unit = round(0.16 * side * page.unit), page.unit
    corners: dict[str, list[list[tuple[float, float]]]] = {
        "right": [[(0, 0.55), (0.35, 0.9), (1, 0.1)]],
        "false": [[(0, 0), (1, 1)], [(0, 1), (1, 0)]],
    }
    for path in corners.get(kind, ()):
        places = [((x + a * side) * unit, (y + b * side) * unit) for a, b in path]
        page.canvas.line(places, COLOURS[kind], stroke, joint="curve")
    if kind not in corners:
        page.canvas.ellipse([e * unit for e in (x, y, x + side, y + side)], outline=COLOURS[kind], width=stroke)
