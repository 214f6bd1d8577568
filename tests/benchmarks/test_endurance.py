import json
import runpy
import sys
from pathlib import Path

import pytest

import amge

SCRIPT = str(Path(__file__).parents[2] / "benchmarks" / "endurance.py")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("model", ["tiny", "st-gcn.open-exercise"])
def test_a_process_that_predicts_stays_as_it_was(capsys, monkeypatch, tmp_path, tiny_spec, model):
    if model == "tiny":
        model = str(amge.assemble(tiny_spec).save_pretrained(tmp_path / "tiny"))
    out = tmp_path / "result.json"
    monkeypatch.setattr(
        sys, "argv", ["endurance.py", "--model", model, "--count", "40", "--warm", "5", "--out", str(out)]
    )
    runpy.run_path(SCRIPT, run_name="__main__")
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads(out.read_text())
    assert found["predictions"] == 40 and found["the same answer"] and len(found["MB"]) == 21
    assert found["grown"]["open files"] == 0 and found["grown"]["threads"] == 0
    assert abs(found["grown"]["MB"]) < 20
