"""High dynamic range to the range of a plain picture: PQ and HLG as in Recommendation ITU-R BT.2100, with primaries of
BT.2020, to those of BT.709 with the gamma of BT.1886.

Shapes: `H W` picture.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

Light: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""A signal `(H, W, 3)` in 0..1 to the light of a screen in candelas per square metre."""

WHITE = 203.0
"""Candelas per square metre of a white page, BT.2408."""
KNEE = 0.8
"""Share of white up to which light stays as it is; what is brighter is pressed together below white."""
_TO_BT709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32)
_LUMINANCE = np.array([0.2627, 0.678, 0.0593], np.float32)


def perceptual_quantizer(signal: np.ndarray) -> np.ndarray:
    """Table 4 of BT.2100."""
    power = signal ** (32 / 2523)
    return 10000 * (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (8192 / 1305)


def hybrid_log_gamma(signal: np.ndarray) -> np.ndarray:
    """Table 5 of BT.2100, on a screen of 1000 candelas per square metre."""
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12)
    return 1000 * scene * np.maximum(scene @ _LUMINANCE, 1e-6)[..., None] ** 0.2


LIGHT: dict[int, Light] = {16: perceptual_quantizer, 18: hybrid_log_gamma}
"""By the number of the transfer characteristic in Recommendation ITU-T H.273."""


def tone_mapped(picture: np.ndarray, light: Light) -> np.ndarray:
    """uint16 `(H, W, 3)` to uint8 of the same shape."""
    rgb = light(picture.astype(np.float32) / 65535) @ _TO_BT709.T / WHITE
    brightest = np.maximum(rgb.max(axis=-1, keepdims=True), 1e-6)
    pressed = KNEE + (1 - KNEE) * (1 - np.exp(-np.maximum(brightest - KNEE, 0) / (1 - KNEE)))
    rgb = np.clip(rgb * np.where(brightest > KNEE, pressed / brightest, 1), 0, 1)
    return (255 * rgb ** (1 / 2.4) + 0.5).astype(np.uint8)
