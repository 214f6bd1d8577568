"""What an answer rests on: somebody in the picture, how much of them, movement, light. And what to think of it.

Shapes: `B` batch, `T` frames, `H W` picture or grid, `V` joints; pixels are 0..255.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from amge.errors import reason
from amge.heads.person import PARTS, PersonMaps, strongest
from amge.skeleton.layouts import layout_of
from amge.skeleton.tracking import extent

if TYPE_CHECKING:
    from amge.skeleton.pose.estimators import PoseEstimator

Verdict = Literal["ok", "doubtful", "nobody"]

LIMITS: dict[str, float] = {
    "person": 0.5,
    "sure": 0.8,
    "seen": 0.5,
    "size": 0.2,
    "part": 0.5,
    "sideways": 0.9,
    "movement": 1.5,
    "seconds": 0.5,
    "light": 0.15,
    "sharpness": 0.31,
    "side": 180,
    "detail": 3.0,
}
"""From which value on each is enough; what a model was tested with is in its spec. `person`: below it nobody is there,
below `sure` that is doubtful, and with a `sure` of 0 no pose estimator is asked; `part`: confidence from which a part
of the body counts as seen; `sideways`: the most that is let pass. Others are fields of `Evidence`."""
LOOKS = 4
"""Frames of a window that a pose estimator is asked about."""


@dataclass(frozen=True)
class Evidence:
    """What was seen in a window. None where nothing could tell: without a person head or a pose estimator of persons,
    without pictures of light and sharpness."""

    seconds: float | None = None
    """Length."""
    movement: float | None = None
    """What changes between the frames, in grey levels, at the place where most does; of joints, in percent of the
    person's size."""
    light: float | None = None
    """How bright the brighter part of the picture is, 0..1."""
    sharpness: float | None = None
    """Strength of the finest edges relative to that of all, 0..1."""
    side: int | None = None
    """Short side of what was recorded, in pixels."""
    detail: float | None = None
    """How much the picture differs from one plain colour, in grey levels; below its limit there is nothing to see."""
    person: float | None = None
    """Confidence that somebody is there, 0..1."""
    seen: float | None = None
    """Share of the window in which somebody is seen, judged by the frames that are looked at."""
    size: float | None = None
    """Height or width of the person, the larger, as a share of the square that the model looks at; of joints, the
    diagonal of their box as a share of the longer side of the picture."""
    parts: Mapping[str, float] = field(default_factory=dict)
    """Confidence that each part of a body is in the picture, from the top down; empty where nothing could tell."""
    persons: int | None = None
    """How many persons are seen at once."""
    sideways: float | None = None
    """Confidence that the picture lies on its side, 0..1."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, rounded."""

        def short(value: Any) -> Any:
            return round(value, 3) if isinstance(value, float) else value

        parts = {name: short(value) for name, value in self.parts.items()}
        return {name: short(value) for name, value in asdict(self).items()} | {"parts": parts}


