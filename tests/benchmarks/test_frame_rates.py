import json
import runpy
import sys
from pathlib import Path

import numpy as np

import amge

ROOT = Path(__file__).parents[2]


def test_it_compares_predictions_at_frame_rates(monkeypatch, capsys, tmp_path, tiny_model):
    folder = amge.assemble(tiny_model.spec).save_pretrained(tmp_path)
    video = ROOT / "examples" / "squat.mp4"
    script = ["frame_rates.py", str(video), "--model", str(folder), "--fps", "5", "10"]
    monkeypatch.setattr(sys, "argv", script)
    script = runpy.run_path(str(ROOT / "benchmarks" / "frame_rates.py"))
    script["main"]()
    (result,) = json.loads(capsys.readouterr().out)
    assert (
        set(result) == {"video", "5 fps", "10 fps", "change"}
        and len(result["5 fps"]) == 6
        and 0 <= result["change"] < 1
    )
    slow, fast = (script["at_rate"](video, fps) for fps in (5, 10))
    assert len(fast) in (2 * len(slow) - 1, 2 * len(slow))
    np.testing.assert_array_equal(fast[::2], slow[: len(fast[::2])])
