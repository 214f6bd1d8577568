"""The layouts of joints that pose estimators and data sets use, and how to get from one to another.

Shapes: `V` joints; the last axis, `A`, is x, y and confidence, and in three dimensions the world joint besides.
"""

import numpy as np

from amge.errors import VideoError
from amge.skeleton.graph import Graph

COCO17 = Graph(
    17,
    (
        (15, 13),
        (13, 11),
        (16, 14),
        (14, 12),
        (11, 5),
        (12, 6),
        (9, 7),
        (7, 5),
        (10, 8),
        (8, 6),
        (5, 0),
        (6, 0),
        (1, 0),
        (3, 1),
        (2, 0),
        (4, 2),
    ),
    centre=0,
    names=(
        "nose",
        *(f"{side}_{name}" for name in ("eye", "ear", "shoulder", "elbow", "wrist") for side in ("left", "right")),
        *(f"{side}_{name}" for name in ("hip", "knee", "ankle") for side in ("left", "right")),
    ),
)
"""Joints in COCO order; the shoulders hang from the nose."""
OPENPOSE18 = Graph(
    18,
    (
        (4, 3),
        (3, 2),
        (7, 6),
        (6, 5),
        (13, 12),
        (12, 11),
        (10, 9),
        (9, 8),
        (11, 5),
        (8, 2),
        (5, 1),
        (2, 1),
        (0, 1),
        (15, 0),
        (14, 0),
        (17, 15),
        (16, 14),
    ),
    centre=1,
    names=(
        "nose",
        "neck",
        *(f"{side}_{name}" for side in ("right", "left") for name in ("shoulder", "elbow", "wrist")),
        *(f"{side}_{name}" for side in ("right", "left") for name in ("hip", "knee", "ankle")),
        *(f"{side}_{name}" for name in ("eye", "ear") for side in ("right", "left")),
    ),
)
"""OpenPose's COCO model: those of COCO in another order, and the neck, the middle of the shoulders."""
BODY25_TO_OPENPOSE18 = (*range(8), *range(9, 19))
"""Where OpenPose's BODY_25 has the joints of its COCO model; it has the middle of the hips (8) and feet besides."""
BLAZEPOSE33 = Graph(
    33,
    (
        *((1, 0), (2, 1), (3, 2), (7, 3), (4, 0), (5, 4), (6, 5), (8, 6), (9, 0), (10, 0), (11, 0), (12, 0)),
        *((13, 11), (15, 13), (17, 15), (19, 15), (21, 15), (14, 12), (16, 14), (18, 16), (20, 16), (22, 16)),
        *((23, 11), (25, 23), (27, 25), (29, 27), (31, 27), (24, 12), (26, 24), (28, 26), (30, 28), (32, 28)),
    ),
    centre=0,
    names=(
        "nose",
        *(f"{side}_{name}" for side in ("left", "right") for name in ("eye_inner", "eye", "eye_outer")),
        *(f"{side}_{name}" for name in ("ear", "mouth", "shoulder", "elbow", "wrist") for side in ("left", "right")),
        *(f"{side}_{name}" for name in ("pinky", "index", "thumb", "hip", "knee") for side in ("left", "right")),
        *(f"{side}_{name}" for name in ("ankle", "heel", "foot_index") for side in ("left", "right")),
    ),
)
"""MediaPipe's joints, as a tree that hangs from the nose like that of COCO."""
NTU25 = Graph(
    25,
    tuple(
        (outer - 1, inner - 1)
        for outer, inner in (
            *((1, 2), (2, 21), (3, 21), (4, 3), (5, 21), (6, 5), (7, 6), (8, 7), (9, 21), (10, 9), (11, 10), (12, 11)),
            *((13, 1), (14, 13), (15, 14), (16, 15), (17, 1), (18, 17), (19, 18), (20, 19)),
            *((22, 23), (23, 8), (24, 25), (25, 12)),
        )
    ),
    centre=20,
    names=(
        *("spine_base", "spine", "neck", "head"),
        *(f"{side}_{name}" for side in ("left", "right") for name in ("shoulder", "elbow", "wrist", "hand")),
        *(f"{side}_{name}" for side in ("left", "right") for name in ("hip", "knee", "ankle", "foot")),
        "spine_shoulder",
        *(f"{side}_{name}" for side in ("left", "right") for name in ("hand_tip", "thumb")),
    ),
)
"""Joints of the Kinect v2, as in NTU RGB+D; the centre is the spine between the shoulders."""
BODY19 = Graph(
    19,
    (
        *((1, 0), (2, 0), (3, 1), (4, 2), (5, 3), (6, 4), (7, 5), (8, 6), (9, 1), (10, 2)),
        *((11, 9), (12, 10), (13, 11), (14, 12), (15, 13), (16, 14), (17, 13), (18, 14)),
    ),
    centre=0,
    names=(
        "nose",
        *(f"{side}_{name}" for name in ("shoulder", "elbow", "wrist", "index", "hip") for side in ("left", "right")),
        *(f"{side}_{name}" for name in ("knee", "ankle", "heel", "foot_index") for side in ("left", "right")),
    ),
)
"""Those of MediaPipe's joints that say how a body moves: no face, and of a hand its direction alone."""
LAYOUTS = {
    "coco-17": COCO17,
    "openpose-18": OPENPOSE18,
    "body-19": BODY19,
    "blazepose-33": BLAZEPOSE33,
    "ntu-25": NTU25,
}

