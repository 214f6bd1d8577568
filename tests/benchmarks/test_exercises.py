"""The page on the rendered exercises, and what it is measured with."""

import runpy
from pathlib import Path

import numpy as np
import pytest

import amge

pytest.importorskip("sklearn")

ROOT = Path(__file__).parents[2]
SCRIPT = runpy.run_path(str(ROOT / "benchmarks" / "exercises.py"))


def test_the_page_is_what_the_script_writes_from_the_json():
    assert (ROOT / "docs" / "exercises.md").read_text() == "\n".join(SCRIPT["markdown"]()) + "\n"


def test_poses_are_rendered_like_those_of_the_photographs():
    pairs, targets, names = SCRIPT["rendered"](["squat", "jab"], 0)
    assert pairs.shape == (16, 2, 19, 6) and targets.shape == (16, 20) and list(names) == ["squat"] * 8 + ["jab"] * 8
    assert np.isfinite(pairs).all() and np.abs(pairs[:, 0] - pairs[:, 1]).max(axis=(1, 2)).min() > 0.05


def test_a_model_is_asked_about_figures_that_move():
    streams = {"graph": "body-19", "streams": ("joint", "world-direction"), "dim": 16, "depth": 1, "num_heads": 2}
    model = amge.build("pose-mlp", backbone_args=streams).eval()
    names = ["squat", "jab", "crunch"]
    score = SCRIPT["moving"](model, names, each=2)
    assert 0 < score <= 100 and SCRIPT["moving"](model, names, each=2) == score
