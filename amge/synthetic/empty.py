"""Clips without anybody in them: rooms, landscapes, furniture and animals, for models that say when nobody is there."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw

from amge.errors import one_of

from .backdrop import CameraFlaws, paint_backdrop
from .brush import Brush, tone
from .look import Colour, sample_look

Thing = Callable[[Brush, complex, float, float, Colour], None]
"""Draws itself: brush, the place it stands on, its height in pixels, its phase in turns, its colour."""


def _block(brush: Brush, corner: complex, size: complex, colour: Colour) -> None:
    """An upright rectangle from its lower left corner."""
    w, h = size.real, size.imag
    brush.fill([corner, corner + w, corner + w - 1j * h, corner - 1j * h], colour)


def table(brush: Brush, at: complex, height: float, phase: float, colour: Colour) -> None:
    for x in (-0.9, 0.8):
        _block(brush, at + x * height, complex(0.1, 1) * height, tone(colour, 0.7))
    _block(brush, at - height - 0.95j * height, complex(2, 0.12) * height, colour)


def chair(brush: Brush, at: complex, height: float, phase: float, colour: Colour) -> None:
    for x in (-0.3, 0.25):
        _block(brush, at + x * height, complex(0.06, 0.5) * height, tone(colour, 0.7))
    _block(brush, at - 0.32 * height - 0.45j * height, complex(0.64, 0.1) * height, colour)
    _block(brush, at - 0.32 * height - 0.45j * height, complex(0.08, 0.55) * height, tone(colour, 0.85))


def shelf(brush: Brush, at: complex, height: float, phase: float, colour: Colour) -> None:
    _block(brush, at - 0.35 * height, complex(0.7, 1) * height, tone(colour, 0.6))
    for level in range(4):
        _block(brush, at - 0.32 * height - (0.05 + 0.24 * level) * 1j * height, complex(0.64, 0.17) * height, colour)


def lamp(brush: Brush, at: complex, height: float, phase: float, colour: Colour) -> None:
    brush.line(at, at - 1j * height, tone(colour, 0.5), 0.04 * height)
    shade = [-0.2 - 0.8j, 0.2 - 0.8j, 0.1 - 1.05j, -0.1 - 1.05j]
    brush.fill([at + point * height for point in shade], tone(colour, 1.3))


def plant(brush: Brush, at: complex, height: float, phase: float, colour: Colour) -> None:
    for leaf in range(7):
        lean = (leaf - 3) / 4 + 0.06 * np.sin(2 * np.pi * (phase + leaf / 7))
        tip = at + height * complex(0.5 * lean, -1 + 0.3 * abs(lean))
        brush.limbs([(at - 0.2j * height, tip, (0.02 * height, 0.06 * height, 0.01 * height), colour)])
    _block(brush, at - 0.15 * height, complex(0.3, 0.25) * height, tone(colour, 0.5))


def ball(brush: Brush, at: complex, height: float, phase: float, colour: Colour) -> None:
    centre = at - 1j * height * (0.5 + 1.5 * abs(np.sin(np.pi * phase)))
    brush.limbs([(centre, centre + 0.01, (0.5 * height, 0.5 * height), colour)])


def car(brush: Brush, at: complex, height: float, phase: float, colour: Colour) -> None:
    at = at + 1.5 * height * np.sin(2 * np.pi * phase)
    body = [-1.3 - 0.2j, 1.3 - 0.2j, 1.3 - 0.6j, 0.8 - 0.65j, 0.5 - 1j, -0.6 - 1j, -0.9 - 0.6j, -1.3 - 0.55j]
    brush.fill([at + point * height for point in body], colour)
    for x in (-0.75, 0.75):
        hub = at + height * complex(x, -0.2)
        brush.limbs([(hub, hub + 0.01, (0.22 * height, 0.22 * height), (30, 30, 32))])


def beast(brush: Brush, at: complex, height: float, phase: float, colour: Colour) -> None:
    """An animal on four legs, from a dog to a horse, that walks."""
    at = at + height * np.sin(2 * np.pi * phase / 2)
    legs = []
    for number, x in enumerate((-0.5, -0.4, 0.4, 0.5)):
        swing = 0.15 * np.sin(2 * np.pi * (phase + number / 2.7))
        hip = at + height * complex(x, -0.5)
        legs.append((hip, at + height * (x + swing), (0.09 * height, 0.04 * height), tone(colour, 0.8)))
    brush.limbs(legs)
    back, front = at + height * complex(-0.55, -0.6), at + height * complex(0.5, -0.62)
    head = front + height * complex(0.3, -0.3)
    tail = back + height * complex(-0.3, 0.1 - 0.1 * np.sin(2 * np.pi * phase))
    brush.limbs(
        [
            (back, tail, (0.06 * height, 0.02 * height), colour),
            (back, front, (0.2 * height, 0.18 * height, 0.21 * height), colour),
            (front, head, (0.14 * height, 0.1 * height), colour),
            (head, head + height * complex(0.22, 0.06), (0.12 * height, 0.06 * height), colour),
        ]
    )


def bird(brush: Brush, at: complex, height: float, phase: float, colour: Colour) -> None:
    centre = at + height * complex(2 * np.sin(2 * np.pi * phase / 3), -2.5)
    lift = np.sin(2 * np.pi * phase)
    for side in (-1, 1):
        wing = centre + height * complex(0.7 * side, -0.4 * lift)
        brush.limbs([(centre, wing, (0.1 * height, 0.02 * height), tone(colour, 0.9))])
    brush.limbs([(centre, centre + 0.4 * height, (0.15 * height, 0.08 * height), colour)])


THINGS: dict[str, Thing] = {
    "table": table,
    "chair": chair,
    "shelf": shelf,
    "lamp": lamp,
    "plant": plant,
    "ball": ball,
    "car": car,
    "beast": beast,
    "bird": bird,
}
SCENES = ("room", "landscape")


def _landscape(size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """Sky, ranges of hills, and trees."""
    height, width = size
    picture = Image.new("RGB", (width, height), tuple(rng.integers((90, 120, 150), 250).tolist()))
    draw = ImageDraw.Draw(picture)
    for depth in range(3):
        edge = height * (0.35 + 0.2 * depth + 0.1 * rng.random())
        x = np.arange(0, width + 8, 8)
        waves = sum(rng.normal(0, 0.06) * np.sin(x / width * rng.uniform(2, 12) + rng.uniform(0, 6)) for _ in range(4))
        line = [*zip(x.tolist(), (edge + height * np.asarray(waves)).tolist(), strict=True)]
        colour = tuple(int(v) for v in rng.uniform((30, 70, 20), (140, 170, 110)) * (1 - 0.15 * depth))
        draw.polygon([(0, height), *line, (width, height)], fill=colour)
        for _ in range(int(rng.integers(0, 5))):
            trunk, y = rng.uniform(0, width), edge + rng.uniform(0, 0.1) * height
            tall = rng.uniform(0.1, 0.35) * height
            draw.rectangle((trunk - tall / 20, y - tall / 2, trunk + tall / 20, y), fill=(80, 60, 40))
            crown = (trunk - tall / 4, y - tall, trunk + tall / 4, y - tall / 3)
            (draw.ellipse if rng.random() < 0.6 else draw.rectangle)(crown, fill=tuple(v * 3 // 4 for v in colour))
    return picture


def render_empty(
    scene: str = "room",
    things: tuple[str, ...] = (),
    frames: int = 16,
    size: int | tuple[int, int] = 224,
    seed: int = 0,
    fps: float = 8.0,
) -> np.ndarray:
    """A clip that nobody is in; the same arguments give the same bytes.

    Args:
        scene: `room` or `landscape`.
        things: what stands or moves in it, of `THINGS`.
        frames: how many.
        size: height and width of the picture in pixels, or one number for both.
        seed: decides places, sizes, colours and the flaws of the camera.
        fps: frames a second.

    Returns:
        RGB uint8 `(T, H, W, 3)`.

    Raises:
        ValueError: for an unknown scene or thing.
    """
    one_of("scene", scene, SCENES)
    drawers = [THINGS[one_of("thing", thing, THINGS)] for thing in things]
    rng = np.random.default_rng(seed)
    height, width = (size, size) if isinstance(size, int) else size
    look = replace(sample_look(rng), equipment="none")
    behind = _landscape((height, width), rng) if scene == "landscape" else paint_backdrop(look, (height, width), rng)
    placed = []
    for drawer in drawers:
        tall, pace = rng.uniform(0.2, 0.6) * height, rng.uniform(0.3, 1.2)
        at = complex(rng.uniform(0.1, 0.9) * width, rng.uniform(0.75, 1.0) * height)
        red, green, blue = (int(value) for value in rng.integers(20, 235, 3))
        placed.append((drawer, at, tall, pace, rng.random(), (red, green, blue)))
    light, flaws = np.exp(1j * look.light), CameraFlaws(look, (height, width), rng)
    clip = []
    for frame in range(frames):
        picture = behind.copy()
        brush = Brush(picture, complex(light), look.shading)
        for drawer, at, tall, pace, start, colour in placed:
            drawer(brush, at, tall, start + pace * frame / fps, colour)
        clip.append(np.asarray(flaws.apply(picture)))
    return np.stack(clip)
