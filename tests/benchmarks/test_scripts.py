import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from amge.video.windows import windows

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_import_time_compares_with_torch(capsys):
    runpy.run_path(str(ROOT / "benchmarks" / "import_time.py"))["main"](repeats=1)
    result = json.loads(capsys.readouterr().out)
    assert result["ratio"] > 0 and result["seconds"]["torch"] > 0


@pytest.mark.slow
def test_the_example_clip_can_be_made_again(tmp_path):
    script = [sys.executable, str(ROOT / "examples" / "make_clip.py"), str(tmp_path / "clip.mp4")]
    subprocess.run(script, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    made, kept = (next(windows(path, 4)) for path in (tmp_path / "clip.mp4", ROOT / "examples" / "squat.mp4"))
    assert made.times == kept.times
    assert abs(made.frames.astype(int) - kept.frames.astype(int)).mean() < 3


@pytest.mark.slow
def test_repetitions_are_counted_in_rendered_clips(capsys, monkeypatch):
    options = ["--exercises", "squat", "lunge", "plank", "--clips", "4", "--size", "32", "48"]
    monkeypatch.setattr(sys, "argv", ["repetitions.py", *options])
    runpy.run_path(str(ROOT / "benchmarks" / "repetitions.py"))["main"]()
    report = json.loads(capsys.readouterr().out)
    for kind in ("joints", "pictures"):
        assert (report[kind]["all"]["clips"], report[kind]["all"]["still"]) == (11, 1)
        assert report[kind]["others"]["off_by_one"] > 0.8 and report[kind]["others"]["mae"] < 0.2


@pytest.mark.slow
def test_operators_and_memory_are_counted_without_a_gpu():
    pytest.importorskip("triton", reason="the kernels need Triton")
    script = [sys.executable, str(ROOT / "benchmarks" / "operators.py"), "--model", "mvitv2-small", "--frames", "4"]
    done = subprocess.run([*script, "--size", "96", "--rows", "99"], check=True, capture_output=True, text=True)
    result = json.loads(done.stdout)
    ours, theirs = result["mvitv2-small"], result["torchvision mvit_v2_s"]
    assert ours["most"]["pool_heads"] == ours["most"]["extend_query"] == 16
    assert ours["forward"] < theirs["forward"] / 2 and result["kept, of torchvision mvit_v2_s"] < 0.7


@pytest.mark.slow
def test_the_time_from_a_video_to_its_answer_is_told_by_model(tiny_model, tmp_path, capsys, monkeypatch):
    tiny = tiny_model.save_pretrained(tmp_path / "tiny")
    options = ["--model", "transm3e-lite", "--model", str(tiny), "--repeats", "1"]
    monkeypatch.setattr(sys, "argv", ["end_to_end.py", str(ROOT / "examples" / "squat.mp4"), *options])
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    runpy.run_path(str(ROOT / "benchmarks" / "end_to_end.py"))["main"]()
    lite, small = json.loads(capsys.readouterr().out)["ms"].values()
    assert lite["video"] > lite["clip"] > small["clip"] > 0 and small["of"] < lite["of"] == 1
