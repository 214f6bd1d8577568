"""The open exercise photographs, prepared from a checkout of their source: `yuhonas/free-exercise-db` on GitHub.

The source holds `dist/exercises.json` and the pictures `exercises/ID/0.jpg` and `exercises/ID/1.jpg`;
`docs/open_exercise.md` says what the prepared folder holds.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from amge.data.open_exercise import samples
from amge.data.prepare.families import UNSEEN, family_of
from amge.data.sample import SPLITS, Sample
from amge.errors import VideoError, one_of
from amge.files import whole
from amge.muscles import REGION_IDS
from amge.skeleton.layouts import COCO17, convert_layout, layout_of
from amge.skeleton.pose import PoseEstimator, estimator
from amge.skeleton.tracking import extent
from amge.video.picture import read_picture

SIDE = 224
"""Pixels of a prepared photograph's shorter side."""
QUALITY = 90
HELD_OUT = 0.125
"""Share of the exercises of seen families that are `val_seen` where no split is given."""

MUSCLES = {
    "abdominals": ("upper_abdominis", "lower_abdominis"),
    "abductors": ("outer_thigh",),
    "adductors": ("inner_thigh",),
    "biceps": ("biceps",),
    "calves": ("calves",),
    "chest": ("chest",),
    "forearms": ("forearms",),
    "glutes": ("gluteus",),
    "hamstrings": ("hamstring",),
    "lats": ("latissimus",),
    "lower back": ("lower_back",),
    "middle back": ("upper_back",),
    "neck": ("neck_head",),
    "quadriceps": ("quadriceps",),
    "shoulders": ("shoulder",),
    "traps": ("upper_back",),
    "triceps": ("triceps",),
}
"""The source's muscles as regions."""
BY_NAME = {
    "obliques": r"twist|russian|oblique|wood ?chop|side bend|windmill|side bridge|side plank|cross-body|landmine"
    r"|torso rotation|side jackknife|air bike|elbow to knee|judo",
    "feet_ankles": r"ankle|foot-|peroneal|tibialis|skipping|hops?\b|hopping",
    "wrists": r"wrist",
}
"""Regions that the source lacks, by words in the exercise's name."""


def regions_of(muscles: Sequence[str], name: str = "") -> tuple[str, ...]:
    """Regions of the source's muscles, and of an exercise's name, in the order of `REGION_IDS`.

    Raises:
        ValueError: for a muscle that the source did not have.
    """
    found = {region for muscle in muscles for region in MUSCLES[one_of("muscle", muscle, MUSCLES)]}
    found |= {region for region, words in BY_NAME.items() if re.search(words, name, re.IGNORECASE)}
    return tuple(region for region in REGION_IDS if region in found)


