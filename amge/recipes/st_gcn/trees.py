"""Randomised trees on features of two poses: few examples are enough for them, and what they know teaches a network.

Shapes: `n` pairs, `V` joints, `K` labels.
"""

from itertools import pairwise

import numpy as np
import torch

from amge.backbones.streams import body_frame
from amge.recipes.joints import both, limbs
from amge.recipes.st_gcn.pairs import views
from amge.skeleton.graph import Graph
from amge.skeleton.layouts import COCO17, TRUNK

REACHES = (("wrist", "shoulder"), ("wrist", "ankle"), ("ankle", "hip"))
"""Joints of one side whose distance says how an arm, a body or a leg is folded."""


def bones_of(graph: Graph) -> tuple[tuple[int, ...], ...]:
    """Those of limbs and trunk, and from the nose to the shoulders."""
    shoulders, hips = both("shoulder", graph), both("hip", graph)
    outer = [bone for limb in limbs(graph) for bone in pairwise(limb)]
    neck = [(graph.names.index("nose"), shoulder) for shoulder in shoulders]
    return (*outer, *zip(shoulders, hips, strict=True), shoulders, hips, *neck)


def corners_of(graph: Graph) -> tuple[tuple[int, ...], ...]:
    """Elbows, knees, hips and shoulders, and where there are hands and feet wrists and ankles, each between the joints
    on both sides."""
    shoulders, elbows, hips, knees = (both(name, graph) for name in ("shoulder", "elbow", "hip", "knee"))
    along = [limb[i : i + 3] for i in range(2) for limb in limbs(graph) if len(limb) >= i + 3]
    return (*along, *zip(shoulders, hips, knees, strict=True), *zip(elbows, shoulders, hips, strict=True))


def features(pairs: np.ndarray, graph: Graph = COCO17) -> np.ndarray:
    """Normalised pairs `(n, 2, V, A)` to `(n, F)` in the picture: joints, bones and their directions, angles,
    confidence, and how joints and bones change from the first pose to the second."""
    points, bones_there = pairs[..., :2], bones_of(graph)
    bones = points[:, :, [a for a, _ in bones_there]] - points[:, :, [b for _, b in bones_there]]
    direction = np.arctan2(bones[..., 1], bones[..., 0])
    change = points[:, 1] - points[:, 0], bones[:, 1] - bones[:, 0]
    bent = bend(points, graph)
    parts = points, bones, np.cos(direction), np.sin(direction), bent, pairs[..., 2], *change
    return np.concatenate([part.reshape(len(pairs), -1) for part in parts], axis=1).astype(np.float32)


def world_features(pairs: np.ndarray, graph: Graph) -> np.ndarray:
    """Normalised pairs `(n, 2, V, 6)` to `(n, F)` in the world: the least, the largest and the mean value, and how far
    it goes, of angles, of where bones point, against the vertical and in the body's own frame, of distances in trunks
    and of heights above the hips."""
    points = pairs[..., 3:]
    shoulders, hips = (points[:, :, list(both(name, graph))].mean(axis=2) for name in ("shoulder", "hip"))
    joints = torch.from_numpy(pairs[..., [3, 4, 5, 2]].astype(np.float32))
    frame = body_frame(joints, graph.indices(*TRUNK))[0].numpy()
    pointing = unit(np.stack([points[:, :, b] - points[:, :, a] for a, b in bones_of(graph)], axis=2))
    trunk = np.linalg.norm(shoulders - hips, axis=-1)[..., None] + 1e-6
    ends: list[tuple[int, ...]] = [both(name, graph) for name in ("wrist", "elbow", "knee", "ankle")]
    for one, other in REACHES:
        ends += zip(both(one, graph), both(other, graph), strict=True)
    apart = np.stack([np.linalg.norm(points[:, :, a] - points[:, :, b], axis=-1) for a, b in ends], axis=-1)
    parts = (
        bend(points, graph),
        pointing[..., 1],
        pointing @ frame.swapaxes(-1, -2),
        frame[..., 1],
        apart / trunk,
        points[..., 1] / trunk,
        pairs[..., 2],
    )
    values = np.concatenate([part.reshape(*pairs.shape[:2], -1) for part in parts], axis=-1)
    least, most = values.min(axis=1), values.max(axis=1)
    return np.concatenate([least, most, values.mean(axis=1), most - least], axis=1).astype(np.float32)


def bend(points: np.ndarray, graph: Graph) -> np.ndarray:
    """The cosine of the angle at each corner, `(..., V, d)` to `(..., corners)`."""
    ends, corner, others = (points[..., list(joints), :] for joints in zip(*corners_of(graph), strict=True))
    return (unit(ends - corner) * unit(others - corner)).sum(axis=-1)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length 1 that point the same way."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-6)


class PoseTrees:
    """Extremely randomised trees, taught pairs from all their views and asked about all of them (extra `train`). In
    three dimensions a second forest sees the world, and the two are asked alike.

    Args:
        pairs: `(n, 2, V, A)`.
        targets: multi-hot `(n, K)`.
        trees: how many in a forest.
        seed: of all chance.
        graph: of the joints.
    """

    def __init__(
        self, pairs: np.ndarray, targets: np.ndarray, trees: int = 500, seed: int = 0, graph: Graph = COCO17
    ) -> None:
        from sklearn.ensemble import ExtraTreesClassifier

        self.graph = graph
        self.kinds = (features, world_features)[: 1 + (pairs.shape[-1] > 3)]
        self._forests = []
        for kind in self.kinds:
            forest = ExtraTreesClassifier(trees, max_features=0.2, n_jobs=-1, random_state=seed)
            given = np.concatenate([kind(view, graph) for view in views(pairs, graph)])
            self._forests.append(forest.fit(given, np.concatenate([targets] * 4).astype(int)))

    def predict(self, pairs: np.ndarray, chunk: int = 5000) -> np.ndarray:
        """Pairs `(n, 2, V, A)` to probabilities `(n, K)`."""
        return np.concatenate([self._predict(pairs[i : i + chunk]) for i in range(0, len(pairs), chunk)])

    def _predict(self, pairs: np.ndarray) -> np.ndarray:
        said = []
        for kind, forest in zip(self.kinds, self._forests, strict=True):
            asked = np.concatenate([kind(view, self.graph) for view in views(pairs, self.graph)])
            columns = [
                p[:, list(classes).index(1)] if 1 in classes else np.zeros(len(asked))
                for p, classes in zip(forest.predict_proba(asked), forest.classes_, strict=True)
            ]
            said.append(np.stack(columns, axis=1).reshape(4, len(pairs), -1).mean(axis=0))
        return np.mean(said, axis=0).astype(np.float32)
