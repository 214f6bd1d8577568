"""Clips of persons from video and from skeletons, and what a skeleton model makes of them."""

import json

import numpy as np
import pytest
import torch

import amge
from amge.errors import VideoError
from amge.prediction import by_prominence
from amge.skeleton.layouts import BLAZEPOSE33, BODY19, COCO17, convert_layout, fit_layout
from amge.skeleton.pose import ESTIMATORS, estimator, person_clips
from amge.skeleton.pose.mediapipe import MediaPipe
from amge.skeleton.pose.persons import believable, check_poses
from amge.skeleton.pose.rtmlib import RTMLib
from amge.skeleton.sequence import Skeletons, normalise
from amge.video.write import write_video
from amge.viz.overlay import LEFT, RIGHT, overlay

VIDEO = np.zeros((60, 40, 60, 3), np.uint8)


def figure(x, size=20.0, joints=17, seed=1):
    shape = np.random.default_rng(seed).uniform(-0.5, 0.5, (joints, 2))
    return np.concatenate([shape * size + (x, 20), np.full((joints, 1), 0.9)], axis=1).astype(np.float32)


def solid(person, seed=5):
    """Joints with a world of their own."""
    return np.concatenate(
        [person, np.random.default_rng(seed).uniform(-1, 1, (*person.shape[:-1], 3)).astype(np.float32)], axis=-1
    )


def pose(*persons):
    """An estimator that finds these persons in every frame."""
    calls = []

    def estimate(frames):
        calls.append(len(frames))
        return [np.stack(persons) for _ in frames] if persons else np.zeros((len(frames), 0, 17, 3))

    estimate.calls = calls
    return estimate


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return amge.build("st-gcn-tiny", activation="sigmoid", seconds=1.0).eval()


# Clips


def test_each_person_has_a_clip_in_each_window():
    estimate = pose(figure(10), figure(45, size=30, seed=2))
    clips = list(person_clips(VIDEO, 8, 1.0, estimate))
    assert [(c.start, c.end, c.person) for c in clips] == [(s, s + 1, p) for s in (0, 0.5, 1) for p in (0, 1)]
    assert all(c.keypoints.shape == (8, 17, 3) and c.frames.shape == (8, 40, 60, 3) for c in clips)
    np.testing.assert_array_equal(clips[1].keypoints[3], figure(45, size=30, seed=2))
    assert clips[1].weight > clips[0].weight > 0
    assert sum(estimate.calls) == 16  # the windows overlap by half, and no frame is looked at twice


def test_frames_that_repeat_are_looked_at_once():
    estimate = pose(figure(10))
    (clip,) = person_clips(VIDEO[:3], 8, 1.0, estimate)
    assert estimate.calls == [3] and (clip.keypoints[..., 2] > 0).all()


def test_passers_by_are_left_out_unless_there_is_nobody_else():
    def estimate(frames):
        return [np.stack([figure(10)] + [figure(400, seed=3)] * (i == 5)) for i in range(len(frames))]

    assert [clip.person for clip in person_clips(VIDEO[:30], 8, 2.0, estimate)] == [0]

    def once(frames):
        return [np.stack([figure(10)])[: i == 5] for i in range(len(frames))]

    (clip,) = person_clips(VIDEO[:30], 8, 2.0, once)
    assert (clip.keypoints[..., 2] > 0).any(axis=1).sum() == 1


def test_nobody_is_an_answer(model):
    clips = list(person_clips(VIDEO, 8, 1.0, pose()))
    assert [(clip.start, clip.person, clip.weight) for clip in clips] == [(0, None, 0), (0.5, None, 0), (1, None, 0)]
    prediction = model.predict(VIDEO, pose=pose())
    assert prediction.verdict == "nobody" and prediction.active == [] and prediction.person is None
    assert set(prediction.values()) == {None} and len(prediction.windows) == 3
    with pytest.raises(VideoError, match="no person was found in the ndarray"):
        model.preprocess(VIDEO, pose=pose())


