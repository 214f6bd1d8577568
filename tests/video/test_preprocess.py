import numpy as np
import pytest
import torch

from amge.video.modality import rgb_diff
from amge.video.preprocess import movement_box, to_clip

PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def moving_square(height, width, centre, frames=9, side=20, reach=12):
    """A bright square that goes from left to right around `centre` (x, y) of a still, textured picture."""
    still = np.random.default_rng(0).integers(0, 120, (height, width, 3), dtype=np.uint8)
    video = np.repeat(still[None], frames, axis=0)
    for frame, shift in zip(video, np.linspace(-reach, reach, frames).astype(int), strict=True):
        left, top = centre[0] + shift - side // 2, centre[1] - side // 2
        frame[max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)] = 255
    return video


@pytest.mark.parametrize("centre", [(100, 80), (240, 80), (160, 120), (300, 30)])
def test_the_box_is_around_what_moves(centre):
    x, y, side = movement_box(moving_square(180, 320, centre), least=0.1)
    assert abs(x - min(max(centre[0], side / 2), 320 - side / 2)) < 8
    assert abs(y - min(max(centre[1], side / 2), 180 - side / 2)) < 8
    assert 40 < side < 90  # the square covers 44 pixels, and the margins as much as that again at most


def test_the_box_is_no_smaller_than_a_share_of_the_picture():
    video = moving_square(180, 320, (160, 90))
    assert movement_box(video, least=0.75)[2] == 0.75 * 180
    assert movement_box(video, least=0.5)[2] == 0.5 * 180


def test_an_upright_picture_keeps_room_for_an_upright_person():
    assert movement_box(moving_square(320, 180, (160, 90)), margin=0.0)[2] == 0.75 * 320


def test_the_margin_widens_the_box():
    video = moving_square(180, 320, (160, 90))
    tight, wide = (movement_box(video, least=0.0, margin=margin)[2] for margin in (0.0, 0.5))
    assert wide == pytest.approx(2 * tight)


@pytest.mark.parametrize("height, width", [(180, 320), (320, 180), (100, 100), (17, 33)])
def test_without_motion_the_box_is_the_middle(height, width):
    still = np.repeat(np.random.default_rng(0).integers(0, 256, (1, height, width, 3), dtype=np.uint8), 5, axis=0)
    assert movement_box(still) == (width / 2, height / 2, min(height, width))


def test_sensor_noise_and_flicker_are_no_motion():
    generator = np.random.default_rng(0)
    noise = (128 + generator.normal(0, 3, (6, 90, 160, 3))).astype(np.uint8)
    assert movement_box(noise) == (80, 45, 90)
    flicker = np.stack([np.full((90, 160, 3), 100 + 20 * i, np.uint8) for i in range(6)])
    assert movement_box(flicker) == (80, 45, 90)


@pytest.mark.parametrize("seed", range(20))
def test_a_box_that_fits_stays_inside_the_picture(seed):
    generator = np.random.default_rng(seed)
    height, width = generator.integers(48, 200, 2)
    centre = generator.integers(0, width), generator.integers(0, height)
    x, y, side = movement_box(moving_square(height, width, centre, side=int(generator.integers(4, 100))))
    assert 0.75 * min(height, width) <= side <= max(height, width)
    for middle, full in ((x, width), (y, height)):
        if side <= full:
            assert side / 2 - 1e-6 <= middle <= full - side / 2 + 1e-6
        else:
            assert middle == full / 2


@pytest.mark.parametrize("height, width", [(90, 160), (160, 90), (33, 47), (16, 16)])
@pytest.mark.parametrize("size", [16, 64])
def test_a_clip_has_the_size_asked_for_and_is_normalised(height, width, size):
    frames = np.broadcast_to(np.array([0, 51, 255], dtype=np.uint8), (5, height, width, 3))
    clip = to_clip(frames, size, mean=(0.5, 0.1, 0.0), std=(0.25, 0.1, 2.0))
    assert clip.shape == (3, 5, size, size)
    assert clip.dtype == torch.float32
    for channel, expected in zip(clip, (-2.0, 1.0, 0.5), strict=True):
        assert torch.allclose(channel, torch.tensor(expected), atol=1e-5)


def test_frames_keep_their_order_and_pixels_their_place():
    frames = np.zeros((3, 32, 32, 3), dtype=np.uint8)
    frames[:, :16, 16:, 0] = 255
    frames[:, 16:, :16, 1] = 255
    quadrants = to_clip(frames, 8, **PLAIN)[:, 0, 1::5, 1::5]
    assert torch.allclose(quadrants[0], torch.tensor([[0.0, 1.0], [0.0, 0.0]]), atol=1e-5)
    assert torch.allclose(quadrants[1], torch.tensor([[0.0, 0.0], [1.0, 0.0]]), atol=1e-5)
    brightness = np.array([30, 60, 90], dtype=np.uint8)
    steps = to_clip(np.broadcast_to(brightness[:, None, None, None], (3, 32, 32, 3)), 8, **PLAIN)
    assert steps.mean(dim=(0, 2, 3)).tolist() == pytest.approx((brightness / 255).tolist())


def test_outside_the_picture_is_grey():
    frames = np.zeros((4, 256, 64, 3), dtype=np.uint8)
    frames[::2, 20:40], frames[1::2, 216:236] = 255, 255  # movement over all the height, wider than the picture
    assert movement_box(frames)[2] == 256
    clip = to_clip(frames, 64, **PLAIN)
    grey = torch.tensor(128 / 255)
    assert torch.allclose(clip[..., :23], grey, atol=1e-5)
    assert torch.allclose(clip[..., 41:], grey, atol=1e-5)
    assert torch.allclose(clip[:, :, 30, 25:39], torch.tensor(0.0), atol=1e-5)
    assert torch.allclose(clip[:, 0, 7, 25:39], torch.tensor(1.0), atol=1e-5)


def test_the_crop_follows_the_movement():
    video = moving_square(180, 320, (240, 90))
    clip = to_clip(video, 64, **PLAIN)
    change = clip.std(dim=1).mean(dim=0)
    columns = torch.arange(64.0)
    assert (change.sum(dim=0) * columns).sum() / change.sum() == pytest.approx(31.5, abs=4)


def test_rgb_diff_numbers():
    clip = torch.tensor([1.0, 4.0, 2.0, 2.0]).view(1, 1, 4, 1, 1).expand(2, 3, 4, 2, 2)
    difference = rgb_diff(clip)
    assert difference.shape == clip.shape
    for sample in difference:
        for channel in sample:
            assert channel[:, 0, 0].tolist() == [0, 3, 2, 0]
            assert torch.equal(channel[:, 0, 0], channel[:, 1, 1])


def test_rgb_diff_of_one_frame_is_zero():
    assert rgb_diff(torch.ones(1, 3, 1, 2, 2)).abs().sum() == 0
