"""Skeletons from arrays and files: rules for what is missing, clear words for what is wrong."""

import json

import numpy as np
import pytest
import torch

from amge.errors import VideoError
from amge.skeleton.files import as_skeletons, is_skeletons, joined, parted, read_skeletons
from amge.skeleton.layouts import COCO17
from amge.skeleton.sequence import Skeletons, cut, hold, normalise
from amge.video.windows import windows


def person(frames=4, joints=17, seed=0, confidence=0.9):
    points = np.random.default_rng(seed).uniform(10, 200, (frames, joints, 3)).astype(np.float32)
    points[..., 2] = confidence
    return points


def world(frames=4, joints=17, seed=0):
    """A person in three dimensions: the world joints lie about two metres away."""
    return np.concatenate([person(frames, joints, seed), person(frames, joints, seed + 9) / 100 + 2], axis=-1)


# What is taken


def test_one_person_or_several_with_confidence_or_without():
    one = person()
    for given in (one, one[None], torch.from_numpy(one), one.astype(np.float64)):
        assert as_skeletons(given).keypoints.shape == (1, 4, 17, 3)
        np.testing.assert_array_equal(as_skeletons(given).keypoints[0], one)
    bare = as_skeletons(one[..., :2])
    np.testing.assert_array_equal(bare.keypoints[0, ..., 2], 1)
    np.testing.assert_allclose(bare.times, np.arange(4) / 30)
    assert bare.end == pytest.approx(4 / 30)
    assert as_skeletons(bare) is bare
    np.testing.assert_array_equal(as_skeletons(torch.from_numpy(world())).keypoints[0], world())


def test_nan_and_infinity_mean_missing_and_confidence_is_cut():
    given = person()
    given[0, 3, 0], given[1, 4, 1], given[2, 5, 2] = np.nan, np.inf, np.nan
    given[3, 6, 2], given[3, 7, 2] = -1, 7
    points = Skeletons.at_rate(given).keypoints[0]
    for place in ((0, 3), (1, 4), (2, 5), (3, 6)):
        np.testing.assert_array_equal(points[place], 0)
    assert points[3, 7, 2] == 1 and np.isfinite(points).all()
    assert np.isnan(given[0, 3, 0])  # the caller's array is left alone


def test_a_joint_is_missing_in_the_picture_and_in_the_world():
    given = world()
    given[0, 3, 4], given[1, 4, 2], given[2, 5, 2] = np.nan, 0, 7
    points = Skeletons.at_rate(given).keypoints[0]
    assert not points[0, 3].any() and not points[1, 4].any()
    np.testing.assert_array_equal(points[2, 5], [*given[2, 5, :2], 1, *given[2, 5, 3:]])


@pytest.mark.parametrize(
    "given, message",
    [
        (np.zeros((4, 17)), r"expected keypoints \(P, T, V, 3\) or \(T, V, 3\).* got float64 \(4, 17\)"),
        (np.zeros((4, 17, 4)), r"or 6 with the world joint in metres, got float64 \(4, 17, 4\)"),
        (np.zeros((1, 2, 4, 17, 3)), r"got float64 \(1, 2, 4, 17, 3\)"),
        (np.zeros((4, 17, 3), dtype=object), "got object"),
        (np.zeros((0, 17, 3)), r"have 0 frame\(s\)"),
        (np.ones((1, 17, 3)), "a movement needs at least 2 frames"),
        (np.zeros((4, 17, 3)), "nobody is in these skeletons"),
        (np.full((4, 17, 3), np.nan), "nobody is in these skeletons"),
        (np.zeros((0, 4, 17, 3)), "nobody is in these skeletons"),
        ("walk.txt", "no such file|does not hold skeletons"),
        (None, "neither skeletons nor a video"),
    ],
    ids=str,
)
def test_bad_skeletons_get_one_clear_error(given, message):
    with pytest.raises(VideoError, match=message) as raised:
        as_skeletons(given)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("times", [[0, 2, 1, 3], [0, 1, 1, 2], [0, 1, 2], [0, 1, 2, np.nan]])