@pytest.mark.parametrize("given", [None, 3, [figure(1)], [figure(1)[None, :, :2]] * 2, [np.zeros((1, 17, 3))], "ab"])
def test_what_is_no_estimate_is_refused(given):
    with pytest.raises(ValueError, match="a pose estimator gives an array"):
        check_poses(given, 2)


def test_other_ways_to_say_nobody_and_joints_that_change():
    for nobody in ([], np.zeros((0, 0, 3)), torch.zeros(0, 17, 3)):
        first, second = check_poses([nobody, figure(1)[None]], 2)
        assert first.shape == (0, 17, 3) and second.shape == (1, 17, 3)
    (checked,) = check_poses([torch.tensor(figure(1)[None], requires_grad=True) * torch.tensor([1, 1, 8.0])], 1)
    assert (checked[..., 2] == 1).all()
    counts = iter((17, 33, 17))
    with pytest.raises(ValueError, match=r"the same joints always, this one gave \[\(17, 3\), \(33, 3\)\]"):
        list(
            person_clips(
                VIDEO, 8, 1.0, lambda frames: [figure(1, joints=n)[None] for n in [next(counts)] for _ in frames]
            )
        )


def test_estimates_with_nan_are_missing_joints():
    given = figure(1)[None].copy()
    given[0, 3, 0], given[0, 4, 2] = np.nan, -1
    (checked,) = check_poses([given], 1)
    assert not checked[0, 3:5].any() and checked[0, 5:].all()
    with pytest.raises(ValueError, match="unknown pose estimator 'mediapip'; did you mean 'mediapipe'"):
        estimator("mediapip")


def test_a_pose_may_have_a_world():
    given = figure(1)[None]
    (checked,) = check_poses([solid(given)], 1)
    np.testing.assert_array_equal(checked, solid(given))
    with pytest.raises(ValueError, match=r"gives an array \(N, V, 3\) or \(N, V, 6\)"):
        check_poses([np.ones((1, 17, 5))], 1)


def test_layouts_are_fitted():
    blaze = figure(5, joints=33)[None]
    np.testing.assert_array_equal(fit_layout(blaze, 17, COCO17), convert_layout(blaze, BLAZEPOSE33, COCO17))
    np.testing.assert_array_equal(fit_layout(blaze, 33, None), blaze)
    for joints, graph in ((5, None), (33, BLAZEPOSE33)):
        with pytest.raises(VideoError, match="joints"):
            fit_layout(figure(5)[None], joints, graph)


# A model


def test_predict_takes_video_keypoints_and_files_alike(model, tmp_path):
    points = np.stack([figure(10 + i) for i in range(24)])
    expected = model(torch.from_numpy(normalise(points[np.arange(8) * 3 + 1], COCO17))[None, None]).sigmoid()[0]
    np.savez(tmp_path / "a.npz", keypoints=points)
    results = [
        {"image_id": i, "category_id": 1, "keypoints": p.flatten().tolist(), "score": 1.0} for i, p in enumerate(points)
    ]
    (tmp_path / "a.json").write_text(json.dumps(results))
    for source in (points, torch.from_numpy(points)[None], Skeletons.at_rate(points), *tmp_path.iterdir()):
        probabilities = model.predict(source)
        assert list(probabilities.values()) == pytest.approx(expected.tolist(), abs=1e-5)
    frame = iter(points[np.arange(8) * 3 + 1])
    video = model.predict(VIDEO[:24], pose=lambda frames: [next(frame)[None] for _ in frames])
    assert video == pytest.approx(probabilities, abs=1e-5)
    given = model.preprocess(points)
    assert given.shape == (1, 1, 8, 17, 3)
    assert model.predict(given) == pytest.approx(probabilities, abs=1e-5)


