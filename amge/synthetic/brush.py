"""Shaded shapes on a Pillow picture; points are complex numbers `x + 1j * y` in its pixels."""

import cmath
import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

from .look import Colour
from .reading import unit

_CAP = [cmath.exp(1j * math.pi * (0.5 + step / 7)) for step in range(8)]
_CIRCLE = [cmath.exp(2j * math.pi * step / 28) for step in range(28)]


def tone(colour: Colour, factor: float) -> Colour:
    """`colour` darker (factor below 1) or lighter (above 1)."""
    if factor <= 1:
        r, g, b = (int(value * factor) for value in colour)
    else:
        r, g, b = (int(value + (255 - value) * min(1.0, factor - 1)) for value in colour)
    return r, g, b


def capsule(p: complex, q: complex, radii: Sequence[float]) -> list[complex]:
    """The outline of a limb from `p` to `q` with round ends; `radii` are spread evenly over its length."""
    along = unit(q - p)
    across = 1j * along
    inner = [(p + (q - p) * step / (len(radii) - 1), radii[step]) for step in range(1, len(radii) - 1)]
    outline = [p + radii[0] * along * turn for turn in _CAP]
    outline += [centre - across * radius for centre, radius in inner]
    outline += [q - radii[-1] * along * turn for turn in _CAP]
    outline += [centre + across * radius for centre, radius in reversed(inner)]
    return outline


def rounded(corners: Sequence[complex], rounds: int = 2) -> list[complex]:
    """A closed outline with its corners cut off, again and again."""
    points = list(corners)
    for _ in range(rounds):
        cut = []
        for here, there in zip(points, points[1:] + points[:1], strict=True):
            cut += [0.75 * here + 0.25 * there, 0.25 * here + 0.75 * there]
        points = cut
    return points


class Brush:
    """Draws shapes with a dark edge and a lit side.

    `light` is the direction to the light as a unit number; `shading` is how dark the edge is, 0..1.
    """

    def __init__(self, picture: Image.Image, light: complex, shading: float) -> None:
        self._draw = ImageDraw.Draw(picture)
        self._light = light
        self._shading = shading

    def fill(self, outline: Sequence[complex], colour: Colour) -> None:
        """A flat shape."""
        self._draw.polygon([part for point in outline for part in (point.real, point.imag)], fill=colour)

    def line(self, p: complex, q: complex, colour: Colour, width: float) -> None:
        """A flat line of `width` pixels."""
        self._draw.line((p.real, p.imag, q.real, q.imag), fill=colour, width=max(1, round(width)))

    def limbs(self, limbs: Sequence[tuple[complex, complex, Sequence[float], Colour]]) -> None:
        """Tapered limbs `(from, to, radii, colour)` that grow into each other: all edges are under all lit sides."""
        for inset, brightness in self._tones():
            for p, q, radii, colour in limbs:
                drift = self._light * (1 - inset) * 0.55 * max(radii)
                drift -= unit(q - p) * (drift * unit(q - p).conjugate()).real * 0.6
                self.fill(capsule(p + drift, q + drift, [radius * inset for radius in radii]), tone(colour, brightness))

    def blob(self, outline: Sequence[complex], axis: tuple[complex, complex], depth: float, colour: Colour) -> None:
        """A rounded body around the line `axis`, shaded over `depth` pixels in from its edge."""
        start, end = axis
        along = unit(end - start)
        offsets = []
        for point in outline:
            share = min(1.0, max(0.0, ((point - start) * along.conjugate()).real / max(abs(end - start), 1e-6)))
            offsets.append(start + (end - start) * share)
        for inset, brightness in self._tones():
            drift = self._light * (1 - inset) * 0.5 * depth
            self.fill(
                [c + (p - c) * inset + drift for p, c in zip(outline, offsets, strict=True)], tone(colour, brightness)
            )

    def ellipse(self, centre: complex, up: complex, height: float, width: float, colour: Colour) -> None:
        """A shaded ellipse with half axes `height` along `up` and `width` across it."""
        for inset, brightness in self._tones():
            drift = self._light * (1 - inset) * 0.5 * width
            self.fill(ellipse(centre + drift, up, height * inset, width * inset), tone(colour, brightness))

    def _tones(self) -> tuple[tuple[float, float], ...]:
        """Size and brightness of the layers of a shaded shape, from the dark edge to the lit middle."""
        dark = self._shading
        return ((1.0, 1 - dark), (0.84, 1 - 0.5 * dark), (0.64, 1 - 0.1 * dark), (0.36, 1 + 0.22 * dark))


def ellipse(centre: complex, up: complex, height: float, width: float) -> list[complex]:
    """The outline of an ellipse with half axes `height` along `up` and `width` across it."""
    return [centre + up * (height * point.real + 1j * width * point.imag) for point in _CIRCLE]
