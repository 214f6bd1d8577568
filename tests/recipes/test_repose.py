import numpy as np
import pytest

from amge.recipes.repose import along, repose


def standing():
    """Joints of somebody upright in a picture of 100 x 80, seen from the front."""
    pose = np.ones((17, 3), np.float32)
    pose[:5, :2] = (40, 12)
    for side, x in ((0, 50), (1, 30)):
        for joint, (dx, y) in {5: (0, 24), 7: (0, 36), 9: (0, 46), 11: (-3, 50), 13: (-3, 68), 15: (-3, 86)}.items():
            pose[joint + side, :2] = (x + (dx if side == 0 else -dx), y)
    return pose


@pytest.fixture(scope="module")
def person():
    """A photograph, red where the left forearm is and green elsewhere on the person, its mask and the joints."""
    pose = standing()
    photo = np.zeros((100, 80, 3), np.uint8)
    photo[..., 1] = 200
    photo[38:56, 44:58] = (220, 0, 0)
    return photo, np.full((100, 80), 255, np.uint8), pose


def test_a_limb_goes_where_its_joints_go(person):
    photo, mask, pose = person
    raised = pose.copy()
    raised[7, :2], raised[9, :2] = (62, 24), (62, 8)
    blue = np.zeros_like(photo)
    blue[..., 2] = 255
    moved = repose(photo, mask, pose, raised, blue, far=1)
    assert moved.shape == photo.shape and moved.dtype == np.uint8
    assert moved[12, 62, 0] > 150, "the forearm is up"
    assert moved[45, 56, 0] < 50, "and no longer down"
    assert tuple(moved[97, 75]) == (0, 0, 255), "the background is where nobody is"


def test_the_same_pose_gives_the_same_person(person):
    photo, mask, pose = person
    again = repose(photo, mask, pose, pose, np.zeros_like(photo), far=1)
    for x, y in pose[5:15, :2].astype(int):
        assert np.abs(again[y, x].astype(int) - photo[y, x]).max() <= 12


def test_who_is_not_seen_is_not_drawn(person):
    photo, mask, pose = person
    place = np.full_like(photo, 7)
    assert np.array_equal(repose(photo, mask, pose * (1, 1, 0), pose, place), place)
    assert np.array_equal(repose(photo, np.zeros_like(mask), pose, pose, place), place)


def test_a_bone_is_turned_and_stretched():
    a, b, c, d = (np.array(point, float) for point in ((1, 1), (3, 1), (5, 5), (5, 8)))
    move = along(a, b, c, d)
    for point, goal in ((a, c), (b, d), ((1, 2), (4, 5))):
        np.testing.assert_allclose(move @ [*point, 1], goal, atol=1e-5)
