import numpy as np
import pytest

from amge.errors import VideoError
from amge.live.newest import Arrival
from amge.live.sliding import Sliding
from amge.video.frames import Shown, from_array
from amge.video.windows import windows

FPS = 10


@pytest.fixture
def video():
    """Six seconds of noise."""
    return np.random.default_rng(0).integers(0, 256, (6 * FPS, 24, 32, 3), dtype=np.uint8)


def arrivals(video):
    return [Arrival(shown, at=100 + shown.time) for shown in from_array(video, FPS, 640)]


def sliding(batches, seconds=2.0, every=0.5, spread=True):
    return Sliding(batches, "it", 4, seconds, every, spread)


@pytest.mark.parametrize("spread", [True, False])
def test_windows_are_those_of_the_whole_video(video, spread):
    offline = list(windows(video, 4, 2.0, fps=FPS, spread=spread))
    live = {
        (window.start, window.end): window
        for window in sliding(([one] for one in arrivals(video)), every=1.0, spread=spread)
    }
    assert len(offline) == 5
    for window in offline:
        same = live[window.start, window.end]
        assert np.array_equal(same.frames, window.frames)
        assert (same.times, same.shares, same.side) == (window.times, window.shares, window.side)


def test_first_windows_are_those_of_a_video_that_is_as_short(video):
    live = next(iter(sliding([one] for one in arrivals(video))))
    offline = next(windows(video[:5], 4, 2.0, fps=FPS, spread=True))
    assert (live.start, live.end) == (0, 0.5)
    assert np.array_equal(live.frames, offline.frames)


def test_each_ends_every_so_often_and_the_last_where_the_frames_end(video):
    ends = [window.end for window in sliding(([one] for one in arrivals(video)), every=0.75)]
    assert ends == pytest.approx([0.75, 1.5, 2.25, 3.0, 3.75, 4.5, 5.25, 6.0])


def test_what_comes_while_it_is_busy_is_skipped(video):
    came = arrivals(video)
    slow = sliding([came[:6], came[6:28], came[28:]])
    assert [window.end for window in slow] == [0.5, 2.5, 5.5, 6.0]
    assert slow.skipped == 3 + 5


def test_a_window_is_complete_with_the_first_frame_after_it(video):
    came = arrivals(video)
    slow = sliding([came[:6], came[6:28], came[28:]])
    assert [slow.complete for _ in slow] == pytest.approx([100.5, 102.5, 105.5, 105.9])


def test_memory_does_not_grow(video):
    endless = sliding([Arrival(Shown(n / FPS, (n + 1) / FPS, None, lambda: video[0], 24), 0.0)] for n in range(600))
    assert max(len(endless.held.times) for _ in endless) <= (1.5 * 2.0 + 0.5) * FPS + 1


def test_a_movement_needs_two_frames(video):
    with pytest.raises(VideoError, match="it has 1 frame"):
        list(sliding([arrivals(video)[:1]]))
