"""Any video as clips of a fixed number of RGB frames, chosen by time.

>>> for window in windows("squat.mp4", num_frames=16):
...     print(window.start, window.end, window.frames.shape)
"""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from amge.errors import VideoError, describe
from amge.video.frames import MIN_SIDE, Shown
from amge.video.path import check_fps
from amge.video.read import read_frames
from amge.video.sampling import shares
from amge.video.sampling import spread as spread_out

RATE, HELD = 30, 450
"""Most frames a second, and in `1.5 * seconds`, that a clip of the frames that differ most is chosen from."""
SMALL = (32, 18)
"""Width and height, in pixels, of what they are compared by."""


@dataclass(frozen=True)
class Window:
    """A clip cut from a video.

    Attributes:
        frames: uint8 RGB (T, H, W, 3).
        times: When each frame comes on screen, in seconds since the first frame of the video.
        start: Where the clip starts, in seconds.
        end: Where the clip ends, in seconds.
        side: Short side of what was recorded, in pixels; frames may be smaller.
        shares: Of the clip, for which each frame stands.
    """

    frames: np.ndarray
    times: tuple[float, ...]
    start: float
    end: float
    side: int
    shares: tuple[float, ...]


def windows(
    source: "str | os.PathLike[str] | np.ndarray | torch.Tensor | Iterator[Window]",
    num_frames: int,
    seconds: float = 10.0,
    max_side: int = 640,
    progress: Callable[[float, float | None], None] | None = None,
    fps: float | None = None,
    spread: bool = False,
) -> Iterator[Window]:
    """Cuts `source` into clips of exactly `num_frames` frames.

    A source of at most `1.5 * seconds` gives one clip over all of it. A longer one gives clips of `seconds`, each
    starting half of that after the one before, the last one ending where the source ends. A clip is cut into
    `num_frames` equal parts and shows the frame on screen in the middle of each part, so that a clip of few frames
    repeats them. The source is decoded once, in order: at most `6 * num_frames + 2` frames are held, however long
    it is, and where these are not all frames, a chosen frame is at most `seconds / (4 * num_frames)` off.

    With `spread` a clip shows the frames that differ most (`amge.video.sampling.spread`), of at most `RATE` a second;
    up to `HELD` of them are held.

    Args:
        source: A video file that FFmpeg can decode, a folder of images of one size (in the order of the numbers in
            their names), or raw video: a uint8 array or tensor (T, H, W, 3). Transparency is shown on white,
            high dynamic range (PQ, HLG) as a plain screen shows it. Or windows that are cut already, which are given
            as they are.
        num_frames: Frames per clip.
        seconds: Length of a clip of a long source.
        max_side: Larger frames are scaled down to this many pixels on their longer side.
        progress: Called with the seconds decoded so far and those in all, or `None` where these are not known.
        fps: Frames per second of a folder of images, array or tensor; default 30.
        spread: Whether the frames of a clip are those that differ most, in place of even ones.

    Raises:
        VideoError: The input, or an argument, cannot be used; in one line.
    """
    if isinstance(source, Iterator):
        for window in source:
            if not isinstance(window, Window) or len(window.frames) != num_frames:
                raise VideoError(f"expected windows of {num_frames} frames, got {describe(window)}")
            yield window
        return
    check_fps(source, fps)
    fps = 30.0 if fps is None else fps
    if num_frames < 1 or not 0 < seconds < float("inf") or max_side < MIN_SIDE or not 0 < fps < float("inf"):
        raise VideoError(
            f"num_frames={num_frames}, seconds={seconds}, max_side={max_side}, fps={fps}: num_frames must be at least "
            f"1, max_side at least {MIN_SIDE}, seconds and fps over 0"
        )
    candidates = Candidates.of(num_frames, seconds, spread)
    given, decoded, end = 0, 0, 0.0

    def due(now: float) -> Iterator[Window]:
        nonlocal given
        while now > 1.5 * seconds + 1e-6 and given * seconds / 2 + seconds <= now + 1e-6:
            yield candidates.window(given * seconds / 2, given * seconds / 2 + seconds)
            given += 1

    with closing(read_frames(source, fps, max_side)) as stream:
        for shown in stream:
            decoded, end = decoded + 1, shown.end
            if candidates.offer(shown):
                if progress:
                    progress(shown.time, shown.total)
                yield from due(shown.time)
                if given:
                    candidates.forget(shown.time - seconds)
    check_count(decoded, source)
    if progress:
        progress(end, end)
    yield from due(end)
    if not given:
        yield candidates.window(0.0, end)
    elif end - (given + 1) * seconds / 2 > candidates.step:
        yield candidates.window(end - seconds, end)


def check_count(frames: int, source: object) -> None:
    """Refuses a source of fewer than two frames."""
    if frames < 2:
        raise VideoError(
            f"{describe(source)} has {frames} frame{'s' * (frames != 1)}: a movement needs at least 2 frames"
        )


class Candidates:
    """Frames that a clip may still need: all of a short video, about `4 * num_frames` per `seconds` of a long one."""

    def __init__(self, num_frames: int, seconds: float) -> None:
        self.num_frames = num_frames
        self.step = seconds / (4 * num_frames)
        self.grid = self.step / 1024
        self.times: list[float] = []
        self.images: list[np.ndarray] = []
        self.side = 0

    @staticmethod
    def of(num_frames: int, seconds: float, spread: bool) -> "Candidates":
        """Those for even frames, or for the frames that differ most."""
        return (_All if spread else Candidates)(num_frames, seconds)

    def offer(self, shown: Shown) -> bool:
        """Keeps a frame, unless its cell of the time grid has one; the grid coarsens up to `step` as frames pile up."""
        if self.times and shown.time // self.grid == self.times[-1] // self.grid:
            return False
        self.times.append(shown.time)
        self.images.append(shown.image())
        self.side = shown.side
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
        times = tuple(self.times[i] for i in chosen)
        return Window(frames, times, start, end, self.side, (1 / self.num_frames,) * self.num_frames)

    def _keep(self, indices: list[int]) -> None:
        self.times = [self.times[i] for i in indices]
        self.images = [self.images[i] for i in indices]


class _All(Candidates):
    """All frames, of at most `RATE` a second and `HELD` in all."""

    def __init__(self, num_frames: int, seconds: float) -> None:
        super().__init__(num_frames, seconds)
        self.small: list[np.ndarray] = []
        self.apart = 0.9 / min(RATE, HELD / (1.5 * seconds))

    def offer(self, shown: Shown) -> bool:
        if self.times and shown.time - self.times[-1] < self.apart:
            return False
        image = shown.image()
        self.times.append(shown.time)
        self.images.append(image)
        self.side = shown.side
        self.small.append(np.asarray(Image.fromarray(image).resize(SMALL, Image.Resampling.BOX)))
        return True

    def window(self, start: float, end: float) -> Window:
        """The frames on screen between `start` and `end` (seconds) that differ most."""
        times = np.array(self.times)
        first = max(int(np.searchsorted(times, start + 1e-3, side="right")) - 1, 0)
        last = max(int(np.searchsorted(times, end - 1e-3)), first + 1)
        small = np.stack(self.small[first:last])
        found = spread_out(small, self.num_frames)
        chosen = (first + found).tolist()
        frames = np.stack([self.images[i] for i in chosen])
        on_screen = tuple(self.times[i] for i in chosen)
        return Window(frames, on_screen, start, end, self.side, shares(small, found))

    def _keep(self, indices: list[int]) -> None:
        super()._keep(indices)
        self.small = [self.small[i] for i in indices]
