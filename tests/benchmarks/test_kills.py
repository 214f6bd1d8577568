import importlib
import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("pyarrow")

ROOT = Path(__file__).parents[2]


@pytest.fixture
def kills(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("kills")


def test_what_is_half_written_is_found(kills, tmp_path, first_tiny_model):
    run = tmp_path / "run"
    checkpoint = first_tiny_model.save_pretrained(run / "student")
    (run / "report.json").write_text("{}")
    (run / ".part-last.ckpt").write_bytes(b"half")
    assert kills.unreadable(run) == []
    weights = checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    for name in ("report.json", "last.ckpt", "rows.parquet", "curves.png"):
        (run / name).write_bytes(b"{")
    found = [fault.split(":")[0] for fault in kills.unreadable(run)]
    assert found == ["curves.png", "last.ckpt", "report.json", "rows.parquet", "student/model.safetensors"]


@pytest.mark.slow
@pytest.mark.parametrize("what", ["bulk", "saving"])
def test_a_run_that_is_killed_and_started_again_ends_as_one_that_is_not(kills, what, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["kills.py", "--what", what, "--count", "1", "--seed", "1"])
    kills.main()
    found = json.loads(capsys.readouterr().out)[what]
    assert found["faults"] == [] and found["killed"] == 1
