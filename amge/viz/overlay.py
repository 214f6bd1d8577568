"""Over frames: skeletons, and what a model looks at."""

import numpy as np
from PIL import Image, ImageDraw

from amge.skeleton.graph import Graph

LEFT, RIGHT, MIDDLE = (255, 170, 60), (70, 200, 255), (240, 240, 240)
BONE, EDGE = (190, 195, 205), (20, 20, 30)
SMOOTH = 2
"""How much larger dots are drawn than they end up."""
_HEAT = (0.0, 0.35, 0.6, 0.8, 1.0)
_HEAT_COLOURS = ((45, 20, 95), (150, 40, 120), (228, 85, 60), (250, 165, 45), (255, 246, 150))


def overlay(frames: np.ndarray, keypoints: np.ndarray, graph: Graph, least: float = 0.3) -> np.ndarray:
    """Frames with the bones of a person drawn: of the left side in orange, of the right side in blue.

    Args:
        frames: uint8 `(T, H, W, 3)`.
        keypoints: `(T, V, A)`, x and y in pixels of the frames and confidence; what follows is not drawn.
        graph: of the joints.
        least: confidence below which a joint is not drawn.

    Returns:
        uint8 `(T, H, W, 3)`, a copy.
    """
    sides = {"left": LEFT, "right": RIGHT}
    width = max(1, round(min(frames.shape[1:3]) / 80))
    drawn = []
    for frame, pose in zip(frames, keypoints, strict=True):
        image = Image.fromarray(frame)
        brush = ImageDraw.Draw(image)
        for outer, inner in graph.bones:
            if pose[outer, 2] >= least and pose[inner, 2] >= least:
                side = graph.names[outer].split("_")[0] if graph.names else ""
                ends = (*pose[outer, :2].tolist(), *pose[inner, :2].tolist())
                brush.line(ends, fill=sides.get(side, MIDDLE), width=width)
        drawn.append(np.asarray(image))
    return np.stack(drawn)


def heated(frame: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A frame, uint8 `(H, W, 3)`, paler, under a map `(H, W)` of numbers in 0..1: the larger, the brighter."""
    plain = 0.6 * frame + 0.4 * frame.mean(axis=-1, keepdims=True)
    cover = 0.8 * heat[..., None]
    return (plain + (heat_colours(heat) - plain) * cover).round().astype(np.uint8)


def jointed(
    frame: np.ndarray, pose: np.ndarray, heat: np.ndarray, graph: Graph | None, least: float = 0.3
) -> np.ndarray:
    """A frame, uint8 `(H, W, 3)`, with a dot at each joint, the larger and brighter the higher its number in 0..1.

    Args:
        frame: a copy is drawn on.
        pose: `(V, 3)`, x and y in pixels of the frame and confidence.
        heat: `(V,)`.
        graph: of the joints, for bones between them; None: no bones.
        least: confidence below which a joint is not drawn.
    """
    scale = SMOOTH * min(frame.shape[:2]) / 360
    image = Image.fromarray(frame).resize((SMOOTH * frame.shape[1], SMOOTH * frame.shape[0]), Image.Resampling.BILINEAR)
    brush = ImageDraw.Draw(image)
    points, seen = SMOOTH * pose[:, :2], pose[:, 2] >= least
    for outer, inner in graph.bones if graph else ():
        if seen[outer] and seen[inner]:
            brush.line((*points[outer], *points[inner]), BONE, max(1, round(2.5 * scale)))
    for joint in np.argsort(heat):
        if seen[joint]:
            (x, y), radius = points[joint], (3.5 + 8 * float(heat[joint])) * scale
            colour = tuple(heat_colours(heat[joint]).round().astype(int).tolist())
            brush.ellipse((x - radius, y - radius, x + radius, y + radius), colour, EDGE, max(1, round(1.5 * scale)))
    return np.asarray(image.reduce(SMOOTH))


def heat_colours(heat: np.ndarray | float) -> np.ndarray:
    """Numbers in 0..1 as colours `(..., 3)` that grow ever lighter: dark violet, red, orange, pale yellow."""
    return np.stack([np.interp(heat, _HEAT, channel) for channel in zip(*_HEAT_COLOURS, strict=True)], axis=-1)
