import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from amge.video.windows import windows

ROOT = Path(__file__).parents[2]


def run_speed(capsys, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["speed.py", "--repeats", "1", "--threads", "1", *arguments])
    runpy.run_path(str(ROOT / "benchmarks" / "speed.py"), run_name="__main__")
    return json.loads(capsys.readouterr().out)


@pytest.mark.slow
def test_speed_compares_with_the_bare_encoder(capsys, monkeypatch):
    (case,) = run_speed(capsys, monkeypatch)["cases"]
    assert case["ratio"]["encoder"] > 0 and case["milliseconds"]["encoder"] > 0 and case["peak_mib"]["encoder"] > 0


@pytest.mark.slow
def test_speed_compares_with_torchvision_at_any_size_and_shows_how_time_grows(capsys, monkeypatch):
    arguments = ["--model", "transm3e-small", "--size", "32", "--frames", "2", "4", "--mode", "train"]
    result = run_speed(capsys, monkeypatch, *arguments)
    assert set(result["parameters"]) == {"transm3e-small", "torchvision mvit_v2_s"}
    short, long = result["cases"]
    assert long["gflop"] > short["gflop"] > 0 and short["floor_ms"] > 0
    assert short["times_floor"] > 1 and short["peak_mib"]["transm3e-small"] > 0
    assert short["ratio"]["torchvision mvit_v2_s"] > 0 and short["peak_ratio"]["torchvision mvit_v2_s"] > 0


@pytest.mark.slow
def test_import_time_compares_with_torch(capsys):
    runpy.run_path(str(ROOT / "benchmarks" / "import_time.py"))["main"](repeats=1)
    result = json.loads(capsys.readouterr().out)
    assert result["ratio"] > 0 and result["seconds"]["torch"] > 0


def test_the_example_clip_can_be_made_again(tmp_path):
    script = [sys.executable, str(ROOT / "examples" / "make_clip.py"), str(tmp_path / "clip.mp4")]
    subprocess.run(script, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    made, kept = (next(windows(path, 4)) for path in (tmp_path / "clip.mp4", ROOT / "examples" / "squat.mp4"))
    assert made.times == kept.times
    assert abs(made.frames.astype(int) - kept.frames.astype(int)).mean() < 3


def test_profile_names_the_operators(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["profile_model.py", "--model", "transm3e-lite", "--threads", "1", "--rows", "3"])
    runpy.run_path(str(ROOT / "benchmarks" / "profile_model.py"), run_name="__main__")
    result = json.loads(capsys.readouterr().out)
    assert len(result["top"]) == 3 and 0 < sum(row["share"] for row in result["top"].values()) <= 1