def test_the_main_person_is_predicted_and_others_are_told_apart(model):
    small, large = figure(10, size=10), figure(45, size=30, seed=2)
    windows = list(model.predict_windows(VIDEO, pose=pose(small, large)))
    assert [w.person for w in windows] == [0, 1] * 3 and by_prominence(windows) == [1, 0]
    alone = model.predict(VIDEO, pose=pose(large))
    assert model.predict(VIDEO, pose=pose(small, large)) == pytest.approx(alone, abs=1e-6)
    assert model.predict(VIDEO, pose=pose(small)) != pytest.approx(alone, abs=1e-4)
    assert model.preprocess(VIDEO, pose=pose(small, large)).shape == (3, 1, 8, 17, 3)
    both = np.stack([[small] * 30, [large] * 30])
    assert model.predict(both) == pytest.approx(alone, abs=1e-5)


def test_memory_does_not_grow_with_the_video(model):
    import tracemalloc

    def peak(frames):
        video = np.zeros((frames, 120, 160, 3), np.uint8)
        tracemalloc.start()
        model.predict(video, pose=pose(figure(40)))
        model.preprocess(video, pose=pose(figure(40)))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(600) < 1.5 * peak(120)


def test_a_pose_holds_while_the_person_is_not_seen(model):
    points = np.stack([figure(10, seed=seed) for seed in range(8)])
    gone, held = points.copy(), points.copy()
    gone[3:5], held[3], held[4] = 0, points[2], points[5]
    assert model.predict(gone) == pytest.approx(model.predict(held), abs=1e-6)
    assert model.predict(gone) != pytest.approx(model.predict(points), abs=1e-6)


def test_who_is_there_longest_is_the_main_person():
    from amge.prediction import WindowPrediction

    large = [WindowPrediction(0, 1, {}, None, person=0, weight=5.0)]
    small = [WindowPrediction(i, i + 1, {}, None, person=1, weight=2.0) for i in range(3)]
    assert by_prominence(large + small) == [1, 0] and by_prominence(large + small[:2]) == [0, 1]


def test_slots_for_more_persons_stay_empty():
    torch.manual_seed(0)
    arguments = {**amge.spec("ctr-gcn-tiny").backbone_args, "persons": 2}
    model = amge.build("ctr-gcn-tiny", backbone_args=arguments).eval()
    given = model.preprocess(np.stack([figure(10)] * 9))
    assert given.shape == (1, 2, 8, 17, 3) and given[:, 0].any() and not given[:, 1].any()
    with pytest.raises(ValueError, match=r"expected skeletons \(B, 2, T, 17, 3\), got \(1, 3, 8, 17, 3\)"):
        model(torch.zeros(1, 3, 8, 17, 3))


@pytest.mark.parametrize(
    "source, message",
    [
        (np.ones((4, 5, 3)), "the skeletons have 5 joints, the model takes 17"),
        (np.ones((4, 25, 3)), "the ndarray: joints of 25 can't be turned into the model's 17: nose"),
        (np.zeros((4, 17, 3)), "nobody is in these skeletons"),
        (np.full((4, 17, 3), np.nan), "nobody is in these skeletons"),
        (torch.zeros(4, 17), "expected keypoints"),
        (torch.zeros(0, 1, 8, 17, 3), "at least one clip"),
        (torch.zeros(1, 0, 8, 17, 3), "in which there is nothing"),
        (torch.zeros(1, 1, 0, 17, 3), "in which there is nothing"),
        (torch.zeros(1, 1, 8, 5, 3), r"expected skeletons \(B, P, T, 17, 3\)"),
    ],
    ids=str,
)
def test_bad_skeletons_get_one_clear_error(model, source, message):
    with pytest.raises(ValueError, match=message):
        model.predict(source)


def test_zero_persons_give_finite_logits(model):
    assert model(torch.zeros(1, 2, 8, 17, 3)).isfinite().all()


def test_fps_reaches_persons_and_models():
    figures, film = np.stack([figure(10)] * 24), VIDEO[:24]
    for fps, end in ((None, 0.8), (12, 2.0)):
        for clips in (person_clips(figures, 8, fps=fps), person_clips(film, 8, pose=pose(figure(40)), fps=fps)):
            assert [clip.end for clip in clips] == [pytest.approx(end)]
        model = amge.build("st-gcn-tiny").eval()
        assert [w.end for w in model.predict_windows(figures, fps=fps)] == [pytest.approx(end)]
    still = model.preprocess(np.stack([figure(10 + 10 * i) for i in range(400)]))
    assert len(still) > 1
    slow = np.stack([figure(10 + 10 * i) for i in range(400)])
    assert len(model.preprocess(slow, fps=400)) == 1 and model.predict(slow, fps=400) != model.predict(slow)


