"""What a skeleton network can see of joints: where they are, the bones between them, and how either moves.

Shapes: `B` batch, `P` persons, `T` frames, `V` joints; the last axis is x, y and confidence.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from amge.errors import one_of

STREAMS = ("joint", "bone", "joint-motion", "bone-motion")
"""As the skeleton literature calls them (Shi et al., "Two-Stream Adaptive Graph Convolutional Networks", CVPR 2019)."""


def difference(skeletons: Tensor, others: Tensor) -> Tensor:
    """From `others` to `skeletons`, as sure as the less sure of the two; zero where one is missing."""
    sure = torch.minimum(skeletons[..., 2:], others[..., 2:])
    return torch.cat([(skeletons[..., :2] - others[..., :2]) * (sure > 0), sure], dim=-1)


def stream(skeletons: Tensor, name: str, parents: Sequence[int]) -> Tensor:
    """Skeletons `(B, P, T, V, 3)` as one of `STREAMS`, of the same shape.

    Args:
        skeletons: `(B, P, T, V, 3)`.
        name: `joint` as they are, `bone` each joint from its parent, and of either the motion to the next frame, zero
            at the last one.
        parents: the joint at the inner end of each joint's bone; a joint without a bone is its own.

    Raises:
        ValueError: for another name.
    """
    one_of("skeleton stream", name, STREAMS)
    if name.startswith("bone"):
        skeletons = difference(skeletons, skeletons[..., list(parents), :])
    if name.endswith("motion"):
        skeletons = F.pad(difference(skeletons[:, :, 1:], skeletons[:, :, :-1]), (0, 0, 0, 0, 0, 1))
    return skeletons
