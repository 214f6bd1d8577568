"""Who is who, frame by frame."""

import numpy as np

from amge.skeleton.tracking import Tracker, distance, extent


def figure(x, y=100.0, size=100.0, joints=17, seed=1):
    shape = np.random.default_rng(seed).uniform(-0.5, 0.5, (joints, 2))
    return np.concatenate([shape * size + (x, y), np.ones((joints, 1))], axis=1).astype(np.float32)


def test_persons_keep_their_numbers_in_whatever_order_they_are_listed():
    tracker, rng = Tracker(), np.random.default_rng(0)
    for time in range(10):
        poses = [figure(100 + 5 * time), figure(400 - 5 * time, seed=2), figure(900, seed=3)]
        order = rng.permutation(3) if time else range(3)
        tracker.add(float(time), np.stack([poses[i] for i in order]))
    clips = tracker.clip(tuple(map(float, range(10))))
    assert list(clips) == [0, 1, 2]
    np.testing.assert_allclose(np.diff(clips[0][:, 0, 0]), 5, atol=1e-3)
    np.testing.assert_allclose(np.diff(clips[1][:, 0, 0]), -5, atol=1e-3)


def test_who_comes_and_goes():
    tracker = Tracker()
    for time, poses in enumerate([[figure(100)], [], [figure(110), figure(2000)], [figure(2010)]]):
        tracker.add(float(time), np.stack(poses) if poses else np.zeros((0, 17, 3)))
    clips = tracker.clip((0.0, 1.0, 2.0, 3.0))
    assert [clip[:, 0, 2].tolist() for clip in clips.values()] == [[1, 0, 1, 0], [0, 0, 1, 1]]
    assert list(tracker.clip((1.0,))) == []
    assert list(tracker.clip((0.0, 3.0))) == [0, 1]


def test_frames_may_come_late_and_twice():
    tracker = Tracker()
    for time in (0.0, 4.0, 2.0, 2.0):
        tracker.add(time, np.stack([figure(100 + 20 * time), figure(1000 - 20 * time)]))
    clip = tracker.clip((0.0, 2.0, 4.0))
    assert len(clip) == 2
    np.testing.assert_allclose(np.diff(clip[0][:, 0, 0]), 40, atol=1e-3)


def test_who_is_gone_is_forgotten_and_comes_back_as_somebody_new():
    tracker = Tracker()
    for time in range(5):
        tracker.add(float(time), np.stack([figure(900, seed=2), figure(100)][: 2 if time < 3 else 1]))
    tracker.forget(2.5)  # the frame at 2 is still on screen
    assert [person.times for person in tracker.persons] == [[2.0, 3.0, 4.0], [2.0]] and tracker.seen == {2.0, 3.0, 4.0}
    tracker.forget(4.0)
    tracker.add(5.0, np.stack([figure(100), figure(900, seed=2)]))
    assert list(tracker.clip((5.0,))) == [0, 2]


def test_a_single_joint_can_be_followed():
    tracker = Tracker()
    for time in range(8):
        pose = np.zeros((17, 3), np.float32)
        pose[3] = 50 + time, 50, 1
        tracker.add(float(time), pose[None])
    assert len(tracker.persons) == 1


def test_a_pose_without_joints_is_nobody():
    tracker = Tracker()
    tracker.add(0.0, np.zeros((1, 17, 3), np.float32))
    assert tracker.persons == [] and extent(np.zeros((17, 3))) == 0
    assert distance(figure(0), np.zeros((17, 3))) == float("inf")
