"""Frames to a video file."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import av
import numpy as np

from amge.errors import VideoError
from amge.video.frames import check_size

TICKS = 60000
"""A second in units of a stamp: frames of 24, 25, 30 and 30000/1001 a second are whole numbers of them."""
FAST = {"preset": "veryfast", "crf": "20"}


def write_video(
    path: str | os.PathLike[str], frames: np.ndarray, fps: float, x264: Mapping[str, str] | None = None
) -> None:
    """Write frames to a video file; odd sides grow by one repeated row or column.

    Args:
        path: of the file; its suffix says which container.
        frames: uint8 RGB `(T, H, W, 3)`.
        fps: frames a second.
        x264: options of that encoder, such as `{"crf": "18"}`; where FFmpeg lacks it, MPEG-4 does without them.

    Raises:
        VideoError: for frames that are something else, too large or too small.
    """
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8:
        raise VideoError(f"frames have shape {frames.shape} and dtype {frames.dtype}; give uint8 (T, H, W, 3)")
    check_size("frames", frames.shape[2], frames.shape[1])
    with av.open(os.fspath(path), "w") as container:
        stream = _stream(container, frames.shape[2], frames.shape[1], Fraction(fps).limit_denominator(60000), x264)
        for image in frames:
            container.mux(stream.encode(_even(image)))
        container.mux(stream.encode())


@contextmanager
def timed_video(
    path: str | os.PathLike[str], width: int, height: int, fps: float
) -> Iterator[Callable[[np.ndarray, float], None]]:
    """What takes the frames of a new video file one by one: uint8 RGB `(H, W, 3)`, and the second it is shown at.

    Args:
        path: of the file; its suffix, one of `amge.video.path.WRITTEN`, says which container.
        width: of the frames, and
        height: in pixels; odd ones grow by one repeated row or column.
        fps: frames a second, as players are told, and for how long the last frame is shown.
    """
    with av.open(os.fspath(path), "w") as container:
        stream = _stream(container, width, height, Fraction(fps).limit_denominator(1001), FAST)
        context = stream.codec_context
        context.time_base = Fraction(1, TICKS)
        context.colorspace, context.color_range = 5, 1  # what FFmpeg makes of RGB: BT.601, limited
        last = -1

        def add(image: np.ndarray, seconds: float) -> None:
            nonlocal last
            frame = _even(image)
            last = max(round(seconds * TICKS), last + 1)
            frame.pts, frame.time_base = last, context.time_base
            container.mux(stream.encode(frame))

        yield add
        container.mux(stream.encode())


def _stream(container: Any, width: int, height: int, rate: Fraction, x264: Mapping[str, str] | None) -> Any:
    codec, options = ("libx264", dict(x264 or {})) if "libx264" in av.codecs_available else ("mpeg4", {})
    stream = container.add_stream(codec, rate=rate, options=options)
    stream.height, stream.width = height + height % 2, width + width % 2
    stream.pix_fmt = "yuv420p"
    return stream


def _even(image: np.ndarray) -> Any:
    odd = image.shape[0] % 2, image.shape[1] % 2
    padded = np.pad(image, ((0, odd[0]), (0, odd[1]), (0, 0)), mode="edge") if any(odd) else image
    return av.VideoFrame.from_ndarray(padded, format="rgb24")
