"""Pickled skeleton data sets to npz files."""

import collections
import json
import os
import pickle

import numpy as np
import pytest
from typer.testing import CliRunner

from amge.cli import app
from amge.convert.skeletons import STAND_INS, from_pickle
from amge.skeleton.files import read_skeletons


def annotation(name, persons=1, frames=4, label=3, score=0.9):
    rng = np.random.default_rng(len(name))
    return {
        "frame_dir": name,
        "label": np.int64(label),
        "img_shape": (240, 320),
        "total_frames": frames,
        "keypoint": rng.uniform(1, 200, (persons, frames, 17, 2)).astype(np.float16),
        "keypoint_score": np.full((persons, frames, 17), score, np.float16),
    }


def write(path, content):
    path.write_bytes(pickle.dumps(content))
    return path


@pytest.fixture
def data_set(tmp_path):
    annotations = [annotation("squat_1"), annotation("lunge", persons=2), annotation("empty", score=0)]
    split = {"train": ["squat_1", "empty"], "all": ["squat_1", "lunge"]}
    return write(tmp_path / "data.pkl", {"split": split, "annotations": annotations})


def test_each_sample_becomes_a_file(data_set, tmp_path):
    assert from_pickle(data_set, tmp_path / "out", allow_pickle=True, fps=25) == 2
    index = {sample["id"]: sample for sample in json.loads((tmp_path / "out" / "index.json").read_text())}
    assert index["squat_1"] == {"id": "squat_1", "label": 3, "split": ["train", "all"], "file": "squat_1.npz"}
    assert "nobody is in these skeletons" in index["empty"]["error"] and "file" not in index["empty"]
    read = read_skeletons(tmp_path / "out" / "lunge.npz")
    expected = annotation("lunge", persons=2)
    np.testing.assert_array_equal(read.keypoints[..., :2], expected["keypoint"].astype(np.float32))
    np.testing.assert_allclose(read.keypoints[..., 2], 0.9, atol=1e-3)
    np.testing.assert_allclose(read.times, np.arange(4) / 25)


def test_a_pickle_is_opened_on_an_explicit_word_only(data_set, tmp_path):
    with pytest.raises(ValueError, match="which can hold code; say allow_pickle"):
        from_pickle(data_set, tmp_path / "out")
    result = CliRunner().invoke(app, ["skeletons", str(data_set), str(tmp_path / "out")])
    assert result.exit_code == 2 and "--allow-pickle" in result.stderr and not (tmp_path / "out").exists()
    result = CliRunner().invoke(app, ["skeletons", str(data_set), str(tmp_path / "out"), "--allow-pickle"])
    assert result.exit_code == 0 and result.stdout.startswith("2 samples")


class Attack:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_code_in_a_pickle_is_not_run(tmp_path):
    path = write(tmp_path / "bad.pkl", {"annotations": [Attack(tmp_path / "sprung")]})
    with pytest.raises(ValueError, match=r"asks for posix.mkdir, which no skeleton needs"):
        from_pickle(path, tmp_path / "out", allow_pickle=True)
    assert not (tmp_path / "sprung").exists() and not (tmp_path / "out").exists()


class Reduce:
    """Pickles as a call with arguments, and a state."""

    def __init__(self, call, arguments, state=None):
        self.parts = (call, arguments) if state is None else (call, arguments, state)

    def __reduce__(self):
        return self.parts


HOSTILE = {
    "memory by an interface": {"__array_interface__": {"data": (16, True), "shape": (1, 2, 1, 2), "typestr": "<f8"}},
    "pointers": Reduce(np.ndarray, ((1, 2, 1, 2), "O", b"A" * 32)),
    "objects": np.array([[[[{}, {}]]]], dtype=object),
    "a dictionary of its own": collections.OrderedDict(a=1),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_arrays_that_are_none_are_refused(name, tmp_path):
    entry = annotation("a") | {"keypoint": HOSTILE[name]}
    with pytest.raises(ValueError):
        from_pickle(write(tmp_path / "bad.pkl", [entry]), tmp_path / "out", allow_pickle=True)
    assert not (tmp_path / "out").exists()


def test_a_pickle_gets_nothing_of_numpy_s():
    kinds = {(module.split(".")[0], name) for module, name in STAND_INS}
    named = {("numpy", name) for name in ("_reconstruct", "scalar", "_frombuffer", "ndarray", "dtype")}
    assert kinds == named | {("__builtin__", "bytes"), ("_codecs", "encode")}
    assert all(given is bytes or given.__module__ == "amge.convert.skeletons" for given in STAND_INS.values())


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol(protocol, tmp_path):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps([annotation("a")], protocol))
    assert from_pickle(path, tmp_path / "out", allow_pickle=True) == 1
    expected = annotation("a")["keypoint"].astype(np.float32)
    np.testing.assert_array_equal(read_skeletons(tmp_path / "out" / "a.npz").keypoints[..., :2], expected)


@pytest.mark.parametrize("name", ["../escape", "/tmp/x", "", "..", "a\0b", "x" * 300])
def test_names_that_lead_out_of_the_folder_are_refused(tmp_path, name):
    path = write(tmp_path / "bad.pkl", [annotation(name)])
    with pytest.raises(ValueError, match="a name that is no file name"):
        from_pickle(path, tmp_path / "out", allow_pickle=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "content, message",
    [
        ({"annotations": [{"frame_dir": "a"}]}, "another layout, without 'keypoint'"),
        ({"samples": []}, "another layout, without 'annotations'"),
        ([annotation("a"), annotation("a")], "two samples of one name"),
        ([annotation("a") | {"keypoint": np.zeros((1, 4, 25, 3))}], r"has joints \(1, 4, 25, 3\); \(P, T, V, 2\)"),
        ([annotation("a") | {"label": "squat"}], "a label that is no whole number"),
        (7, "another layout"),
    ],
)
def test_other_layouts_are_refused(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        from_pickle(write(tmp_path / "bad.pkl", content), tmp_path / "out", allow_pickle=True)
    (tmp_path / "not.pkl").write_bytes(b"not a pickle")
    with pytest.raises(ValueError, match="not a pickle of skeletons"):
        from_pickle(tmp_path / "not.pkl", tmp_path / "out", allow_pickle=True)


def test_nothing_is_overwritten(data_set, tmp_path):
    with pytest.raises(ValueError, match="fps must be a number over 0"):
        from_pickle(data_set, tmp_path / "new", allow_pickle=True, fps=0)
    assert not (tmp_path / "new").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(ValueError, match="exists already"):
        from_pickle(data_set, tmp_path / "out", allow_pickle=True)
