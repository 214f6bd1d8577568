"""Times out of stamps."""

import pytest

from amge.video.clock import Clock, end_of


def times(*stamps, **known):
    clock = Clock(0.1, **known)
    return pytest.approx([clock.tick(stamp)[0] for stamp in stamps])


def test_times_count_from_the_first_frame():
    assert times(5.0, 5.5, 5.6) == [0, 0.5, 0.6]
    assert times(5.0, 5.5, origin=3.0) == [2, 2.5]


def test_stamps_that_are_missing_repeated_or_out_of_order():
    assert times(None, None, None) == [0, 0.1, 0.2]
    assert times(3.0, 3.0, 3.0, 3.5) == [0, 0.1, 0.2, 0.5]
    assert times(0.0, 0.2, 0.1, 0.4) == [0, 0.2, 0.3, 0.4]


def test_a_clock_that_is_set_anew():
    assert times(0.0, 0.1, 90000.0, 90000.1) == [0, 0.1, 0.2, 0.3]
    assert times(500.0, 500.1, 0.0, 0.3) == [0, 0.1, 0.2, 0.5]


def test_a_jump_that_the_length_has_room_for_is_a_pause():
    assert times(0.0, 0.1, 93.0, 93.1, room=93.2) == [0, 0.1, 93, 93.1]
    assert times(0.0, 0.1, 93.0, room=50.0) == [0, 0.1, 0.2]
    assert times(0.0, 0.1, 90000.0, room=90001.0) == [0, 0.1, 0.2], "days are no pause"
    assert Clock(0.1, room=95.0).tick(0.0, 94.0) == (0, 94)
    assert Clock(0.1).tick(0.0, 94.0) == (0, pytest.approx(0.1))


def test_the_end_of_packets_that_are_decoded_in_another_order():
    packets = [(0.0, -0.2, 0.1), (0.3, -0.1, 0.1), (0.1, 0.0, 0.1), (0.2, 0.1, 0.1)]
    assert end_of(packets, Clock(0.5)) == pytest.approx(0.4)
    assert end_of(packets, Clock(0.5, origin=0.1)) == pytest.approx(0.3), "what can't be decoded is left out"
    assert end_of([(None, None, 0.0)] * 4, Clock(0.5)) == pytest.approx(2)
    assert end_of([(0.0, 0.0, 0.1), (None, None, 0.1)], Clock(0.1)) is None, "of two fields one has a stamp"


def test_the_end_of_two_recordings_that_were_joined():
    one = [(10 + i / 10, 9.9 + i / 10, 0.1) for i in range(40)]
    assert end_of([*one, *one], Clock(0.1)) == pytest.approx(8)
    assert end_of([*one, (500.0, 499.9, 0.1), (500.1, 500.0, 0.1)], Clock(0.1)) == pytest.approx(4.2)
