import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

import amge

ROOT = Path(__file__).parents[2]
SCRIPT = SimpleNamespace(**runpy.run_path(str(ROOT / "benchmarks" / "explanations.py")))


def test_cells_that_are_lit_most_get_the_mean_colour():
    lit = torch.tensor([[[0.9, 0.1], [0.2, 0.8]]])
    cells = SCRIPT.most(lit, 1, torch.ones_like(lit, dtype=torch.bool))
    clip = torch.rand(1, 3, 4, 6, 6)
    hidden = SCRIPT.hidden_cells(clip, cells)
    assert torch.allclose(hidden[..., :3, :3], clip.mean(dim=(2, 3, 4), keepdim=True).expand(1, 3, 4, 3, 3))
    assert (hidden != clip).any(dim=1).sum() == 4 * 3 * 3


def test_joints_that_are_missing_anyway_are_not_chosen():
    lit, there = torch.tensor([0.9, 0.5, 0.0, 0.1]), torch.tensor([False, True, True, True])
    joints = SCRIPT.most(lit, 2, there)
    assert joints.tolist() == [False, True, False, True]
    hidden = SCRIPT.hidden_joints(torch.ones(1, 1, 5, 4, 3), joints)
    assert hidden.sum(dim=(0, 1, 2, 4)).tolist() == [15, 0, 15, 0]


def test_what_a_model_needs_drops_more_than_what_it_does_not(monkeypatch):
    """A graph network in which one joint alone counts."""
    torch.manual_seed(0)
    model = amge.build("st-gcn-tiny")
    lit = torch.zeros(8, 17, 1)
    lit[:, 9] = 1
    model.forward = lambda given: given[..., 9, :].sum().expand(1, len(model.spec.labels))
    monkeypatch.setitem(SCRIPT.METHODS, "grad-cam", lambda *_: {"chest": {"joints": lit}})
    monkeypatch.setitem(SCRIPT.METHODS, "hires-cam", lambda *_: {"chest": {"joints": 1 - lit}})
    options = SimpleNamespace(model="it", share=0.1, joints=1, draws=50)
    found = {}
    for method, drop in SCRIPT.drops(model, torch.ones(1, 1, 8, 17, 3), ["chest"], options):
        found.setdefault(method, []).append(drop)
    assert found["grad-cam"] == [24] and found["hires-cam"] == [0]
    assert 0 < sum(found["random"]) < 50 * 12


def test_it_reports_each_video_and_the_mean(tiny_model, tmp_path, monkeypatch, capsys):
    folder = amge.assemble(tiny_model.spec).save_pretrained(tmp_path / "model")
    video = str(ROOT / "examples" / "squat.mp4")
    monkeypatch.setattr(sys, "argv", ["explanations.py", video, video, "--model", str(folder), "--draws", "2"])
    SCRIPT.main()
    one, other, mean = map(json.loads, capsys.readouterr().out.splitlines())
    assert one["regions"] == other["regions"] and mean["videos"] == 2
    assert {*mean["drop"]} == {"grad-cam", "hires-cam", "attention", "random"}
    assert np.isfinite([*mean["drop"].values()]).all()
