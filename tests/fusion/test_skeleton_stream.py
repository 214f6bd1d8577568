"""Models of pictures that see joints besides."""

import warnings

import numpy as np
import pytest
import torch

import amge
from amge.fusion import MCTF, SkeletonStream
from amge.results import Seen

JOINTS = {"width": 8, "dim": 32, "depth": 1, "num_heads": 2}


def pose(frames):
    """Somebody who stands in the middle of each frame."""
    return [np.concatenate([np.random.default_rng(0).uniform(10, 50, (17, 2)), np.ones((17, 1))], 1)[None]] * len(
        frames
    )


def nobody(frames):
    return [np.zeros((0, 17, 3))] * len(frames)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    changes = {"skeleton": "st-gcn", "skeleton_args": JOINTS, "skeleton_fusion": "mctf", "activation": "sigmoid"}
    return amge.build("mvitv2-tiny-mct", **changes).eval()


@pytest.fixture(scope="module")
def video():
    return np.random.default_rng(0).integers(0, 256, (24, 64, 64, 3), dtype=np.uint8)


def test_clips_without_joints_are_read_from_the_pictures_alone(model, video):
    clip, joints = model.preprocess(video, pose=pose)
    assert clip.shape == (1, 3, 8, 64, 64) and joints.shape == (1, 1, 8, 17, 3)
    both, alone = model(clip, joints), model(clip)
    assert not torch.allclose(both, alone)
    torch.testing.assert_close(model(Seen(clip, joints)), both)
    mixed = model(clip.repeat(2, 1, 1, 1, 1), torch.cat([joints, torch.zeros_like(joints)]))
    torch.testing.assert_close(mixed, torch.cat([both, alone]))


@pytest.mark.filterwarnings("ignore:.*untrained")
def test_predictions_say_when_no_pose_is_known(model, video):
    said = "no pose is known, this is read from the pictures alone"
    assert said not in model.predict(video, pose=pose).reasons
    alone = model.predict(video, pose=nobody)
    assert said in alone.reasons
    assert said in model.predict(model.preprocess(video, pose=nobody)).reasons
    assert dict(alone) == pytest.approx(dict(model.predict(model.preprocess(video, pose=nobody).clip)), abs=1e-6)


@pytest.mark.filterwarnings("ignore:.*untrained")
def test_without_a_pose_estimator_it_warns_and_looks_at_pictures(model, video, monkeypatch):
    def lacking(name):
        raise ImportError("mediapipe is not installed: pip install 'amge[pose]'")

    monkeypatch.setattr("amge.skeleton.pose.persons.estimator", lacking)
    with pytest.warns(UserWarning, match=r"from the pictures alone: .*amge\[pose\]"):
        prediction = model.predict(video)
    assert prediction.verdict == "doubtful"
    with pytest.raises(ImportError, match="mediapipe is not installed"):
        model.predict(video, pose="mediapipe")


def test_checkpoints_keep_both_streams(model, video, tmp_path):
    given = model.preprocess(video, pose=pose)
    model.save_pretrained(tmp_path / "model")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same = amge.from_pretrained(tmp_path / "model")
    torch.testing.assert_close(same(given), model(given))
    assert "the joints of a person" in (tmp_path / "model" / "README.md").read_text()


def test_what_does_not_fit_is_refused(model, video):
    clip, joints = model.preprocess(video, pose=pose)
    with pytest.raises(ValueError, match=r"expected skeletons .*17, 3"):
        model(clip, joints[..., :5, :])
    plain = amge.build("mvitv2-tiny-mct")
    with pytest.raises(ValueError, match="takes no joints"):
        plain(clip, joints)
    with pytest.raises(ValueError, match="pose estimator is for models that see joints"):
        plain.predict(video, pose=pose)
    for changes in ({"skeleton": "st-gcn"}, {"skeleton_fusion": "mctf"}):
        with pytest.raises(ValueError, match="skeleton and skeleton_fusion go together"):
            amge.build("mvitv2-tiny-mct", **changes)
    with pytest.raises(ValueError, match="is for models of pictures with muscle tokens"):
        amge.build("st-gcn-tiny", skeleton="st-gcn", skeleton_fusion="mctf")
    with pytest.raises(ValueError, match=r"sees joints, .* takes clips"):
        SkeletonStream(plain.backbone, 20, MCTF(128), 128)
    with pytest.raises(ValueError, match="must keep 128 channels"):
        SkeletonStream(amge.build("st-gcn-tiny", tokens=20).backbone, 20, MCTF(64), 128)


def test_tests_that_give_no_joints_are_refused(model, prepared):
    from amge.data.open_exercise import samples
    from amge.evaluate import predictions

    with pytest.raises(ValueError, match="sees joints besides, which this test does not give"):
        predictions(model, samples(prepared)[:2])
