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
