import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


def run(script, capsys, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
    runpy.run_path(str(ROOT / "benchmarks" / script), run_name="__main__")
    return json.loads(capsys.readouterr().out)


@pytest.mark.slow
def test_clips_without_people_are_of_many_kinds(prepared):
    pytest.importorskip("sklearn")
    kinds = {}
    for kind, frames in runpy.run_path(str(ROOT / "benchmarks" / "evidence.py"))["nobody"](prepared):
        assert frames.dtype == np.uint8 and frames.ndim == 4 and frames.shape[0] == 16 and min(frames.shape[1:3]) > 16
        kinds[kind] = kinds.get(kind, 0) + 1
    assert list(kinds.values()) == [80] * 4


@pytest.mark.slow
def test_steadiness_and_time(capsys, monkeypatch):
    place = ROOT / "examples"
    found = run("steadiness.py", capsys, monkeypatch, "--videos", place, "--starts", 1, "--time", place / "squat.mp4")
    assert found["cuts"]["squat"]["cuts"] == 20 and found["cuts"]["squat"]["all"]["spread"] <= 0.1
    assert set(found["seconds"]["squat.mp4"]) == {"as it is", "with --set"}
