"""Randomised trees on features of two poses: few examples are enough for them, and what they know teaches a network.

Shapes: `n` pairs, `V` joints, `K` labels.
"""

import numpy as np

from amge.recipes.joints import ELBOWS, HIPS, KNEES, LIMB_BONES, LIMBS, NECK, SHOULDERS
from amge.recipes.st_gcn.pairs import views

BONES = (*LIMB_BONES, *zip(SHOULDERS, HIPS, strict=True), SHOULDERS, HIPS, *NECK)
CORNERS = (*LIMBS, *zip(SHOULDERS, HIPS, KNEES, strict=True), *zip(ELBOWS, SHOULDERS, HIPS, strict=True))
"""Elbows, knees, hips and shoulders with the joints on both sides."""


def features(pairs: np.ndarray) -> np.ndarray:
    """Normalised pairs `(n, 2, V, 3)` to `(n, F)`: joints, bones and their directions, angles, confidence, and how
    joints and bones change from the first pose to the second."""
    points = pairs[..., :2]
    bones = points[:, :, [a for a, _ in BONES]] - points[:, :, [b for _, b in BONES]]
    direction = np.arctan2(bones[..., 1], bones[..., 0])
    ends, corner, others = (points[:, :, list(joints)] for joints in zip(*CORNERS, strict=True))
    u, v = ends - corner, others - corner
    bend = (u * v).sum(-1) / np.maximum(np.linalg.norm(u, axis=-1) * np.linalg.norm(v, axis=-1), 1e-6)
    change = points[:, 1] - points[:, 0], bones[:, 1] - bones[:, 0]
    parts = points, bones, np.cos(direction), np.sin(direction), bend, pairs[..., 2], *change
    return np.concatenate([part.reshape(len(pairs), -1) for part in parts], axis=1).astype(np.float32)


class PoseTrees:
    """Extremely randomised trees, taught pairs from all their views and asked about all of them (extra `train`).

    Args:
        pairs: `(n, 2, V, 3)`.
        targets: multi-hot `(n, K)`.
        trees: how many.
        seed: of all chance.
    """

    def __init__(self, pairs: np.ndarray, targets: np.ndarray, trees: int = 500, seed: int = 0) -> None:
        from sklearn.ensemble import ExtraTreesClassifier

        self._forest = ExtraTreesClassifier(trees, max_features=0.2, n_jobs=-1, random_state=seed)
        given = np.concatenate([features(view) for view in views(pairs)])
        self._forest.fit(given, np.concatenate([targets] * 4).astype(int))

    def predict(self, pairs: np.ndarray, chunk: int = 5000) -> np.ndarray:
        """Pairs `(n, 2, V, 3)` to probabilities `(n, K)`."""
        return np.concatenate([self._predict(pairs[i : i + chunk]) for i in range(0, len(pairs), chunk)])

    def _predict(self, pairs: np.ndarray) -> np.ndarray:
        asked = np.concatenate([features(view) for view in views(pairs)])
        columns = [
            p[:, list(classes).index(1)] if 1 in classes else np.zeros(len(asked))
            for p, classes in zip(self._forest.predict_proba(asked), self._forest.classes_, strict=True)
        ]
        return np.stack(columns, axis=1).reshape(4, len(pairs), -1).mean(axis=0).astype(np.float32)
