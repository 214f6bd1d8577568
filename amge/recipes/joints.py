"""The joints that recipes name: where they are in a layout, and what they make up."""

from itertools import pairwise

from amge.skeleton.graph import Graph
from amge.skeleton.layouts import COCO17


def both(name: str, graph: Graph = COCO17) -> tuple[int, ...]:
    """The left and the right joint of a kind; none if the layout lacks them."""
    return graph.indices(f"left_{name}", f"right_{name}") if f"left_{name}" in graph.names else ()


def limbs(graph: Graph = COCO17) -> tuple[tuple[int, ...], ...]:
    """Joints of each arm and leg, from the trunk outwards."""
    arm, leg = ("shoulder", "elbow", "wrist", "index"), ("hip", "knee", "ankle", "foot_index")
    kinds = [[joints for name in limb if (joints := both(name, graph))] for limb in (arm, leg)]
    return tuple(tuple(side) for limb in kinds for side in zip(*limb, strict=True))


NOSE = COCO17.indices("nose")[0]
SHOULDERS, ELBOWS, WRISTS = both("shoulder"), both("elbow"), both("wrist")
HIPS, KNEES, ANKLES = both("hip"), both("knee"), both("ankle")
LIMBS = limbs()
LIMB_BONES = tuple(bone for limb in LIMBS for bone in pairwise(limb))
NECK = tuple((NOSE, shoulder) for shoulder in SHOULDERS)
