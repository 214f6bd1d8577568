"""The list files of the official MuscleMap code: for each split a list of video paths and one of lists of regions.

They are found by name, anywhere in a folder: `train`, `val_seen`, `val_unseen`, `test_seen` or `test_unseen` in it says
the split, `video` or `label` which of the two lists it is: `train_video_list.pkl`, `val_seen/label.json`. Besides
pickles they can be JSON, or text with a line for each video: a path, or its regions separated by spaces. Regions are
numbers 0..19 in the order of `REGION_IDS`, or their names.
"""

import operator
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amge.data.manifest import checked_regions, read_json
from amge.data.sample import SPLITS
from amge.muscles import REGION_IDS

PICKLES = (".pkl", ".pickle", ".p")
SUFFIXES = (*PICKLES, ".json", ".txt")
KINDS = ("video", "label")


@dataclass(frozen=True)
class Listed:
    """A video of a list."""

    path: str
    """As the authors had it, of some other computer; `/` between folders."""
    regions: tuple[str, ...]
    split: str


def read_lists(folder: str | Path, allow_pickle: bool = False) -> list[Listed]:
    """All videos that the list files of a folder name, split by split.

    Args:
        folder: with the files; splits that are not there are left out.
        allow_pickle: must be True to open pickles, which can hold code; they are searched for lists, text and numbers,
            and whatever else one asks for is refused.

    Raises:
        ValueError: if there are none, two of a kind, one of a pair, lists of different lengths, or something else in
            them.
        OSError: if one can't be read.
    """
    folder = Path(folder)
    listed = []
    for split, files in find_lists(folder).items():
        video, label = (_entries(files[kind], kind, allow_pickle) for kind in KINDS)
        if len(video) != len(label):
            raise ValueError(f"{files['video']} lists {len(video)} videos, {files['label']} labels of {len(label)}")
        for number, (path, regions) in enumerate(zip(video, label, strict=True), 1):
            try:
                listed.append(Listed(_path(path), _regions(regions), split))
            except ValueError as error:
                raise ValueError(f"{files['video']} and {files['label']}, entry {number}: {error}") from None
    return listed


def find_lists(folder: Path) -> dict[str, dict[str, Path]]:
    """The files of each split there is, by `video` and `label`."""
    found: dict[str, dict[str, Path]] = {split: {} for split in SPLITS}
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    for path in files:
        name = re.sub(r"[\s-]", "_", path.relative_to(folder).as_posix().lower())
        splits = [split for split in SPLITS[1:] if split in name] or ["train"] * ("train" in name)
        kinds = [kind for kind in KINDS if kind in path.name.lower()] or [kind for kind in KINDS if kind in name]
        if len(splits) != 1 or len(kinds) != 1:
            continue
        other = found[splits[0]].setdefault(kinds[0], path)
        if other != path:
            raise ValueError(f"{other} and {path} can both be the {kinds[0]} list of {splits[0]}; leave one there")
    found = {split: pair for split, pair in found.items() if pair}
    for split, pair in found.items():
        if missing := [kind for kind in KINDS if kind not in pair]:
            raise ValueError(
                f"{folder} has no {missing[0]} list of {split}; name it like {split}_{missing[0]}_list.pkl"
            )
    if not found:
        names = ", ".join(path.name for path in files[:5]) or "no file of the kind"
        raise ValueError(
            f"{folder} has no lists like train_video_list.pkl and train_label_list.pkl, for one of the splits "
            f"{', '.join(SPLITS)}; there is {names}"
        )
    return found


def place(root: Path, listed: Iterable[str]) -> list[Path]:
    """Where the videos of the lists lie under `root`: the longest end of each path that is there, or else the last two
    parts, `ACTIVITY/FILE`."""
    return [_place(root, path) for path in listed]


def _place(root: Path, path: str) -> Path:
    parts = path.split("/")
    ends = (root.joinpath(*parts[-length:]) for length in range(len(parts), 0, -1))
    return next((end for end in ends if end.exists()), root.joinpath(*parts[-2:]))


def _path(path: Any) -> str:
    if not isinstance(path, str) or not path.strip():
        raise ValueError(f"expected the path of a video, got {path!r}")
    parts = [part for part in path.strip().replace("\\", "/").split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in path or not parts:
        raise ValueError(f"{path!r} is no path of a video in a data set")
    return "/".join(parts)


def _regions(entry: Any) -> tuple[str, ...]:
    if not isinstance(entry, list):
        raise ValueError(f"expected a list of regions, got {entry!r}")
    if len(entry) == len(REGION_IDS) and set(entry) <= {0, 1}:
        raise ValueError("expected the numbers of its regions, got 0 and 1 for each region")
    return tuple(sorted(checked_regions(map(_region, entry)), key=REGION_IDS.index))


def _region(entry: Any) -> Any:
    """The name of a region that is given by its number; a name stays as it is."""
    try:
        number = int(entry) if isinstance(entry, str) and entry.isdecimal() else operator.index(entry)
    except TypeError:
        return entry
    if not 0 <= number < len(REGION_IDS):
        raise ValueError(f"region {number} is not one of 0..{len(REGION_IDS) - 1}")
    return REGION_IDS[number]


def _entries(path: Path, kind: str, allow_pickle: bool) -> list[Any]:
    """What a file lists: text, or lists of numbers or text."""
    suffix = path.suffix.lower()
    if suffix == ".txt":
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not text in UTF-8 ({error})") from None
        return (
            lines if kind == "video" else [re.split(r"[\s,;]+", line.strip()) if line.strip() else [] for line in lines]
        )
    content = read_json(path) if suffix == ".json" else _unpickled(path, allow_pickle)
    if not isinstance(content, list):
        raise ValueError(f"{path} holds no list")
    return content


def _unpickled(path: Path, allow_pickle: bool) -> Any:
    if allow_pickle is not True:
        raise ValueError(f"{path} is a pickle, which can hold code; say allow_pickle (--allow-pickle) to open it")
    from amge.convert.skeletons import ArraysOnly

    with path.open("rb") as file:
        try:
            content = _plain(ArraysOnly(file).load())
            return [_plain(entry) for entry in content] if isinstance(content, list) else content
        except OSError:
            raise
        except Exception as error:  # a broken pickle can raise anything
            raise ValueError(f"{path} is not a pickle of lists: {error}".replace("no skeleton", "no list")) from None


def _plain(value: Any) -> Any:
    """A list of what a tuple, list or array holds, the number of a NumPy scalar, and all else as it is."""
    from amge.convert.skeletons import Array, Scalar

    if isinstance(value, Scalar):
        return value.value.tolist()[0]
    if isinstance(value, Array):
        return value.value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) if isinstance(item, Array) else item for item in value]
    return value