def test_frames_out_of_order_are_refused(times):
    with pytest.raises(VideoError, match="each after the one before; sort the frames"):
        Skeletons(person(), np.array(times))
    with pytest.raises(VideoError, match="fps must be a number over 0"):
        Skeletons.at_rate(person(), 0)


def test_what_counts_as_skeletons():
    assert is_skeletons("a.npz") and is_skeletons("b/A.JSON") and is_skeletons(person()) and is_skeletons(torch.rand(3))
    assert (
        not is_skeletons("a.mp4")
        and not is_skeletons(np.zeros(3, np.uint8))
        and not is_skeletons(torch.arange(3).byte())
    )
    assert is_skeletons(np.zeros(3, np.int32)) and is_skeletons(torch.arange(3))
    assert not is_skeletons(None)


# Files


def test_npz(tmp_path):
    points = person()
    np.savez(tmp_path / "a.npz", keypoints=points, fps=10)
    np.savez(tmp_path / "b.npz", keypoints=points[None, ..., :2], scores=points[None, ..., 2], times=[3, 4, 6, 7])
    a, b = read_skeletons(tmp_path / "a.npz"), read_skeletons(str(tmp_path / "b.npz"))
    np.testing.assert_array_equal(a.keypoints, b.keypoints)
    np.testing.assert_allclose(a.times, [0, 0.1, 0.2, 0.3])
    np.testing.assert_allclose(b.times, [0, 1, 3, 4])


@pytest.mark.parametrize("keys", [("keypoints", "world"), ("bare", "scores", "world"), ("six",), ("six", "scores")])
def test_npz_in_three_dimensions(tmp_path, keys):
    points = world()
    arrays = {"keypoints": points[..., :3], "bare": points[..., :2], "six": points, "scores": points[..., 2]}
    arrays |= {"world": points[..., 3:]}
    np.savez(tmp_path / "a.npz", **{"keypoints": arrays[keys[0]], **{key: arrays[key] for key in keys[1:]}})
    np.testing.assert_array_equal(read_skeletons(tmp_path / "a.npz").keypoints[0], points)


def test_npz_without_confidence_or_with_another_world(tmp_path):
    points = world()
    np.savez(tmp_path / "a.npz", keypoints=points[..., :2], world=points[..., 3:])
    read = read_skeletons(tmp_path / "a.npz").keypoints[0]
    np.testing.assert_array_equal(read[..., 3:], points[..., 3:])
    assert (read[..., 2] == 1).all()
    np.savez(tmp_path / "b.npz", keypoints=points[..., :3], world=points[:2, :, 3:])
    with pytest.raises(VideoError, match=r"b.npz .*'world' must be \(4, 17, 3\), .* not \(2, 17, 3\)"):
        read_skeletons(tmp_path / "b.npz")


def test_what_is_parted_is_joined_again():
    for points in (person(), world()):
        np.testing.assert_array_equal(joined(parted(points)), points)
    assert set(parted(person())) == {"keypoints"}


def test_fps_that_is_given_wins(tmp_path):
    """Over the rate of a file, over its times, over the 30 frames a second where nobody says."""
    points = person()
    np.savez(tmp_path / "rate.npz", keypoints=points, fps=10)
    np.savez(tmp_path / "times.npz", keypoints=points, times=[3, 4, 6, 7])
    np.savez(tmp_path / "bare.npz", keypoints=points)
    write(tmp_path / "rate.json", {"annotations": coco([5, 6, 7, 8]), "fps": 10})
    write(tmp_path / "bare.json", coco([5, 6, 7, 8]))
    stated = {"rate.npz": 0.1, "times.npz": None, "bare.npz": 1 / 30, "rate.json": 0.1, "bare.json": 1 / 30}
    for name, step in stated.items():
        np.testing.assert_allclose(as_skeletons(tmp_path / name, fps=5).times, np.arange(4) / 5)
        if step:
            np.testing.assert_allclose(as_skeletons(tmp_path / name).times, np.arange(4) * step)
    np.testing.assert_allclose(as_skeletons(points, fps=5).times, np.arange(4) / 5)
    with pytest.raises(VideoError, match="Skeletons have times of their own; leave fps=5 out"):
        as_skeletons(Skeletons.at_rate(points), fps=5)


