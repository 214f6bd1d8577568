"""What can be watched: a camera by its number, a stream by its address, and whatever else has frames."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from amge.errors import VideoError
from amge.video.frames import Shown
from amge.video.read import read_frames

PATIENCE = 10.0
"""Seconds without a frame after which a camera or a stream counts as lost."""
_CAMERAS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
"""What FFmpeg calls the cameras of each platform."""
_WISHES = {"framerate": "30", "video_size": "640x480"}
"""What a camera is asked for; many give large pictures a few times a second alone."""
_WHOLE = {"rtsp_flags": "prefer_tcp"}
"""How a stream is asked for: so that no packet of a picture gets lost."""


class Source(NamedTuple):
    """Frames that come one by one."""

    name: str
    """For messages, without a password."""
    frames: Iterator[Shown]
    live: bool
    """Whether they come by themselves, and do not wait."""


def open_source(source: str, max_side: int = 640) -> Source:
    """Frames of a camera, a stream or a file, no side longer than `max_side`; a camera or stream opens as the first
    frame is taken.

    Args:
        source: the number of a camera, or its name for FFmpeg, `/dev/video2` or `video=Integrated Camera`; the address
            of a stream, `rtsp://...`; the path of a video file or of a folder of images, which have 30 a second.
        max_side: in pixels.

    Raises:
        VideoError: if it can't be opened, or when a camera or stream is lost; in one line.
    """
    if source.isdecimal() or source.startswith(("/dev/video", "video=")):
        name = f"camera {source}"
        return Source(name, _stream(name, *_camera(source), max_side), True)
    if re.match(r"\w+://", source):
        name = re.sub(r"//[^/]*@", "//", source)
        return Source(name, _stream(name, source, None, [_WHOLE], max_side), True)
    return Source(source, read_frames(source, 30.0, max_side), False)


def _camera(source: str) -> tuple[str, str, list[dict[str, str]]]:
    """Address, format and wishes, the first best, with which FFmpeg opens a camera."""
    form = _CAMERAS.get(sys.platform, "v4l2")
    address = source
    if source.isdecimal():
        if form == "v4l2":
            address = f"/dev/video{source}"
        elif form == "dshow":
            address = _named(int(source))
    return address, form, [_WISHES, {"framerate": "30"}, {}]


def _named(number: int) -> str:
    """A camera of Windows, which knows them by name."""
    import av

    names: list[str] = []
    if hasattr(av, "enumerate_input_devices"):  # of later versions of PyAV
        names = [each.name for each in av.enumerate_input_devices("dshow") if "video" in each.media_types]
    if number >= len(names):
        raise VideoError(f"camera {number} is not among {names or 'those that are known'}; give video=NAME of one")
    return f"video={names[number]}"


def _stream(name: str, address: str, form: str | None, wishes: list[dict[str, str]], max_side: int) -> Iterator[Shown]:
    import av
    import av.logging

    from amge.video.decode import from_stream

    av.logging.set_level(None)
    shown: Shown | None = None
    try:
        with _opened(av, address, form, wishes) as container:
            for shown in from_stream(name, container, max_side):
                yield shown
        why = "it ended"
    except av.FFmpegError as error:
        if shown is None:
            raise VideoError(f"{name} can't be opened ({_reason(error)}); {_hint(address, form)}") from error
        why = _reason(error)
    if shown is None:
        raise VideoError(f"{name} gave no frame; {_hint(address, form)}")
    raise VideoError(f"{name} is lost after {shown.end:.1f} s ({why}); connect it and start again")


def _opened(av: Any, address: str, form: str | None, wishes: list[dict[str, str]]) -> Any:
    """With the first of the wishes that can be had."""
    *others, last = wishes
    for options in others:
        try:
            return av.open(address, format=form, options=options, timeout=PATIENCE, metadata_errors="ignore")
        except (av.FileNotFoundError, av.PermissionError):
            raise
        except av.FFmpegError:
            continue
    return av.open(address, format=form, options=last, timeout=PATIENCE, metadata_errors="ignore")


def _reason(error: Any) -> str:
    import av

    return f"nothing came for {PATIENCE:.0f} s" if isinstance(error, av.ExitError) else error.strerror


def _hint(address: str, form: str | None) -> str:
    if form is None:
        return "check the address, the password, and that it sends"
    there = ", ".join(re.sub(r"\D", "", path.name) for path in sorted(Path("/dev").glob("video*")))
    found = f"cameras here: {there}; " if there else ""
    return f"{found}check that it is connected, that you may use it, and that no other program does"
