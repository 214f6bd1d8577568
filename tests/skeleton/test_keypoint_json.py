"""Key points as OpenPose, MMPose and AlphaPose write them, in a file or in a folder with a file for each frame."""

import json

import numpy as np
import pytest
from PIL import Image

import amge
from amge.bulk.files import find_videos
from amge.cli.predict import can_be_looked_at
from amge.errors import VideoError
from amge.skeleton.files import as_skeletons, is_skeletons, read_skeletons
from amge.skeleton.layouts import OPENPOSE18


def pose(x=0.0, joints=17):
    """`(V, 3)`: joint 0 at `x`, each of the next 10 pixels to its right."""
    return np.stack([x + 10.0 * np.arange(joints), 100 + 20.0 * np.arange(joints), np.full(joints, 0.9)], axis=1)


def openpose(*xs, joints=25):
    people = [{"person_id": [-1], "pose_keypoints_2d": pose(x, joints).ravel().tolist()} for x in xs]
    return {"version": 1.3, "people": people}


def instance(x=0.0, **more):
    one = pose(x)
    return {"keypoints": one[:, :2].tolist(), "keypoint_scores": one[:, 2].tolist(), "bbox": [[0, 0, 9, 9]], **more}


def result(image, x=0.0, **more):
    return {"image_id": image, "category_id": 1, "keypoints": pose(x).ravel().tolist(), "score": 2.9, **more}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=2))
    return path


def folder(place, frames, name="squat_{:012d}_keypoints.json"):
    for number, frame in frames.items():
        write(place / name.format(number), frame)
    return place


# OpenPose


def test_a_folder_of_openpose(tmp_path):
    """Persons are tracked whatever their order, frames without anybody are there, and a number left out is time."""
    frames = {0: openpose(0, 900), 1: openpose(905, 5), 2: openpose(), 3: openpose(10), 5: openpose(15, 920)}
    read = read_skeletons(folder(tmp_path / "op", frames), fps=10)
    np.testing.assert_allclose(read.times, [0, 0.1, 0.2, 0.3, 0.5])
    np.testing.assert_allclose(read.keypoints[0, :, 0, 0], [0, 5, 0, 10, 15])
    np.testing.assert_array_equal(read.keypoints[..., 0, 2] > 0, [[1, 1, 0, 1, 1], [1, 1, 0, 0, 1]])


def test_body_25_becomes_openpose_18(tmp_path):
    read = read_skeletons(folder(tmp_path / "a", {0: openpose(0), 1: openpose(1)}))
    places = dict(zip(OPENPOSE18.names, (read.keypoints[0, 0, :, 0] / 10).round().astype(int), strict=True))
    of_body_25 = {"nose": 0, "neck": 1, "right_wrist": 4, "left_wrist": 7, "right_hip": 9, "left_ankle": 14}
    assert places | of_body_25 | {"right_eye": 15, "left_eye": 16, "right_ear": 17, "left_ear": 18} == places
    coco = read_skeletons(folder(tmp_path / "b", {0: openpose(0, joints=18), 1: openpose(1, joints=18)}))
    np.testing.assert_allclose(coco.keypoints[0, 0], pose(0, 18), rtol=1e-6)


def test_a_hand_alone_is_nobody(tmp_path):
    frames = {0: openpose(0), 1: openpose(1)}
    frames[1]["people"].append({"pose_keypoints_2d": [], "hand_left_keypoints_2d": [1, 2, 0.5]})
    assert read_skeletons(folder(tmp_path / "op", frames)).keypoints.shape == (1, 2, 18, 3)


def test_a_folder_is_skeletons_wherever_they_are_taken(tmp_path):
    place = folder(tmp_path / "op", {i: openpose(3 * i) for i in range(8)})
    assert is_skeletons(place) and is_skeletons(str(place)) and can_be_looked_at(str(place), fps=4)
    model = amge.build("st-gcn", pretrained="open-exercise-2d")
    expected = model.predict(as_skeletons(place, fps=4))
    assert model.predict(place, fps=4).probabilities == expected.probabilities
    with pytest.raises(
        ValueError, match=r"op holds keypoints, transm3e-tiny looks at pictures; .* st-gcn\.open-exercise-2d"
    ):
        amge.build("transm3e-tiny").predict(place)


