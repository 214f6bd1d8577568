import json
import runpy
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn")

import amge

ROOT = Path(__file__).parents[2]
PHOTOGRAPHS = ROOT.parent / "shared" / "open_exercise"


def run(capsys, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["open_exercise.py", *map(str, arguments)])
    runpy.run_path(str(ROOT / "benchmarks" / "open_exercise.py"), run_name="__main__")
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("name", ["transm3e-lite", "st-gcn"])
def test_prints_the_map_of_both_splits(capsys, monkeypatch, prepared, name):
    result = run(capsys, monkeypatch, "--model", name, "--data", prepared)
    assert result["model"] == f"{name}.open-exercise"
    assert all(0 <= result["mAP"][split] <= 100 for split in ("val_seen", "val_unseen"))


@pytest.mark.slow
@pytest.mark.skipif(not PHOTOGRAPHS.exists(), reason="needs the open exercise photographs")
@pytest.mark.parametrize("name", ["transm3e-lite", "st-gcn", "transm3e-lite-pose"])
def test_the_card_tells_the_truth(capsys, monkeypatch, name):
    claimed = amge.spec(f"{name}.open-exercise").metrics
    measured = run(capsys, monkeypatch, "--model", name, "--data", PHOTOGRAPHS)["mAP"]
    for split in ("val_seen", "val_unseen"):
        assert measured[split] == pytest.approx(claimed[f"{split}_mAP"], abs=0.3)
