"""Odd files do no harm: a seeded sample of each kind here, thousands by hand."""

import importlib
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="files and memory are read from /proc")


@pytest.fixture(scope="module")
def fuzz():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        importlib.import_module("odd_files")
        yield importlib.import_module("fuzz")


@pytest.fixture(scope="module")
def worker(fuzz, tmp_path_factory):
    worker = fuzz.Worker(tmp_path_factory.mktemp("worker") / "log")
    yield worker
    worker.end()


@pytest.mark.parametrize("kind", ["video", "pictures", "keypoints", "checkpoints"])
def test_odd_files_do_no_harm(fuzz, worker, kind):
    found = fuzz.fuzz(worker, kind, seed=7, numbers=range(4))
    assert found["files"] == 4 and sum(found["answers"].values()) >= 4
    assert found["faults"] == []


def test_files_come_from_the_seed_alone(fuzz, tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    one, two = (next(fuzz.cases("video", 3, range(1), tmp_path / folder)) for folder in ("one", "two"))
    assert one[2:] == two[2:] and one[1].read_bytes() == two[1].read_bytes()
    assert one[2:] != next(fuzz.cases("video", 4, range(1), tmp_path))[2:]


HARM = {
    "import os; os.kill(os.getpid(), 11)": "ends the process with signal SIGSEGV",
    "import time; time.sleep(60)": "hangs in",
    "raise KeyError('index')": "windows: KeyError: 'index'",
    "raise VideoError('x' * 1000)": "windows: 1000 characters",
    "raise VideoError('no')": "windows: does not name the file",
    "import warnings; warnings.warn('odd')": "windows: warns UserWarning: odd",
    "kept.append(open(path))": "1 file descriptors left open",
    "kept.append(b'x' * 400_000_000)": "takes",
}


def test_harm_is_noticed_and_named(fuzz, tmp_path, monkeypatch):
    """By a library that does all that it must not, one file after another; a process that dies is started again."""
    script = tmp_path / "harmful.py"
    script.write_text(f"""
import sys
sys.path.insert(0, {str(ROOT / "benchmarks")!r})
import fuzz
from amge.errors import VideoError
kept = []

def read(path, sound):
    reader = fuzz.Reader(path, (VideoError,))
    reader("windows", lambda: exec(path.read_text(), {{"path": path, "kept": kept, "VideoError": VideoError}}))
    return reader

fuzz.HANG, fuzz.READERS = 2, {{"video": read}}
fuzz.serve()
""")
    monkeypatch.setattr(fuzz, "__file__", str(script))
    worker = fuzz.Worker(tmp_path / "log")
    for number, (code, fault) in enumerate(HARM.items()):
        path = tmp_path / f"{number}.txt"
        path.write_text(code)
        assert any(fault in each for each in worker.read("video", path, False)["faults"]), code
    path.write_text("pass")
    assert worker.read("video", path, True)["faults"] == []
    assert worker.deaths == 2 and worker.end() == 0


def test_an_odd_value_is_put_anywhere(fuzz):
    odd_files, changed = importlib.import_module("odd_files"), set()
    for seed in range(60):
        content = {"a": [1, {"b": 2}], "c": "text"}
        changed.add(odd_files.odd_value(content, np.random.default_rng(seed)).split(" = ")[0].removeprefix("without "))
    assert {"['a']", "['a'][0]", "['a'][1]['b']", "['c']"} <= changed
