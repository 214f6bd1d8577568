"""Optical flow of whole videos, computed once and kept on disk: training reads it in any order, in any process.

Shapes: `F` kept frames, `h w` picture.

>>> cache = FlowCache("flow")
>>> stored, times = cache.get("squat.mp4", step=0.2)
>>> decode(stored[7])  # pixels that each point moved in the 0.2 s before times[7]
"""

import errno
import hashlib
import os
import time
import uuid
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib import format as npy
from PIL import Image
from rich.progress import track
from torch import nn

from amge.errors import VideoError, describe, one_of
from amge.video.flow import BOUND, METHODS, PairFlow, pair_flow
from amge.video.frames import IMAGE_SUFFIXES, MIN_SIDE, from_images
from amge.video.read import read_frames

Source = str | os.PathLike[str] | np.ndarray | torch.Tensor | tuple[str | os.PathLike[str], ...]
"""A video file, a folder of images, raw video, or pictures that are shown in turn, over and over."""

Pair = tuple[float, np.ndarray | None, np.ndarray]
"""Time in seconds, the picture one step before, None where there is none, and the picture on screen."""

_ZERO = 128
_ROUNDING = 1e-3  # seconds; containers round times to milliseconds
_LONGEST_SIDE = 4096
_ABANDONED = 86400.0  # seconds after which a temporary file is that of a process that was killed
_FULL = (errno.ENOSPC, errno.EDQUOT)


def encode(flow: np.ndarray) -> np.ndarray:
    """Flow in pixels to uint8: 128 is no movement, 1 and 255 are `BOUND` pixels or more, a level 0.16 pixels."""
    return (np.rint(np.clip(flow, -BOUND, BOUND) * (127 / BOUND)) + _ZERO).astype(np.uint8)


def decode(stored: np.ndarray) -> np.ndarray:
    """What `encode` stored, to float32 pixels; off by at most 0.08 up to `BOUND`."""
    return (np.asarray(stored, np.float32) - _ZERO) * (BOUND / 127)


