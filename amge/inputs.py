"""From whatever a user has to what a model takes, window by window: pictures for video models, joints for others.

Shapes: `B` batch, `P` persons, `T` frames, `V` joints.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from amge.backbones.contract import Backbone
from amge.errors import VideoError, describe
from amge.evidence import Evidence
from amge.prediction import WindowPrediction
from amge.spec import ModelSpec
from amge.video.modality import from_rgb
from amge.video.preprocess import to_clip

if TYPE_CHECKING:
    from amge.skeleton.pose import PoseEstimator
    from amge.skeleton.sequence import Skeletons

Source: TypeAlias = "str | Path | np.ndarray | Tensor | Skeletons"
Progress: TypeAlias = Callable[[float, float | None], None]

HELD_SIDE = 480
"""Longer side, in pixels, of pictures of which all are held until the best are chosen."""


class Input(NamedTuple):
    """One row of what a model takes, and the prediction to be made from it."""

    given: Tensor | None
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
) -> Iterator[Input]:
    """What a model takes, one row for each window, or for each person in a window; arguments and errors as
    `MuscleModel.predict_windows`."""
    if spec.modality == "skeleton":
        yield from _skeletons(spec, backbone, source, progress, "mediapipe" if pose is None else pose, fps)
        return
    if pose is not None:
        raise ValueError(f"{spec.name} looks at pictures; a pose estimator is for skeleton models")
    from amge.skeleton.keypoint_paths import is_keypoints
    from amge.video.windows import windows  # PyAV, which models on tensors do without

    if isinstance(source, str | Path) and is_keypoints(source):
        raise ValueError(f"{source} holds keypoints, {spec.name} looks at pictures; take a skeleton model: st-gcn")
    how = {"spread": True, "max_side": HELD_SIDE} if spec.sampling == "spread" else {}
    for window in windows(source, spec.frames, spec.seconds, progress=progress, fps=fps, **how):  # type: ignore[arg-type]
        clip = to_clip(window.frames, spec.size, spec.mean, spec.std, spec.crop)[None]
        given = torch.cat([from_rgb(clip, modality) for modality in spec.modalities], dim=1)[0]
        evidence = Evidence(window.end - window.start, side=window.side)
        yield Input(
            given,
            WindowPrediction(window.start, window.end, {}, window.frames, shares=window.shares, evidence=evidence),
        )


def _skeletons(
    spec: ModelSpec,
    backbone: Backbone,
    source: Source,
    progress: Progress | None,
    pose: "str | PoseEstimator",
    fps: float | None,
) -> Iterator[Input]:
    from amge.skeleton.layouts import fit_layout
    from amge.skeleton.pose.persons import person_clips
    from amge.skeleton.sequence import hold, normalise

    layout, graph = backbone.input_layout, getattr(backbone, "graph", None)
    slots, joints, axes = (axis if isinstance(axis, int) else 1 for axis in (layout[1], *layout[3:]))
    for clip in person_clips(source, spec.frames, spec.seconds, pose, progress, fps):
        evidence = Evidence(clip.end - clip.start)
        keypoints = None if clip.person is None else clip.keypoints
        window = WindowPrediction(
            clip.start, clip.end, {}, clip.frames, clip.person, clip.weight, keypoints=keypoints, evidence=evidence
        )
        if clip.person is None:
            yield Input(None, window)
            continue
        try:
            fitted = fit_layout(clip.keypoints, joints, graph, axes)
        except VideoError as error:
            raise VideoError(f"{describe(source)}: {error}") from None
        person = normalise(hold(fitted), graph)
        given = torch.zeros(slots, *person.shape)
        given[0] = torch.from_numpy(person)
        yield Input(given, window)
