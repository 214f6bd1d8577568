"""What a path holds, told by names and first bytes alone: nothing heavy is imported or decoded for it."""

import os
import shlex
import stat
from collections.abc import Iterable
from pathlib import Path

from amge.errors import VideoError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".gif", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ts")
"""What a file in a folder ends in to be taken for a video."""
WRITTEN = (".mp4", ".mov", ".mkv")
"""What a video that is written can end in."""
KEYPOINTS = (".npz", ".json")


def look(source: str | os.PathLike[str]) -> bytes | list[str]:
    """The first bytes of a video file, or the names of the images in a folder.

    Raises:
        VideoError: if there is nothing to read; says why.
    """
    path = Path(source)
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return images_in(path, [entry.name for entry in path.iterdir()])
        if not stat.S_ISREG(mode):
            raise VideoError(f"{path} is not a regular file (a pipe or device?): save the video to a file first")
        with path.open("rb") as file:
            head = file.read(12)
    except FileNotFoundError:
        hint = "download the video first" if "://" in str(source) else "check the path"
        raise VideoError(f"{source}: no such file or folder; {hint}") from None
    except OSError as error:
        raise VideoError(f"{path} cannot be read ({error.strerror}): check its permissions and its disk") from error
    except VideoError:
        raise
    except ValueError as error:
        raise VideoError(f"{source!r} is not a usable path ({error})") from error
    if not head:
        raise VideoError(f"{path} is empty (0 bytes): copy or record the video again")
    return head


def images_in(folder: Path, names: Iterable[str]) -> list[str]:
    """The images among the files `names` of a folder.

    Raises:
        VideoError: if there are none; of a folder of videos it says what to do.
    """
    shown = [name for name in names if not name.startswith(".")]
    if images := [name for name in shown if name.lower().endswith(IMAGE_SUFFIXES)]:
        return images
    if videos := sum(name.lower().endswith(VIDEOS) for name in shown):
        place = shlex.quote(str(folder))
        raise VideoError(
            f"{folder} holds {videos} video{'s' * (videos != 1)} and no images; give the files, {place}/*, or predict "
            f"all of it into one file: amge predict {place} --out results.parquet"
        )
    listed = ", ".join(IMAGE_SUFFIXES)
    raise VideoError(f"{folder}: a folder without images; give a video file, or a folder of files that end in {listed}")


def check_fps(source: object, fps: float | None) -> None:
    """Refuse frames a second that are none, and those of a video file, which has a rate of its own.

    Raises:
        VideoError: says what they are for.
    """
    if fps is None:
        return
    if not isinstance(fps, int | float) or not 0 < fps < float("inf"):
        raise VideoError(f"fps must be a number over 0, got {fps!r}")
    if isinstance(source, str | os.PathLike) and not str(source).lower().endswith(KEYPOINTS) and os.path.isfile(source):
        raise VideoError(f"{source} has frames a second of its own; fps is for keypoints and folders of images")
