from dataclasses import replace

import numpy as np
import pytest

from amge.data.prepare.families import RULES, UNSEEN, family_of
from amge.muscles import REGION_IDS
from amge.synthetic import COCO17, EXERCISES, Look, draw, render, sample_look
from amge.synthetic.sources import SOURCES

PLAIN = Look(backdrop="plain", backdrop_colours=((0, 255, 0), (0, 0, 0), (0, 0, 0)), gradient=0.0, skin=(224, 172, 138))

HELD = {"plank", "side_plank", "tree_pose", "downward_dog", "wall_sit"}
"""Exercises in which somebody may keep still."""

# Somebody who stands in the middle of a picture of 224 x 224 and faces the camera.
STANDING = np.array(
    [
        [112, 30], [116, 26], [108, 26], [120, 28], [104, 28], [132, 55], [92, 55], [144, 88], [80, 88],
        [150, 118], [74, 118], [123, 112], [101, 112], [125, 156], [99, 156], [126, 198], [98, 198],
    ],
    dtype=np.float32,
)  # fmt: skip


def keypoints(points=STANDING, frames=1):
    one = np.concatenate([points, np.ones((17, 1), np.float32)], axis=1)
    return np.repeat(one[None], frames, axis=0)


def test_same_seed_same_bytes():
    first, second = (render("squat", frames=3, size=64, seed=5) for _ in range(2))
    assert first.frames.tobytes() == second.frames.tobytes()
    assert first.keypoints.tobytes() == second.keypoints.tobytes()
    assert first.frames.tobytes() != render("squat", frames=3, size=64, seed=6).frames.tobytes()


def test_shapes_and_types():
    clip = render("lunge", frames=3, size=(48, 80), seed=1, fps=10)
    assert clip.frames.shape == (3, 48, 80, 3) and clip.frames.dtype == np.uint8
    assert clip.keypoints.shape == (3, 17, 3) and clip.keypoints.dtype == np.float32
    assert clip.exercise == "lunge" and clip.fps == 10.0 and len(COCO17) == 17


def test_seed_picks_the_exercise():
    names = {render(frames=1, size=32, seed=seed).exercise for seed in range(40)}
    assert len(names) > 10 and names <= set(EXERCISES)


@pytest.mark.parametrize("name", EXERCISES)
def test_every_exercise_moves_inside_the_picture(name):
    for seed in range(2):
        clip = render(name, frames=6, size=80, seed=seed, fps=3)
        assert clip.keypoints[..., 2].mean() > 0.95
        assert np.isfinite(clip.keypoints).all()
        if name not in HELD:
            spread = np.ptp(clip.keypoints[..., :2], axis=0).max()
            assert spread > 0.015 * 80
        assert clip.frames.std(axis=(0, 1, 2)).max() > 0


def test_regions_are_known_and_in_order():
    assert len(EXERCISES) >= 62
    for name, exercise in EXERCISES.items():
        assert exercise.name == name and exercise.regions
        places = [REGION_IDS.index(region) for region in exercise.regions]
        assert len(set(places)) == len(places)
    assert {region for exercise in EXERCISES.values() for region in exercise.regions} == set(REGION_IDS)


def test_sources_are_named_region_by_region():
    sourced = [exercise for exercise in EXERCISES.values() if exercise.sources]
    assert len(sourced) >= 28
    assert all(len(exercise.sources) == len(exercise.regions) for exercise in sourced)
    assert {source for exercise in sourced for source in exercise.sources} == set(SOURCES)


def test_families_are_those_of_the_photographs():
    """Whoever holds back a family of photographs holds back the figures that show it."""
    assert {exercise.family for exercise in EXERCISES.values()} <= {family for family, _ in RULES} | {"other"}
    assert {exercise.family for exercise in EXERCISES.values()} >= set(UNSEEN) - {"hammer_curl", "throw_slam"}
    for name, exercise in EXERCISES.items():
        if family_of(name.replace("_", " ")) in UNSEEN:
            assert exercise.family in UNSEEN, name


