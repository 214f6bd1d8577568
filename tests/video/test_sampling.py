import numpy as np
import pytest

from amge.video.sampling import even_starts, frame_times, random_starts


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
