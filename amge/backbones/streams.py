"""What a skeleton network can see of joints: where they are, the bones between them, their angles, and how they move.

Shapes: `B` batch, `P` persons, `T` frames, `V` joints, `A` axes: x, y and confidence, and in three dimensions the world
joint X, Y and Z besides.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from amge.errors import one_of

PICTURE = ("joint", "bone", "joint-motion", "bone-motion", "direction", "angle")
"""Of x and y. The first four as the literature calls them (Shi et al., "Two-Stream Adaptive Graph Convolutional
Networks", CVPR 2019, and "Skeleton-Based Action Recognition with Multi-Stream Adaptive Graph Convolutional Networks").
The last two are cosine and sine of where a bone points, and of how far it is bent against its parent's bone."""
WORLD = ("world-joint", "world-direction", "body-joint", "body-direction", "world-angle")
"""Of the world joints: places and directions of bones, in the world and in the body's own frame (right, up, forward),
and the cosine between a bone and its parent's bone."""
STREAMS = (*PICTURE, *WORLD)
THREE_D = tuple(name for name in STREAMS if name != "world-joint")
"""What models of three dimensions that come with the library see: all but where a joint is in the world."""
LEAST = 1e-4
"""Length of the trunk, and its breadth in such lengths, up to which a body has no frame."""


def channels(streams: Sequence[str]) -> int:
    """Of a joint in streams side by side, confidence among them: 3 for each of `PICTURE`, 4 for each of `WORLD` but
    `world-angle`, which has 2.

    Raises:
        ValueError: for no streams, or an unknown one.
    """
    if not streams or isinstance(streams, str):
        raise ValueError(f"streams must be a tuple of some of {', '.join(STREAMS)}; got {streams!r}")
    known = {**dict.fromkeys(PICTURE, 3), **dict.fromkeys(WORLD, 4), "world-angle": 2}
    return sum(known[one_of("skeleton stream", name, STREAMS)] for name in streams)


def axes(streams: Sequence[str]) -> int:
    """`A`, of the joints that streams are made of: 6 if one is of the world, else 3."""
    return 6 if set(streams) & set(WORLD) else 3


def difference(skeletons: Tensor, others: Tensor) -> Tensor:
    """From `others` to `skeletons`, as sure as the less sure of the two; zero where one is missing."""
    sure = torch.minimum(skeletons[..., -1:], others[..., -1:])
    return torch.cat([(skeletons[..., :-1] - others[..., :-1]) * (sure > 0), sure], dim=-1)


def bend(directions: Tensor, others: Tensor) -> Tensor:
    """Cosine, and in the picture sine, of the angle between two directions, as sure as the less sure of them."""
    cosine = (directions[..., :-1] * others[..., :-1]).sum(dim=-1)
    parts = [cosine, torch.minimum(directions[..., -1], others[..., -1])]
    if directions.shape[-1] == 3:
        (x, y, _), (other_x, other_y, _) = directions.unbind(-1), others.unbind(-1)
        parts.insert(1, y * other_x - x * other_y)
    return torch.stack(parts, dim=-1)


def body_frame(joints: Tensor, trunk: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The frame of each body: up is from the middle of the hips to that of the shoulders, right from left to right.

    Args:
        joints: `(..., V, 4)`, world joints and confidence.
        trunk: left and right shoulder, left and right hip.

    Returns:
        Right, up and forward as rows, `(..., 3, 3)`, and whether there is a frame, `(..., 1, 1)`: none where one of the
        trunk is missing, or it has no length or breadth.
    """
    left, right, low_left, low_right = joints[..., list(trunk), :3].unbind(dim=-2)
    axis, across = left + right - low_left - low_right, right - left + low_right - low_left
    up = F.normalize(axis, dim=-1, eps=1e-6)
    across = across - (across * up).sum(dim=-1, keepdim=True) * up
    sideways = F.normalize(across, dim=-1, eps=1e-6)
    (x, y, z), (u, v, w) = up.unbind(-1), sideways.unbind(-1)
    forward = torch.stack([y * w - z * v, z * u - x * w, x * v - y * u], dim=-1)
    long, broad = axis.abs().amax(dim=-1), across.abs().amax(dim=-1)
    there = (joints[..., list(trunk), 3] > 0).all(dim=-1) & (long > LEAST) & (broad > LEAST * long)
    return torch.stack([sideways, up, forward], dim=-2), there[..., None, None]


def stream(skeletons: Tensor, name: str, parents: Sequence[int], trunk: Sequence[int] = ()) -> Tensor:
    """Skeletons `(B, P, T, V, A)` as one of `STREAMS`, `(B, P, T, V, channels([name]))`, the last of them confidence.

    Args:
        skeletons: `(B, P, T, V, A)`; streams of the world need all six axes.
        name: `joint` as they are; `bone` each joint from its parent; `joint-motion` and `bone-motion` either's change
            to the next frame, zero at the last one; `direction` and `angle` of the bones, in place of x and y. Those of
            the world likewise; those of the body are zero where it has no frame.
        parents: the joint at the inner end of each joint's bone; a joint without a bone is its own.
        trunk: left and right shoulder, left and right hip, for the body's frame.

    Raises:
        ValueError: for another name.
    """
    one_of("skeleton stream", name, STREAMS)
    skeletons = skeletons[..., [3, 4, 5, 2] if name in WORLD else [0, 1, 2]]
    if name.startswith("body"):
        frame, there = body_frame(skeletons, trunk)
        turned = skeletons[..., :3] @ frame.transpose(-1, -2)
        skeletons = torch.cat([turned, skeletons[..., 3:]], dim=-1) * there
    kind = name.removeprefix("world-").removeprefix("body-")
    if not kind.startswith("joint"):
        skeletons = difference(skeletons, skeletons[..., list(parents), :])
    if kind in ("direction", "angle"):
        skeletons = torch.cat([F.normalize(skeletons[..., :-1], dim=-1, eps=1e-6), skeletons[..., -1:]], dim=-1)
    if kind == "angle":
        skeletons = bend(skeletons, skeletons[..., list(parents), :])
    if kind.endswith("motion"):
        skeletons = F.pad(difference(skeletons[:, :, 1:], skeletons[:, :, :-1]), (0, 0, 0, 0, 0, 1))
    return skeletons
