"""How somebody does an exercise, and the few helpers that all poses share."""

from dataclasses import dataclass

import numpy as np

from .motion import Array


@dataclass(frozen=True)
class Style:
    """How somebody does an exercise: `amplitude` about 1, the free choices `a`, `b`, `c` in 0..1, and mirroring."""

    amplitude: float = 1.0
    a: float = 0.5
    b: float = 0.5
    c: float = 0.5
    mirror: bool = False


def sample_style(rng: np.random.Generator) -> Style:
    """A random way to do an exercise."""
    a, b, c = (float(value) for value in rng.random(3))
    return Style(float(rng.uniform(0.75, 1.08)), a, b, c, bool(rng.random() < 0.5))


def effort(phase: Array) -> Array:
    """0 at the start and the end of a repetition, 1 in its middle, `(T,)`."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * phase)


def at(x: Array | float = 0.0, y: Array | float = 0.0, z: Array | float = 0.0) -> Array:
    """A point of every frame, `(T, 3)` (or `(1, 3)` of scalars), from its coordinates."""
    return np.stack(np.broadcast_arrays(*(np.atleast_1d(np.asarray(value, np.float64)) for value in (x, y, z))), -1)
