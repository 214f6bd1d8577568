"""Any video as clips of a fixed number of RGB frames, chosen by time.

>>> for window in windows("squat.mp4", num_frames=16):
...     print(window.start, window.end, window.frames.shape)
"""

import os
import stat
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from amge.data.decode import from_file, seconds_of
from amge.data.frames import (
    MIN_SIDE,
    Shown,
    VideoError,
    check_array,
    check_size,
    describe,
    from_array,
    from_images,
)

__all__ = ["VideoError", "Window", "duration", "frames_at", "windows", "write_video"]


@dataclass(frozen=True)
class Window:
    """A clip cut from a video.

    Attributes:
        frames: uint8 RGB (T, H, W, 3).
        times: When each frame comes on screen, in seconds since the first frame of the video.
        start: Where the clip starts, in seconds.
        end: Where the clip ends, in seconds.
    """

    frames: np.ndarray
    times: tuple[float, ...]
    start: float
    end: float


def windows(
    source: str | os.PathLike[str] | np.ndarray | torch.Tensor,
    num_frames: int,
    seconds: float = 10.0,
    max_side: int = 640,
    progress: Callable[[float, float | None], None] | None = None,
    fps: float = 30.0,
) -> Iterator[Window]:
    """Cuts `source` into clips of exactly `num_frames` frames.

    A source of at most `1.5 * seconds` gives one clip over all of it. A longer one gives clips of `seconds`, each
    starting half of that after the one before, the last one ending where the source ends. A clip is cut into
    `num_frames` equal parts and shows the frame on screen in the middle of each part, so that a clip of few frames
    repeats them. The source is decoded once, in order: at most `6 * num_frames + 2` frames are held, however long
    it is, and where these are not all frames, a chosen frame is at most `seconds / (4 * num_frames)` off.

    Args:
        source: A video file that FFmpeg can decode, a folder of images of one size (in the order of the numbers in
            their names), or raw video: a uint8 array or tensor (T, H, W, 3). Transparency is shown on white.
        num_frames: Frames per clip.
        seconds: Length of a clip of a long source.
        max_side: Larger frames are scaled down to this many pixels on their longer side.
        progress: Called with the seconds decoded so far and those in all, or `None` where these are not known.
        fps: Frames per second of a folder of images, array or tensor.

    Raises:
        VideoError: The input, or an argument, cannot be used; in one line.
    """
    if num_frames < 1 or not 0 < seconds < float("inf") or max_side < MIN_SIDE or not 0 < fps < float("inf"):
        raise VideoError(
            f"num_frames={num_frames}, seconds={seconds}, max_side={max_side}, fps={fps}: num_frames must be at least "
            f"1, max_side at least {MIN_SIDE}, seconds and fps over 0"
        )
    candidates = _Candidates(num_frames, seconds)
    given, decoded, end = 0, 0, 0.0

    def due(now: float) -> Iterator[Window]:
        nonlocal given
        while now > 1.5 * seconds + 1e-6 and given * seconds / 2 + seconds <= now + 1e-6:
            yield candidates.window(given * seconds / 2, given * seconds / 2 + seconds)
            given += 1

    with closing(_read(source, fps, max_side)) as stream:
        for shown in stream:
            decoded, end = decoded + 1, shown.end
            if candidates.offer(shown):
                if progress:
                    progress(shown.time, shown.total)
                yield from due(shown.time)
                if given:
                    candidates.forget(shown.time - seconds)
    if decoded < 2:
        raise VideoError(
            f"{describe(source)} has {decoded} frame{'s' * (decoded != 1)}: a movement needs at least 2 frames"
        )
    if progress:
        progress(end, end)
    yield from due(end)
    if not given:
        yield candidates.window(0.0, end)
    elif end - (given + 1) * seconds / 2 > candidates.step:
        yield candidates.window(end - seconds, end)


class _Candidates:
    """Frames that a clip may still need: all of a short video, about `4 * num_frames` per `seconds` of a long one."""

    def __init__(self, num_frames: int, seconds: float) -> None:
        self.num_frames = num_frames
        self.step = seconds / (4 * num_frames)
        self.grid = self.step / 1024
        self.times: list[float] = []
        self.images: list[np.ndarray] = []

    def offer(self, shown: Shown) -> bool:
        """Keeps a frame, unless its cell of the time grid has one; the grid coarsens up to `step` as frames pile up."""
        if self.times and shown.time // self.grid == self.times[-1] // self.grid:
            return False
        self.times.append(shown.time)
        self.images.append(shown.image())
        while len(self.times) > 6 * self.num_frames and self.grid < self.step:
            self.grid *= 2
            cells = [time // self.grid for time in self.times]
            self._keep([i for i, cell in enumerate(cells) if i == 0 or cell != cells[i - 1]])
        return True

    def forget(self, before: float) -> None:
        """Drops the frames that were no longer on screen at `before` (seconds)."""
        first = int(np.searchsorted(self.times, before, side="right")) - 1
        self._keep(list(range(max(first, 0), len(self.times))))

    def window(self, start: float, end: float) -> Window:
        """The clip from `start` to `end` (seconds): the frame on screen in the middle of each of its equal parts."""
        middles = start + (np.arange(self.num_frames) + 0.5) * (end - start) / self.num_frames
        chosen = np.searchsorted(self.times, middles + 1e-3, side="right") - 1  # containers round to milliseconds
        chosen = chosen.clip(0).tolist()
        frames = np.stack([self.images[i] for i in chosen])
        return Window(frames, tuple(self.times[i] for i in chosen), start, end)

    def _keep(self, indices: list[int]) -> None:
        self.times = [self.times[i] for i in indices]
        self.images = [self.images[i] for i in indices]


def duration(source: str | os.PathLike[str], fps: float = 30.0) -> float:
    """Seconds of a video file or of a folder of images: as declared, or else counted by decoding.

    Raises:
        VideoError: if it cannot be read.
    """
    path = Path(source)
    seconds = seconds_of(path) if path.is_file() else None
    if seconds is None:
        with closing(_read(source, fps, MIN_SIDE)) as stream:
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
    with closing(_read(source, fps, max_side, float(wanted[0]))) as stream:
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


def _read(source: object, fps: float, max_side: int, start: float = 0.0) -> Generator[Shown, None, None]:
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
    path = Path(source)
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            names = [entry.name for entry in path.iterdir()]
            return from_images(path, names, fps, max_side)
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
    return from_file(path, head, max_side, start)


def write_video(path: str | os.PathLike[str], frames: np.ndarray, fps: float) -> None:
    """Writes uint8 RGB `frames` (T, H, W, 3) to a video file; odd sides grow by one repeated row or column."""
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8:
        raise VideoError(f"frames have shape {frames.shape} and dtype {frames.dtype}; give uint8 (T, H, W, 3)")
    check_size("frames", frames.shape[2], frames.shape[1])
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    with av.open(os.fspath(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=Fraction(fps).limit_denominator(60000))
        stream.height, stream.width = (side + side % 2 for side in frames.shape[1:3])
        stream.pix_fmt = "yuv420p"
        for image in frames:
            padded = np.pad(image, ((0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0)), mode="edge")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(padded, format="rgb24")))
        container.mux(stream.encode())
