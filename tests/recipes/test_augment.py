import numpy as np
import pytest
import torch

from amge.recipes.transm3e_lite.augment import (
    frame_person,
    random_texture,
    recolour,
)
from amge.recipes.transm3e_lite.clips import Clips, Stock, alternation, from_photos
from amge.skeleton.layouts import COCO17

OTHER = COCO17.mirrored()


def person(frames=2, size=(120, 160), visible=1.0):
    """Joints of somebody who stands in the middle, `(T, 17, 3)`."""
    rng = np.random.default_rng(0)
    joints = np.empty((frames, 17, 3), np.float32)
    joints[..., 0] = size[1] / 2 + rng.uniform(-20, 20, 17)
    joints[..., 1] = np.linspace(0.2, 0.8, 17) * size[0]
    joints[..., 2] = visible
    return joints


@pytest.mark.parametrize("seed", range(6))
def test_joints_follow_the_picture(seed):
    joints = person()
    frames = np.zeros((2, 120, 160, 3), np.uint8)
    joint = 9  # a wrist, so that a mirrored clip must swap it with the other one
    x, y = joints[0, joint, :2].round().astype(int)
    joints[:, joint, :2] = x + 0.5, y + 0.5
    frames[:, y - 2 : y + 3, x - 2 : x + 3] = 255
    clip, moved = frame_person(frames, joints, 128, np.random.default_rng(seed))
    for t in range(2):
        background = clip[t, 0, 0, 0]
        spot = (clip[t].mean(0) - background).abs() * (clip[t].mean(0) > 0.9)
        ys, xs = np.nonzero(spot.numpy() > 0.02)
        if len(xs) == 0 or background > 0.8:
            continue
        centre = np.array([xs.mean() + 0.5, ys.mean() + 0.5])
        distances = [np.abs(moved[t, j, :2] - centre).max() for j in (joint, OTHER[joint])]
        assert min(distances) < 2.5


def test_mirror_is_an_involution_that_swaps_sides():
    assert [OTHER[OTHER[j]] for j in range(17)] == list(range(17))
    assert OTHER[0] == 0 and OTHER[5] == 6


def test_joints_outside_the_square_are_invisible():
    joints = person()
    joints[:, 16, :2] = -500
    _, moved = frame_person(np.zeros((2, 120, 160, 3), np.uint8), joints, 64, np.random.default_rng(1))
    inside = ((moved[..., :2] >= 0) & (moved[..., :2] < 64)).all(-1)
    assert not moved[~inside, 2].any() and moved[inside, 2].all()


def test_nobody_found_still_gives_a_clip():
    clip, _ = frame_person(
        np.zeros((2, 50, 60, 3), np.uint8), np.zeros((2, 17, 3), np.float32), 32, np.random.default_rng(0)
    )
    assert clip.shape == (2, 3, 32, 32) and torch.isfinite(clip).all()


def test_recolour_keeps_range_and_shape():
    clip = torch.rand(2, 3, 40, 40)
    for seed in range(20):
        out = recolour(clip, np.random.default_rng(seed))
        assert out.shape == clip.shape and out.min() >= 0 and out.max() <= 1 and torch.isfinite(out).all()


def test_random_texture_varies():
    one, two = (random_texture((30, 40), np.random.default_rng(seed)) for seed in (0, 1))
    assert one.shape == (30, 40, 3) and one.dtype == np.uint8 and (one != two).any()


@pytest.mark.parametrize("frames", [2, 4, 8])
def test_alternation_shows_both_photographs(frames):
    for seed in range(30):
        weight = alternation(frames, np.random.default_rng(seed))
        assert weight.shape == (frames,) and weight.min() >= 0 and weight.max() <= 1 and np.ptp(weight) > 0


@pytest.fixture(scope="module")
def stock(prepared):
    from amge.data.open_exercise import load

    rng = np.random.default_rng(0)
    exercises = load(prepared, "train")
    masks = [np.full(exercise.photos.shape[:3], 255, np.uint8) for exercise in exercises]
    for mask in masks:
        mask[:, :, :20] = 0
    poses = rng.normal(0, 0.7, (5, 2, 17, 3)).astype(np.float32)
    poses[..., 2] = 1
    return Stock(exercises, masks, poses=poses, answers=rng.random((5, 20)).astype(np.float32))


def test_clips_depend_on_seed_and_index_alone(stock):
    clips, again, other = (Clips(stock, 2, 48, 2, 0.5, 0.5, seed) for seed in (1, 1, 2))
    photos = len(stock.exercises)
    assert len(clips) == 2 * 2 * photos
    for index in (3, photos + 1, 2 * photos - 1):
        assert all(torch.equal(clips[index][key], again[index][key]) for key in clips[index])
        assert not torch.equal(clips[index]["clip"], other[index]["clip"])
    assert torch.equal(clips[0]["target"], clips[2 * photos]["target"])
    assert not torch.equal(clips[0]["clip"], clips[2 * photos]["clip"])


def test_people_in_other_poses_have_the_answers_for_these(stock):
    clips = Clips(stock, 2, 48, 1, 1.0, 0.0, 0)
    photos = len(stock.exercises)
    for index in range(photos, 2 * photos):
        target = clips[index]["target"].numpy()
        assert any(np.array_equal(target, answer) for answer in stock.answers)


def test_without_masks_photographs_keep_their_background(stock):
    bare = Stock(stock.exercises)
    for seed in range(10):
        frames, joints, target = from_photos(bare, 0, 2, np.random.default_rng(seed))
        shown = stock.exercises[0].photos
        assert any(np.array_equal(frames[0], photo) for photo in shown) or (joints[0, :, 2] == 0).all()
        assert np.array_equal(target, stock.exercises[0].target)


def test_who_is_cut_out_of_one_photograph_alone_stays_where_they_are(stock):
    masks = [mask * np.array([1, 0], np.uint8)[:, None, None] for mask in stock.masks]
    half = Stock(stock.exercises, masks)
    assert half.places and not half.cut
    shown = stock.exercises[0].photos
    for seed in range(10):
        frames, joints, _ = from_photos(half, 0, 2, np.random.default_rng(seed))
        assert any(np.array_equal(frames[0], photo) for photo in shown) or (joints[0, :, 2] == 0).all()
