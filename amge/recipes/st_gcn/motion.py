"""From two poses to a clip: somebody who moves between them, at any tempo, as a pose estimator would see them.

Shapes: `n` clips, `T` frames, `V` joints.
"""

import numpy as np

from amge.recipes.st_gcn.pairs import places
from amge.skeleton.graph import Graph
from amge.skeleton.layouts import COCO17
from amge.skeleton.sequence import normalise


def weights(count: int, frames: int, rng: np.random.Generator) -> np.ndarray:
    """How much of the second pose each frame shows, `(count, T)` in 0..1.

    There and back, from half a repetition in a clip to one every three frames, faster one way than the other, in a
    steady flow or with rests at both ends; one clip in four jumps, once or in every frame, as photographs do.
    """
    time = np.arange(frames) / frames
    repetitions = np.exp(rng.uniform(np.log(0.5), np.log(frames / 3), (count, 1)))
    phase = (repetitions * time + rng.random((count, 1))) % 1
    there = rng.uniform(0.3, 0.7, (count, 1))
    phase = np.where(phase < there, phase / there / 2, 0.5 + (phase - there) / (1 - there) / 2)
    flow = 0.5 - 0.5 * np.cos(2 * np.pi * phase)
    rest = np.exp(rng.uniform(np.log(0.7), np.log(8), (count, 1)))
    flow = 1 / (1 + ((1 - flow + 1e-6) / (flow + 1e-6)) ** rest)
    jump = np.where(rng.random((count, 1)) < 0.5, time >= 0.5, np.arange(frames) % 2 == 1)
    return np.where(rng.random((count, 1)) < 0.25, jump, flow)


def move(
    pairs: np.ndarray,
    frames: int,
    rng: np.random.Generator,
    noise: float = 0.015,
    dropout: float = 0.05,
    graph: Graph = COCO17,
) -> np.ndarray:
    """Pairs `(n, 2, V, A)` to clips `(n, T, V, A)`, normalised: with the errors of a pose estimator that last or
    flicker, and joints that are missing for a while or all the time.

    Args:
        pairs: normalised.
        frames: `T`.
        rng: source of all chance.
        noise: of the joints, in units of the pairs.
        dropout: most that is missing, as a share of the joints.
        graph: of the joints.
    """
    count, joints, axes = len(pairs), pairs.shape[2], places(pairs)
    weight = weights(count, frames, rng)[..., None, None]
    clips = pairs[:, None, 0] * (1 - weight) + pairs[:, None, 1] * weight
    lasting = rng.normal(0, 1, (count, 1, joints, len(axes)))
    flickering = rng.normal(0, 0.7, (count, frames, joints, len(axes))) * rng.random((count, 1, 1, 1))
    clips[..., axes] += 1.5 * noise * (lasting + flickering)
    clips[..., 2] = np.clip(clips[..., 2] + rng.normal(0, 0.1, (count, 1, joints)), 0.01, 1)
    always = rng.random((count, 1, joints)) < dropout * rng.random((count, 1, 1))
    at_times = rng.random((count, frames, joints)) < dropout / 2 * rng.random((count, 1, 1))
    clips[always | at_times | (pairs[..., 2] == 0).any(axis=1)[:, None]] = 0
    return normalise(clips, graph)