def test_a_model_of_pictures_takes_no_pose(tiny_model):
    with pytest.raises(ValueError, match=r"a.npz holds keypoints, .* take a skeleton model"):
        tiny_model.predict("a.npz")
    with pytest.raises(ValueError, match="looks at pictures; a pose estimator is for models that see joints"):
        tiny_model.predict(VIDEO, pose="mediapipe")


# Three dimensions


@pytest.fixture(scope="module")
def solid_model():
    torch.manual_seed(0)
    arguments = {**amge.spec("st-gcn-tiny").backbone_args, "graph": "body-19", "streams": ("joint", "body-joint")}
    return amge.build("st-gcn-tiny", activation="sigmoid", seconds=1.0, backbone_args=arguments).eval()


def test_a_3d_model_predicts_from_video_arrays_and_files_alike(solid_model, tmp_path):
    points = np.stack([solid(figure(10 + i, joints=33, seed=i), i) for i in range(24)])
    fitted = convert_layout(points[np.arange(8) * 3 + 1], BLAZEPOSE33, BODY19)
    expected = solid_model(torch.from_numpy(normalise(fitted, BODY19))[None, None]).sigmoid()[0]
    np.savez(tmp_path / "a.npz", keypoints=points[..., :3], world=points[..., 3:])
    for source in (points, torch.from_numpy(points)[None], Skeletons.at_rate(points), tmp_path / "a.npz"):
        assert list(solid_model.predict(source).values()) == pytest.approx(expected.tolist(), abs=1e-5)
    frame = iter(points[np.arange(8) * 3 + 1])
    windows = list(solid_model.predict_windows(VIDEO[:24], pose=lambda frames: [next(frame)[None] for _ in frames]))
    assert list(windows[0].probabilities.values()) == pytest.approx(expected.tolist(), abs=1e-5)
    assert windows[0].keypoints.shape == (8, 33, 6)
    assert solid_model.preprocess(points).shape == (1, 1, 8, 19, 6)


def test_a_2d_model_takes_3d_joints_as_2d(model):
    points = np.stack([figure(10 + i) for i in range(24)])
    assert model.predict(solid(points)) == pytest.approx(model.predict(points), abs=1e-6)
    estimate = pose(figure(10), figure(45, size=30, seed=2))
    there = model.predict(VIDEO, pose=lambda frames: [solid(persons) for persons in estimate(frames)])
    assert there == pytest.approx(model.predict(VIDEO, pose=estimate), abs=1e-6)


def test_a_3d_model_refuses_2d_joints(solid_model, tmp_path):
    from typer.testing import CliRunner

    from amge.cli import app

    message = "the model takes 3-D joints, these are 2-D; .* MediaPipe .* 'world' .* take a model of 2-D joints"
    np.savez(tmp_path / "a.npz", keypoints=np.stack([figure(10, joints=33)] * 9))
    for source in (tmp_path / "a.npz", np.stack([figure(10, joints=19)] * 9)):
        with pytest.raises(VideoError, match=message):
            solid_model.predict(source)
    with pytest.raises(VideoError, match=message):
        solid_model.predict(VIDEO, pose=pose(figure(10)))
    folder = solid_model.save_pretrained(tmp_path / "model")
    wrong = CliRunner().invoke(app, ["predict", str(tmp_path / "a.npz"), "--model", str(folder)])
    assert wrong.exit_code == 2 and f"{tmp_path / 'a.npz'}: the model takes 3-D joints" in wrong.stderr


# Drawing and libraries


