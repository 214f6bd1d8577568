"""From whatever a user has to what a model takes, window by window: pictures for video models, joints for others.

Shapes: `B` batch, `P` persons, `T` frames, `V` joints.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from amge.backbones.contract import Backbone
from amge.errors import VideoError, describe, outside, reason
from amge.evidence import Evidence
from amge.prediction import WindowPrediction
from amge.results import Seen
from amge.skeleton.tracking import boxes
from amge.spec import ModelSpec
from amge.video.modality import from_rgb
from amge.video.preprocess import to_clip

if TYPE_CHECKING:
    from amge.skeleton.pose import PoseEstimator
    from amge.skeleton.pose.persons import Poses
    from amge.skeleton.sequence import Skeletons
    from amge.video.windows import Window

Source: TypeAlias = "str | Path | np.ndarray | Tensor | Skeletons | Iterator[Window]"
Progress: TypeAlias = Callable[[float, float | None], None]

SIDE, HELD_SIDE = 640, 480
"""Longer side, in pixels, of pictures; and of those of which all are held until the best are chosen."""


class Input(NamedTuple):
    """One row of what a model takes, and the prediction to be made from it."""

    given: Tensor | Seen | None
    """None where a pose estimator finds nobody."""
    window: WindowPrediction
    """Without probabilities, and with no more evidence than its length."""


def inputs(
    spec: ModelSpec,
    backbone: Backbone,
    source: Source,
    progress: Progress | None = None,
    pose: "str | PoseEstimator | None" = None,
    fps: float | None = None,
    stream: Backbone | None = None,
) -> Iterator[Input]:
    """What a model takes, one row for each window, or for each person in a window; arguments and errors as
    `MuscleModel.predict_windows`.

    Args:
        stream: the backbone of a second stream of joints: those of the person who is seen largest and longest in each
            window, in the frames that the pictures are.
    """
    if spec.modality == "skeleton":
        yield from _skeletons(spec, backbone, source, progress, "mediapipe" if pose is None else pose, fps)
        return
    if pose is not None and stream is None:
        raise ValueError(f"{spec.name} looks at pictures; a pose estimator is for models that see joints")
    from amge.skeleton.keypoint_paths import is_keypoints
    from amge.video.windows import windows  # PyAV, which models on tensors do without

    if isinstance(source, str | Path) and is_keypoints(source):
        raise ValueError(
            f"{source} holds keypoints, {spec.name} looks at pictures; take a skeleton model: st-gcn.open-exercise-2d"
        )
    poses = _poses(pose) if stream else None
    side, spread = choice(spec)
    for window in windows(source, spec.frames, spec.seconds, side, progress, fps, spread):  # type: ignore[arg-type]
        clip = to_clip(window.frames, spec.size, spec.mean, spec.std, spec.crop)[None]
        given = torch.cat([from_rgb(clip, modality) for modality in spec.modalities], dim=1)[0]
        evidence = Evidence(window.end - window.start, side=window.side)
        predicted = WindowPrediction(
            window.start, window.end, {}, window.frames, shares=window.shares, evidence=evidence
        )
        if stream is None:
            yield Input(given, predicted)
            continue
        keypoints = poses.main(window) if poses else None
        if keypoints is None:
            slots, *sizes = joint_sizes(stream)
            joints = torch.zeros(slots, spec.frames, *sizes)
        else:
            joints = skeleton(keypoints, stream, source)
        places = None if keypoints is None else placed(keypoints, window.frames, window.times)
        yield Input(Seen(given, joints), replace(predicted, keypoints=keypoints, places=places))
        if poses:
            poses.forget(window.end - spec.seconds)


def choice(spec: ModelSpec) -> tuple[int, bool]:
    """The longer side, in pixels, of the pictures that a model's windows are chosen from, and whether those that differ
    most are chosen."""
    spread = spec.sampling == "spread" and spec.modality != "skeleton"
    return (HELD_SIDE if spread else SIDE), spread


def _skeletons(
    spec: ModelSpec,
    backbone: Backbone,
    source: Source,
    progress: Progress | None,
    pose: "str | PoseEstimator",
    fps: float | None,
) -> Iterator[Input]:
    from amge.skeleton.pose.persons import person_clips

    for clip in person_clips(source, spec.frames, spec.seconds, pose, progress, fps):
        evidence = Evidence(clip.end - clip.start)
        keypoints = None if clip.person is None else clip.keypoints
        window = WindowPrediction(
            clip.start, clip.end, {}, clip.frames, clip.person, clip.weight, keypoints=keypoints, evidence=evidence
        )
        if keypoints is not None and clip.frames is not None:
            window = replace(window, places=placed(keypoints, clip.frames, clip.times))
        yield Input(None if keypoints is None else skeleton(keypoints, backbone, source), window)


def placed(keypoints: np.ndarray, frames: np.ndarray, times: tuple[float, ...]) -> np.ndarray:
    """Where a person `(T, V, A)` is in some frames and at what times: `WindowPrediction.places`."""
    found = boxes(keypoints, (frames.shape[2], frames.shape[1]))
    return np.column_stack([times, found]).astype(np.float32)


def skeleton(keypoints: np.ndarray, backbone: Backbone, source: object = "the joints") -> Tensor:
    """The joints of one person `(T, V', A')` as a backbone takes them, `(P, T, V, A)`, other slots empty.

    Raises:
        VideoError: for joints of another layout than the backbone's; names their source.
    """
    from amge.skeleton.layouts import fit_layout
    from amge.skeleton.sequence import hold, normalise

    slots, joints, axes = joint_sizes(backbone)
    graph = getattr(backbone, "graph", None)
    try:
        fitted = fit_layout(keypoints, joints, graph, axes)
    except VideoError as error:
        raise VideoError(f"{describe(source)}: {error}") from None
    person = normalise(hold(fitted), graph)
    given = torch.zeros(slots, *person.shape)
    given[0] = torch.from_numpy(person)
    return given


def joint_sizes(backbone: Backbone) -> tuple[int, int, int]:
    """Persons `P`, joints `V` and axes `A` of what a backbone of skeletons takes; one of what it leaves open."""
    layout = backbone.input_layout
    slots, joints, axes = (axis if isinstance(axis, int) else 1 for axis in (layout[1], *layout[3:]))
    return slots, joints, axes


def _poses(pose: "str | PoseEstimator | None") -> "Poses | None":
    """What finds persons in windows; None, with a warning, where nobody chose it and it is not installed."""
    from amge.skeleton.pose.persons import Poses

    if pose is not None:
        return Poses(pose)
    try:
        return Poses("mediapipe")
    except ImportError as error:
        warnings.warn(f"without poses, from the pictures alone: {reason(error)}", stacklevel=outside())
        return None
