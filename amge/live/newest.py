"""Frames read in a thread of its own, so that whoever is slow finds the newest ones, and how many were dropped."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from amge.errors import VideoError
from amge.video.frames import Shown

ROOM = 64
"""Frames that wait; about two seconds."""


class Arrival(NamedTuple):
    """A frame, its picture made."""

    shown: Shown
    at: float
    """When it came, by the clock of whoever waits for it; seconds."""


def arrived(shown: Shown, at: float) -> Arrival:
    picture = shown.image()  # before the next frame but one is read
    return Arrival(shown._replace(image=lambda: picture), at)


def one_by_one(frames: Iterable[Shown], clock: Callable[[], float] = time.monotonic) -> Iterator[list[Arrival]]:
    """Frames as fast as they are asked for, none is dropped."""
    for shown in frames:
        yield [arrived(shown, clock())]


def paced(
    frames: Iterable[Shown], clock: Callable[[], float] = time.monotonic, wait: Callable[[float], object] = time.sleep
) -> Iterator[Shown]:
    """Frames at their own rate: each not before its time after the first one."""
    start: float | None = None
    for shown in frames:
        start = clock() - shown.time if start is None else start
        early = start + shown.time - clock()
        if early > 0:
            wait(early)
        yield shown


class Newest:
    """Iterates over lists of the frames that came since the last one, oldest first, at least one.

    Args:
        frames: read in a thread from the first time that it is asked for; what they raise is raised to whoever asks,
            after the frames before it.
        name: of their source, for messages.
        room: frames that wait at most; the oldest are dropped for newer ones.
        patience: seconds without a frame after which their source counts as lost; None: it is waited for.
        clock: tells when a frame comes, in seconds.
    """

    def __init__(
        self,
        frames: Iterator[Shown],
        name: str = "the source",
        room: int = ROOM,
        patience: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.frames, self.name, self.room, self.patience, self.clock = frames, name, room, patience, clock
        self.dropped = 0
        self.picture: np.ndarray | None = None
        """The last frame that came, uint8 `(H, W, 3)`."""
        self._waiting: deque[Arrival] = deque()
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._over = self._closed = False
        self._thread = threading.Thread(target=self._read, name="amge-frames", daemon=True)

    def __iter__(self) -> Iterator[list[Arrival]]:
        self._thread.start()
        while True:
            with self._changed:
                came = self._changed.wait_for(lambda: self._waiting or self._over or self._closed, self.patience)
                batch = list(self._waiting)
                self._waiting.clear()
            if batch and not self._closed:
                yield batch
            elif self._error and not self._closed:
                raise self._error
            elif came:
                return
            else:
                raise VideoError(f"{self.name} is lost: no frame came for {self.patience:g} s; connect it, start again")

    def close(self) -> None:
        """Ends the reading and the iteration."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _read(self) -> None:
        try:
            for shown in self.frames:
                arrival = arrived(shown, self.clock())
                with self._changed:
                    if self._closed:
                        break
                    if len(self._waiting) == self.room:
                        self._waiting.popleft()
                        self.dropped += 1
                    self._waiting.append(arrival)
                    self.picture = arrival.shown.image()
                    self._changed.notify_all()
        except BaseException as error:
            self._error = error
        finally:
            if hasattr(self.frames, "close"):
                with suppress(Exception):
                    self.frames.close()
            with self._changed:
                self._over = True
                self._changed.notify_all()