def test_overlay_draws_sure_bones_of_each_side():
    points = figure(30, size=30)[None].repeat(2, axis=0)
    points[1, :, 2] = 0
    drawn = overlay(VIDEO[:2], points, COCO17)
    assert (drawn[0] == LEFT).all(-1).any() and not drawn[1].any() and not VIDEO.any()
    points[1, [6, 8], 2] = 0.9  # a right upper arm
    drawn = overlay(VIDEO[:2], points, COCO17)
    assert (drawn[1] == RIGHT).all(-1).any() and not (drawn[1] == LEFT).all(-1).any()
    np.testing.assert_array_equal(overlay(VIDEO[:2], solid(points), COCO17), drawn)


@pytest.mark.parametrize("height, width", [(72, 128), (128, 72), (64, 64), (40, 41), (30, 200)])
def test_squares_reach_every_edge_of_a_picture_in_which_nobody_is_found(height, width):
    mediapipe, looked_at = MediaPipe.__new__(MediaPipe), []
    place = np.arange(height * width).reshape(height, width, 1).repeat(3, axis=2)

    def detect(picture):
        looked_at.append(picture[..., 0])
        whole = picture.shape[:2] == (height, width)
        return np.zeros((0, 33, 6), np.float32) if whole else np.full((1, 33, 6), 0.25, np.float32)

    mediapipe._detect = detect
    found = mediapipe._persons(place)
    squares = looked_at[1:]
    if height != width:
        assert {square.shape for square in squares} == {(min(height, width),) * 2}
        assert set(np.concatenate([square.ravel() for square in squares])) == set(range(height * width))
        corners = [divmod(int(square[0, 0]), width) for square in squares]
        assert {(round(y), round(x)) for x, y in found[:, 0, :2].tolist()} <= set(corners)
        assert (found[..., 2:] == 0.25).all()  # the world is that of the square


class Body:
    """As `rtmlib.Body`: a detector and a pose network that, without boxes, makes somebody up."""

    def __init__(self, boxes):
        self.boxes = boxes

    def det_model(self, image):
        self.image = image
        return self.boxes

    def pose_model(self, image, bboxes):
        return np.ones((max(len(bboxes), 1), 17, 2)), np.full((max(len(bboxes), 1), 17), 1.5)


def test_rtmlib_is_given_bgr_and_boxes():
    frames = np.zeros((2, 16, 16, 3), np.uint8)
    frames[..., 0] = 255
    body = Body(np.zeros((2, 4)))
    found = RTMLib(body=body)(frames)
    assert [f.shape for f in found] == [(2, 17, 3)] * 2 and (found[0][..., 2] == 1).all()
    assert (body.image[..., 2] == 255).all() and not body.image[..., :2].any()
    assert [f.shape for f in RTMLib(body=Body([]))(frames)] == [(0, 17, 3)] * 2


def test_rtmlib_has_three_modes():
    with pytest.raises(ValueError, match=r"unknown mode of rtmlib 'fast'; .*valid: lightweight"):
        RTMLib(mode="fast")


def test_rtmlib_without_network_says_what_else_there_is(monkeypatch):
    def offline(**options):
        raise OSError("no route")

    monkeypatch.setitem(__import__("sys").modules, "rtmlib", type("rtmlib", (), {"Body": offline}))
    with pytest.raises(OSError, match=r"could not download its weights .* take mediapipe"):
        RTMLib()


@pytest.mark.parametrize("name", ["mediapipe", "rtmlib"])
def test_a_library_that_is_not_installed_says_what_to_install(monkeypatch, name):
    monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(ImportError, match="pip install"):
        {"mediapipe": MediaPipe, "rtmlib": RTMLib}[name]()


def test_a_broken_library_is_named_in_one_short_line(monkeypatch):
    def load():
        raise TypeError("incompatible arguments\n" + "x" * 30_000_000)

    monkeypatch.setitem(ESTIMATORS, "mediapipe", load)
    with pytest.raises(
        ImportError, match=r"^mediapipe is installed, but broken \(TypeError: .*'amge\[pose\]'"
    ) as caught:
        estimator("mediapipe")
    assert len(str(caught.value)) < 500 and "\n" not in str(caught.value)


