"""Which frame an image is, by its name."""

import random
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from amge.errors import VideoError
from amge.skeleton.frame_numbers import frame_numbers


def steps(names):
    """Names are given in order: the steps from each to the next."""
    shuffled = random.Random(0).sample(names, len(names))
    numbers = frame_numbers(shuffled)
    return [numbers[after] - numbers[before] for before, after in pairwise(names)]


@pytest.mark.parametrize(
    "pattern",
    [
        "{}.jpg",
        "img_{:05d}.jpg",
        "{:06d}.jp2",
        "clip_{:04d}_rendered_v2.png",
        "f{:03d}_640x480.jpg",
        "frame{}_crop_0.png",
        "{:04d}_squat.mp4",
        "shot.{:04d}",
        "clip2/{:04d}.jpg",
        "2024-01-05 10:00:{:02d}.png",
        "squat_{:012d}_keypoints.json",
    ],
)
def test_the_number_that_varies_is_the_frames(pattern):
    assert steps([pattern.format(number) for number in range(8, 13)]) == [1, 1, 1, 1]


def test_whole_numbers_stay_what_they_are():
    assert frame_numbers([7, -3, 2.0, 10**12]) == {7: 7, -3: -3, 2.0: 2, 10**12: 10**12}
    assert frame_numbers(["a_4.png"]) == {"a_4.png": 4}


def test_endings_may_differ_and_numbers_be_left_out():
    assert steps(["1.jp2", "2.jpg", "5.jp2", "f9.mp4"]) == [1, 3, 4]


@pytest.mark.parametrize(
    "pattern",
    [
        "frame_{i:04d}_t{time:.3f}.png",
        "{stamp}_{i:04d}.png",
        "{i:04d}_{noise}.png",
        "video{late}_{i:04d}.png",
        "{i:03d}_{twice}.png",
    ],
)
def test_of_several_numbers_the_one_that_counts_frames(pattern):
    start = datetime(2024, 1, 5, 10, 0, 58)
    names = []
    for i in range(90):
        stamp = f"{start + timedelta(seconds=i // 30):%Y-%m-%d_%H-%M-%S}"
        names.append(pattern.format(i=i, time=i / 30, stamp=stamp, noise=i * 37 % 50, late=i // 50, twice=2 * i))
    assert steps(names) == [1] * 89


@pytest.mark.parametrize(
    "form", ["%H-%M-%S.png", "cam2 %Y-%m-%d %H:%M:%S.png", "IMG_%Y%m%d_%H%M%S.jpg", "%Y%m%d%H%M%S"]
)
@pytest.mark.parametrize("seconds", [1, 5])
def test_the_usual_step_of_time_is_a_frame(form, seconds):
    start = datetime(2024, 1, 5, 10, 59, 40)
    names = [f"{start + timedelta(seconds=seconds * i):{form}}" for i in range(30)]
    assert steps(names) == [1] * 29
    assert steps([*names[:10], *names[13:]]) == [1] * 9 + [4] + [1] * 16


def test_fractions_of_seconds_are_time():
    start = datetime(2024, 1, 5, 10, 0, 59)
    names = [f"{start + timedelta(seconds=i / 30):%H-%M-%S.%f}"[:12] + ".png" for i in range(60)]
    assert steps(names) == [1] * 59


@pytest.mark.parametrize(
    "names, message",
    [
        (
            [f"clip{c}_{i:04d}.jpg" for c in (1, 2) for i in (1, 2)],
            "again from 'clip1_0002.jpg' to 'clip2_0001.jpg'; give",
        ),
        ([f"clip{c}/{i:04d}.jpg" for c in (1, 2) for i in (1, 2)], "seem to be of several clips"),
        (["squat_0001.jpg", "lunge_0001.jpg"], "'squat_0001.jpg' and 'lunge_0001.jpg' have the same number; give each"),
        (["a_1.jpg", "b_1.jpg"], "'a_1.jpg' and 'b_1.jpg' have the same number.* as in frame_0001.jpg"),
        (["squat.mp4", "lunge.mp4"], "'squat.mp4' has no number to order frames by; name frames as in frame_0001.jpg"),
        ([1.5, 2], "image_id 1.5 is neither a name nor a whole number"),
        ([None, "1.jpg"], "image_id None is neither a name"),
    ],
)
def test_names_that_give_no_order_are_refused(names, message):
    with pytest.raises(VideoError, match=message):
        frame_numbers(names)
