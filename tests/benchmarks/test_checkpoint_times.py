import json
import runpy
import sys
from pathlib import Path

import pytest

SCRIPT = str(Path(__file__).parents[2] / "benchmarks" / "checkpoints.py")
BY_HAND, OURS, CACHED = (
    "amge.build, torch.load, load_state_dict",
    "amge.from_pretrained(folder)",
    "amge.from_pretrained(repository in the cache)",
)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is read from /proc")
@pytest.mark.slow
def test_loading_is_set_against_loading_by_hand(capsys, monkeypatch):
    monkeypatch.setattr(
        sys, "argv", ["checkpoints.py", "--model", "transm3e-tiny", "--rounds", "1", "--ways", OURS, CACHED]
    )
    runpy.run_path(SCRIPT, run_name="__main__")
    result = json.loads(capsys.readouterr().out)
    assert result["ways"].keys() == {BY_HAND, OURS, CACHED}
    assert result["ways"][BY_HAND]["of the time by hand"] == 1
    for way in result["ways"].values():
        assert 0 < way["seconds"] < 60 and way["range"] == [way["seconds"]] * 2 and way["peak"] > 0
