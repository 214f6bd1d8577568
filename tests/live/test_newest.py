import threading

import numpy as np
import pytest

from amge.errors import VideoError
from amge.live.newest import Newest, one_by_one, paced
from amge.video.frames import Shown


def shown(number):
    return Shown(number / 10, (number + 1) / 10, None, lambda: np.full((2, 2, 3), number, np.uint8), 2)


def numbers(batch):
    return [int(arrival.shown.image()[0, 0, 0]) for arrival in batch]


def test_who_is_slow_finds_the_newest_and_how_many_were_dropped():
    first, all_read = threading.Event(), threading.Event()

    def frames():
        yield shown(0)
        assert first.wait(5)
        yield from map(shown, range(1, 10))
        all_read.set()

    newest = Newest(frames(), room=3)
    batches = iter(newest)
    assert numbers(next(batches)) == [0]
    first.set()
    assert all_read.wait(5)
    assert numbers(next(batches)) == [7, 8, 9]
    assert newest.dropped == 6
    assert newest.picture[0, 0, 0] == 9
    assert not list(batches)


def test_what_the_source_raises_comes_after_its_last_frame():
    def frames():
        yield shown(0)
        raise VideoError("camera 0 is lost")

    batches = iter(Newest(frames()))
    with pytest.raises(VideoError, match="camera 0 is lost"):
        for _ in batches:
            pass


def test_a_source_that_sends_no_more_is_lost():
    stopped = threading.Event()

    def frames():
        yield shown(0)
        stopped.wait(5)

    batches = iter(Newest(frames(), "camera 0", patience=0.01))
    with pytest.raises(VideoError, match=r"camera 0 is lost: no frame came for 0\.01 s"):
        for _ in batches:
            pass
    stopped.set()


def test_closing_ends_the_iteration_and_the_reading():
    ended = threading.Event()

    def frames():
        try:
            for number in range(250):
                yield shown(number)
            ended.wait(5)
        finally:
            ended.set()

    newest = Newest(frames())
    for _ in newest:
        newest.close()
    ended.set()
    newest._thread.join(5)
    assert not newest._thread.is_alive()


def test_a_file_plays_at_its_own_rate():
    now, waited = [50.0], []

    def wait(seconds):
        waited.append(seconds)
        now[0] += seconds

    played = []
    for each in paced(map(shown, (0, 1, 2, 3)), lambda: now[0], wait):
        played.append(now[0])
        now[0] += 0.15 if each.time < 0.15 else 0.0  # slow, then quick
    assert played == pytest.approx([50.0, 50.15, 50.3, 50.3])
    assert not waited


def test_a_file_that_is_read_early_waits():
    now = [50.0]

    def wait(seconds):
        now[0] += seconds

    assert [now[0] for _ in paced(map(shown, (0, 1, 2)), lambda: now[0], wait)] == pytest.approx([50.0, 50.1, 50.2])


def test_one_by_one_drops_nothing():
    assert [numbers(batch) for batch in one_by_one(map(shown, range(3)))] == [[0], [1], [2]]
