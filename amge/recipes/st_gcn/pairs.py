"""The two poses of an exercise, and new ones made of those of others.

Shapes: `n` pairs, `V` joints, `A` axes: 3, or 6 in three dimensions; a pair is `(2, V, A)`, normalised by
`amge.skeleton.sequence.normalise`.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from amge.data.open_exercise import SPLITS, not_prepared
from amge.errors import one_of
from amge.muscles import encode
from amge.recipes.joints import limbs
from amge.skeleton.graph import Graph
from amge.skeleton.layouts import COCO17, fit_layout
from amge.skeleton.sequence import hold, normalise

KINDS = {"itself": 0.25, "crossed": 0.15, "blended": 0.2, "limbs": 0.3, "turned": 0.1}
"""What a made-up pair is, and how often."""
SIDE = 0.5
"""How many of those in three dimensions are seen from another side."""


def load_pairs(
    folder: str | Path, *splits: str, joints: str | Path | None = None, graph: Graph = COCO17, axes: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """The pairs `(n, 2, V, A)` of some splits of the open exercise photographs, in which somebody was found, and their
    targets `(n, K)`; arguments and errors as `poses_of`."""
    samples, pairs = poses_of(folder, *splits, joints=joints, graph=graph, axes=axes)
    return pairs, np.stack([encode(sample["regions"]) for sample in samples])


def poses_of(
    folder: str | Path, *splits: str, joints: str | Path | None = None, graph: Graph = COCO17, axes: int = 3
) -> tuple[list[dict[str, Any]], np.ndarray]:
    """The samples of some splits of the open exercise photographs, as `labels.json` has them, in which somebody was
    found, and their pairs `(n, 2, V, A)`.

    Args:
        folder: of the prepared set.
        splits: which to take.
        joints: a file with `ids` and `keypoints` `(n, 2, V', A)`; default: the folder's own.
        graph: the layout to bring them to.
        axes: `A`.

    Raises:
        ValueError: for an unknown split, or a folder that does not hold the prepared set.
    """
    for split in splits:
        one_of("split", split, SPLITS)
    folder = Path(folder)
    try:
        samples = json.loads((folder / "labels.json").read_text())["samples"]
        archive = np.load(joints or folder / "keypoints.npz", allow_pickle=False)
        keypoints = fit_layout(archive["keypoints"], graph.joints, graph, axes)
        poses = dict(zip(archive["ids"].tolist(), keypoints, strict=True))
        chosen = [s for s in samples if s["split"] in splits and poses[s["id"]][..., 2].any()]
        return chosen, normalise(np.stack([hold(poses[sample["id"]]) for sample in chosen]), graph)
    except (OSError, KeyError, ValueError) as error:
        raise not_prepared(folder, error) from None


def places(pairs: np.ndarray) -> list[int]:
    """Which axes are coordinates: x and y, and in three dimensions X, Y and Z."""
    return [0, 1, 3, 4, 5][: pairs.shape[-1] - 1]


def views(pairs: np.ndarray, graph: Graph = COCO17) -> tuple[np.ndarray, ...]:
    """Pairs `(n, 2, V, A)` that show the same: as they are, backwards, mirrored, and both."""
    other_way = np.array((-1, 1, 1, -1, 1, 1), pairs.dtype)[: pairs.shape[-1]]
    mirrored = pairs[:, :, list(graph.mirrored())] * other_way
    return pairs, pairs[:, ::-1], mirrored, mirrored[:, ::-1]


def distort(pairs: np.ndarray, rng: np.random.Generator, noise: float = 0.02, graph: Graph = COCO17) -> np.ndarray:
    """Pairs seen a little differently: mirrored or backwards, turned, in the picture sheared and in the world tilted,
    not quite to the end of the movement, joints a little off (by `noise` of the unit)."""
    count = len(pairs)
    pairs = np.stack(views(pairs, graph))[rng.integers(0, 4, count), np.arange(count)]
    turn = rotation(rng.normal(0, 0.12, count))
    sheared = turn @ (np.eye(2) + rng.normal(0, 0.08, (count, 2, 2)))
    short = rng.uniform(-0.1, 0.25, (count, 2, 1, 1))
    pairs = pairs * (1 - short) + pairs[:, ::-1] * short
    about(pairs, sheared, (0, 1))
    about(pairs, turn, (3, 4))
    about(pairs, rotation(rng.normal(0, 0.12, count)), (4, 5))
    pairs[..., places(pairs)] += 1.5 * noise * rng.normal(0, 1, (*pairs.shape[:3], len(places(pairs))))
    return pairs.astype(np.float32)


def rotation(angles: np.ndarray) -> np.ndarray:
    """Angles `(n,)` in radians to matrices `(n, 2, 2)`."""
    cosine, sine = np.cos(angles), np.sin(angles)
    return np.stack([np.stack([cosine, -sine], axis=-1), np.stack([sine, cosine], axis=-1)], axis=-2)


def about(pairs: np.ndarray, turns: np.ndarray, plane: tuple[int, int]) -> None:
    """Turn pairs, each by its matrix `(n, 2, 2)`, in the plane of two of their axes, if they have these."""
    if plane[1] < pairs.shape[-1]:
        pairs[..., plane] = np.einsum("ntvi,nij->ntvj", pairs[..., plane], turns)


def make_up(pairs: np.ndarray, count: int, rng: np.random.Generator, graph: Graph = COCO17) -> np.ndarray:
    """New pairs `(count, 2, V, A)`: those given; the start of one and the end of another; blends of two; with limbs of
    others; turned by up to a quarter in the picture, and in three dimensions about the vertical, so that they are seen
    from another side. All are distorted. Nobody says what they train: a teacher must.
    """
    given = np.concatenate(views(pairs, graph))
    one, other = (given[rng.integers(0, len(given), count)] for _ in range(2))
    kinds = rng.choice(list(KINDS), count, p=list(KINDS.values()))
    made, axes = one.copy(), places(pairs)
    crossed, blended, mixed, turned = (kinds == kind for kind in ("crossed", "blended", "limbs", "turned"))
    made[crossed, 1] = other[crossed, 1]
    share = rng.beta(0.6, 0.6, (count, 1, 1, 1))
    made[blended] = (share * one + (1 - share) * other)[blended]
    for limb in limbs(graph):
        source, chosen = given[rng.integers(0, len(given), count)], mixed & (rng.random(count) < 0.5)
        moved = source[:, :, list(limb)].copy()
        moved[..., axes] += (made - source)[:, :, limb[:1]][..., axes]
        made[np.ix_(chosen, (0, 1), limb)] = moved[chosen]
    if pairs.shape[-1] > 3:
        made = from_the_side(made, rng.uniform(-np.pi / 2, np.pi / 2, count) * (rng.random(count) < SIDE), graph)
    quarter = rotation(rng.uniform(-np.pi / 2, np.pi / 2, count) * turned)
    about(made, quarter, (0, 1))
    about(made, quarter, (3, 4))
    return distort(made, rng, graph=graph)


def from_the_side(pairs: np.ndarray, angles: np.ndarray, graph: Graph) -> np.ndarray:
    """Pairs `(n, 2, V, 6)` of which those with an angle are turned by it (radians) about the vertical: x and y are
    what a camera far away sees of the world joints then."""
    turned = pairs.copy()
    about(turned, rotation(angles), (3, 5))
    turned[..., :2] = turned[..., 3:5]
    return np.where(angles[:, None, None, None] != 0, normalise(turned, graph), pairs)
