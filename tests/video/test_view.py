from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from amge.data.augment import random_view
from amge.errors import VideoError
from amge.skeleton.layouts import COCO17, LAYOUTS
from amge.skeleton.view import seen_joints, turned
from amge.video.flow import BOUND, optical_flow, pair_flow
from amge.video.preprocess import CROPS, movement_box, still_view, to_clip
from amge.video.view import GREY, View

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)


def noise(frames=4, height=48, width=64):
    return np.random.default_rng(0).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)


def video(frames):
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)


def former_clip(frames, size, crop):
    """How clips were made before views, from the first release; models were trained on it."""
    height, width = frames.shape[1:3]
    x, y, side = movement_box(frames) if crop == "movement" else (width / 2, height / 2, float(min(height, width)))
    box = [round(y - side / 2), round(x - side / 2), round(y + side / 2), round(x + side / 2)]
    top, left, bottom, right = max(box[0], 0), max(box[1], 0), min(box[2], height), min(box[3], width)
    padding = [left - box[1], box[3] - right, top - box[0], box[2] - bottom]
    square = F.pad(video(frames[:, top:bottom, left:right]), padding, value=128)
    pixels = F.interpolate(square.float(), size=(size, size), mode="bilinear", antialias=True) / 255
    return ((pixels - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)).transpose(0, 1)


