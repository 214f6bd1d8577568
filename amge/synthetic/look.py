"""What a drawn figure looks like, apart from its pose: body, clothes, light, backdrop, camera flaws."""

from colorsys import hsv_to_rgb
from dataclasses import dataclass
from typing import Literal

import numpy as np

Colour = tuple[int, int, int]
Shirt = Literal["none", "top", "short", "long"]
Trousers = Literal["short", "long"]
Hair = Literal["bald", "short", "long", "tail"]
Equipment = Literal["none", "dumbbells", "barbell"]
Backdrop = Literal["plain", "gradient", "noise", "shapes", "gym"]


@dataclass(frozen=True)
class Look:
    """Appearance of a figure and its picture. Lengths are relative, colours are RGB 0..255.

    `thickness` multiplies all widths; `arms`, `legs`, `torso` and `head` multiply it once more. `light` is the
    direction on the screen that light comes from, in radians (0 is right, -pi/2 is above); `shading` is how far
    the dark edge is from the lit side (0 flat). `gradient` darkens the picture along `light`, 0..1. `blur` is in
    output pixels, `noise` is the standard deviation in grey levels.
    """

    thickness: float = 1.0
    arms: float = 1.0
    legs: float = 1.0
    torso: float = 1.0
    head: float = 1.0
    skin: Colour = (224, 172, 138)
    hair: Hair = "short"
    hair_colour: Colour = (60, 42, 30)
    shirt: Shirt = "short"
    shirt_colour: Colour = (60, 90, 170)
    stripes: int = 0
    stripe_colour: Colour = (240, 240, 240)
    trousers: Trousers = "short"
    trousers_colour: Colour = (40, 40, 46)
    shoes_colour: Colour = (220, 220, 220)
    barefoot: bool = False
    equipment: Equipment = "none"
    equipment_colour: Colour = (45, 45, 48)
    backdrop: Backdrop = "gym"
    backdrop_colours: tuple[Colour, Colour, Colour] = ((190, 194, 198), (120, 104, 92), (90, 120, 140))
    light: float = -2.0
    shading: float = 0.45
    gradient: float = 0.15
    blur: float = 0.0
    noise: float = 0.0


_SKINS = ((255, 219, 190), (241, 194, 160), (224, 172, 128), (198, 134, 92), (150, 98, 66), (96, 62, 44), (64, 42, 32))
_HAIRS = ((24, 20, 18), (58, 40, 28), (104, 70, 42), (172, 130, 74), (222, 196, 132), (150, 62, 34), (170, 168, 164))


def _colour(rng: np.random.Generator, dull: bool = False) -> Colour:
    """A random colour; greys, black and white are as common as in clothes, and `dull` keeps it unsaturated."""
    if rng.random() < 0.4:
        grey = rng.choice([rng.uniform(10, 70), rng.uniform(70, 190), rng.uniform(200, 250)])
        return _shift(rng, (grey, grey, grey), 8)
    saturation = rng.uniform(0.05, 0.35) if dull else rng.uniform(0.3, 1.0)
    r, g, b = hsv_to_rgb(rng.random(), saturation, rng.uniform(0.25, 1.0))
    return _shift(rng, (255 * r, 255 * g, 255 * b), 0)


def _shift(rng: np.random.Generator, colour: tuple[float, float, float], spread: float) -> Colour:
    """`colour` with random changes up to `spread`, kept within 0..255."""
    r, g, b = (int(np.clip(value + rng.uniform(-spread, spread), 0, 255)) for value in colour)
    return r, g, b


def _pick(rng: np.random.Generator, **weights: float) -> str:
    """One of the names, with chances in proportion to their weights."""
    chances = np.array(list(weights.values()))
    return str(rng.choice(list(weights), p=chances / chances.sum()))


def sample_look(rng: np.random.Generator) -> Look:
    """A random look: the same generator state gives the same look."""
    tone = rng.uniform(0, len(_SKINS) - 1)
    low, part = int(tone), tone % 1
    skin = tuple((1 - part) * a + part * b for a, b in zip(_SKINS[low], _SKINS[low + 1], strict=True))
    return Look(
        thickness=float(np.clip(rng.normal(1.0, 0.13), 0.75, 1.4)),
        arms=float(rng.uniform(0.85, 1.25)),
        legs=float(rng.uniform(0.88, 1.15)),
        torso=float(rng.uniform(0.88, 1.18)),
        head=float(rng.uniform(0.92, 1.1)),
        skin=_shift(rng, (skin[0], skin[1], skin[2]), 8),
        hair=_pick(rng, bald=1, short=4, long=2, tail=2),  # type: ignore[arg-type]
        hair_colour=_shift(rng, _HAIRS[rng.integers(len(_HAIRS))], 14),
        shirt=_pick(rng, none=1.5, top=2.5, short=4, long=1.5),  # type: ignore[arg-type]
        shirt_colour=_colour(rng),
        stripes=int(rng.integers(1, 6)) if rng.random() < 0.2 else 0,
        stripe_colour=_colour(rng),
        trousers=_pick(rng, short=1, long=1),  # type: ignore[arg-type]
        trousers_colour=_colour(rng),
        shoes_colour=_colour(rng),
        barefoot=bool(rng.random() < 0.15),
        equipment=_pick(rng, none=6, dumbbells=1.5, barbell=1),  # type: ignore[arg-type]
        equipment_colour=_colour(rng, dull=True),
        backdrop=_pick(rng, plain=1, gradient=1.5, noise=1.5, shapes=2, gym=4),  # type: ignore[arg-type]
        backdrop_colours=(_colour(rng, dull=True), _colour(rng, dull=True), _colour(rng)),
        light=float(rng.uniform(-np.pi, 0)),
        shading=float(rng.uniform(0.2, 0.7)),
        gradient=float(rng.uniform(0, 0.5)) if rng.random() < 0.6 else 0.0,
        blur=float(rng.uniform(0.3, 1.3)) if rng.random() < 0.35 else 0.0,
        noise=float(rng.uniform(1, 9)) if rng.random() < 0.6 else 0.0,
    )
