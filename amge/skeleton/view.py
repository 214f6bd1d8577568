"""Skeletons under the look that is taken at a video, and from another side.

Shapes: `P` persons, `T` frames, `V` joints; the last axis, `A`, is x and y in pixels and confidence, and in three
dimensions the world joint besides.
"""

import numpy as np

from amge.errors import VideoError
from amge.skeleton.graph import Graph
from amge.skeleton.sequence import middle
from amge.video.view import View


def seen_joints(view: View, keypoints: np.ndarray, picture: tuple[int, int], graph: Graph | None) -> np.ndarray:
    """Skeletons `(P, T, V, A)` in pixels of a picture (height, width) to those in the clip that a view of it gives, in
    sides of its square times the picture's height; left and right joints change places in the mirror.

    Joints outside the box stay: a skeleton model does not see the picture. World joints change in the mirror alone.

    Raises:
        ValueError: for a mirror without a graph that knows left from right.
    """
    height, width = picture
    seen = keypoints.astype(np.float32, copy=True)
    there = seen[..., 2:3] > 0
    box = np.array([view.left * width, view.top * height], np.float32)
    zoom = np.array([height / (view.width * width), 1 / view.height], np.float32)
    seen[..., :2] = (seen[..., :2] - box) * zoom
    if view.mirror:
        if graph is None:
            raise ValueError("to mirror a skeleton takes a layout with names, so that left and right change places")
        seen[..., 0] = height - seen[..., 0]
        seen[..., 3:4] *= -1
        other = list(graph.mirrored())
        seen, there = seen[..., other, :], there[..., other, :]
    return np.where(there, seen, 0).astype(np.float32)


def turned(persons: np.ndarray, degrees: float) -> np.ndarray:
    """Skeletons `(P, T, V, 6)` turned about the vertical, clockwise as seen from above.

    World joints turn; x and y become what a camera far away sees of them, in the middle of the person in the picture of
    each frame, at as many pixels to the metre as the person has in the clip.

    Raises:
        VideoError: for joints without a world.
    """
    if persons.shape[-1] < 6:
        raise VideoError(
            "2-D skeletons can't be turned about the vertical; train with turn=0, or on those with world joints that "
            "`amge data prepare skeletons` makes with MediaPipe"
        )
    there = persons[..., 2:3] > 0
    sine, cosine = np.sin(np.deg2rad(degrees)), np.cos(np.deg2rad(degrees))
    world = persons[..., 3:] @ np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]], np.float32)

    def spread(points: np.ndarray) -> np.ndarray:
        apart = (points - middle(points, there)) * there
        return np.sqrt((apart**2).sum(axis=(-3, -2, -1), keepdims=True))

    pixels = spread(persons[..., :2]) / np.maximum(spread(persons[..., 3:5]), 1e-6)
    flat = (world - middle(world, there))[..., :2] * pixels + middle(persons[..., :2], there)
    return np.where(there, np.concatenate([flat, persons[..., 2:3], world], axis=-1), 0).astype(np.float32)
