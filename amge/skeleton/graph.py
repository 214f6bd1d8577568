"""Skeleton graphs as data, and the adjacency matrices that graph networks make of them.

Shapes: `V` joints, `S` subsets of edges, `L` levels of a hierarchy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from amge.errors import one_of

Edges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Graph:
    """Joints and the bones between them.

    Raises:
        ValueError: if a bone names a joint that there is not, the bones do not connect all joints, or there is not one
            distinct name for each joint.
    """

    joints: int
    """`V`."""
    bones: Edges
    """Pairs of joints, the outer one first."""
    centre: int
    """The joint that the others are ordered around."""
    names: tuple[str, ...] = ()
    """Of the joints, with `left_` and `right_` before those that come in pairs; `()` if they have none. Names let
    skeletons be mirrored, and turned into another layout."""

    def __post_init__(self) -> None:
        if outside := [bone for bone in self.bones if not all(0 <= joint < self.joints for joint in bone)]:
            raise ValueError(f"bones {outside} name joints outside 0..{self.joints - 1}")
        if self.names and (len(self.names) != self.joints or len(set(self.names)) != self.joints):
            raise ValueError(f"{self.joints} joints need as many distinct names, got {self.names}")
        with torch.device("cpu"):
            connected = self.hops().isfinite().all()
        if self.centre not in range(self.joints) or not isinstance(self.centre, int) or not connected:
            raise ValueError("the bones must connect all joints, and the centre must be one of them")

    def indices(self, *names: str) -> tuple[int, ...]:
        """Where joints of these names are.

        Raises:
            ValueError: for a name that the graph lacks.
        """
        return tuple(self.names.index(one_of("joint", name, self.names)) for name in names)

    def edge_index(self) -> Tensor:
        """`(2, E)`, every bone in both directions, as the layers of `torch_geometric` take it."""
        return torch.tensor([*self.bones, *(bone[::-1] for bone in self.bones)]).T.contiguous()

    def parents(self) -> tuple[int, ...]:
        """For each joint the one at the inner end of its first bone; a joint that is no bone's outer end is its own."""
        inner = dict(reversed(self.bones))
        return tuple(inner.get(joint, joint) for joint in range(self.joints))

    def mirrored(self) -> tuple[int, ...]:
        """For each joint the one on the other side of the body, by the names.

        Raises:
            ValueError: if the joints have no names, or one side has a joint that the other lacks.
        """
        if not self.names:
            raise ValueError("a graph without names does not know left from right")
        other = {"left": "right", "right": "left"}
        swapped = ["_".join(other.get(word, word) for word in name.split("_")) for name in self.names]
        if missing := [name for name in swapped if name not in self.names]:
            raise ValueError(f"the graph has no {missing[0]}, which is on the other side of a joint that it has")
        return tuple(self.names.index(name) for name in swapped)

    def hops(self) -> Tensor:
        """`(V, V)`: how many bones lie between each two joints."""
        distance = torch.full((self.joints, self.joints), torch.inf).fill_diagonal_(0)
        for outer, inner in self.bones:
            distance[outer, inner] = distance[inner, outer] = 1
        for via in range(self.joints):
            distance = torch.minimum(distance, distance[:, via, None] + distance[via])
        return distance

    def by_distance(self) -> Tensor:
        """`(3, V, V)`, the spatial partition of ST-GCN: each joint itself; its neighbours that are as far from the
        centre or farther; its neighbours that are nearer. Columns of their sum add up to one.

        As in the reference, all joints more than one bone away from the centre count as equally far.
        """
        hops = self.hops()
        near = (hops <= 1).float()
        near = near / near.sum(dim=0)
        from_centre = hops[self.centre].where(hops[self.centre] <= 1, torch.inf)
        nearer = from_centre[:, None] < from_centre
        own = torch.eye(self.joints, dtype=torch.bool)
        return torch.stack([near * own, near * ~own * ~nearer, near * nearer])

    def by_direction(self) -> Tensor:
        """`(3, V, V)`, as CTR-GCN has it: each joint itself, bones inwards, bones outwards; columns add up to one."""
        return torch.stack(
            [
                torch.eye(self.joints),
                adjacency(self.joints, self.bones),
                adjacency(self.joints, [(inner, outer) for outer, inner in self.bones]),
            ]
        )

    def levels(self) -> tuple[tuple[int, ...], ...]:
        """Joints by their distance from the centre, nearest first."""
        with torch.device("cpu"):
            from_centre = self.hops()[self.centre]
        return tuple(
            tuple(torch.nonzero(from_centre == level).flatten().tolist()) for level in range(int(from_centre.max()) + 1)
        )


def adjacency(joints: int, edges: Sequence[tuple[int, int]]) -> Tensor:
    """`(V, V)` with a one at `[j, i]` for each edge `(i, j)`, each column divided by its sum."""
    matrix = torch.zeros(joints, joints)
    for i, j in edges:
        matrix[j, i] = 1
    return matrix / matrix.sum(dim=0).clamp(min=1)


def hierarchy(joints: int, levels: Sequence[Sequence[int]]) -> Tensor:
    """`(L - 1, 3, V, V)`, as HD-GCN has it, for each two neighbouring levels: their joints themselves, all pairs from
    the inner level to the outer one, and all pairs back. Columns of the latter two add up to one.

    Args:
        joints: `V`.
        levels: joints of each level, inner first.

    Raises:
        ValueError: for fewer than two levels, or joints that are in none or several.
    """
    if len(levels) < 2 or sorted(joint for level in levels for joint in level) != list(range(joints)):
        raise ValueError(f"a hierarchy has two levels or more, and each of {joints} joints in one; got {levels}")
    sets = []
    for inner, outer in pairwise(levels):
        sets.append(
            torch.stack(
                [
                    adjacency(joints, [(joint, joint) for joint in (*inner, *outer)]),
                    adjacency(joints, [(i, o) for i in inner for o in outer]),
                    adjacency(joints, [(o, i) for i in inner for o in outer]),
                ]
            )
        )
    return torch.stack(sets)
