import numpy as np
import pytest

from amge.video.sampling import even_starts, frame_times, random_starts, spread


def test_frames_are_in_the_middle_of_equal_parts():
    assert frame_times(0, 4, 4).tolist() == [0.5, 1.5, 2.5, 3.5]
    assert frame_times(10, 1, 2).tolist() == [10.25, 10.75]
    assert frame_times(3, 0.5, 1).tolist() == [3.25]


def test_the_papers_clip_is_every_fourth_frame_of_thirty_a_second():
    numbers = (frame_times(1, 16 * 4 / 30, 16) * 30).tolist()
    assert numbers == pytest.approx([30 + 2 + 4 * i for i in range(16)])


@pytest.mark.parametrize(
    "video, views, starts",
    [
        (10, 1, [4]),
        (10, 2, [0, 8]),
        (10, 5, [0, 2, 4, 6, 8]),
        (2, 5, [0]),
        (1.5, 5, [0]),
        (2.4, 3, [0, 0.2, 0.4]),
    ],
)
def test_views_are_spread_evenly_and_one_does_for_a_short_video(video, views, starts):
    assert even_starts(video, 2, views) == pytest.approx(starts)


def test_training_clips_start_anywhere_in_order():
    rng = np.random.default_rng(0)
    drawn = np.array([random_starts(12, 2, 2, rng) for _ in range(2000)])
    assert (drawn[:, 0] <= drawn[:, 1]).all()
    assert drawn.min() >= 0 and drawn.max() <= 10
    deciles = np.histogram(drawn, bins=10, range=(0, 10))[0] / drawn.size
    assert deciles == pytest.approx(np.full(10, 0.1), abs=0.02)
    assert drawn.mean(axis=0) == pytest.approx([10 / 3, 20 / 3], abs=0.25)  # the lesser and larger of two


def test_a_video_as_short_as_a_clip_leaves_no_choice():
    assert random_starts(2, 2, 2, np.random.default_rng(0)) == [0, 0]
    assert random_starts(1, 2, 3, np.random.default_rng(0)) == [0, 0, 0]


# Frames that differ most


def test_the_middle_comes_first_then_the_ends():
    places = np.array([0.0, 1.0, 2.0, 5.0, 9.0, 10.0])[:, None]
    assert spread(places, 1).tolist() == [3] and spread(places, 2).tolist() == [0, 3]
    assert spread(places, 3).tolist() == [0, 3, 5]


def test_each_frame_is_taken_once_and_few_are_repeated():
    still = np.zeros((20, 4))
    assert len(set(spread(still, 12).tolist())) == 12
    switched = np.repeat(np.eye(2), 15, axis=0)  # the one picture, then the other
    assert spread(switched, 12).tolist() == sorted(set(spread(switched, 12).tolist()))
    assert 5 <= switched[spread(switched, 12), 0].sum() <= 7
    assert spread(np.zeros((3, 4)), 6).tolist() == [0, 0, 1, 1, 2, 2]
    assert spread(np.zeros((6, 4)), 6).tolist() == list(range(6))


def test_the_same_movement_gives_the_same_poses():
    """A loop of 60 poses, of any length and from any start."""
    angle = 2 * np.pi * np.arange(60) / 60
    poses = np.stack([np.cos(angle), 0.5 * np.sin(angle), np.cos(2 * angle)], axis=1) + 0.01 * np.arange(60)[:, None]
    expected = {tuple(pose) for pose in poses[spread(poses, 8)]}
    for start, times in ((0, 2), (17, 3), (42, 5)):
        seen = np.roll(np.tile(poses, (times, 1)), -start, axis=0)
        assert {tuple(pose) for pose in seen[spread(seen, 8)]} == expected
