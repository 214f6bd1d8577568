"""Videos of any kind frame by frame: a file, a folder of images, an array or a tensor."""

import os
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import torch

from amge.errors import VideoError, describe
from amge.video.frames import MIN_SIDE, Shown, check_array, from_animation, from_array, from_images
from amge.video.path import look


def read_frames(source: object, fps: float, max_side: int, start: float = 0.0) -> Generator[Shown, None, None]:
    """The frames of `source` in order, no side longer than `max_side`; all have the same size. Those of a file may
    begin at `start` (seconds)."""
    if isinstance(source, torch.Tensor):
        check_array(source)
        return from_array(source.detach().cpu().numpy(), fps, max_side)
    if isinstance(source, np.ndarray):
        check_array(source)
        return from_array(source, fps, max_side)
    if not isinstance(source, str | os.PathLike):
        raise VideoError(
            f"{describe(source)} is not a video: give the path of a video file or of a folder of images, "
            "or a uint8 array or tensor (T, H, W, 3)"
        )
    path, found = Path(source), look(source)
    if isinstance(found, list):
        return from_images(path, found, fps, max_side)
    if _animated(found):
        return from_animation(path, max_side)
    from amge.video.decode import from_file  # PyAV comes with it, which arrays and pictures do without

    return from_file(path, found, max_side, start)


def _animated(head: bytes) -> bool:
    """Whether these are the first bytes of a WebP."""
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def duration(source: str | os.PathLike[str], fps: float = 30.0) -> float:
    """Seconds of the picture of a video file or of a folder of images: the end of the last of its `windows`.

    Raises:
        VideoError: if it cannot be read.
    """
    found = look(source)
    seconds = None
    if not (isinstance(found, list) or _animated(found)):
        from amge.video.decode import seconds_of

        seconds = seconds_of(Path(source))
    if seconds is None:
        with closing(read_frames(source, fps, MIN_SIDE)) as stream:
            seconds = max((shown.end for shown in stream), default=0.0)
    return seconds


def frames_at(
    source: str | os.PathLike[str], times: Sequence[float] | np.ndarray, max_side: int = 640, fps: float = 30.0
) -> np.ndarray:
    """The frames of a video that are on screen at some times; after its end the last one.

    Only those frames become pictures, and where the file can be searched decoding begins close to the first of them.

    Args:
        source: a video file, or a folder of images.
        times: ascending seconds since the first frame, `(n,)`.
        max_side: larger frames are scaled down to this many pixels on their longer side.
        fps: frames a second of a folder of images.

    Returns:
        uint8 `(n, H, W, 3)`.

    Raises:
        VideoError: if it cannot be read.
    """
    wanted = np.asarray(times, np.float64)
    if wanted.ndim != 1 or not len(wanted) or not np.isfinite(wanted).all() or (np.diff(wanted) < 0).any():
        raise VideoError(f"expected ascending times, at least one, got {times}")
    chosen: list[np.ndarray] = []
    before: Shown | None = None
    with closing(read_frames(source, fps, max_side, float(wanted[0]))) as stream:
        for shown in stream:
            # what is on screen when the next frame comes within a rounding makes way for it
            due = int(np.searchsorted(wanted, shown.time - 1e-3))
            if before and due > len(chosen):
                chosen += [before.image()] * (due - len(chosen))  # frames of FFmpeg stay whole while they are held
                if due == len(wanted):
                    break
            before = shown
        assert before is not None  # without a frame the stream raises
        if len(chosen) < len(wanted):
            chosen += [before.image()] * (len(wanted) - len(chosen))
    return np.stack(chosen)