def with_pictures(evidence: Evidence, frames: np.ndarray) -> Evidence:
    """Evidence with what frames uint8 `(T, H, W, 3)` themselves tell."""
    height, width = frames.shape[1:3]
    grey = torch.from_numpy(np.ascontiguousarray(frames)).float().mean(dim=-1)[:, None]
    scale = 128 / min(height, width)
    small = F.interpolate(grey, scale_factor=scale, mode="area") if scale < 1 else grey
    blocks = F.adaptive_avg_pool2d(small, 24)
    change = blocks.flatten(1).std(dim=0, correction=0)
    return replace(
        evidence,
        movement=float(change.topk(12).values.mean()) if len(frames) > 1 else None,
        light=float(small.flatten().kthvalue(int(0.9 * small.numel()) + 1).values) / 255,
        sharpness=_sharpness(grey[:: max(1, len(grey) // 4)]),
        side=min(height, width) if evidence.side is None else evidence.side,
        detail=float(blocks.flatten(1).std(dim=1, correction=0).median()),
    )


def _sharpness(grey: Tensor) -> float:
    """Edges of pictures `(T, 1, H, W)` at the scale of half a percent of their side over those at four times that."""
    fine = F.adaptive_avg_pool2d(grey, 192)

    def edges(picture: Tensor) -> float:
        across, down = picture.diff(dim=-1).square().mean(), picture.diff(dim=-2).square().mean()
        return float((across + down).sqrt())

    return edges(fine) / max(edges(F.avg_pool2d(fine, 4)), 1e-3)


def with_persons(evidence: Evidence, maps: PersonMaps, row: int = 0, shares: Sequence[float] | None = None) -> Evidence:
    """Evidence with what a person head says of a row of its batch.

    Args:
        evidence: so far.
        maps: of the batch.
        row: in it.
        shares: of the window, each frame that the model sees stands for; default: the same for all.
    """
    person, parts, sideways = (each[row].float() for each in maps)
    height, width = person.shape[1:]
    each = strongest(person[None])[0]
    there = each.sigmoid()
    weights = torch.full_like(there, 1 / len(there))
    if shares is not None and len(shares) % len(there) == 0:  # a backbone may have fewer steps in time than frames
        weights = torch.tensor(shares, device=there.device).view(len(there), -1).sum(dim=1)
    cells = person.sigmoid() >= 0.5
    rows, columns = cells.any(dim=2).sum(dim=1) / height, cells.any(dim=1).sum(dim=1) / width
    found = parts.sigmoid().flatten(1, 2).amax(dim=1).mean(dim=0)
    return replace(
        evidence,
        person=float(each.mean().sigmoid()),
        seen=float(((there >= 0.5) * weights).sum()),
        size=float(torch.maximum(rows, columns).median()),
        parts=dict(zip(PARTS, found.tolist(), strict=True)),
        persons=int(_peaks(parts[..., 0]).float().median()),
        sideways=float(sideways.sigmoid().mean()),
    )


def with_joints(evidence: Evidence, keypoints: np.ndarray, frames: np.ndarray | None = None) -> Evidence:
    """Evidence with what the joints of one person `(T, V, A)` tell, which lie in `frames`, if there are any."""
    seen = (keypoints[..., 2] > 0).any(axis=1)
    sizes = [extent(pose) for pose in keypoints[seen]]
    scale = max(float(np.median(sizes)), 1e-6) if sizes else 1.0
    places = keypoints[seen, :, :2]
    known = np.where(keypoints[seen, :, 2:3] > 0, places, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # joints that are never seen
        moved = np.nan_to_num(np.linalg.norm(np.nanstd(known, axis=0), axis=-1)).max(initial=0.0) / scale
    evidence = replace(evidence, movement=100 * float(moved), detail=None)  # a pose estimator's word counts for more
    confidence = keypoints[seen, :, 2].mean(axis=0)
    graph = layout_of(keypoints.shape[1])
    parts: dict[str, float] = {}
    if graph is not None:
        inside = np.ones(len(confidence))
        if frames is not None:
            inside = ((places >= 0) & (places < (frames.shape[2], frames.shape[1]))).all(axis=-1).mean(axis=0)
        sure_of = dict(zip(graph.names, (confidence * inside).tolist(), strict=False))
        found = {part: [sure_of[joint] for joint in joints if joint in sure_of] for part, joints in PARTS.items()}
        parts = {part: max(values) for part, values in found.items() if values}
    size = scale / max(frames.shape[1:3]) if frames is not None else None
    sure = float(np.sort(confidence)[len(confidence) // 3 :].mean())  # some joints are hidden in every pose
    return replace(evidence, person=sure, seen=float(seen.mean()), size=size, parts=parts)


def is_unsure(evidence: Evidence, limits: Mapping[str, float] = LIMITS) -> bool:
    """Whether another should be asked if somebody is there: nothing could tell, or it is a close call."""
    limit = {**LIMITS, **limits}
    unknown = evidence.person is None or limit["person"] / 20 <= evidence.person < limit["sure"]
    return unknown and limit["sure"] > 0


def with_detector(evidence: Evidence, frames: np.ndarray, limits: Mapping[str, float] = LIMITS) -> Evidence:
    """Evidence with the word of a pose estimator, where one is installed, on some frames of a window: whom it finds is
    surely there; where it finds nobody, and nothing else could tell, that somebody is there is not sure."""
    estimate, limit = detector(), {**LIMITS, **limits}
    if estimate is None:
        return evidence
    try:
        found = [len(persons) for persons in estimate(frames[:: -(-len(frames) // LOOKS)])]
    except Exception as error:  # it only confirms
        warnings.warn(f"MediaPipe could not be asked if somebody is there: {reason(error, 300)}", stacklevel=2)
        return evidence
    share = sum(count > 0 for count in found) / len(found)
    persons = int(np.median(found)) if evidence.persons is None else evidence.persons
    seen = max(share, evidence.seen or 0.0)
    if share >= 0.5:
        return replace(evidence, person=max(limit["sure"], evidence.person or 0.0), seen=seen, persons=persons)
    return evidence if evidence.person is not None else replace(evidence, person=limit["person"])


@cache
def detector() -> "PoseEstimator | None":
    """MediaPipe, if it is installed and works."""
    from importlib.util import find_spec

    if find_spec("mediapipe") is None:
        return None
    from amge.skeleton.pose.estimators import estimator

    try:
        return estimator("mediapipe")
    except Exception as error:
        warnings.warn(f"MediaPipe is installed, but can't be asked if somebody is there: {reason(error)}", stacklevel=2)
        return None


def _peaks(maps: Tensor, reach: int = 2) -> Tensor:
    """How many separate places of logits `(T, H, W)` are over 0 and highest around them, `(T,)`."""
    maps = maps + 1e-4 * torch.arange(maps[0].numel(), device=maps.device).view_as(maps[0])  # of equals one is highest
    around = F.max_pool2d(maps[:, None], 2 * reach + 1, 1, reach)[:, 0]
    return ((maps == around) & (maps >= 0)).flatten(1).sum(dim=1)


def judge(evidence: Evidence, limits: Mapping[str, float] = LIMITS) -> tuple[Verdict, tuple[str, ...]]:
    """What to think of an answer that rests on some evidence: a verdict, and the reasons for doubt in words.

    Args:
        evidence: of a window or a video.
        limits: those that differ from `LIMITS`.
    """
    limit = {**LIMITS, **limits}

    def less(name: str) -> bool:
        value = getattr(evidence, name)
        return value is not None and value < limit[name]

    if less("detail") and (evidence.person is None or less("person")):
        return "nobody", ("there is nothing in the picture",)
    if less("person"):
        return "nobody", ("nobody is seen",)

    reasons = []
    if evidence.person is not None and evidence.person < limit["sure"]:
        reasons.append("it is not sure that somebody is there")
    if less("seen"):
        reasons.append(f"somebody is seen in {100 * (evidence.seen or 0):.0f} % of the frames only")
    if evidence.persons is not None and evidence.persons > 1:
        reasons.append("more than one person is seen")
    if less("size"):
        reasons.append("the person is small in the picture")
    if missing := [part for part, confidence in evidence.parts.items() if confidence < limit["part"]]:
        reasons.append(_body(missing, tuple(evidence.parts)))
    if evidence.sideways is not None and evidence.sideways > limit["sideways"]:
        reasons.append("the picture lies on its side")
    if less("movement"):
        reasons.append("nothing moves")
    if less("seconds"):
        reasons.append(f"there is only {evidence.seconds or 0:.1f} s of video")
    if less("light"):
        reasons.append("the picture is dark")
    if less("sharpness"):
        reasons.append("the picture is blurred")
    if less("side"):
        reasons.append(f"the picture is small, {evidence.side} pixels")
    return ("doubtful" if reasons else "ok"), tuple(reasons)


def _body(missing: list[str], parts: tuple[str, ...]) -> str:
    """In words, how much of a body is in the picture; parts from the top down."""
    seen = [part for part in parts if part not in missing]
    if not seen:
        return "little of the body is in the picture"
    if missing == list(parts[-len(missing) :]) and len(missing) > 1:
        return "only the upper body is in the picture"
    if missing == list(parts[: len(missing)]) and len(missing) > 1:
        return "only the lower body is in the picture"
    return f"the {' and the '.join(missing)} {'is' if missing == ['head'] else 'are'} not in the picture"
