"""When frames are on screen, out of what a file stamps on them."""

from collections.abc import Iterable
from typing import TypeAlias

Stamps: TypeAlias = tuple[float | None, float | None, float]
"""What a packet says, in seconds: when its frame is shown, when it is decoded, how long it is shown (0: not known)."""

_JUMP = 60.0
"""Seconds; stamps further apart are a broken clock, or a pause where the length of the file has room for it."""
PAUSE = 6 * 3600.0
"""Seconds; the longest pause that is believed."""
_ROUNDING = 1.0
"""Seconds by which a declared length may fall short."""
_REORDERED = 16
"""Frames over which those that are shown later may be decoded first."""


class Clock:
    """Increasing times from 0 out of stamps that may be missing, repeated, out of order or reset. All in seconds.

    Args:
        gap: between frames where nothing tells.
        room: end of the video as the file declares it, where it does: up to there a jump is a pause.
        origin: stamp of the first frame, where another is read first.
    """

    def __init__(self, gap: float, room: float | None = None, origin: float | None = None) -> None:
        self.gap, self.room, self.origin = gap, room, origin
        self.offset = None if origin is None else -origin
        self.last: float | None = None

    def tick(self, stamp: float | None, shown: float = 0.0) -> tuple[float, float]:
        """When the next frame comes on screen and when it goes, if it is `shown` for some time (0: not known)."""
        following = 0.0 if self.last is None else self.last + self.gap
        if stamp is not None and self.offset is None:
            self.offset = following - stamp
        time = following if stamp is None or self.offset is None else stamp + self.offset
        if self.last is not None and abs(time - self.last) > _JUMP and not self._paused(self.last, time):
            self.offset, time = (self.offset or 0.0) + following - time, following
        if self.last is None or time <= self.last:
            time = max(time, following)
        self.last = time
        believed = 0 < shown <= _JUMP or (shown > 0 and self._paused(time, time + shown))
        return time, time + (shown if believed else self.gap)

    def _paused(self, last: float, time: float) -> bool:
        return self.room is not None and 0 < time - last <= PAUSE and time <= self.room + _ROUNDING


def end_of(packets: Iterable[Stamps], clock: Clock) -> float | None:
    """When the last frame goes from the screen. None: packets do not tell, as only some have stamps, and those of a
    field have none.

    Args:
        packets: in the order of the file; the time of decoding starts anew where another recording was joined.
        clock: a fresh one; what is stamped before its origin, and read before that, can't be decoded.
    """
    parts: list[list[tuple[float | None, float]]] = [[]]
    before: float | None = None
    for stamp, decoded, shown in packets:
        if before is not None and decoded is not None and decoded < before - _REORDERED * clock.gap:
            parts.append([])
        before = before if decoded is None else decoded
        parts[-1].append((decoded if stamp is None else stamp, shown))
    if clock.origin is not None:
        parts[0] = [(stamp, shown) for stamp, shown in parts[0] if stamp is None or stamp >= clock.origin]
    unknown = {stamp is None for part in parts for stamp, _ in part}
    if len(unknown) > 1:
        return None
    end = 0.0
    for part in parts:
        for stamp, shown in part if True in unknown else sorted(part):  # type: ignore[type-var]
            end = clock.tick(stamp, shown)[1]
    return end