def test_a_folder_of_images_stays_a_video(tmp_path):
    place = folder(tmp_path / "op", {i: openpose(i) for i in range(3)})
    Image.new("RGB", (32, 32)).save(place / "squat_000000000000_rendered.png")
    assert not is_skeletons(place) and not is_skeletons(tmp_path)
    with pytest.raises(VideoError, match="a folder without keypoints, which"):
        read_skeletons(place)


def test_bulk_takes_a_folder_of_frames_as_one_and_one_of_clips_as_many(tmp_path):
    folder(tmp_path / "gym/op", {i: openpose(i) for i in range(3)})
    folder(tmp_path / "mm", {i: [instance(i)] if i else [] for i in range(3)}, "img{}.json")
    folder(tmp_path / "clips", {i: [result(j) for j in range(3)] for i in range(2)}, "{}.json")
    assert [video.id for video in find_videos(tmp_path, "skeleton")] == ["clips/0.json", "clips/1.json", "gym/op", "mm"]
    (alone,) = find_videos(tmp_path / "mm", "skeleton")
    assert alone.path == alone.id == str(tmp_path / "mm")
    with pytest.raises(ValueError, match="no videos in"):
        find_videos(tmp_path, "rgb")


@pytest.mark.parametrize(
    "frames, message",
    [
        ({0: openpose(0)}, "needs at least 2 frames"),
        ({0: openpose(), 1: openpose()}, "op: it lists nobody"),
        ({0: openpose(0), 1: openpose(0, joints=18), 2: openpose(0, joints=15)}, "differ in their number of joints"),
        (
            {0: openpose(0), 1: '{"version":1.3,"peop'},
            r"op does not hold skeletons \(in squat_0+1_keypoints.json, JSONDec",
        ),
        ({0: openpose(0), 1: [result(3), result(4)]}, "squat_0+1_keypoints.json holds many frames.* give the files"),
    ],
)
def test_a_folder_that_is_no_good_says_why(tmp_path, frames, message):
    with pytest.raises(VideoError, match=message) as raised:
        read_skeletons(folder(tmp_path / "op", frames))
    assert "\n" not in str(raised.value)


def test_a_frame_alone_asks_for_its_folder(tmp_path):
    for content in (openpose(0), [instance()], {"meta_info": {}, "instance_info": [instance()]}):
        with pytest.raises(VideoError, match=f"holds one frame, .* at least 2; give the folder with all, {tmp_path}"):
            read_skeletons(write(tmp_path / "a.json", content))


# MMPose


