"""What a skeleton network can see of joints: where they are, the bones between them, their angles, and how they move.

Shapes: `B` batch, `P` persons, `T` frames, `V` joints; the last axis is x, y and confidence.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from amge.errors import one_of

STREAMS = ("joint", "bone", "joint-motion", "bone-motion", "direction", "angle")
"""The first four as the literature calls them (Shi et al., "Two-Stream Adaptive Graph Convolutional Networks", CVPR
2019, and "Skeleton-Based Action Recognition with Multi-Stream Adaptive Graph Convolutional Networks"). The last two are
cosine and sine of where a bone points, and of how far it is bent against its parent's bone."""


def difference(skeletons: Tensor, others: Tensor) -> Tensor:
    """From `others` to `skeletons`, as sure as the less sure of the two; zero where one is missing."""
    sure = torch.minimum(skeletons[..., 2:], others[..., 2:])
    return torch.cat([(skeletons[..., :2] - others[..., :2]) * (sure > 0), sure], dim=-1)


def bend(directions: Tensor, others: Tensor) -> Tensor:
    """Cosine and sine of the angle from one direction to another, as sure as the less sure of the two."""
    (x, y, sure), (other_x, other_y, other_sure) = directions.unbind(-1), others.unbind(-1)
    return torch.stack([x * other_x + y * other_y, y * other_x - x * other_y, torch.minimum(sure, other_sure)], dim=-1)


def stream(skeletons: Tensor, name: str, parents: Sequence[int]) -> Tensor:
    """Skeletons `(B, P, T, V, 3)` as one of `STREAMS`, of the same shape.

    Args:
        skeletons: `(B, P, T, V, 3)`.
        name: `joint` as they are; `bone` each joint from its parent; `joint-motion` and `bone-motion` either's change
            to the next frame, zero at the last one; `direction` and `angle` of the bones, in place of x and y.
        parents: the joint at the inner end of each joint's bone; a joint without a bone is its own.

    Raises:
        ValueError: for another name.
    """
    one_of("skeleton stream", name, STREAMS)
    if not name.startswith("joint"):
        skeletons = difference(skeletons, skeletons[..., list(parents), :])
    if name in ("direction", "angle"):
        skeletons = torch.cat([F.normalize(skeletons[..., :2], dim=-1, eps=1e-6), skeletons[..., 2:]], dim=-1)
    if name == "angle":
        skeletons = bend(skeletons, skeletons[..., list(parents), :])
    if name.endswith("motion"):
        skeletons = F.pad(difference(skeletons[:, :, 1:], skeletons[:, :, :-1]), (0, 0, 0, 0, 0, 1))
    return skeletons
