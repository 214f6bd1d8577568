"""The two poses of an exercise, and new ones made of those of others.

Shapes: `n` pairs, `V` the 17 joints of COCO; a pair is `(2, V, 3)`, normalised by `amge.skeleton.sequence.normalise`.
"""

import json
from pathlib import Path

import numpy as np

from amge.data.open_exercise import SPLITS, not_prepared
from amge.errors import one_of
from amge.muscles import encode
from amge.recipes.joints import LIMBS
from amge.skeleton.layouts import COCO17
from amge.skeleton.sequence import hold, normalise

KINDS = {"itself": 0.25, "crossed": 0.15, "blended": 0.2, "limbs": 0.3, "turned": 0.1}
"""What a made-up pair is, and how often."""


def load_pairs(folder: str | Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """The pairs `(n, 2, V, 3)` of a split of the open exercise photographs, in which somebody was found, and their
    targets `(n, K)`.

    Raises:
        ValueError: for an unknown split, or a folder that does not hold the prepared set.
    """
    one_of("split", split, SPLITS)
    folder = Path(folder)
    try:
        samples = json.loads((folder / "labels.json").read_text())["samples"]
        archive = np.load(folder / "keypoints.npz", allow_pickle=False)
        poses = dict(zip(archive["ids"].tolist(), archive["keypoints"], strict=True))
        chosen = [s for s in samples if s["split"] == split and poses[s["id"]][..., 2].any()]
        pairs = normalise(np.stack([hold(poses[sample["id"]]) for sample in chosen]), COCO17)
        return pairs, np.stack([encode(sample["regions"]) for sample in chosen])
    except (OSError, KeyError, ValueError) as error:
        raise not_prepared(folder, error) from None


def views(pairs: np.ndarray) -> tuple[np.ndarray, ...]:
    """Pairs `(n, 2, V, 3)` that show the same: as they are, backwards, mirrored, and both."""
    mirrored = pairs[:, :, list(COCO17.mirrored())] * np.array((-1, 1, 1), pairs.dtype)
    return pairs, pairs[:, ::-1], mirrored, mirrored[:, ::-1]


def distort(pairs: np.ndarray, rng: np.random.Generator, noise: float = 0.02) -> np.ndarray:
    """Pairs seen a little differently: mirrored or backwards, turned, sheared, not quite to the end of the movement,
    joints a little off (by `noise` of the unit)."""
    count = len(pairs)
    pairs = np.stack(views(pairs))[rng.integers(0, 4, count), np.arange(count)]
    turn = rotation(rng.normal(0, 0.12, count)) @ (np.eye(2) + rng.normal(0, 0.08, (count, 2, 2)))
    short = rng.uniform(-0.1, 0.25, (count, 2, 1, 1))
    pairs = pairs * (1 - short) + pairs[:, ::-1] * short
    xy = np.einsum("ntvi,nij->ntvj", pairs[..., :2], turn) + noise * rng.normal(0, 1.5, (*pairs.shape[:3], 2))
    return np.concatenate([xy, pairs[..., 2:]], axis=-1).astype(np.float32)


def rotation(angles: np.ndarray) -> np.ndarray:
    """Angles `(n,)` in radians to matrices `(n, 2, 2)`."""
    cosine, sine = np.cos(angles), np.sin(angles)
    return np.stack([np.stack([cosine, -sine], axis=-1), np.stack([sine, cosine], axis=-1)], axis=-2)


def make_up(pairs: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """New pairs `(count, 2, V, 3)`: those given; the start of one and the end of another; blends of two; with limbs of
    others; turned by up to a quarter. All are distorted. Nobody says what they train: a teacher must.
    """
    given = np.concatenate(views(pairs))
    one, other = (given[rng.integers(0, len(given), count)] for _ in range(2))
    kinds = rng.choice(list(KINDS), count, p=list(KINDS.values()))
    made = one.copy()
    crossed, blended, mixed, turned = (kinds == kind for kind in ("crossed", "blended", "limbs", "turned"))
    made[crossed, 1] = other[crossed, 1]
    share = rng.beta(0.6, 0.6, (count, 1, 1, 1))
    made[blended] = (share * one + (1 - share) * other)[blended]
    for limb in LIMBS:
        source, chosen = given[rng.integers(0, len(given), count)], mixed & (rng.random(count) < 0.5)
        moved = source[:, :, list(limb)].copy()
        moved[..., :2] += (made - source)[:, :, limb[:1], :2]
        made[np.ix_(chosen, (0, 1), limb)] = moved[chosen]
    angles = rng.uniform(-np.pi / 2, np.pi / 2, count) * turned
    made[..., :2] = np.einsum("ntvi,nij->ntvj", made[..., :2], rotation(angles))
    return distort(made, rng)
