"""A student of RGB whose receivers learn from joints, on features that stand for those of the recipe."""

from argparse import Namespace

import numpy as np
import pytest

pytest.importorskip("lightning")

import skeleton_teacher


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(0)
    shapes = {"rgb-0": (64, 2, 112, 4, 4), "rgb-1": (64, 2, 320, 2, 2), "keypoints": (64, 2, 17, 3), "target": (64, 20)}
    return {name: rng.random(shape, np.float32) for name, shape in shapes.items()}


def test_the_teacher_changes_what_the_receivers_learn_and_is_not_in_the_checkpoint(arrays, tmp_path):
    options = Namespace(variants=1, weight=10.0, steps=1)
    alone = skeleton_teacher.student(arrays, None, tmp_path / "alone", options, 0)
    taught = skeleton_teacher.student(arrays, "st-gcn.open-exercise-2d", tmp_path / "taught", options, 0)
    mine, theirs = alone.state_dict(), taught.state_dict()
    assert mine.keys() == theirs.keys()
    changed = {name for name in mine if not mine[name].equal(theirs[name])}
    assert "bank.tokens.receiver" in changed and not any("encoder" in name for name in changed)
