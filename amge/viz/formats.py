"""What a prediction can be saved as, told by the path alone, before there is a prediction."""

from pathlib import Path

from amge.errors import one_of
from amge.files import check_writable
from amge.skeleton.keypoint_paths import is_keypoints
from amge.video.path import WRITTEN
from amge.viz.page import FORMATS, VECTOR


def is_video(path: str | Path) -> bool:
    """Whether it is saved as a video."""
    return Path(path).suffix.lower() in WRITTEN


def check_saved(path: str | Path, source: str | None) -> None:
    """Refuse what cannot be drawn of a source, and a place that cannot be written to.

    Args:
        path: of a picture or a video.
        source: that is looked at; None: not a path.

    Raises:
        ValueError: for another suffix, a folder, the source itself, or a video of what holds no pictures.
        OSError: if the file cannot be written.
    """
    target = Path(path)
    one_of("picture or video format", target.suffix.lower(), (*FORMATS, VECTOR, *WRITTEN))
    if target.is_dir():
        raise ValueError(f"{target} is a folder; name the picture or the video")
    if is_video(target):
        if source is None or is_keypoints(source):
            held = f"{source} holds keypoints" if source else "this prediction was not made of a file"
            raise ValueError(f"{held}, so there are no frames for {target}; save a picture, such as {target.stem}.png")
        if target.exists() and target.samefile(source):
            raise ValueError(f"{target} is the video that is looked at; save to another name")
    check_writable(target)