class FlowCache:
    """A folder with the flow of videos, a file for each video and choice of options.

    An entry is found by the options and the path, size and time of change of the video, so one that changed is computed
    anew, as is an entry that is damaged. An entry appears whole or not at all; processes may share the folder, and work
    that was cut off goes on where it was. A raw video is found by its pixels.

    Args:
        folder: made if need be.
        method: one of `amge.video.flow.METHODS`, or a built RAFT.
        side: shorter side of the pictures that flow is measured on and kept in, in pixels; at least 16.
        max_gb: size of the folder in GB (1e9 bytes). Beyond it the entries that were not used for longest are removed.
        rate: frames a second that are kept at most: the first of each `1 / rate` seconds. A second of a wide video
            takes 0.45 MB at the default side and rate.
        fps: frames a second of a folder of images and of raw video.

    Raises:
        ValueError: for an unknown method or options that make no sense.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        method: str | nn.Module = "dis",
        side: int = 112,
        max_gb: float = 50.0,
        rate: float = 10.0,
        fps: float = 30.0,
    ) -> None:
        sane = MIN_SIDE <= side <= _LONGEST_SIDE and max_gb > 0 and 0 < rate < float("inf") and 0 < fps < float("inf")
        if not sane:
            raise ValueError(
                f"side={side}, max_gb={max_gb}, rate={rate}, fps={fps}: side must be in {MIN_SIDE}..{_LONGEST_SIDE}, "
                "the others over 0, rate and fps finite"
            )
        self.folder, self.method, self.max_gb = Path(folder), method, max_gb
        self.side, self.rate, self.fps = int(side), float(rate), float(fps)  # alike in keys, however they were given
        self.name = _fingerprint(method) if isinstance(method, nn.Module) else one_of("flow method", method, METHODS)

    def get(self, source: Source, step: float) -> tuple[np.ndarray, np.ndarray]:
        """The flow of a video, from the cache if it is there.

        Args:
            source: to read. Pictures in a tuple are shown for `step` seconds each and kept whatever the rate; the flow
                of the first is that from the last.
            step: seconds that the flow is over, in whole milliseconds, at least 2: from the frame that was on screen
                then, to each frame. A frame that comes earlier than `step` has no movement.

        Returns:
            The flow uint8 `(F, h, w, 2)` to the right and downwards, memory-mapped: see `decode`; in pixels of these
            pictures per step, so for pictures of side `s` take it times `s / side`. And `times` float64 `(F,)`,
            increasing: when each frame comes on screen, in seconds since the first.

        Raises:
            VideoError: the video cannot be used.
            OSError: the folder is full or cannot be written.
            ImportError: as `pair_flow` does.
        """
        step = round(float(step), 3)
        if not 2 * _ROUNDING <= step < float("inf"):
            raise ValueError(f"step must be at least 0.002 seconds, got {step}")
        entry = self.folder / f"{self._key(source, step)}.npy"
        for _ in range(3):  # another process may remove an entry before it is opened
            found = _opened(entry)
            if found:
                with suppress(OSError):  # a folder that may only be read
                    os.utime(entry)
                return found
            self._make(entry, source, step)
        raise OSError(
            f"{entry} cannot be read after it was written: see to its disk, or give a max_gb over {self.max_gb}"
        )

    def fill(self, sources: Sequence[Source], step: float, workers: int = 4) -> list[tuple[Source, VideoError]]:
        """Puts videos into the cache ahead of their use, with a progress bar.

        Args:
            sources: as `get` takes.
            step: as `get` takes.
            workers: videos at a time.

        Returns:
            The videos that could not be used, each with the reason.

        Raises:
            OSError, ImportError: as `get` does; the videos that were done are kept.
        """

        def failure(source: Source) -> VideoError | None:
            try:
                self.get(source, step)
            except VideoError as error:
                return error
            return None

        pool = ThreadPoolExecutor(workers)
        try:
            failures = track(pool.map(failure, sources), f"flow of {len(sources)} videos", total=len(sources))
            return [(source, error) for source, error in zip(sources, failures, strict=True) if error]
        finally:
            pool.shutdown(cancel_futures=True)

    def _key(self, source: Source, step: float) -> str:
        options = ("amge flow 1", self.name, BOUND, self.side, step, self.rate, self.fps)
        return hashlib.sha256(repr((*options, _identity(source))).encode()).hexdigest()

    def _make(self, entry: Path, source: Source, step: float) -> None:
        measure = pair_flow(self.method)
        if isinstance(source, tuple):
            pairs = _pairs_of_pictures(source, step, self.side)
        else:
            pairs = _pairs_of_video(source, step, self.side, self.rate, self.fps)
        temporary = entry.with_name(f"{entry.stem}.{uuid.uuid4().hex}.tmp")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with closing(pairs):
                _write(temporary, _rows(pairs, measure), describe(source))
            os.replace(temporary, entry)
        except OSError as error:
            if error.errno in _FULL:
                raise OSError(
                    error.errno,
                    f"the flow cache folder {self.folder} is full: free space on its disk, or give a max_gb under "
                    f"{self.max_gb}",
                ) from error
            raise
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        self._shrink(entry)

    def _shrink(self, newest: Path) -> None:
        """Removes what was not used for longest until the folder is in its bounds, never `newest`."""
        entries, total = [], 0
        with os.scandir(self.folder) as found:
            files = list(found)
        for file in files:
            with suppress(OSError):  # removed by another process
                status = file.stat()
                if file.name.endswith(".npy"):
                    total += status.st_size
                    entries.append((status.st_mtime_ns, status.st_size, file.path))
                elif file.name.endswith(".tmp") and status.st_mtime < time.time() - _ABANDONED:
                    os.unlink(file.path)
        for _, size, path in sorted(entries):
            if total <= self.max_gb * 1e9:
                break
            if path != os.fspath(newest):
                total -= size
                with suppress(OSError):
                    os.unlink(path)


def _fingerprint(model: nn.Module) -> str:
    digest = hashlib.sha256(type(model).__name__.encode())
    for name, value in model.state_dict().items():
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _identity(source: Any) -> Any:
    """What changes if the source does, and no other source has."""
    if isinstance(source, tuple) and all(isinstance(path, str | os.PathLike) for path in source):
        return [_identity(path) for path in source]
    if isinstance(source, torch.Tensor):
        source = source.detach().cpu().numpy()
    if isinstance(source, np.ndarray):
        return "raw", source.shape, hashlib.sha256(np.ascontiguousarray(source).data).hexdigest()
    if not isinstance(source, str | os.PathLike):
        raise VideoError(
            f"{describe(source)} is not a video: give the path of a video file or of a folder of images, a tuple of "
            "paths of pictures, or a uint8 array or tensor (T, H, W, 3)"
        )
    path = os.path.abspath(source)
    try:
        status = os.stat(path)
        if not os.path.isdir(path):
            return path, status.st_size, status.st_mtime_ns
        with os.scandir(path) as files:
            shown = [(f.name, f.stat()) for f in files if f.name.lower().endswith(IMAGE_SUFFIXES)]
        return path, sorted((name, status.st_size, status.st_mtime_ns) for name, status in shown)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise VideoError(f"{path!r} cannot be read ({reason}): check the path and its permissions") from error


def _pairs_of_video(source: Any, step: float, side: int, rate: float, fps: float) -> Generator[Pair, None, None]:
    """The frames to keep; holds those of the last `step` seconds."""
    with closing(read_frames(source, fps, _LONGEST_SIDE)) as stream:
        height, width = next((shown.image().shape[:2] for shown in stream), (side, side))
    longest = max(side, round(side * max(height, width) / min(height, width)))
    recent: deque[tuple[float, np.ndarray]] = deque()
    kept = -1
    with closing(read_frames(source, fps, longest)) as stream:
        for shown in stream:
            recent.append((shown.time, _scaled(shown.image(), side)))
            while len(recent) > 1 and recent[1][0] <= shown.time - step + _ROUNDING:
                recent.popleft()
            cell = int((shown.time + _ROUNDING) * rate)
            if cell > kept:
                kept = cell
                before, picture = recent[0]
                yield shown.time, picture if before <= shown.time - step + _ROUNDING else None, recent[-1][1]


def _pairs_of_pictures(paths: Sequence[str | os.PathLike[str]], step: float, side: int) -> Generator[Pair, None, None]:
    pictures: list[np.ndarray] = []
    for path in map(Path, paths):
        if not path.name.lower().endswith(IMAGE_SUFFIXES):
            raise VideoError(f"{path} is not a picture; give files that end in {', '.join(IMAGE_SUFFIXES)}")
        with closing(from_images(path.parent, [path.name], 1.0, _LONGEST_SIDE)) as stream:
            pictures += [_scaled(shown.image(), side) for shown in stream]
        if pictures[-1].shape != pictures[0].shape:
            raise VideoError(f"{path} and {paths[0]} differ in shape: pictures that are shown in turn must not")
    for i, (before, picture) in enumerate(pairwise([*pictures[-1:], *pictures])):
        yield i * step, before, picture


def _scaled(picture: np.ndarray, side: int) -> np.ndarray:
    """A picture `(H, W, 3)` with a shorter side of `side` pixels."""
    height, width = picture.shape[:2]
    scale = side / min(height, width)
    if scale == 1:
        return picture
    size = (round(width * scale), round(height * scale))
    return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).resize(size, Image.Resampling.BILINEAR))


def _rows(pairs: Iterator[Pair], measure: PairFlow) -> Iterator[tuple[float, np.ndarray]]:
    for moment, before, picture in pairs:
        moved = np.zeros((*picture.shape[:2], 2), np.float32) if before is None else measure(before, picture)
        yield moment, encode(moved)


def _row(height: int, width: int) -> np.dtype:
    return np.dtype([("time", "<f8"), ("flow", "u1", (height, width, 2))])


def _write(path: Path, rows: Iterator[tuple[float, np.ndarray]], name: str) -> None:
    """An `.npy` with a record for each frame; its header, which is of one length, gets their number in the end."""
    count = 0
    with path.open("xb") as file:
        for moment, flow in rows:
            if count == 0:
                dtype = _row(*flow.shape[:2])
                _header(file, dtype, 0)
            record = np.zeros((), dtype)
            record["time"], record["flow"] = moment, flow
            file.write(record.tobytes())
            count += 1
        if count == 0:
            raise VideoError(f"{name} has no frames")
        file.seek(0)
        _header(file, dtype, count)
        file.flush()
        os.fsync(file.fileno())


def _header(file: Any, dtype: np.dtype, count: int) -> None:
    npy.write_array_header_1_0(file, {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": (count,)})


def _opened(path: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Flow and times of an entry; None if there is none, or it is damaged."""
    try:
        rows = npy.open_memmap(path, mode="r")
        times = np.array(rows["time"])
        flow = rows["flow"]
        whole = rows.dtype == _row(*flow.shape[1:3]) and len(times) > 0 and times[0] >= 0 and (np.diff(times) > 0).all()
    except Exception:  # numpy raises OSError, ValueError, SyntaxError, TokenError and more on other bytes
        return None
    return (flow, times) if whole else None