def coco(frames, track=None):
    """Results of one person in these frames, joint 0 at x = the frame's number."""
    results = []
    for frame in frames:
        pose = person(1)[0]
        pose[0, 0] = frame
        results.append({"image_id": frame, "category_id": 1, "keypoints": pose.flatten().tolist(), "score": 0.9})
        if track is not None:
            results[-1]["track_id"] = track
    return results


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_json_orders_frames_by_number(tmp_path):
    for shuffled in (coco([7, 5, 9, 6]), {"annotations": coco([7, 5, 9, 6]), "images": []}):
        read = read_skeletons(write(tmp_path / "a.json", shuffled), fps=10)
        np.testing.assert_array_equal(read.keypoints[0, :, 0, 0], [5, 6, 7, 9])
        np.testing.assert_allclose(read.times, [0, 0.1, 0.2, 0.4])
    named = [{**entry, "image_id": f"clip2/frame_{entry['image_id']:05}.jpg"} for entry in coco([10, 9])]
    np.testing.assert_array_equal(read_skeletons(write(tmp_path / "b.json", named)).keypoints[0, :, 0, 0], [9, 10])


def test_json_takes_order_and_rate_from_the_file(tmp_path):
    images = [{"id": 900 + (i * 3) % 4, "file_name": f"f{i:03}.jpg"} for i in range(4)]
    annotations = coco(range(4))
    for entry, image in zip(annotations, images, strict=True):
        entry["image_id"] = image["id"]
    content = {"images": images, "annotations": annotations[::-1], "fps": 24}
    read = read_skeletons(write(tmp_path / "a.json", content))
    np.testing.assert_array_equal(read.keypoints[0, :, 0, 0], [0, 1, 2, 3])
    np.testing.assert_allclose(read.times, np.arange(4) / 24)


def test_json_keeps_or_tracks_persons(tmp_path):
    here, there = coco([0, 1, 2], track=9), coco([1, 2], track=4)
    for entry in there:
        entry["keypoints"] = [x + 5000 * (i % 3 == 0) for i, x in enumerate(entry["keypoints"])]
    mixed = [there[1], here[0], here[2], there[0], here[1]]
    read = read_skeletons(write(tmp_path / "a.json", mixed))
    assert read.keypoints.shape == (2, 3, 17, 3)
    np.testing.assert_array_equal(read.keypoints[0, :, 0, 0], [0, 1, 2])  # in the order in which they appear
    np.testing.assert_array_equal(read.keypoints[1, :, 0, 0], [0, 5001, 5002])
    for entry in mixed:
        del entry["track_id"]
    tracked = read_skeletons(write(tmp_path / "b.json", mixed))
    np.testing.assert_array_equal(tracked.keypoints[0, :, 0, 0], [0, 1, 2])
    np.testing.assert_array_equal(tracked.keypoints[1, :, 0, 0], [0, 5001, 5002])


def test_json_with_gaps_and_holes(tmp_path):
    read = read_skeletons(write(tmp_path / "a.json", coco([0, 1, 2, 500, 501])), fps=10)
    np.testing.assert_allclose(read.times, [0, 0.1, 0.2, 0.3, 50, 50.1])
    assert not read.keypoints[:, 3].any() and read.keypoints[:, 4].any()  # nobody was there in between
    holes = coco(range(8))
    for entry in holes:
        entry["keypoints"][3] = float("nan")
        entry["image_id"] = float(entry["image_id"])
    read = read_skeletons(write(tmp_path / "b.json", holes))
    assert read.keypoints.shape == (1, 8, 17, 3) and not read.keypoints[0, :, 1].any()
    with pytest.raises(VideoError, match="fps must be a number over 0"):
        read_skeletons(tmp_path / "b.json", fps=0)


