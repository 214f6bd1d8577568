import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")

import amge

ROOT = Path(__file__).parents[2]
PHOTOGRAPHS = ROOT.parent / "shared" / "open_exercise"


def run(capsys, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["open_exercise.py", *map(str, arguments)])
    runpy.run_path(str(ROOT / "benchmarks" / "open_exercise.py"), run_name="__main__")
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("name", ["transm3e-lite.open-exercise", "st-gcn.open-exercise-2d"])
def test_prints_the_map_of_both_splits(capsys, monkeypatch, prepared, name):
    result = run(capsys, monkeypatch, "--model", name, "--data", prepared)
    assert result["model"] == name
    assert all(0 <= result["mAP"][split] <= 100 for split in ("val_seen", "val_unseen"))


def test_a_model_in_three_dimensions_is_calibrated_on_joints_of_a_file(capsys, monkeypatch, prepared, tmp_path):
    with np.load(prepared / "keypoints.npz") as archive:
        ids = archive["ids"]
    keypoints = np.random.default_rng(0).uniform(0.1, 1, (len(ids), 2, 33, 6))
    np.savez(tmp_path / "joints.npz", ids=ids, keypoints=keypoints)
    place = ("--data", prepared, "--joints", tmp_path / "joints.npz", "--calibrate", tmp_path / "new")
    result = run(capsys, monkeypatch, "--model", "st-gcn", *place)
    spec = amge.from_pretrained(tmp_path / "new").spec
    assert (spec.temperature, spec.threshold) == (result["temperature"], result["threshold"])


@pytest.mark.slow
@pytest.mark.skipif(not PHOTOGRAPHS.exists(), reason="needs the open exercise photographs")
@pytest.mark.parametrize("name", ["st-gcn.open-exercise-2d"])  # the others have seen both splits
def test_the_card_tells_the_truth(capsys, monkeypatch, name):
    claimed = amge.build(name, pretrained=True).spec.metrics
    measured = run(capsys, monkeypatch, "--model", name, "--data", PHOTOGRAPHS)["mAP"]
    for split in ("val_seen", "val_unseen"):
        assert measured[split] == pytest.approx(claimed[f"{split}_mAP"], abs=0.3)
