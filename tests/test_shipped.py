import socket
from pathlib import Path

import numpy as np
import pytest

import amge
from amge.errors import VideoError
from amge.hub.published import PUBLISHED, SHIPPED
from amge.muscles import REGION_IDS
from amge.video.read import read_frames

CLIP = Path(__file__).parents[1] / "examples" / "squat.mp4"


@pytest.fixture(scope="module")
def model():
    return amge.build("transm3e-lite", pretrained=True)


@pytest.mark.parametrize("name", PUBLISHED)
def test_each_checkpoint_is_small_and_has_a_card(name):
    folder = SHIPPED / name
    assert (folder / "model.safetensors").stat().st_size <= 16 * 2**20
    card = (folder / "README.md").read_text()
    for word in ("Licence of the weights", "Training data", "Metrics", "seed", "Not medical advice"):
        assert word in card
    assert sum(f.stat().st_size for f in folder.parent.rglob("*.safetensors")) <= 32 * 2**20


def test_transm3e_lite_keeps_its_budget(model):
    assert sum(p.numel() for p in model.parameters()) <= 9_500_000
    assert model.spec.labels == REGION_IDS and not model.training
    assert not any("sender" in key or "teacher" in key for key in model.state_dict())


def test_loads_without_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("opened a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    for pretrained in (True, "open-exercise", (SHIPPED / "transm3e-lite.open-exercise")):
        assert amge.build("transm3e-lite", pretrained=pretrained).spec.tag == "open-exercise"


@pytest.mark.parametrize("name, part", [("pose-mlp", "backbone_args"), ("transm3e-lite-pose", "skeleton_args")])
def test_what_weights_mean_does_not_hang_on_defaults(name, part):
    arguments = getattr(amge.spec(f"{name}.open-exercise"), part)
    assert arguments["levels"] == (0.05, 0.95) and arguments["parts"] == 24


def test_untrained_joints_are_seen_by_what_ships():
    untrained, trained = (amge.spec(name) for name in ("pose-mlp", "pose-mlp.open-exercise"))
    assert untrained.backbone_args == trained.backbone_args and untrained.tokens == trained.tokens
    both = amge.spec("transm3e-lite-pose.open-exercise")
    assert amge.spec("transm3e-lite-pose").skeleton_args == both.skeleton_args == trained.backbone_args


def test_a_squat_works_the_legs(model):
    probabilities = model.predict(CLIP)
    ranked = sorted(probabilities, key=lambda name: -probabilities[name])
    assert set(ranked[:3]) == {"quadriceps", "gluteus", "hamstring"}
    assert not {"biceps", "chest", "neck_head"} & {*probabilities.active}


def test_the_same_movement_gives_the_same_answer(model):
    """The squat of the example, looped and cut at lengths of 4 s and more, from anywhere."""
    frames = np.stack([shown.image() for shown in read_frames(CLIP, 30.0, 480)])
    answers = []
    for seconds, start in ((4.0, 40), (9.9, 71), (14.9, 55), (15.1, 20)):
        chosen = (np.arange(round(seconds * 24)) + start) % len(frames)
        answers.append(model.predict(frames[chosen], fps=24))
    assert len({tuple(sorted(answer.active)) for answer in answers}) == 1
    assert np.ptp([list(answer.values()) for answer in answers], axis=0).max() <= 0.1
    assert {answer.verdict for answer in answers} == {"ok"}


@pytest.mark.parametrize("name, most", [("st-gcn", 3_000_000), ("pose-mlp", 4_000_000)])
def test_a_skeleton_model_keeps_its_budget_and_knows_a_squat(name, most):
    pytest.importorskip("mediapipe", reason="needs the extra pose")
    folder = SHIPPED / f"{name}.open-exercise"
    assert (folder / "model.safetensors").stat().st_size <= most
    model = amge.build(name, pretrained=True)
    assert model.spec.labels == REGION_IDS and not model.training and model.spec.modality == "skeleton"
    probabilities = model.predict(CLIP)
    ranked = sorted(probabilities, key=lambda name: -probabilities[name])
    assert set(ranked[:3]) == {"quadriceps", "gluteus", "hamstring"}
    assert not {"biceps", "chest", "neck_head"} & {*probabilities.active}


def test_the_skeleton_model_in_the_picture_takes_keypoints_that_the_other_refuses():
    keypoints = np.random.default_rng(0).uniform(50, 400, (24, 17, 3))
    assert len(amge.build("st-gcn", pretrained="open-exercise-2d").predict(keypoints)) == 20
    with pytest.raises(VideoError, match=r"these are 2-D; .* take a model of 2-D joints: st-gcn\.open-exercise-2d"):
        amge.build("st-gcn", pretrained=True).predict(keypoints)


def test_pictures_and_joints_together_know_a_squat():
    pytest.importorskip("mediapipe", reason="needs the extra pose")
    both = amge.build("transm3e-lite-pose", pretrained=True)
    prediction = both.predict(CLIP)
    assert set(sorted(prediction, key=lambda name: -prediction[name])[:3]) == {
        "quadriceps",
        "gluteus",
        "hamstring",
    }
    assert prediction.verdict == "ok"


def test_without_joints_it_says_what_the_video_model_says(model):
    both = amge.build("transm3e-lite-pose", pretrained=True)
    clip = model.preprocess(CLIP)
    np.testing.assert_allclose(
        both(clip).detach(), model(clip).detach(), atol=2e-3
    )  # its weights are of half precision


def test_names_without_weights_say_what_there_is():
    with pytest.raises(ValueError, match=r"neither a tag.*transm3e-lite\.open-exercise"):
        amge.build("transm3e-lite", pretrained="musclemap136")
    with pytest.raises(ValueError, match=r"did you mean 'transm3e-lite"):
        amge.build("transm3e-light", pretrained=True)


def test_the_skeleton_model_sees_nobody_in_a_landscape_with_a_moving_blob(monkeypatch):
    pytest.importorskip("mediapipe", reason="needs the extra pose")
    model = amge.build("st-gcn", pretrained=True)
    for things in (("ball",), ("ball", "plant")):
        prediction = model.predict(amge.synthetic.render_empty("landscape", things, 30, (240, 320), seed=4))
        assert prediction.verdict == "nobody" and prediction.active == [] and prediction.persons == (prediction,)
