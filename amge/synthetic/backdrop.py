"""The picture behind the figure, and the flaws of the camera in front of it."""

import math

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from .look import Colour, Look


def paint_backdrop(
    look: Look, size: tuple[int, int], rng: np.random.Generator, horizon: float | None = None
) -> Image.Image:
    """The backdrop that `look` names, an RGB picture of `size` (height, width).

    `horizon` is where a floor meets the wall behind it, as a share of the height; random if left out.
    """
    height, width = size
    first, second, third = look.backdrop_colours
    if look.backdrop == "plain":
        return Image.new("RGB", (width, height), first)
    if look.backdrop == "gradient":
        return _blend(_ramp(rng.uniform(0, 2 * math.pi), size), first, second)
    if look.backdrop == "noise":
        return _blend(_smooth_noise(size, rng), first, second)
    if look.backdrop == "shapes":
        picture = _blend(_ramp(rng.uniform(0, 2 * math.pi), size), first, second)
        _scatter(ImageDraw.Draw(picture), size, (first, second, third), rng, int(rng.integers(6, 22)))
        return picture.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 0.012) * height)))
    return _gym(look, size, rng, rng.uniform(0.5, 0.92) if horizon is None else horizon)


def _gym(look: Look, size: tuple[int, int], rng: np.random.Generator, edge: float) -> Image.Image:
    """A wall, a floor, and upright rectangles along the wall: windows, mirrors, racks."""
    height, width = size
    wall, floor, accent = look.backdrop_colours
    picture = _blend(_smooth_noise(size, rng), wall, _scaled(wall, rng.uniform(0.75, 0.95)))
    brush = ImageDraw.Draw(picture)
    horizon = int(min(max(edge, 0.2), 0.97) * height)
    for _ in range(int(rng.integers(1, 8))):
        left, breadth = rng.uniform(-0.1, 1) * width, rng.uniform(0.03, 0.35) * width
        top, bottom = rng.uniform(0, 0.6) * horizon, horizon * rng.uniform(0.7, 1.0)
        colour = _scaled(accent if rng.random() < 0.5 else wall, rng.uniform(0.45, 1.25))
        brush.rectangle((left, top, left + breadth, max(bottom, top)), fill=colour)
        if rng.random() < 0.4:
            for share in np.linspace(0.2, 0.8, int(rng.integers(2, 5))):
                y = top + share * max(bottom - top, 0)
                brush.line((left, y, left + breadth, y), fill=_scaled(colour, 0.6), width=max(1, height // 100))
    brush.rectangle((0, horizon, width, height), fill=floor)
    brush.line((0, horizon, width, horizon), fill=_scaled(floor, 0.6), width=max(1, height // 110))
    for _ in range(int(rng.integers(0, 6))):
        x = rng.uniform(-0.5, 1.5) * width
        end = width / 2 + (x - width / 2) * 3
        brush.line((x, horizon, end, height), fill=_scaled(floor, 0.85), width=max(1, height // 150))
    return picture.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 0.008) * height)))


def _scatter(
    brush: ImageDraw.ImageDraw,
    size: tuple[int, int],
    colours: tuple[Colour, ...],
    rng: np.random.Generator,
    count: int,
) -> None:
    """Random rectangles, ellipses and thick lines."""
    height, width = size
    for _ in range(count):
        x, y = rng.uniform(-0.1, 1) * width, rng.uniform(-0.1, 1) * height
        w, h = rng.uniform(0.03, 0.5, 2) ** 1.3 * (width, height)
        colour = _scaled(colours[rng.integers(len(colours))], rng.uniform(0.5, 1.3))
        kind = rng.integers(3)
        if kind == 0:
            brush.rectangle((x, y, x + w, y + h), fill=colour)
        elif kind == 1:
            brush.ellipse((x, y, x + w, y + h), fill=colour)
        else:
            brush.line((x, y, x + w, y + rng.choice([-1, 1]) * h), fill=colour, width=int(rng.integers(1, 12)))


def _scaled(colour: Colour, factor: float) -> Colour:
    """`colour` made darker (below 1) or lighter (above 1)."""
    r, g, b = (min(255, int(value * factor)) for value in colour)
    return r, g, b


def _ramp(angle: float, size: tuple[int, int]) -> np.ndarray:
    """Values 0..1, `(H, W)`, that grow along `angle` in radians."""
    height, width = size
    x, y = np.linspace(-1, 1, width)[None], np.linspace(-1, 1, height)[:, None]
    ramp = x * math.cos(angle) + y * math.sin(angle)
    return (ramp - ramp.min()) / max(float(np.ptp(ramp)), 1e-6)


def _smooth_noise(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Values 0..1, `(H, W)`: a sum of random grids, each finer and fainter than the one before."""
    height, width = size
    total = np.zeros(size, np.float32)
    for cells, weight in ((3, 1.0), (7, 0.6), (17, 0.35), (43, 0.2)):
        grid = Image.fromarray(rng.random((cells, cells), dtype=np.float32))
        total += weight * np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC))
    return np.clip((total - total.min()) / max(float(np.ptp(total)), 1e-6), 0, 1)


def _blend(share: np.ndarray, first: Colour, second: Colour) -> Image.Image:
    """`first` where `share` `(H, W)` is 0, `second` where it is 1."""
    picture = np.asarray(first) + share[..., None] * (np.asarray(second) - np.asarray(first, np.float64))
    return Image.fromarray(picture.astype(np.uint8))


class CameraFlaws:
    """Uneven light, blur and sensor noise of one clip, as `look` states them."""

    def __init__(self, look: Look, size: tuple[int, int], rng: np.random.Generator) -> None:
        self._blur = look.blur
        self._size = size
        self._rng = rng
        self._shade: Image.Image | None = None
        self._noise: Image.Image | None = None
        if look.gradient > 0:
            shade = 255 * (1 - look.gradient * _ramp(look.light + math.pi, size))
            self._shade = Image.fromarray(shade.astype(np.uint8)).convert("RGB")
        if look.noise > 0:
            grain = 128 + look.noise * rng.standard_normal((size[0] + 31, size[1] + 31, 3), dtype=np.float32)
            self._noise = Image.fromarray(np.clip(grain, 0, 255).astype(np.uint8))

    def apply(self, frame: Image.Image) -> Image.Image:
        """`frame` as the camera records it; the grain of every frame is another one."""
        if self._shade is not None:
            frame = ImageChops.multiply(frame, self._shade)
        if self._blur > 0:
            frame = frame.filter(ImageFilter.GaussianBlur(self._blur))
        if self._noise is not None:
            x, y = (int(value) for value in self._rng.integers(0, 32, 2))
            grain = self._noise.crop((x, y, x + self._size[1], y + self._size[0]))
            frame = ImageChops.add(frame, grain, 1.0, -128)
        return frame