def test_unknown_exercise():
    with pytest.raises(ValueError, match="squat"):
        render("sqat", frames=1, size=32)


@pytest.mark.parametrize("wrong", [{"frames": 0}, {"fps": 0.0}])
def test_wrong_numbers(wrong):
    with pytest.raises(ValueError, match="frame"):
        render("squat", size=32, **wrong)


def test_given_look_is_used():
    clip = render("squat", frames=1, size=64, seed=0, look=PLAIN)
    assert (clip.frames[0, :3, :3] == (0, 255, 0)).all()


def test_limbs_are_painted_over_their_joints():
    frame = draw(keypoints(), PLAIN)[0].astype(int)
    for x, y in STANDING[5:].astype(int):
        assert np.abs(frame[y, x] - (0, 255, 0)).max() > 40
    assert (frame[:, :40] == (0, 255, 0)).all() and (frame[:8] == (0, 255, 0)).all()


def test_limb_ends():
    frame = draw(keypoints(), PLAIN)[0].astype(int)
    bare = (frame == (0, 255, 0)).all(-1)
    wrist, elbow = STANDING[9], STANDING[7]
    along = (wrist - elbow) / np.linalg.norm(wrist - elbow)
    hand, beyond = (wrist + along * 6).astype(int), (wrist + along * 22).astype(int)
    assert not bare[hand[1], hand[0]] and bare[beyond[1], beyond[0]]
    assert not bare[203, 126] and bare[218, 126]


def test_missing_joints():
    nothing = draw(np.zeros((2, 17, 3), np.float32), PLAIN)
    assert (nothing == (0, 255, 0)).all()
    whole = draw(keypoints(), PLAIN)
    for joint in range(17):
        part = keypoints()
        part[0, joint, 2] = 0
        assert draw(part, PLAIN).shape == whole.shape
    armless = keypoints()
    armless[0, [7, 9], 2] = 0
    frame = draw(armless, PLAIN)[0]
    assert (frame[110:118, 148:152] == (0, 255, 0)).all()
    assert not (whole[0, 110:118, 148:152] == (0, 255, 0)).all(-1).any()


def test_depth_orders_the_limbs():
    points = STANDING.copy()
    points[9] = [112, 80]
    points[7] = [140, 80]
    look = replace(PLAIN, shirt="top", shirt_colour=(0, 0, 255), shading=0.0)
    depth = np.zeros((1, 17), np.float32)
    pixels = []
    for near in (1.0, -1.0):
        depth[0, [7, 9]] = near
        pixels.append(draw(keypoints(points), look, depth=depth)[0, 80, 118].astype(int))
    assert pixels[0][0] > pixels[0][2] and pixels[1][2] > pixels[1][0]


def test_profile_feet_point_forwards():
    x = {0: 122, 1: 119, 2: 119, 3: 110, 4: 110, 13: 114, 14: 114}
    points = STANDING.copy()
    points[:, 0] = [x.get(joint, 110) for joint in range(17)]
    for sign in (1, -1):
        flipped = points.copy()
        flipped[:, 0] = 110 + sign * (points[:, 0] - 110)
        figure = (draw(keypoints(flipped), PLAIN)[0, 196:] != (0, 255, 0)).any(-1).any(0).nonzero()[0]
        assert np.sign((figure.min() + figure.max()) / 2 - 110) == sign


def test_background_and_wrong_shapes():
    photo = np.full((10, 20, 3), 7, np.uint8)
    assert (draw(np.zeros((1, 17, 3)), PLAIN, (32, 48), background=photo) == 7).all()
    with pytest.raises(ValueError, match="keypoints"):
        draw(np.zeros((17, 3)), PLAIN)
    with pytest.raises(ValueError, match="depths"):
        draw(np.zeros((2, 17, 3)), PLAIN, depth=np.zeros((1, 17)))


def test_looks_differ_and_repeat():
    looks = [sample_look(np.random.default_rng(seed)) for seed in range(20)]
    assert len(set(looks)) == 20
    assert looks[3] == sample_look(np.random.default_rng(3))
