"""Which videos are meant, and what each is called in the results."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from amge.skeleton.keypoint_paths import is_one_video
from amge.video.path import KEYPOINTS, VIDEOS


class Video(NamedTuple):
    """A file to predict, or a folder of keypoints with a file for each frame."""

    id: str
    """Its name in the results."""
    path: str


def find_videos(source: str | Path | Sequence[str | Path], modality: str) -> list[Video]:
    """The videos of a folder and of the folders in it, hidden ones left out, or those of a list, sorted by id.

    Args:
        source: a folder, whose videos are called by their path from there; or files and folders, whose videos are
            called by their path as given. Links to folders are not followed.
        modality: of the model; one of skeletons also finds files of keypoints, and folders with one for each frame.

    Raises:
        ValueError: if there are none.
        OSError: if a folder can't be read.
    """
    given = [Path(each) for each in ([source] if isinstance(source, str | Path) else source)]
    if not any(path.exists() for path in given):
        raise FileNotFoundError(f"{', '.join(map(str, given[:3])) or 'an empty list'}: no such file or folder")
    suffixes = VIDEOS + KEYPOINTS if modality == "skeleton" else VIDEOS
    base = given[0] if len(given) == 1 and given[0].is_dir() else None
    paths = [path for each in given for path in (_inside(each, suffixes) if each.is_dir() else [each])]
    if not paths:
        raise ValueError(
            f"no videos in {', '.join(map(str, given[:3]))}: none of its files ends in {', '.join(suffixes)}"
        )
    named = {(path.relative_to(base) if base and path != base else path).as_posix(): path for path in paths}
    videos = {printable(name): os.path.abspath(path) for name, path in named.items()}
    return [Video(id, videos[id]) for id in sorted(videos)]


def root_of(source: str | Path | Sequence[str | Path]) -> str:
    """The folder from which the ids of videos start."""
    return os.path.realpath(source) if isinstance(source, str | Path) and os.path.isdir(source) else os.getcwd()


def printable(text: str) -> str:
    """Text that UTF-8 can hold: bytes of a file name that are none are escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def _inside(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    def fail(error: OSError) -> None:
        raise error

    found = []
    for place, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if KEYPOINTS[0] in suffixes and is_one_video(place, names):
            found.append(Path(place))
            continue
        found += [Path(place, name) for name in names if name[0] != "." and name.lower().endswith(suffixes)]
    return found