TRUNK = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
"""The joints that say how large a body is, and which way it faces."""


def layout_of(joints: int) -> Graph | None:
    """The layout with so many joints, if there is one."""
    return next((graph for graph in LAYOUTS.values() if graph.joints == joints), None)


def convert_layout(keypoints: np.ndarray, source: Graph, target: Graph) -> np.ndarray:
    """Keypoints `(..., V, A)` of one layout as those of another, by the names of the joints.

    A `neck` that the source lacks is the middle of the shoulders, as sure as the less sure of them.

    Raises:
        ValueError: if the source lacks a joint of the target.
    """
    joints = {name: keypoints[..., index, :] for index, name in enumerate(source.names)}
    if "neck" not in joints and {"left_shoulder", "right_shoulder"} <= joints.keys():
        shoulders = np.stack([joints["left_shoulder"], joints["right_shoulder"]])
        joints["neck"] = shoulders.mean(axis=0)
        joints["neck"][..., 2] = shoulders[..., 2].min(axis=0)
    missing = [name for name in target.names if name not in joints]
    if missing or not target.names:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        why = f"{', '.join(missing[:3])}{more} would be missing" if missing else "its joints have no names"
        raise ValueError(f"joints of {source.joints} can't be turned into the model's {target.joints}: {why}")
    return np.stack([joints[name] for name in target.names], axis=-2)


def _fitting(count: int, before: str) -> str:
    """`before` and a shipped model of joints in the picture that takes a layout of so many, or nothing if none does."""
    layout = layout_of(count)
    return f"{before}st-gcn.open-exercise-2d" if layout and {*COCO17.names} <= {*layout.names} else ""


def fit_layout(keypoints: np.ndarray, joints: int, graph: Graph | None, axes: int = 3) -> np.ndarray:
    """Keypoints `(..., V, A)` with the `joints` and `axes` of a model, turned into its layout if they have another.

    Raises:
        VideoError: if they can't be; says what the model takes.
    """
    count = keypoints.shape[-2]
    if axes > keypoints.shape[-1]:
        raise VideoError(
            "the model takes 3-D joints, these are 2-D; 3-D are those that MediaPipe finds in a video and those of an "
            f"npz with 'world' beside 'keypoints'; for others take a model of 2-D joints{_fitting(count, ': ')}"
        )
    keypoints = keypoints[..., : max(axes, 3)]
    if count == joints:
        return keypoints
    source = layout_of(count)
    try:
        if source is None or graph is None:
            raise ValueError(f"the skeletons have {count} joints, the model takes {joints}")
        return convert_layout(keypoints, source, graph)
    except ValueError as error:
        raise VideoError(f"{error}{_fitting(count, '; a model of these joints is ')}") from None
