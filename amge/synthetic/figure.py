"""Draw a dressed human figure over 2-D keypoints."""

import cmath
from collections.abc import Callable

import numpy as np
from PIL import Image

from .backdrop import CameraFlaws, paint_backdrop
from .brush import Brush
from .look import Look, sample_look
from .parts import Figure
from .reading import COCO17, read

__all__ = ["COCO17", "Look", "draw", "sample_look"]

_OVERSAMPLING = 2


def draw(
    keypoints: np.ndarray,
    look: Look,
    size: tuple[int, int] = (224, 224),
    depth: np.ndarray | None = None,
    background: np.ndarray | None = None,
    rng_seed: int = 0,
    toes: np.ndarray | None = None,
) -> np.ndarray:
    """Pictures of a figure that stands as the keypoints say.

    Args:
        keypoints: `(T, 17, 3)` COCO joints: x and y in pixels of the output, confidence 0..1. Joints below 0.2
            are missing, and so are the limbs that need them.
        look: body, clothes, light and backdrop.
        size: height and width of the output in pixels.
        depth: `(T, 17)`, larger is nearer the camera; orders the limbs. Estimated from the pose if left out.
        background: RGB uint8 `(h, w, 3)`, resized, in place of the backdrop of `look`.
        rng_seed: decides the details of backdrop and noise.
        toes: `(T, 2, 2)` x and y of the tips of the left and right foot; estimated from the legs if left out.

    Returns:
        RGB uint8 `(T, height, width, 3)`.

    Raises:
        ValueError: if the shapes do not agree.
    """
    keypoints = np.asarray(keypoints, dtype=np.float32)
    if keypoints.ndim != 3 or keypoints.shape[1:] != (17, 3):
        raise ValueError(f"expected keypoints of shape (T, 17, 3), got {keypoints.shape}")
    if depth is not None and np.shape(depth) != keypoints.shape[:2]:
        raise ValueError(f"expected depths of shape {keypoints.shape[:2]}, got {np.shape(depth)}")
    height, width = size
    rng = np.random.default_rng(rng_seed)
    if background is None:
        scene = paint_backdrop(look, size, rng)
    else:
        scene = Image.fromarray(np.ascontiguousarray(background, dtype=np.uint8)).resize((width, height))
    flaws = CameraFlaws(look, size, rng)
    scale = _OVERSAMPLING
    canvas = scene.resize((width * scale, height * scale))
    light = cmath.exp(1j * look.light)
    enlarged = keypoints * np.array([scale, scale, 1], np.float32)
    frames = np.empty((len(keypoints), height, width, 3), np.uint8)
    for time, reading in enumerate(read(enlarged, depth)):
        picture = canvas.copy()
        tips = None if toes is None else [complex(x, y) * scale for x, y in np.asarray(toes[time]).tolist()]
        layers = Figure(reading, look, tips).layers() if reading.stature > 4 * scale else []
        _paint(layers, Brush(picture, light, look.shading))
        frames[time] = np.asarray(flaws.apply(picture.reduce(scale)))
    return frames


def _paint(layers: list[tuple[float, Callable[[Brush], None]]], brush: Brush) -> None:
    """Paint the layers `(nearness, painter)`, the farthest first."""
    for _, painter in sorted(layers, key=lambda layer: layer[0]):
        painter(brush)
