"""The colours of pictures: on white, on black, and for eyes that see few colours."""

from dataclasses import dataclass

import numpy as np

from amge.errors import one_of

Colour = tuple[int, int, int]

LEVELS = (0.0, 0.1, 0.25, 0.4, 0.6, 0.8, 1.0)
"""Probabilities that `Theme.heat` has a colour for."""
LEAST = 0.35
"""Active labels are coloured as if they had this probability at least, so that none looks inactive."""


@dataclass(frozen=True)
class Theme:
    """Red, green and blue, 0..255, of everything that is drawn."""

    paper: Colour
    ink: Colour
    muted: Colour
    """Of text that says less."""
    track: Colour
    """Of a bar's empty part."""
    inactive: Colour
    """Of what is under its threshold, however likely it is."""
    body: Colour
    edge: Colour
    missing: Colour
    """Of the dashed line around what is expected and not active."""
    unexpected: Colour
    """Of the line around what is active and not expected."""
    heat: tuple[Colour, ...]
    """Of the probabilities `LEVELS`; their lightness goes one way from `LEAST` on."""

    def colour(self, probability: float) -> Colour:
        """The colour of a probability."""
        red, green, blue = (
            round(float(np.interp(probability, LEVELS, channel))) for channel in zip(*self.heat, strict=True)
        )
        return red, green, blue

    def shade(self, probability: float, threshold: float) -> Colour:
        """The colour of a probability, that of what is inactive under the threshold."""
        return self.colour(max(probability, LEAST)) if probability >= threshold else self.inactive

    def over(self, colour: Colour) -> Colour:
        """The ink or the paper, whichever reads better over a colour."""
        return max(self.ink, self.paper, key=lambda text: contrast(text, colour))


def contrast(one: Colour, other: Colour) -> float:
    """The contrast ratio of two colours, 1..21, as WCAG 2 defines it."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: Colour) -> float:
    """Relative luminance 0..1 of sRGB."""
    share = np.array(colour) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


LIGHT = Theme(
    paper=(255, 255, 255),
    ink=(28, 37, 54),
    muted=(115, 126, 144),
    track=(236, 239, 244),
    inactive=(208, 215, 225),
    body=(235, 239, 244),
    edge=(166, 177, 192),
    missing=(0, 100, 190),
    unexpected=(130, 0, 150),
    heat=(
        (192, 203, 217),
        (203, 209, 216),
        (235, 221, 184),
        (252, 217, 130),
        (247, 155, 69),
        (217, 74, 44),
        (139, 14, 38),
    ),
)
"""Grey-blue, pale yellow, orange, deep red."""
DARK = Theme(
    paper=(17, 21, 29),
    ink=(236, 239, 244),
    muted=(152, 163, 181),
    track=(44, 51, 65),
    inactive=(60, 69, 86),
    body=(33, 39, 51),
    edge=(110, 122, 142),
    missing=(90, 195, 255),
    unexpected=(215, 130, 255),
    heat=((60, 69, 86), (72, 70, 84), (120, 70, 74), (176, 80, 68), (222, 104, 58), (247, 160, 60), (255, 230, 140)),
)
"""Dull red, orange, bright yellow."""
COLOUR_BLIND = Theme(
    paper=(255, 255, 255),
    ink=(28, 37, 54),
    muted=(98, 109, 127),
    track=(236, 239, 244),
    inactive=(208, 213, 221),
    body=(235, 239, 244),
    edge=(150, 161, 176),
    missing=(28, 37, 54),
    unexpected=(200, 60, 0),
    heat=(
        (208, 213, 221),
        (214, 213, 205),
        (238, 206, 100),
        (228, 182, 52),
        (128, 164, 112),
        (40, 106, 146),
        (30, 30, 100),
    ),
)
"""Gold, grey-green, blue, navy: apart also for those who see no red, no green or no blue."""

THEMES = {"light": LIGHT, "dark": DARK, "colour-blind": COLOUR_BLIND}


def theme_of(name: str) -> Theme:
    """A theme by name; `ValueError` for an unknown one."""
    return THEMES[one_of("theme", name, THEMES)]