def test_flags_of_visibility_become_confidence(tmp_path):
    entries = coco([0, 1])
    for entry, flag in zip(entries, (1, 2), strict=True):
        entry["keypoints"][2::3] = [flag] * 17
    read = read_skeletons(write(tmp_path / "a.json", entries))
    np.testing.assert_array_equal(read.keypoints[0, :, 0, 2], [0.5, 1])


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.json", "{", "does not hold skeletons"),
        ("a.json", [], "it lists nobody"),
        ("a.json", [{"image_id": 1}], "entry 0 has no 'keypoints'"),
        ("a.json", [{"image_id": "x", "keypoints": [1, 2, 3]}], "has no number to order frames by"),
        ("a.json", [{"image_id": 1, "keypoints": [1, 2]}], "does not hold skeletons"),
        ("a.json", [*coco([0, 1]), {"image_id": 2, "keypoints": [1, 2, 3]}], "differ in their number of joints"),
        ("a.json", coco([0]), "needs at least 2 frames"),
        ("a.json", 3, "does not hold skeletons"),
        ("a.json", {"images": []}, "it has no 'annotations', 'instance_info' or 'people', nor is it a list"),
        ("a.npz", "not a zip", "it is not an npz file"),
        ("a.npz", "PK\x03\x04 cut off", "it is not an npz file"),
        ("a.npz", "", "it is not an npz file"),
        ("a.json", "[" * 100_000, "does not hold skeletons"),
    ],
)
def test_broken_files_say_why(tmp_path, name, content, message):
    with pytest.raises(VideoError, match=message) as raised:
        read_skeletons(write(tmp_path / name, content))
    assert name in str(raised.value) and "\n" not in str(raised.value)


def test_bytes_that_are_no_text_are_not_repeated(tmp_path):
    path = write(tmp_path / "a.json", coco(range(50)))
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    with pytest.raises(VideoError, match=r"does not hold skeletons .*codec can't decode") as raised:
        read_skeletons(path)
    assert len(str(raised.value)) < 400 + len(str(path))


def test_an_archive_that_says_that_it_is_encrypted(tmp_path):
    np.savez(tmp_path / "a.npz", keypoints=person())
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(VideoError, match=r"does not hold skeletons .*encrypted"):
        read_skeletons(tmp_path / "a.npz")


def test_numbers_too_large_are_missing_joints_and_warn_nobody(tmp_path, recwarn):
    entries = coco([0, 1])
    entries[0]["keypoints"][0] = 1e308
    read = read_skeletons(write(tmp_path / "a.json", entries))
    assert not read.keypoints[0, 0, 0].any() and read.keypoints[0, 1, 0].any()
    given = person().astype(np.float64)
    given[1, 0, 0] = 1e308
    assert not Skeletons.at_rate(given).keypoints[0, 1, 0].any()
    assert not recwarn.list


def test_times_that_are_no_seconds():
    """Milliseconds of an hour, or one that is broken: clips would be cut until memory ends."""
    for last in (3_600_000, 1e300):
        with pytest.raises(VideoError, match="over a week; give them in seconds"):
            Skeletons(np.ones((2, 17, 3)), [0, last])


