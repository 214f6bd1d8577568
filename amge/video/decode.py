"""Frames one by one, with their times, from a video file: decoded by FFmpeg, in order."""

import os
import re
from collections.abc import Generator, Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import av
import av.logging
import numpy as np
from av.video.reformatter import VideoReformatter

from amge.errors import VideoError
from amge.video.clock import PAUSE, Clock, Stamps, end_of
from amge.video.frames import Shown, check_size, fit
from amge.video.hdr import LIGHT, Light, tone_mapped
from amge.video.picture import over_white

FAR = 3.0
"""Seconds; to a frame that is closer to the start all frames are decoded."""
LOCAL = {"protocol_whitelist": "file"}
_CONVERT = "`ffmpeg -i in.mp4 out.mp4`"
_TRANSPARENT = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_MATRICES = (1, 4, 5, 6, 7, 9)
"""Numbers of the matrices of YUV in Recommendation ITU-T H.273 that FFmpeg converts."""
_DEFAULT, _ATTACHED_PICTURE = 0x1, 0x400  # FFmpeg's AV_DISPOSITION_DEFAULT, _ATTACHED_PIC: the cover of a song


def seconds_of(path: Path) -> float | None:
    """The length of the picture of a video file, from its first frame to the end of its last. None: its packets do not
    tell, or it ends before it should.

    The stamps of the packets tell; only the first frame is decoded. Where the file says how long the picture is and can
    be searched, those of the end are read, elsewhere all.

    Raises:
        VideoError: if it is not a video.
    """
    try:
        with _opened(path) as container:
            stream = _video_stream(path, container)
            first, demuxed = None, _packets(container, stream)
            read: list[Stamps] = []
            for packet in demuxed:
                read += _stamps([packet])
                first = next(_frames(packet, stream.codec_context), None)
                if first:
                    break
            if not first:
                return None
            clock, declared = _clock(container, stream, first.time)
            if first.time is not None and _searchable(container, stream, declared):
                container.seek(int((first.time + declared) / stream.time_base), stream=stream, backward=True)
                end = end_of(_stamps(_packets(container, stream)), clock)
                return end if end and end >= 0.9 * (declared or 0.0) else None
            return end_of(chain(read, _stamps(demuxed)), clock)
    except av.FFmpegError as error:
        raise VideoError(f"{path} is not a video that FFmpeg can read ({error.strerror})") from error


