"""The persons in the JSON of pose tools, frame by frame: COCO, AlphaPose, MMPose and OpenPose.

Shapes: `V` joints; the last axis is x and y in pixels and confidence.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from amge.skeleton.layouts import BODY25_TO_OPENPOSE18

ALONE = object()
"""The image of a file that holds a single frame and does not name it."""


class Person(NamedTuple):
    """Somebody in a frame."""

    track: Any
    """Who it is, if the file says so."""
    pose: np.ndarray
    """float32 `(V, 3)`."""


Frames = dict[Any, list[Person]]
"""The name or number of an image to who is in it."""


def persons(content: Any) -> Frames:
    """Who is in each image, from what a pose tool wrote.

    - COCO: results, a list of `{"image_id", "keypoints"}`, as AlphaPose writes them, too; or `annotations` of `images`.
    - MMPose: `instance_info`, or that list alone, of `{"frame_id", "instances"}`; or the instances of a single image.
    - OpenPose: the `people` of a single image; AlphaPose writes the same (`open`), or `bodies` (`cmu`), for all images.

    Raises:
        ValueError: if it is none of these; `TypeError` if an image is named by a list or the like.
    """
    if isinstance(content, Mapping):
        if "annotations" in content:
            return _coco(content["annotations"], _names(content.get("images", ())))
        if "instance_info" in content:
            return _listed(content["instance_info"])
        if "people" in content or "bodies" in content:
            return {ALONE: _openpose(content)}
        if content and all(isinstance(each, Mapping) and {"people", "bodies"} & {*each} for each in content.values()):
            return {image: _openpose(each) for image, each in content.items()}
        raise ValueError("it has no 'annotations', 'instance_info' or 'people', nor is it a list of results")
    return _listed(content)


def _listed(entries: Any) -> Frames:
    keys = {key for entry in _all_with(entries) for key in entry}
    if "instances" in keys:
        frames: Frames = {}
        for entry in _all_with(entries, "frame_id", "instances"):
            frames.setdefault(entry["frame_id"], []).extend(_instances(entry["instances"]))
        return frames
    if "image_id" in keys:
        return _coco(entries, {})
    return {ALONE: _instances(entries)}


def _coco(entries: Any, names: dict[Any, str]) -> Frames:
    frames: Frames = {}
    for entry in _all_with(entries, "image_id", "keypoints"):
        there = frames.setdefault(names.get(entry["image_id"], entry["image_id"]), [])
        there += _person(entry, entry["keypoints"])
    return frames


def _names(images: Any) -> dict[Any, str]:
    return {image["id"]: image["file_name"] for image in _all_with(images, "id") if "file_name" in image}


def _instances(entries: Any) -> list[Person]:
    return [person for entry in _all_with(entries, "keypoints") for person in _person(entry, entry["keypoints"])]


def _openpose(frame: Mapping[str, Any]) -> list[Person]:
    found = []
    for entry in _all_with(frame["people"] if "people" in frame else frame["bodies"]):
        key = next((key for key in ("pose_keypoints_2d", "pose_keypoints", "joints") if key in entry), None)
        if key is None:
            raise ValueError("somebody has no 'pose_keypoints_2d'")
        for person in _person(entry, entry[key]):
            pose = person.pose[list(BODY25_TO_OPENPOSE18)] if len(person.pose) == 25 else person.pose
            found.append(person._replace(pose=pose))
    return found


def _all_with(entries: Any, *keys: str) -> Iterator[Mapping[str, Any]]:
    if not isinstance(entries, list | tuple):
        raise ValueError(f"expected a list of persons or frames, not {type(entries).__name__}")
    for number, entry in enumerate(entries):
        if not isinstance(entry, Mapping):
            raise ValueError(f"entry {number} is {type(entry).__name__}, not an object")
        for key in keys:
            if key not in entry:
                raise ValueError(f"entry {number} has no {key!r}")
        yield entry


def _person(entry: Mapping[str, Any], keypoints: Any) -> list[Person]:
    """The one who is described; nobody if no joint is listed, as by OpenPose of someone whose hand alone is seen."""
    with np.errstate(over="ignore"):  # a number that float32 can't hold is infinity: the joint is missing
        points = np.array(keypoints, np.float32)
        scores = np.array(entry["keypoint_scores"], np.float32) if "keypoint_scores" in entry else None
    if not points.size:
        return []
    if scores is not None:
        if points.ndim != 2 or points.shape[1] != 2 or scores.shape != points.shape[:1]:
            raise ValueError(
                f"expected 'keypoints' of x and y, and as many 'keypoint_scores', got {points.shape} and {scores.shape}"
            )
        points = np.concatenate([points, scores[:, None]], axis=1)
    if points.shape[1:] not in ((), (3,)) or points.size % 3:
        raise ValueError(f"expected keypoints of x, y and confidence, got {points.shape}")
    return [Person(_track(entry), points.reshape(-1, 3))]


def _track(entry: Mapping[str, Any]) -> Any:
    """Who somebody is; negative numbers, and the list that AlphaPose writes where it does not track, say nothing."""
    given = entry.get("track_id", entry.get("idx"))
    if isinstance(given, str) or (isinstance(given, int | float) and given >= 0):
        return given
    return None
