"""Skeletons over the frames that they were found in."""

import numpy as np
from PIL import Image, ImageDraw

from amge.skeleton.graph import Graph

LEFT, RIGHT, MIDDLE = (255, 170, 60), (70, 200, 255), (240, 240, 240)


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