def from_file(path: Path, head: bytes, max_side: int, start: float = 0.0) -> Generator[Shown, None, None]:
    """The frames of the video file `path`, which starts with the bytes `head`.

    With a `start` (seconds) decoding begins at a key frame before it, where the file can be searched.
    """
    count, end, clock = 0, 0.0, None
    try:
        with _opened(path) as container:
            stream = _video_stream(path, container)
            decoder = _decoder(stream)
            frames, origin = _decoded(container, stream, decoder), None
            if start >= FAR:
                origin, frames = _searched(container, stream, decoder, start)
                if origin is None:
                    container.close()
                    yield from from_file(path, head, max_side)
                    return
            total, scaler = container.duration / 1e6 if container.duration else None, VideoReformatter()
            for frame in frames:
                check_size(str(path), frame.width, frame.height)
                if clock is None:
                    clock, declared = _clock(container, stream, frame.time if origin is None else origin)
                    total = declared or total
                    size = fit(frame.width * float(stream.sample_aspect_ratio or 1), frame.height, max_side)
                    matrix, light = _display_matrix(frame), LIGHT.get(int(decoder.color_trc or 0))
                    opaque = container.format.name == "avi" and stream.codec_context.name == "rawvideo"
                count += 1
                time, end = clock.tick(frame.time, float((frame.duration or 0) * (frame.time_base or 0)))
                image = partial(_picture, scaler, frame, size, matrix, light, opaque)
                yield Shown(time, end, total, image, min(frame.width, frame.height))
            few = not stream.frames or count < 0.9 * stream.frames
    except av.FFmpegError as error:
        reason = error.strerror
        if count:
            raise VideoError(
                f"{path} is truncated or damaged after {count} frames ({end:.1f} s): {reason}; "
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
    if clock is None:
        raise VideoError(f"{path}: no frame of its video could be decoded; try to convert it with {_CONVERT}")
    if declared and few and end < 0.9 * declared:
        raise VideoError(
            f"{path} is truncated: it declares {declared:.1f} s but ends after {count} frames ({end:.1f} s); "
            f"copy or record it again, or keep the readable part with {_CONVERT}"
        )


def from_stream(name: str, container: Any, max_side: int) -> Iterator[Shown]:
    """The frames of a camera or a stream, as they come; what arrives damaged is left out.

    Raises:
        av.FFmpegError: when it is lost.
    """
    stream, size = _video_stream(name, container), (0, 0)
    stream.thread_type = "SLICE"  # threads by frame would hold frames back
    clock, scaler = Clock(_gap(stream)), VideoReformatter()
    for packet in container.demux(stream):
        for frame in _frames(packet, stream.codec_context):
            if not size[0]:
                check_size(name, frame.width, frame.height)
                size = fit(frame.width * float(stream.sample_aspect_ratio or 1), frame.height, max_side)
            time, end = clock.tick(frame.time)
            image = partial(_picture, scaler, frame, size, _display_matrix(frame), None, False)
            yield Shown(time, end, None, image, min(frame.width, frame.height))


def _opened(path: Path) -> Any:
    av.logging.set_level(None)  # which torchvision may have set: decoders that log to Python hang when a file is closed
    return av.open(os.path.abspath(path), container_options=LOCAL, metadata_errors="ignore")


def _video_stream(path: Path | str, container: Any) -> Any:
    """The main one: of those with the most frames the default or else the largest, much as FFmpeg's command chooses."""
    streams = [s for s in container.streams.video if not _disposition(s) & _ATTACHED_PICTURE]
    if not streams or container.format.name == "tty":  # FFmpeg draws .txt files on a terminal
        raise VideoError(
            f"{path} has no video in it (audio or text only, or its index is truncated): give a file with pictures"
        )
    most = max(stream.frames for stream in streams)
    stream = max(streams, key=lambda stream: (2 * stream.frames >= most, *_importance(stream)))
    if stream.codec_context is None:
        raise VideoError(f"{path}: FFmpeg has no decoder for its video; convert it with {_CONVERT}")
    if stream.codec_context.width:
        check_size(str(path), stream.codec_context.width, stream.codec_context.height)
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = min(4, os.cpu_count() or 1)  # each thread holds a frame of full size
    return stream


def _importance(stream: Any) -> tuple[bool, int]:
    context = stream.codec_context
    return bool(_disposition(stream) & _DEFAULT), context.width * context.height if context else 0


def _disposition(stream: Any) -> int:
    return int(getattr(stream.disposition, "value", stream.disposition))  # an enum, of integers only in later versions


def _decoder(stream: Any) -> Any:
    """What decodes a stream: FFmpeg's own decoders of VP8 and VP9 leave transparency out."""
    transparent = stream.metadata.get("alpha_mode", stream.metadata.get("ALPHA_MODE")) == "1"
    name = _TRANSPARENT.get(stream.codec_context.name) if transparent else None
    return av.CodecContext.create(name, "r") if name in av.codecs_available else stream.codec_context


def _frames(packet: Any, decoder: Any) -> Iterator[Any]:
    """Those of a packet; of one that can't be decoded as a recording starts between key frames, none."""
    try:
        yield from decoder.decode(packet)
    except av.FFmpegError:
        return


def _decoded(container: Any, stream: Any, decoder: Any) -> Iterator[Any]:
    """The frames from where the file is."""
    packets = _packets(container, stream)
    for packet in packets:
        frames = list(_frames(packet, decoder))
        if frames:
            yield from frames
            break
    for packet in packets:
        yield from decoder.decode(packet)


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    """Those of a stream from where the file is; None at the end where PyAV fails as another stream turns up."""
    packet = None
    try:
        for packet in container.demux(stream):
            if packet.stream.index == stream.index:
                yield packet
    except IndexError:
        if packet is None or packet.size:  # what is held back was not asked for yet
            yield None


def _searchable(container: Any, stream: Any, declared: float | None) -> bool:
    """Whether its stamps are sure to be its times, of a file with an index."""
    if not declared or not {"mp4", "matroska"} & set(container.format.name.split(",")):
        return False
    return not stream.frames or declared - stream.frames * _gap(stream) <= PAUSE


def _searched(container: Any, stream: Any, decoder: Any, start: float) -> tuple[float | None, Iterator[Any]]:
    """When the first frame is stamped, and the frames from a key frame at or before `start` (seconds after it).

    None where no such frame is found. Decoding tells, not the index: the first frame need not be stamped with the
    stream's start, and what the index finds may be a key frame after `start`, whose leading frames can't be decoded.
    """
    first = next(_decoded(container, stream, decoder), None)
    if first is None or first.time is None:
        return None, iter(())
    declared = _declared_seconds(container, stream, first.time)
    if not declared or not _searchable(container, stream, declared):
        return None, iter(())
    target, step = min(start, declared), 1.0
    while target > 0:
        try:
            container.seek(int((first.time + target) / stream.time_base), stream=stream, backward=True)
            decoder.flush_buffers()
            frames = _decoded(container, stream, decoder)
            landed = next(frames, None)
        except av.FFmpegError:
            break
        if landed and landed.time is not None and landed.key_frame and landed.time <= first.time + start:
            return first.time, chain([landed], frames)
        target, step = target - step, 2 * step
    return None, iter(())


def _clock(container: Any, stream: Any, first: float | None) -> tuple[Clock, float | None]:
    """The clock of a stream whose first frame is stamped `first`, and the length that it declares."""
    declared = _declared_seconds(container, stream, first or 0.0)
    whole = container.duration / 1e6 if container.duration and container.format.name in ("flv", "asf") else None
    return Clock(_gap(stream), declared or whole, first), declared


def _gap(stream: Any) -> float:
    return min(1 / float(stream.guessed_rate or stream.average_rate or 30), 60.0)


def _declared_seconds(container: Any, stream: Any, first: float) -> float | None:
    """The length from the first frame on, where the file declares one that was written when it was complete."""
    if "mp4" in container.format.name:
        return float(stream.duration * stream.time_base) if stream.duration else None
    if container.format.name == "avi":
        return float(stream.frames / stream.average_rate) if stream.frames and stream.average_rate else None
    tag = re.fullmatch(r"(\d+):(\d+):([\d.]+)", stream.metadata.get("DURATION", ""))
    if "matroska" in container.format.name and tag and container.duration:
        written = int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3])
        return min(written, container.duration / 1e6) - first
    return None