@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("height, width", [(48, 64), (64, 48), (47, 33), (31, 90), (90, 31)])
@pytest.mark.parametrize("size", [16, 80])
def test_a_still_view_gives_the_clips_that_models_were_trained_on(height, width, size, crop):
    frames = np.full((4, height, width, 3), 90, np.uint8)
    frames[::2, height // 5 : height // 2, width // 7 : width // 2] = 250
    frames[:, ::3] //= 2
    torch.testing.assert_close(to_clip(frames, size, MEAN, STD, crop), former_clip(frames, size, crop))


def test_a_view_of_all_at_its_own_size_changes_nothing():
    frames = video(noise(height=64))
    assert torch.equal(View(0, 0, 1, 1).video(frames, 64), frames.float())
    assert torch.equal(View(0, 0, 1, 1, mirror=True).video(frames, 64), frames.flip(-1).float())


def test_a_crop_shows_its_box():
    frames = video(noise(height=64, width=128))
    seen = View(0.25, 0.25, 0.25, 0.5).video(frames, 32)
    assert torch.equal(seen, frames[..., 16:48, 32:64].float())
    assert torch.equal(View(0.25, 0.25, 0.25, 0.5, mirror=True).video(frames, 32), seen.flip(-1))


def test_beyond_the_picture_is_grey():
    frames = torch.full((2, 3, 32, 32), 255, dtype=torch.uint8)
    seen = View(-0.5, -0.25, 2, 1.5).video(frames, 64)[0, 0]  # 64 columns from -16 on, 48 rows from -8 on
    assert (seen[:10] == GREY).all() and (seen[-10:] == GREY).all()
    assert (seen[12:52, 17:47] == 255).all()
    assert (seen[:, :15] == GREY).all() and (seen[:, 49:] == GREY).all()
    for beside in (View(1.5, 0, 0.5, 1), View(-0.8, 0, 0.5, 1), View(0, 1.5, 1, 1)):
        assert (beside.video(frames, 16) - GREY).abs().max() < 1e-4


def brightest(picture):
    """Centre of the brightest pixel `(H, W)`, x and y in 0..1."""
    height, width = picture.shape
    y, x = divmod(int(picture.argmax()), width)
    return (x + 0.5) / width, (y + 0.5) / height


VIEWS = [
    View(0, 0, 1, 1),
    View(0.25, 0.125, 0.5, 0.75),
    View(0.1, 0.2, 0.6, 0.5, mirror=True),
    View(-0.25, -0.5, 1.5, 2, mirror=True),
]


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("joint", ["left_wrist", "nose", "right_ankle"])
def test_joints_lie_where_the_video_shows_them(view, joint):
    height, width, size, across, down = 120, 160, 200, 70, 55
    frames = np.zeros((1, height, width, 3), np.uint8)
    frames[0, down - 2 : down + 3, across - 2 : across + 3] = 100
    frames[0, down, across] = 255
    person = np.zeros((1, 1, 17, 3), np.float32)
    person[0, 0, COCO17.names.index(joint)] = across + 0.5, down + 0.5, 0.9
    seen = seen_joints(view, person, (height, width), COCO17)[0, 0]
    if view.mirror:
        joint = joint.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right")
    (there,) = np.flatnonzero(seen[:, 2])
    assert COCO17.names[there] == joint and seen[there, 2] == np.float32(0.9)
    dot = brightest(view.video(video(frames), size)[0, 0])
    assert seen[there, :2] / height == pytest.approx(dot, abs=0.011)  # in sides of the square; a pixel is 1 / 120


def test_joints_outside_stay_and_missing_ones_stay_missing():
    person = np.zeros((1, 1, 17, 3), np.float32)
    person[0, 0, 0] = 100, 20, 1
    seen = seen_joints(View(0, 0, 0.5, 0.5), person, (40, 100), COCO17)[0, 0]
    assert seen[0].tolist() == [80, 40, 1]  # twice its width and once its height away
    assert not seen[1:].any()
    assert person[0, 0, 0].tolist() == [100, 20, 1]
    mirrored = seen_joints(View(0, 0, 1, 1, mirror=True), person, (40, 100), COCO17)[0, 0]
    assert mirrored[0].tolist() == [0, 20, 1] and not mirrored[1:].any()


@pytest.mark.parametrize("graph", LAYOUTS.values(), ids=list(LAYOUTS))
def test_the_mirror_swaps_left_and_right_and_undoes_itself(graph):
    rng = np.random.default_rng(0)
    person = np.concatenate([rng.uniform(0, 64, (2, 3, graph.joints, 2)), np.ones((2, 3, graph.joints, 1))], axis=-1)
    mirror = View(0, 0, 1, 1, mirror=True)
    once = seen_joints(mirror, person, (64, 64), graph)
    left, right = (next(i for i, name in enumerate(graph.names) if name.startswith(side)) for side in ("left", "right"))
    other = graph.names.index(graph.names[left].replace("left", "right"))
    np.testing.assert_allclose(once[..., other, 0], 64 - person[..., left, 0], rtol=1e-5)
    np.testing.assert_allclose(once[..., other, 1], person[..., left, 1], rtol=1e-6)
    np.testing.assert_allclose(seen_joints(mirror, once, (64, 64), graph), person, atol=1e-4)
    assert not np.allclose(once[..., right, 0], 64 - person[..., right, 0])


def figure(frames=3):
    """Somebody in three dimensions, in the picture as a camera far away sees them: 50 pixels to the metre."""
    rng = np.random.default_rng(0)
    world = rng.uniform(-1, 1, (1, frames, 17, 3)).astype(np.float32)
    place = np.arange(frames, dtype=np.float32).reshape(1, -1, 1, 1) * 9 + 100
    return np.concatenate([50 * world[..., :2] + place, np.full_like(world[..., :1], 0.9), world], axis=-1)


def test_the_mirror_turns_the_world_over_and_nothing_else_moves_it():
    person = figure()
    person[0, 0, 3] = 0
    seen = seen_joints(View(0.2, 0.1, 0.5, 0.5), person, (40, 100), COCO17)
    np.testing.assert_array_equal(seen[..., 2:], person[..., 2:])
    once = seen_joints(View(0, 0, 1, 1, mirror=True), person, (64, 64), COCO17)
    np.testing.assert_array_equal(once[..., 3:], person[..., list(COCO17.mirrored()), 3:] * np.array([-1, 1, 1]))
    assert not once[0, 0, COCO17.mirrored()[3]].any()


def test_skeletons_turn_about_the_vertical():
    person = figure()
    person[0, 1, 5] = 0
    there = person[..., 2] > 0
    np.testing.assert_allclose(turned(person, 0), person, atol=1e-3)
    right = turned(person, 90)  # what was to the right comes nearer, what was far away goes to the right
    np.testing.assert_allclose(right[..., 3:], person[..., [5, 4, 3]] * np.array([1, 1, -1]), atol=1e-6)
    np.testing.assert_array_equal(right[..., 2], person[..., 2])
    np.testing.assert_allclose(right[..., 1], person[..., 1], atol=1e-3)
    for frame in range(3):
        x, world = right[0, frame, there[0, frame], 0], person[0, frame, there[0, frame], 5]
        np.testing.assert_allclose(x - x.mean(), 50 * (world - world.mean()), atol=0.01)
        assert x.mean() == pytest.approx(person[0, frame, there[0, frame], 0].mean(), abs=0.01)
    assert not right[0, 1, 5].any()
    np.testing.assert_allclose(turned(turned(person, 30), -30), person, atol=0.02)
    point = person * 0 + np.array([3, 3, 1, 0, 0, 0], np.float32)
    np.testing.assert_array_equal(turned(point, 40), point)
    with pytest.raises(VideoError, match="2-D skeletons can't be turned about the vertical"):
        turned(person[..., :3], 10)


def test_a_mirror_takes_a_graph():
    person = np.ones((1, 1, 5, 3), np.float32)
    assert seen_joints(View(0, 0, 1, 1), person, (8, 8), None).shape == (1, 1, 5, 3)
    with pytest.raises(ValueError, match="left and right change places"):
        seen_joints(View(0, 0, 1, 1, mirror=True), person, (8, 8), None)


def test_flow_numbers():
    moved = torch.zeros(2, 2, 40, 80)
    moved[1, 0], moved[1, 1] = 3.0, -4.0
    whole = View(0, 0, 1, 1).flow(moved, 40)[:, 1, 20, 20] * BOUND  # half as wide, as high
    assert whole.tolist() == pytest.approx([1.5, -4, np.hypot(1.5, 4)], abs=1e-4)
    zoomed = View(0.25, 0.25, 0.5, 0.5, mirror=True).flow(moved, 40)[:, 1, 20, 20] * BOUND
    assert zoomed.tolist() == pytest.approx([-3, -8, np.hypot(3, 8)], abs=1e-4)
    assert View(0, 0, 1, 1).flow(10 * moved, 40)[:, 1].unique().tolist() == pytest.approx([-1, 0.75, 1])
    beyond = View(-1, 0, 2, 1).flow(moved, 40)
    assert beyond.shape == (3, 2, 40, 40)
    assert beyond[:, 1, :, :18].abs().max() < 1e-5 and beyond[:, 0].abs().max() < 1e-5


@pytest.mark.parametrize(
    "view",
    [View(0, 0, 1, 1), View(0, 0, 1, 1, mirror=True), View(0.25, 0.25, 0.5, 0.5), View(0.2, 0.3, 0.5, 0.4, True)],
)
def test_flow_of_a_view_is_that_measured_on_its_clip(view):
    pytest.importorskip("cv2")
    rng = np.random.default_rng(0)
    texture = F.interpolate(torch.from_numpy(rng.uniform(0, 255, (1, 3, 24, 28))), (240, 280), mode="bicubic")
    texture = texture[0].clamp(0, 255).permute(1, 2, 0).numpy().astype(np.uint8)
    across, down = 3, -2
    frames = np.stack([texture[40 - down * t : 200 - down * t, 40 - across * t : 200 - across * t] for t in range(3)])
    measure = pair_flow()
    moved = np.stack([np.zeros((160, 160, 2), np.float32), *(measure(*pair) for pair in pairwise(frames))])
    ours = view.flow(torch.from_numpy(moved).permute(0, 3, 1, 2).contiguous(), 128)
    measured = optical_flow(view.video(video(frames), 128).transpose(0, 1)[None])[0]
    inside = (slice(None), slice(1, None), slice(24, 104), slice(24, 104))
    assert (ours[inside] - measured[inside]).abs().mean() * BOUND < 0.2
    expected = torch.tensor([across * 128 / (view.width * 160), down * 128 / (view.height * 160)])
    if view.mirror:
        expected[0] *= -1
    assert ours[inside].mean(dim=(1, 2, 3))[:2] * BOUND == pytest.approx(expected, abs=0.2)


def test_random_views_lie_in_the_picture():
    torch.manual_seed(0)
    views = [random_view((90, 160)) for _ in range(500)]
    area = np.array([view.width * view.height for view in views])
    shape = np.array([view.width * 160 / (view.height * 90) for view in views])
    far = np.array([(view.left + view.width, view.top + view.height) for view in views])
    assert min(min(view.left, view.top) for view in views) == 0 and far.max() <= 1 + 1e-9
    assert 0.07 < area.min() < 0.12 and area.max() > 0.6
    assert 0.72 < shape.min() < 0.8 and 1.25 < shape.max() < 1.38
    assert np.mean([view.mirror for view in views]) == pytest.approx(0.5, abs=0.07)
    assert random_view((90, 160), (1, 1), (16 / 9, 16 / 9), mirror=0) == View(0, 0, 1, 1)
    assert random_view((90, 160), mirror=1).mirror


@pytest.mark.parametrize("crop, side", [("centre", 48), ("movement", 48)])
def test_a_still_view_is_a_square_of_pixels(crop, side):
    view = still_view(np.repeat(noise(1), 3, axis=0), crop)
    assert (view.width * 64, view.height * 48, view.mirror) == (side, side, False)
    assert (view.left * 64, view.top * 48) == (8, 0)
    with pytest.raises(ValueError, match="did you mean 'centre'"):
        still_view(noise(), "center")