def test_npz_without_keypoints_or_with_objects(tmp_path):
    np.savez(tmp_path / "a.npz", poses=person())
    with pytest.raises(VideoError, match="has no 'keypoints', but poses"):
        read_skeletons(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", keypoints=np.array([{"a": 1}]))
    with pytest.raises(VideoError, match="allow_pickle"):
        read_skeletons(tmp_path / "b.npz")
    with pytest.raises(VideoError, match="no such file"):
        read_skeletons(tmp_path / "c.npz")


# Clips


@pytest.mark.parametrize("frames, fps", [(2, 30), (20, 10), (60, 10), (61, 10), (155, 7), (47, 24)])
def test_clips_are_cut_as_those_of_video(frames, fps):
    video = np.zeros((frames, 16, 16, 3), np.uint8)
    expected = [(w.start, w.end, w.times) for w in windows(video, 8, seconds=2.0, fps=fps)]
    skeletons = Skeletons.at_rate(person(frames), fps)
    ours = [(start, end, skeletons.times[chosen]) for start, end, chosen in cut(skeletons, 8, 2.0)]
    assert len(ours) == len(expected)
    for (start, end, times), (start_, end_, times_) in zip(ours, expected, strict=True):
        assert (start, end) == (pytest.approx(start_), pytest.approx(end_))
        np.testing.assert_allclose(times, times_, atol=1 / fps)  # video decides by a grid of time where frames are many


def test_normalising_forgets_place_and_size():
    one = person()
    moved = one * (3, 3, 1) + (50, -20, 0)
    moved[2, :, :2] += 11  # each frame has its own origin
    ours = normalise(one, COCO17)
    np.testing.assert_allclose(normalise(moved.astype(np.float32), COCO17), ours, atol=1e-4)
    np.testing.assert_allclose(ours[:, [11, 12], :2].mean(axis=1), 0, atol=1e-6)
    spread = ours[..., :2] - ours[..., :2].mean(axis=1, keepdims=True)
    assert np.sqrt((spread**2).sum(-1).mean(-1)).max() == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(ours[..., 2], one[..., 2])


def test_the_world_is_normalised_by_itself():
    one = world()
    ours = normalise(one, COCO17)
    np.testing.assert_array_equal(ours[..., :3], normalise(one[..., :3], COCO17))
    for axes in (slice(0, 2), slice(3, 6)):
        np.testing.assert_allclose(ours[:, [11, 12], axes].mean(axis=1), 0, atol=1e-6)
        spread = ours[..., axes] - ours[..., axes].mean(axis=1, keepdims=True)
        assert np.sqrt((spread**2).sum(-1).mean(-1)).max() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(normalise(one * (2, 2, 1, 3, 3, 3) + (0, 0, 0, 5, 6, 7), COCO17), ours, atol=1e-4)
    one[1, 11], one[2, 3] = 0, 0
    ours = normalise(one, COCO17)
    np.testing.assert_allclose(np.delete(ours[1, :, 3:], 11, axis=0).mean(axis=0), 0, atol=1e-6)  # a hip is missing
    assert not ours[2, 3].any() and np.isfinite(ours).all()


def test_persons_keep_many_clips_apart_when_normalised():
    many = np.stack([person(seed=seed) * (seed + 1, seed + 1, 1) for seed in range(3)])
    np.testing.assert_allclose(normalise(many, COCO17), np.stack([normalise(one, COCO17) for one in many]), atol=1e-6)


def test_a_pose_holds_while_somebody_is_not_seen():
    one = person(6)
    one[[0, 2, 3, 5]] = 0
    np.testing.assert_array_equal(hold(one), one[[1, 1, 1, 4, 4, 4]])
    one[1, 3] = 0  # a single joint that is missing stays missing
    np.testing.assert_array_equal(hold(one)[0], one[1])
    nobody = np.zeros((3, 17, 3), np.float32)
    np.testing.assert_array_equal(hold(nobody), nobody)


def test_normalising_copes_with_what_is_missing():
    one = person()
    one[1, 11] = 0  # a hip: the mean of the joints in its place
    one[2] = 0
    ours = normalise(one, COCO17)
    assert np.isfinite(ours).all()
    np.testing.assert_array_equal(ours[2], 0)
    np.testing.assert_array_equal(ours[1, 11], 0)
    there = one[1, :, 2] > 0
    np.testing.assert_allclose(ours[1, there, :2].mean(axis=0), 0, atol=1e-6)
    assert not normalise(np.zeros((4, 17, 3), np.float32)).any()
    np.testing.assert_allclose(normalise(one)[0, :, :2].mean(axis=0), 0, atol=1e-6)
