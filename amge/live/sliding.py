"""Windows that slide over frames as they come."""

from collections.abc import Iterable, Iterator, Sequence

from amge.live.newest import Arrival
from amge.video.windows import Candidates, Window, check_count

_ROUNDING = 1e-6


class Sliding:
    """Iterates over windows: each ends `every` seconds after the one before and is `seconds` long, less before as much
    has come. Where frames came faster than windows were taken, those in between are skipped. After the last frame comes
    a window up to its end.

    A window holds the frames that `amge.video.windows.windows` chooses for the same time.

    Args:
        batches: frames in order of time, those of one batch are there at once.
        name: of their source, for messages.
        num_frames: frames of a window.
        seconds: length of a window.
        every: from window to window.
        spread: whether the frames of a window are those that differ most, in place of even ones.

    Raises:
        VideoError: when the frames end before there are two.
    """

    def __init__(
        self,
        batches: Iterable[Sequence[Arrival]],
        name: str,
        num_frames: int,
        seconds: float,
        every: float,
        spread: bool,
    ) -> None:
        self.batches, self.name, self.seconds, self.every = batches, name, seconds, every
        self.held = Candidates.of(num_frames, seconds, spread)
        self.skipped = 0
        """Windows that came due while another was looked at, and were passed over."""
        self.complete = 0.0
        """When the first frame after the window given last came, by the clock of its arrival."""

    def __iter__(self) -> Iterator[Window]:
        count, given, end = 0, 0, 0.0
        for batch in self.batches:
            count += len(batch)
            for shown, _ in batch:
                self.held.offer(shown)
            end = batch[-1].shown.end
            due = int((batch[-1].shown.time + _ROUNDING) / self.every)
            if due > given:
                until = due * self.every
                self.complete = next(at for shown, at in batch if shown.time + _ROUNDING >= until)
                self.skipped += due - given - 1
                given = due
                yield self._window(until)
                if until > 1.5 * self.seconds:  # as offline, so that the same frames are held
                    self.held.forget(until - self.seconds)
        check_count(count, self.name)
        if end - given * self.every > 1e-3:
            self.complete = batch[-1].at
            yield self._window(end)

    def _window(self, end: float) -> Window:
        return self.held.window(max(0.0, end - self.seconds), end)
