"""Skeletons under the look that is taken at a video.

Shapes: `P` persons, `T` frames, `V` joints; the last axis is x and y in pixels and confidence.
"""

import numpy as np

from amge.skeleton.graph import Graph
from amge.video.view import View


def seen_joints(view: View, keypoints: np.ndarray, picture: tuple[int, int], graph: Graph | None) -> np.ndarray:
    """Skeletons `(P, T, V, 3)` in pixels of a picture (height, width) to those in the clip that a view of it gives, in
    sides of its square times the picture's height; left and right joints change places in the mirror.

    Joints outside the box stay: a skeleton model does not see the picture.

    Raises:
        ValueError: for a mirror without a graph that knows left from right.
    """
    height, width = picture
    seen = keypoints.astype(np.float32, copy=True)
    there = seen[..., 2:] > 0
    box = np.array([view.left * width, view.top * height], np.float32)
    zoom = np.array([height / (view.width * width), 1 / view.height], np.float32)
    seen[..., :2] = (seen[..., :2] - box) * zoom
    if view.mirror:
        if graph is None:
            raise ValueError("to mirror a skeleton takes a layout with names, so that left and right change places")
        seen[..., 0] = height - seen[..., 0]
        other = list(graph.mirrored())
        seen, there = seen[..., other, :], there[..., other, :]
    return np.where(there, seen, 0).astype(np.float32)
