"""What a page shows as the elements of an SVG: shapes and text stay sharp at any size, frames are embedded."""

import base64
import io
from collections.abc import Iterable
from html import escape

import numpy as np
from PIL import Image

from amge.viz.theme import Colour

FONTS = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
ANCHORS = {"l": "start", "m": "middle", "r": "end"}


def hexed(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def text(
    x: float, baseline: float, said: str, size: float, fill: Colour, anchor: str, length: float, bold: bool
) -> str:
    """One line, as long as it was measured, whatever the font of the reader's machine is."""
    stroke = f' stroke="{hexed(fill)}" stroke-width="{size / 30:.2f}"' if bold else ""
    return (
        f'<text x="{x:.2f}" y="{baseline:.2f}" font-size="{size:g}" fill="{hexed(fill)}" '
        f'text-anchor="{ANCHORS[anchor]}" textLength="{length:.2f}" lengthAdjust="spacingAndGlyphs"{stroke}>'
        f"{escape(said)}</text>"
    )


def box(left: float, top: float, right: float, bottom: float, fill: Colour, radius: float = 0) -> str:
    return (
        f'<rect x="{left:.2f}" y="{top:.2f}" width="{max(right - left, 0):.2f}" height="{max(bottom - top, 0):.2f}" '
        f'rx="{radius:.2f}" fill="{hexed(fill)}"/>'
    )


def picture(left: float, top: float, right: float, bottom: float, frame: Image.Image) -> str:
    """A frame, embedded as a JPEG."""
    buffer = io.BytesIO()
    frame.save(buffer, "JPEG", quality=90)
    data = base64.b64encode(buffer.getvalue()).decode()
    return (
        f'<image x="{left:.2f}" y="{top:.2f}" width="{right - left:.2f}" height="{bottom - top:.2f}" '
        f'preserveAspectRatio="none" href="data:image/jpeg;base64,{data}"/>'
    )


def outline(curve: np.ndarray) -> str:
    """The data of a path along a closed curve `(N, 2)`."""
    return "M" + " ".join(f"{x:.1f},{y:.1f}" for x, y in curve[::2]) + "Z"


def document(parts: Iterable[tuple[float, float, Iterable[str]]], width: int) -> str:
    """Pages one under the other.

    Args:
        parts: width and height of each page in its own units, and its elements.
        width: of the whole in pixels.
    """
    drawn, top = [], 0.0
    for across, high, elements in parts:
        tall = high * width / across
        drawn.append(
            f'<svg y="{top:.2f}" width="{width}" height="{tall:.2f}" viewBox="0 0 {across:g} {high:g}">'
            f"{''.join(elements)}</svg>"
        )
        top += tall
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top:.0f}" viewBox="0 0 {width} {top:.2f}" '
        f'font-family="{FONTS}">{"".join(drawn)}</svg>\n'
    )
