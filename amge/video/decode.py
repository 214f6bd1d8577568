"""Frames one by one, with their times, from a video file: decoded by FFmpeg, in order."""

import os
import re
from collections.abc import Generator, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import av
import av.logging
import numpy as np
from av.video.reformatter import VideoReformatter

from amge.errors import VideoError
from amge.video.frames import Shown, check_size, fit
from amge.video.picture import over_white

_JUMP = 60.0  # seconds; timestamps further apart than this are a broken clock, not a pause
FAR = 3.0
"""Seconds; to a frame that is closer to the start all frames are decoded."""
LOCAL = {"protocol_whitelist": "file"}
_CONVERT = "`ffmpeg -i in.mp4 out.mp4`"
_ATTACHED_PICTURE = 0x400  # FFmpeg's AV_DISPOSITION_ATTACHED_PIC: the cover of a song


class _Clock:
    """Increasing times from 0 out of timestamps that may be missing, repeated, out of order or reset."""

    def __init__(self, gap: float, origin: float | None = None) -> None:
        self.gap = gap
        self.origin = origin
        self.offset = 0.0
        self.last: float | None = None

    def tick(self, timestamp: float | None) -> float:
        """Seconds since the first frame of the frame stamped `timestamp` (seconds), or since the `origin` if given."""
        if self.last is None:
            stamp = timestamp or 0.0
            self.offset = -(stamp if self.origin is None else self.origin)
            self.last = max(stamp + self.offset, 0.0)
            return self.last
        following = self.last + self.gap
        time = following if timestamp is None else timestamp + self.offset
        if abs(time - self.last) > _JUMP:
            self.offset += following - time
            time = following
        self.last = time if time > self.last else following
        return self.last


def seconds_of(path: Path) -> float | None:
    """The length that a video file declares, or None if it does not. Cheap: nothing is decoded.

    Raises:
        VideoError: if it is not a video.
    """
    try:
        with _opened(path) as container:
            stream = _video_stream(path, container)
            return _declared_seconds(container, stream) or (container.duration / 1e6 if container.duration else None)
    except av.FFmpegError as error:
        raise VideoError(f"{path} is not a video that FFmpeg can read ({error.strerror})") from error


def from_file(path: Path, head: bytes, max_side: int, start: float = 0.0) -> Generator[Shown, None, None]:
    """The frames of the video file `path`, which starts with the bytes `head`.

    With a `start` (seconds) decoding begins at a key frame before it, where the file can be searched.
    """
    count, time, end = 0, 0.0, 0.0
    try:
        with _opened(path) as container:
            stream = _video_stream(path, container)
            declared = _declared_seconds(container, stream)
            total = declared or (container.duration / 1e6 if container.duration else None)
            origin, frames = None, _decoded(container, stream)
            if start >= FAR and {"mp4", "matroska"} & set(container.format.name.split(",")):
                origin, frames = _searched(container, stream, start)
                if origin is None:
                    container.close()
                    yield from from_file(path, head, max_side)
                    return
            clock, scaler = _Clock(1 / float(stream.average_rate or 30), origin), VideoReformatter()
            for frame in frames:
                check_size(str(path), frame.width, frame.height)
                if count == 0:
                    size = fit(frame.width * float(stream.sample_aspect_ratio or 1), frame.height, max_side)
                    matrix = _display_matrix(frame)
                count += 1
                time = clock.tick(frame.time)
                shown = float((getattr(frame, "duration", None) or 0) * (frame.time_base or 0))
                end = time + (shown if 0 < shown <= _JUMP else clock.gap)
                yield Shown(
                    time, end, total, partial(_picture, scaler, frame, size, matrix), min(frame.width, frame.height)
                )
            few = not stream.frames or count < 0.9 * stream.frames
    except av.FFmpegError as error:
        reason = error.strerror
        if count:
            raise VideoError(
                f"{path} is truncated or damaged after {count} frames ({time:.1f} s): {reason}; "
                f"copy or record it again, or keep the readable part with {_CONVERT}"
            ) from error
        if head[4:8] == b"ftyp":
            raise VideoError(
                f"{path} is a truncated or damaged MP4/MOV file (its index, the moov atom, is missing or unreadable: "
                f"{reason}); copy or record it again"
            ) from error
        raise VideoError(
            f"{path} is not a video that FFmpeg can read ({reason}); "
            f"give e.g. an mp4, mov, avi, mkv, webm or gif file, or convert it with {_CONVERT}"
        ) from error
    if count == 0:
        raise VideoError(f"{path}: no frame of its video could be decoded; try to convert it with {_CONVERT}")
    if declared and few and end < 0.9 * declared:
        raise VideoError(
            f"{path} is truncated: it declares {declared:.1f} s but ends after {count} frames ({end:.1f} s); "
            f"copy or record it again, or keep the readable part with {_CONVERT}"
        )