def read_splits(path: str | Path) -> dict[str, tuple[str, str]]:
    """Family and split of each exercise: a JSON object `id: [family, split]`, or the `labels.json` of a prepared set.

    Raises:
        ValueError: if the file holds something else.
        OSError: if it can't be read.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        if isinstance(content.get("samples"), list):
            content = {sample["id"]: (sample["family"], sample["split"]) for sample in content["samples"]}
        splits = {id: (str(family), one_of("split", split, SPLITS)) for id, (family, split) in content.items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: expected an object of id: [family, split], or labels.json ({error})") from None
    return splits


def derived_split(id: str, name: str) -> tuple[str, str]:
    """Family and split where none is given: `UNSEEN` families are held out, of others an eighth by a hash of the id."""
    family = family_of(name)
    if family in UNSEEN:
        return family, "val_unseen"
    value = int(hashlib.sha256(id.encode()).hexdigest()[:8], 16) / 2**32
    return family, "val_seen" if value < HELD_OUT else "train"


def prepare(
    source: str | Path,
    out: str | Path,
    splits: str | Path | Mapping[str, tuple[str, str]] | None = None,
    pose: str | PoseEstimator = "mediapipe",
    progress: Callable[[int, int], None] | None = None,
) -> list[Sample]:
    """Make the prepared folder `out`: `images/`, `keypoints.npz` and, when all is there, `labels.json`.

    Exercises with fewer than two pictures, or whose two differ in size or are one, are left out. Pictures that are
    there already are kept, so that it goes on after a cut.

    Args:
        source: a checkout of `yuhonas/free-exercise-db`.
        out: the folder to make.
        splits: family and split of each exercise, or a file that `read_splits` takes; exercises that it lacks are left
            out. Without it `derived_split` decides. That is not the split of the shipped models' cards: their numbers
            hold for the latter alone.
        pose: a pose estimator, or its name, or `none`: all joints are missing then.
        progress: called with the number of exercises done and of all.

    Raises:
        ValueError: if the source is not what it should be, or a name is unknown.
        ImportError: if the pose estimator is not installed.
        OSError: if a file can't be read or written.
    """
    source, out = Path(source), Path(out)
    given = read_splits(splits) if isinstance(splits, str | Path) else splits
    find = None if pose == "none" else estimator(pose)
    exercises = _exercises(source)
    (out / "images").mkdir(parents=True, exist_ok=True)
    labels, poses = [], []
    for number, exercise in enumerate(exercises):
        if progress:
            progress(number, len(exercises))
        id, name = exercise["id"], exercise["name"]
        frames = [f"images/{id}_{picture}.jpg" for picture in range(2)]
        if (given is not None and id not in given) or not _photographs(source, exercise, [out / f for f in frames]):
            continue
        family, split = derived_split(id, name) if given is None else given[id]
        primary, secondary = exercise["primaryMuscles"], exercise["secondaryMuscles"]
        labels.append(
            {
                "id": id,
                "name": name,
                "family": family,
                "category": exercise.get("category"),
                "equipment": exercise.get("equipment"),
                "frames": frames,
                "primary": regions_of(primary),
                "regions": regions_of([*primary, *secondary], name),
                "split": split,
            }
        )
        poses.append([_pose(out / frame, find) for frame in frames])
    if not labels:
        raise ValueError(f"{source} has no exercise with two photographs" + (" in the splits" if given else ""))
    with whole(out / "keypoints.npz") as part:
        np.savez_compressed(part, ids=[label["id"] for label in labels], keypoints=np.array(poses, np.float32))
    seen = {label["family"] for label in labels if label["split"] == "train"}
    unseen = sorted({label["family"] for label in labels} - seen)
    content = {"regions": REGION_IDS, "unseen_families": unseen, "samples": labels}
    with whole(out / "labels.json") as part:
        part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return samples(out)


def _exercises(source: Path) -> list[dict[str, Any]]:
    """What the source says of each exercise, in the order of their ids."""
    path = source / "dist" / "exercises.json"
    if not path.is_file():
        raise ValueError(f"{source} has no dist/exercises.json; give a checkout of yuhonas/free-exercise-db")
    try:
        exercises = json.loads(path.read_text(encoding="utf-8"))
        for exercise in exercises:
            if not re.fullmatch(r"[^/\\\0]+", exercise["id"]) or exercise["id"] in (".", ".."):
                raise ValueError(f"the id {exercise['id']!r} is no file name")
            regions_of([*exercise["primaryMuscles"], *exercise["secondaryMuscles"]], exercise["name"])
        return sorted(exercises, key=lambda exercise: exercise["id"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not the list of yuhonas/free-exercise-db: {error!r}") from None


def _photographs(source: Path, exercise: dict[str, Any], targets: list[Path]) -> bool:
    """Write the first two photographs of an exercise, resized, unless they are there; False if they are no pair."""
    if all(target.exists() for target in targets):
        return True
    pictures = []
    for name in (exercise.get("images") or ())[:2]:
        path = source / "exercises" / name
        if not path.is_file():
            raise ValueError(f"{path} is missing; is the checkout whole?")
        try:
            pictures.append(Image.fromarray(read_picture(path)))
        except VideoError as error:
            raise ValueError(f"{error}; is the checkout whole?") from None
    if len(pictures) < 2 or pictures[0].size != pictures[1].size or pictures[0].tobytes() == pictures[1].tobytes():
        return False
    for picture, target in zip(pictures, targets, strict=True):
        scale = SIDE / min(picture.size)
        size = round(picture.width * scale), round(picture.height * scale)
        small = picture.resize(size, Image.Resampling.LANCZOS)
        with whole(target) as part:
            small.save(part, format="JPEG", quality=QUALITY)
    return True


def largest_person(picture: Path, find: PoseEstimator) -> np.ndarray | None:
    """The joints `(V, A)` of the largest person in a picture; None if there is nobody."""
    (persons,) = find(read_picture(picture)[None])
    return max(persons, key=extent, default=None)


def _pose(picture: Path, find: PoseEstimator | None) -> np.ndarray:
    """The largest person in a picture, COCO-17 `(17, 3)`; zeros if there is none."""
    person = None if find is None else largest_person(picture, find)
    if person is None:
        return np.zeros((17, 3), np.float32)
    layout = layout_of(len(person))
    if layout is None:
        raise ValueError(
            f"a pose estimator gave {len(person)} joints; amge.skeleton.layouts lists those that it may give"
        )
    return convert_layout(person[:, :3], layout, COCO17).astype(np.float32)