@pytest.mark.parametrize("whole", [True, False])
def test_mmpose_of_a_video(tmp_path, whole):
    """As its demos write it, and as its inferencer does."""
    frames = [{"frame_id": i, "instances": [instance(900), instance(5 * i)] if i != 3 else []} for i in range(1, 6)]
    content = {"meta_info": {"dataset_name": "coco"}, "instance_info": frames} if whole else frames
    read = read_skeletons(write(tmp_path / "a.json", content), fps=10)
    np.testing.assert_allclose(read.times, [0, 0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(
        read.keypoints[1, :, 0], [(5 * i, 100, 0.9) if i != 3 else (0, 0, 0) for i in range(1, 6)]
    )


def test_mmpose_of_images(tmp_path):
    """A file for each, called like its image."""
    bare = folder(tmp_path / "a", {i: [instance(i)] if i != 2 else [] for i in range(9, 12)}, "img_{}_v2.json")
    whole = folder(tmp_path / "b", {i: {"meta_info": {}, "instance_info": [instance(i)]} for i in range(9, 12)})
    coco = folder(tmp_path / "c", {i: [result(f"{i}.jpg", i)] for i in range(9, 12)})
    for place in (bare, whole, coco):
        np.testing.assert_array_equal(read_skeletons(place).keypoints[0, :, 0, 0], [9, 10, 11])


# AlphaPose


def test_alphapose_tracks_by_idx_or_says_nothing(tmp_path):
    """Without a tracker it writes the same list for everybody."""
    swapped = [result(f"{i}.jpg", x, idx=idx) for i, x, idx in [(0, 0, 1), (0, 900, 2), (1, 0, 2), (1, 900, 1)]]
    read = read_skeletons(write(tmp_path / "a.json", swapped))
    np.testing.assert_array_equal(read.keypoints[..., 0, 0], [[0, 900], [900, 0]])
    for entry in swapped:
        entry["idx"] = [0.0]
    read = read_skeletons(write(tmp_path / "a.json", swapped))
    np.testing.assert_array_equal(read.keypoints[..., 0, 0], [[0, 0], [900, 900]])


@pytest.mark.parametrize("people, keypoints", [("people", "pose_keypoints_2d"), ("bodies", "joints")])
def test_alphapose_in_the_formats_of_others(tmp_path, people, keypoints):
    frames = {i: {"version": "AlphaPose", people: [{keypoints: pose(i, 18).ravel().tolist()}]} for i in (2, 10)}
    write(tmp_path / "a.json", {f"{i}.jpg": frame for i, frame in frames.items()})
    folder(tmp_path / "sep-json", frames, "{}.json")
    for path in (tmp_path / "a.json", tmp_path / "sep-json"):
        np.testing.assert_array_equal(read_skeletons(path).keypoints[0, :, 0, 0], [2, 10])


def test_a_byte_order_mark_is_no_matter(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([result(1), result(2)]), encoding="utf-8-sig")
    assert read_skeletons(tmp_path / "a.json").keypoints.shape == (1, 2, 17, 3)


# What is broken


@pytest.mark.parametrize(
    "content, message",
    [
        ([{"frame_id": 1, "instances": [instance()]}, result(2)], "entry 1 has no 'frame_id'"),
        ([result(1), instance()], "entry 1 has no 'image_id'"),
        ([result(1), 7], "entry 1 is int, not an object"),
        ([{"frame_id": 1, "instances": 7}], "expected a list of persons or frames, not int"),
        ([{"frame_id": 1, "instances": [instance(keypoint_scores=[1] * 16)]}], r"as many .* got \(17, 2\) and \(16,\)"),
        ([{"frame_id": 1, "instances": [instance(keypoints=[[1, 2, 3]] * 17)]}], r"of x and y, .* got \(17, 3\)"),
        ({"people": [{}]}, "somebody has no 'pose_keypoints_2d'"),
        ([result(1) | {"keypoints": [1, 2, 3, 4]}], r"expected keypoints of x, y and confidence, got \(4,\)"),
        ([result(i) for i in ([1], [2])], "unhashable"),
        ("\udcff" * 10, "does not hold skeletons"),
        (
            [result(0), result(1), result(10**9)],
            "frames 0 and 1000000000 lie 9.26e\\+03 hours apart at 30 frames a second",
        ),
        ([result(i, track_id=i) for i in range(3000)], "3000 persons or more in 3000 frames are too many.* 'track_id'"),
    ],
    ids=range(12),
)
def test_what_is_broken_gets_one_line(tmp_path, content, message):
    if isinstance(content, str):
        (tmp_path / "a.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    else:
        write(tmp_path / "a.json", content)
    with pytest.raises(VideoError, match=message) as raised:
        read_skeletons(tmp_path / "a.json")
    assert "a.json" in str(raised.value) and "\n" not in str(raised.value) and len(str(raised.value)) < 600


@pytest.mark.filterwarnings("error")
def test_huge_numbers_are_joints_that_are_missing(tmp_path):
    far = [result(i) for i in range(3)]
    for entry, place in zip(far, (1e300, 1e38, -1e12), strict=True):
        entry["keypoints"][3] = place
    points = read_skeletons(write(tmp_path / "a.json", far)).keypoints
    assert points.shape == (1, 3, 17, 3) and not points[0, :, 1].any() and points[0, :, 2].all()


def test_a_long_gap_takes_no_room(tmp_path):
    read = read_skeletons(write(tmp_path / "a.json", [result(i) for i in (0, 1, 10**6, 10**6 + 1)]))
    assert read.keypoints.shape == (1, 5, 17, 3) and read.times[-1] == pytest.approx((10**6 + 1) / 30)
