"""The page on the rendered exercises, and what it is measured with."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

import amge
from amge.muscles import encode
from amge.synthetic import EXERCISES

pytest.importorskip("sklearn")

ROOT = Path(__file__).parents[2]
SCRIPT = runpy.run_path(str(ROOT / "benchmarks" / "exercises.py"))


def test_the_page_is_what_the_script_writes_from_the_json():
    assert (ROOT / "docs" / "exercises.md").read_text() == "\n".join(SCRIPT["markdown"]()) + "\n"


def test_a_model_is_asked_about_figures_that_move():
    streams = {"graph": "body-19", "streams": ("joint", "world-direction"), "dim": 16, "depth": 1, "num_heads": 2}
    model = amge.build("pose-mlp", backbone_args=streams).eval()
    names, asked = ["squat", "jab", "crunch"], []
    model.register_forward_pre_hook(lambda _, given: asked.append(given[0]))
    targets = torch.tensor(np.stack([encode(EXERCISES[name].regions) for name in names]).repeat(2, axis=0))
    for noise, said, right in ((0.0, targets, True), (0.02, 1 - targets, False)):
        model.probabilities = lambda logits, said=said: said.float()
        assert (SCRIPT["moving"](model, names, each=2, noise=noise) == 100) == right
    still, noisy = asked
    assert still.shape == (6, 1, 16, 19, 6) and 0.005 < (still - noisy)[..., 3:].abs().mean() < 0.05
    assert torch.equal(still[..., 2], noisy[..., 2])