def _stamps(packets: Iterable[Any]) -> Iterator[Stamps]:
    for packet in packets:
        if packet and packet.size and not packet.is_discard:  # the last one is empty
            base = float(packet.time_base or 0)
            stamp, decoded = (None if at is None else at * base for at in (packet.pts, packet.dts))
            yield stamp, decoded, (packet.duration or 0) * base


def _display_matrix(frame: Any) -> np.ndarray | None:
    data = frame.side_data.get("DISPLAYMATRIX")
    return None if data is None else np.frombuffer(bytes(data), dtype=np.int32)


def _picture(
    scaler: VideoReformatter,
    frame: Any,
    size: tuple[int, int],
    matrix: np.ndarray | None,
    light: Light | None,
    opaque: bool,
) -> np.ndarray:
    """The picture of a frame; `opaque` where a fourth byte is no transparency, as in AVI."""
    alpha = frame.format.has_palette or any(part.is_alpha for part in frame.format.components)
    alpha = alpha and not opaque
    pixels = "gbrp16le" if light else "rgba" if alpha else "rgb24"  # FFmpeg 8.0 gets rgb48le wrong
    colours: dict[str, Any] = {}
    if int(frame.colorspace) in _MATRICES:  # PyAV before 17 takes no notice of it by itself
        full = frame.format.name.startswith("yuvj")
        colours = {"src_colorspace": int(frame.colorspace), "dst_colorspace": 5}
        colours["src_color_range"] = 2 if full else int(frame.color_range)
    rgb = scaler.reformat(frame, *size, format=pixels, interpolation="AREA", **colours).to_ndarray()
    rgb = tone_mapped(rgb, light) if light else over_white(rgb) if alpha else rgb
    return rgb if matrix is None else _oriented(rgb, matrix)


def _oriented(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """`image` (H, W, 3) turned and mirrored, in steps of 90 degrees, as the 9 numbers of `matrix` say.

    FFmpeg's display matrix maps x to `m[0] x + m[3] y` and y to `m[1] x + m[4] y`, y pointing down.
    """
    across, down = int(matrix[0]), int(matrix[4])
    if abs(int(matrix[1])) + abs(int(matrix[3])) > abs(across) + abs(down):
        image, across, down = image.swapaxes(0, 1), int(matrix[3]), int(matrix[1])
    return np.ascontiguousarray(image[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1])