def test_command_line_reports_persons_apart(model, tmp_path):
    from typer.testing import CliRunner

    from amge.cli import app

    folder = model.save_pretrained(tmp_path / "model")
    np.savez(tmp_path / "two.npz", keypoints=np.stack([[figure(10, 10)] * 30, [figure(45, 30, seed=2)] * 30]))
    command = ["predict", str(tmp_path / "two.npz"), "--model", str(folder)]
    (video,) = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)["videos"]
    assert video["person"] == 1 and [other["person"] for other in video["others"]] == [0]
    assert set(video["others"][0]) == {"person", "verdict", "reasons", "regions", "active", "windows"}
    assert len(video["windows"]) == 1
    rows = CliRunner().invoke(app, [*command, "--csv"]).stdout.splitlines()
    assert rows[0].endswith(",active,person,verdict")
    assert [row.split(",")[-2] for row in rows[1:]] == ["1"] * 20 + ["0"] * 20
    shown = CliRunner().invoke(app, [*command, "--save", str(tmp_path / "a.png")])
    assert "person 1" in shown.stdout and "person 0" in shown.stdout and (tmp_path / "a.png").stat().st_size
    write_video(tmp_path / "black.mp4", np.zeros((10, 64, 64, 3), np.uint8), 10)
    with pytest.raises(ValueError, match="unknown pose estimator 'x'"):
        model.predict(str(tmp_path / "two.npz"), pose="x")
    np.savez(tmp_path / "five.npz", keypoints=np.ones((4, 5, 3)))
    wrong = CliRunner().invoke(app, ["predict", str(tmp_path / "five.npz"), "--model", str(folder)])
    assert wrong.exit_code == 2 and f"{tmp_path / 'five.npz'}: the skeletons have 5 joints" in wrong.stderr
    wrong = CliRunner().invoke(app, ["predict", str(tmp_path / "black.mp4"), "--model", str(folder), "--pose", "x"])
    assert wrong.exit_code == 2 and "unknown pose estimator 'x'" in wrong.stderr


# Poses that are believed


def standing(confidence=0.9):
    """Somebody in the middle of a picture of 200 x 200, COCO-17."""
    pose = np.zeros((17, 3), np.float32)
    places = {"nose": (100, 30), "left_shoulder": (120, 60), "right_shoulder": (80, 60), "left_hip": (112, 110)}
    places |= {"right_hip": (88, 110), "left_knee": (113, 145), "right_knee": (87, 145), "left_ankle": (114, 180)}
    places |= {"right_ankle": (86, 180), "left_elbow": (128, 85), "right_elbow": (72, 85), "left_wrist": (130, 108)}
    places |= {"right_wrist": (70, 108), "left_eye": (104, 26), "right_eye": (96, 26), "left_ear": (108, 28)}
    places |= {"right_ear": (92, 28)}
    for name, place in places.items():
        pose[COCO17.names.index(name)] = (*place, confidence)
    return pose


def test_a_pose_is_believed_by_its_confidence_and_shape():
    size = 200, 200
    assert believable(standing(), size) and not believable(standing(0.5), size)
    assert not believable(standing() + np.array([150, 0, 0], np.float32), size)  # most of it lies outside
    upper = standing()
    upper[13:, 1] += 300
    assert believable(upper, size)  # what is outside has no say
    stretched = standing()
    stretched[9, :2] = (5, 195)
    assert not believable(stretched, size)
    stretched[9, 2] = 0.1
    assert believable(stretched, size)  # a joint that is not sure has no say in the shape
    assert believable(np.ones((5, 3)), size)  # joints without names are judged by their confidence alone


def test_only_estimators_by_name_have_to_be_believed(model, monkeypatch):
    from amge.skeleton.pose import estimators

    def estimate(frames):
        return [standing(0.3)[None]] * len(frames)

    video = np.zeros((10, 200, 200, 3), np.uint8)
    assert model.predict(video, pose=estimate).person == 0
    monkeypatch.setitem(estimators.ESTIMATORS, "mediapipe", lambda: estimate)
    assert model.predict(video, pose="mediapipe").verdict == "nobody"
