"""The joints of COCO that recipes name: where they are, and what they make up."""

from itertools import pairwise

from amge.skeleton.layouts import COCO17


def both(name: str) -> tuple[int, ...]:
    """The left and the right joint of a kind."""
    return COCO17.indices(f"left_{name}", f"right_{name}")


NOSE = COCO17.indices("nose")[0]
SHOULDERS, ELBOWS, WRISTS = both("shoulder"), both("elbow"), both("wrist")
HIPS, KNEES, ANKLES = both("hip"), both("knee"), both("ankle")
LIMBS = (*zip(SHOULDERS, ELBOWS, WRISTS, strict=True), *zip(HIPS, KNEES, ANKLES, strict=True))
"""Joints of each arm and leg, from the trunk outwards."""
LIMB_BONES = tuple(bone for limb in LIMBS for bone in pairwise(limb))
NECK = tuple((NOSE, shoulder) for shoulder in SHOULDERS)
