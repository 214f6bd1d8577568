"""The page on the rendered exercises, and what it is measured with."""

import runpy
from pathlib import Path

import pytest

import amge

pytest.importorskip("sklearn")

ROOT = Path(__file__).parents[2]
SCRIPT = runpy.run_path(str(ROOT / "benchmarks" / "exercises.py"))


def test_the_page_is_what_the_script_writes_from_the_json():
    assert (ROOT / "docs" / "exercises.md").read_text() == "\n".join(SCRIPT["markdown"]()) + "\n"


def test_a_model_is_asked_about_figures_that_move():
    streams = {"graph": "body-19", "streams": ("joint", "world-direction"), "dim": 16, "depth": 1, "num_heads": 2}
    model = amge.build("pose-mlp", backbone_args=streams).eval()
    names = ["squat", "jab", "crunch"]
    score = SCRIPT["moving"](model, names, each=2)
    assert 0 < score <= 100 and SCRIPT["moving"](model, names, each=2) == score
