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
