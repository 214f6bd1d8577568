"""The poses of rendered figures: exercises that no photograph shows, as a pose estimator would see them.

Shapes: `n` pairs, `V` joints, `A` axes, `K` labels; pairs as in `pairs.py`.
"""

from collections.abc import Sequence

import numpy as np

from amge.muscles import encode
from amge.recipes.st_gcn.trees import unit
from amge.skeleton.graph import Graph
from amge.skeleton.layouts import COCO17
from amge.skeleton.sequence import normalise
from amge.synthetic import EXERCISES, sample_body, sample_camera, sample_style
from amge.synthetic.camera import View
from amge.synthetic.exercises import pose
from amge.synthetic.motion import Rig

CONFIDENCE = 0.95
"""Of every joint."""


def joints_of(rig: Rig, graph: Graph) -> np.ndarray:
    """Joints `(T, V, 3)` in metres; fingers and heels are guessed.

    Raises:
        ValueError: for a graph with joints that figures lack.
    """
    joints = {name: rig.joints[:, index] for index, name in enumerate(COCO17.names)}
    for index, side in enumerate(("left", "right")):
        wrist, ankle, toe = joints[f"{side}_wrist"], joints[f"{side}_ankle"], rig.toes[:, index]
        joints[f"{side}_index"] = wrist + 0.09 * unit(wrist - joints[f"{side}_elbow"])
        joints[f"{side}_heel"] = ankle - 0.3 * (toe - ankle) * (1, 1, 0) - np.array([0, 0, 0.05])
        joints[f"{side}_foot_index"] = toe
    if lacking := [name for name in graph.names if name not in joints]:
        raise ValueError(f"figures have no joint {lacking[0]}; take one of coco-17 and body-19, or no figures")
    return np.stack([joints[name] for name in graph.names], axis=1)


def filmed(rig: Rig, rng: np.random.Generator, graph: Graph) -> np.ndarray:
    """What a camera, drawn by chance, sees of a figure, `(T, V, 6)`."""
    view = View(sample_camera(rng), np.concatenate([rig.joints, rig.toes], axis=1), (224, 224))
    points = joints_of(rig, graph)
    world = view.turn(points)
    world -= world[:, graph.indices("left_hip", "right_hip")].mean(axis=1, keepdims=True)
    flat = view.project(points)[0]
    return np.concatenate([flat, np.full((*flat.shape[:2], 1), CONFIDENCE), world], axis=-1).astype(np.float32)


def figure_pairs(
    each: int, seed: int, graph: Graph, axes: int = 6, names: Sequence[str] = tuple(EXERCISES)
) -> tuple[np.ndarray, np.ndarray]:
    """`each` normalised pairs `(n, 2, V, A)` of every exercise, of the two phases that differ most, and their targets
    `(n, K)`. The pairs of an exercise depend on its name and the seed alone.

    Args:
        each: pairs of an exercise, at least 1, of other bodies seen from other sides.
        seed: of all chance.
        graph: of the joints.
        axes: `A`.
        names: of `amge.synthetic.EXERCISES`.

    Raises:
        ValueError: as for `joints_of`.
    """
    pairs = []
    for name in names:
        rng = np.random.default_rng([seed, *name.encode()])
        for _ in range(each):
            body, style = sample_body(rng), sample_style(rng)
            phases = np.arange(8) / 8
            joints = pose(EXERCISES[name], phases, body, style).joints
            apart = ((joints[:, None] - joints[None]) ** 2).sum((-1, -2))
            ends = phases[list(np.unravel_index(apart.argmax(), apart.shape))]
            pairs.append(filmed(pose(EXERCISES[name], ends + rng.normal(0, 0.03, 2), body, style), rng, graph))
    targets = np.stack([encode(EXERCISES[name].regions) for name in names]).repeat(each, axis=0)
    return normalise(np.stack(pairs), graph)[..., :axes], targets
