import json
import runpy
import sys
from pathlib import Path

import pytest

SCRIPT = str(Path(__file__).parents[2] / "benchmarks" / "loading.py")
SMALL = ["--videos", "2", "--seconds", "0.5", "--size", "64", "--frames", "4", "--threads", "1", "--batch", "2"]


def run(capsys, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["loading.py", *SMALL, *map(str, arguments)])
    runpy.run_path(SCRIPT, run_name="__main__")
    return json.loads(capsys.readouterr().out)


def test_speed_is_set_against_decoding_and_the_model(capsys, monkeypatch, prepared, tmp_path):
    out = tmp_path / "result.json"
    given = ["--model", "transm3e-tiny", "--workers", 0, 1, "--rounds", 2, "--photos", prepared, "--out", out]
    result = run(capsys, monkeypatch, *given)
    assert result == json.loads(out.read_text())
    rates = result["per second"]
    assert result["videos"] == {"count": 2, "frames": 15, "height and width": [64, 64]}
    loaders = {f"{kind}, {n} workers" for kind in ("train", "photographs") for n in (0, 1)}
    others = {"decode", "naive", "test, 1 view", "test, 5 views", "model transm3e-tiny"}
    assert rates.keys() == loaders | others
    assert all(0 < least <= middle <= most for middle, least, most in rates.values())
    ratio = result["loading / model"]["transm3e-tiny"]
    assert ratio.keys() == loaders
    expected = rates["train, 0 workers"][0] / rates["model transm3e-tiny"][0]
    assert ratio["train, 0 workers"] == pytest.approx(expected, abs=0.1)
    assert result["frames per second of decode"] == pytest.approx(15 * rates["decode"][0], rel=0.01)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="memory is read from /proc")
def test_memory_is_that_of_all_processes(capsys, monkeypatch):
    result = run(capsys, monkeypatch, "--memory", 96, "--files", 3, "--workers", 2)
    assert (result["samples"], result["files"], result["workers"]) == (96, 3, 2)
    assert result["drawn"][-1] == 96 and result["drawn"] == sorted(result["drawn"])
    assert len(result["MB"]["Rss"]) == len(result["drawn"])
    (own,) = (line.split()[1] for line in Path("/proc/self/smaps_rollup").read_text().splitlines() if line[:3] == "Rss")
    assert result["MB"]["Rss"][0] > 1.3 * int(own) / 1024  # the workers count as well
    assert abs(result["MB per 1,000 samples after the first tenth"]["Rss"]) < 1000


def test_a_folder_without_videos(capsys, monkeypatch, tmp_path):
    with pytest.raises(SystemExit, match="holds no videos"):
        run(capsys, monkeypatch, tmp_path)
