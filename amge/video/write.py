"""Frames to a video file."""

import os
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import av
import numpy as np

from amge.errors import VideoError
from amge.video.frames import check_size


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
    codec, options = ("libx264", dict(x264 or {})) if "libx264" in av.codecs_available else ("mpeg4", {})
    with av.open(os.fspath(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=Fraction(fps).limit_denominator(60000), options=options)
        stream.height, stream.width = (side + side % 2 for side in frames.shape[1:3])
        stream.pix_fmt = "yuv420p"
        for image in frames:
            padded = np.pad(image, ((0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0)), mode="edge")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(padded, format="rgb24")))
        container.mux(stream.encode())