def _opened(path: Path) -> Any:
    av.logging.set_level(None)  # which torchvision may have set: decoders that log to Python hang when a file is closed
    return av.open(os.path.abspath(path), container_options=LOCAL, metadata_errors="ignore")


def _video_stream(path: Path, container: Any) -> Any:
    streams = [s for s in container.streams.video if not int(getattr(s, "disposition", 0)) & _ATTACHED_PICTURE]
    if not streams or container.format.name == "tty":  # FFmpeg draws .txt files on a terminal
        raise VideoError(
            f"{path} has no video in it (audio or text only, or its index is truncated): give a file with pictures"
        )
    stream = streams[0]
    if stream.codec_context is None:
        raise VideoError(f"{path}: FFmpeg has no decoder for its video; convert it with {_CONVERT}")
    if stream.codec_context.width:
        check_size(str(path), stream.codec_context.width, stream.codec_context.height)
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = min(4, os.cpu_count() or 1)  # each thread holds a frame of full size
    return stream


def _decoded(container: Any, stream: Any) -> Iterator[Any]:
    """The frames from where the file is."""
    begun = False
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.FFmpegError:
            if begun:
                raise
            continue  # a recording that starts between key frames
        begun = begun or bool(frames)
        yield from frames


def _searched(container: Any, stream: Any, start: float) -> tuple[float | None, Iterator[Any]]:
    """When the first frame is stamped, and the frames from a key frame at or before `start` (seconds after it).

    None where no such frame is found. Decoding tells, not the index: the first frame need not be stamped with the
    stream's start, and what the index finds may be a key frame after `start`, whose leading frames can't be decoded.
    """
    first = next(_decoded(container, stream), None)
    if first is None or first.time is None:
        return None, iter(())
    target, step = start, 1.0
    while target > 0:
        try:
            container.seek(int((first.time + target) / stream.time_base), stream=stream, backward=True)
            frames = _decoded(container, stream)
            landed = next(frames, None)
        except av.FFmpegError:
            break
        if landed and landed.time is not None and landed.key_frame and landed.time <= first.time + start:
            return first.time, chain([landed], frames)
        target, step = target - step, 2 * step
    return None, iter(())


def _declared_seconds(container: Any, stream: Any) -> float | None:
    """The length that the file declares, where such a declaration was written when the recording was complete."""
    if "mp4" in container.format.name:
        return float(stream.duration * stream.time_base) if stream.duration else None
    if container.format.name == "avi":
        return float(stream.frames / stream.average_rate) if stream.frames and stream.average_rate else None
    tag = re.fullmatch(r"(\d+):(\d+):([\d.]+)", stream.metadata.get("DURATION", ""))
    if "matroska" in container.format.name and tag and container.duration:
        written = int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3])
        return min(written, container.duration / 1e6) - float((stream.start_time or 0) * stream.time_base)
    return None


def _display_matrix(frame: Any) -> np.ndarray | None:
    data = frame.side_data.get("DISPLAYMATRIX")
    return None if data is None else np.frombuffer(bytes(data), dtype=np.int32)


def _picture(scaler: VideoReformatter, frame: Any, size: tuple[int, int], matrix: np.ndarray | None) -> np.ndarray:
    alpha = frame.format.has_palette or any(part.is_alpha for part in frame.format.components)
    pixels = scaler.reformat(frame, *size, format="rgba" if alpha else "rgb24", interpolation="AREA").to_ndarray()
    rgb = over_white(pixels) if alpha else pixels
    return rgb if matrix is None else _oriented(rgb, matrix)


def _oriented(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """`image` (H, W, 3) turned and mirrored, in steps of 90 degrees, as the 9 numbers of `matrix` say.

    FFmpeg's display matrix maps x to `m[0] x + m[3] y` and y to `m[1] x + m[4] y`, y pointing down.
    """
    across, down = int(matrix[0]), int(matrix[4])
    if abs(int(matrix[1])) + abs(int(matrix[3])) > abs(across) + abs(down):
        image, across, down = image.swapaxes(0, 1), int(matrix[3]), int(matrix[1])
    return np.ascontiguousarray(image[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1])
