import importlib
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from errno import ENOSPC
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import amge
from amge.cli import app
from amge.video.write import write_video

pa = pytest.importorskip("pyarrow")
pc = pytest.importorskip("pyarrow.compute")
pq = pytest.importorskip("pyarrow.parquet")

from amge.bulk import predict_files, predict_files_on_ray  # noqa: E402
from amge.bulk.files import Video, find_videos  # noqa: E402
from amge.bulk.local import in_workers  # noqa: E402
from amge.bulk.predictor import Predictor  # noqa: E402
from amge.bulk.store import Store  # noqa: E402
from amge.bulk.table import failure, rows, schema_of  # noqa: E402
from amge.prediction import WindowPrediction  # noqa: E402

OF_KEYPOINTS = "st-gcn.open-exercise-2d"
GOOD = ("a.mp4", "b.mp4", "deep/er/long.MOV", "deep/z.mp4")
BAD = {"deep/text.mkv": "deep/text.mkv is not a video", "empty.mp4": "empty.mp4 is empty"}


def clip(path, count, seed=0):
    """A video of noise, 20 frames a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = path.with_suffix(path.suffix.lower())
    write_video(plain, np.random.default_rng(seed).integers(0, 256, (count, 48, 64, 3), dtype=np.uint8), fps=20)
    plain.rename(path)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, tiny_spec):
    """A model whose windows last one second."""
    torch.manual_seed(0)
    model = amge.assemble(tiny_spec.replace(seconds=1.0, tag="toy"))
    model.head.projection.weight.data *= 4
    return model.save_pretrained(tmp_path_factory.mktemp("models") / "toy")


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A folder of good and bad videos, and of what is none."""
    folder = tmp_path_factory.mktemp("videos")
    for seed, name in enumerate(GOOD):
        clip(folder / name, 40 if "long" in name else 20, seed)
    (folder / "empty.mp4").touch()
    (folder / "deep/text.mkv").write_text("not a video\n" * 200)
    (folder / "notes.txt").touch()
    (folder / ".hidden.mp4").touch()
    return folder


@pytest.fixture(scope="module")
def expected(tmp_path_factory, checkpoint, videos):
    """The results of this process alone."""
    out = tmp_path_factory.mktemp("results") / "alone.parquet"
    assert predict_files(videos, out, checkpoint, workers=0) == (out, 6, 2)
    return pq.read_table(out)


@pytest.fixture(scope="module")
def skeletons(tmp_path_factory):
    """A folder of files of keypoints, of which workers may die, and the results of those that are not lethal."""
    folder = tmp_path_factory.mktemp("skeletons")
    rng = np.random.default_rng(0)
    for name in ("a", "b/c", "b/two", "slow", "z-lethal"):
        persons, frames = (2, 240) if name == "b/two" else (1, 24)
        path = folder / f"{name}.npz"
        path.parent.mkdir(exist_ok=True)
        keypoints = rng.uniform(50, 400, (persons, frames, 17, 2))
        if persons == 2:
            keypoints[1, :150] = np.nan  # comes later
        np.savez(path, keypoints=keypoints, fps=12)
    (folder / "broken.json").write_text("{")
    out = tmp_path_factory.mktemp("results") / "skeletons.parquet"
    predict_files(folder, out, OF_KEYPOINTS, workers=0)
    return folder, apart(pq.read_table(out), "z-lethal.npz")[0]


@pytest.fixture
def asked(monkeypatch):
    """The videos that this process predicts, by id."""
    asked, plain = [], Predictor.__call__

    def noted(self, video):
        asked.append(video.id)
        return plain(self, video)

    monkeypatch.setattr(Predictor, "__call__", noted)
    return asked


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """What a process that starts now does when it opens a file: dies over `z-lethal.npz`; over the first `slow.npz` it
    leaves its id in the file that this fixture is, and sleeps."""
    caught = tmp_path / "caught"
    (tmp_path / "sitecustomize.py").write_text(f"""
import os, signal, sys, time

def hook(event, arguments):
    if event == "open" and str(arguments[0]).endswith("lethal.npz"):
        os.kill(os.getpid(), signal.SIGKILL)
    if event == "open" and str(arguments[0]).endswith("slow.npz") and not os.path.exists({str(caught)!r}):
        with open({str(caught)!r} + ".tmp", "w") as file:
            file.write(str(os.getpid()))
        os.replace({str(caught)!r} + ".tmp", {str(caught)!r})
        time.sleep(60)

sys.addaudithook(hook)
""")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    return caught


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def kill_caught(trap):
    until(trap.exists)
    os.kill(int(trap.read_text()), signal.SIGKILL)


def same(table, expected):
    """Whether two tables are the same, but for 1e-6 in numbers."""
    assert table.schema.equals(expected.schema, check_metadata=True)
    assert len(table) == len(expected)
    for name in table.column_names:
        if pa.types.is_floating(table.schema.field(name).type):
            one, two = (np.array(each[name].to_pylist(), float) for each in (table, expected))
            np.testing.assert_allclose(one, two, atol=1e-6, err_msg=name)
        else:
            assert table[name].to_pylist() == expected[name].to_pylist(), name


def apart(table, *names):
    """A table without some videos, and the rows of those."""
    named = pc.is_in(table["video"], pa.array(names))
    return table.filter(pc.invert(named)), table.filter(named).to_pylist()


# What is in the results


def test_a_row_for_each_window(checkpoint, videos, expected):
    model = amge.from_pretrained(checkpoint)
    named = {name: [row for row in expected.to_pylist() if row["video"] == name] for name in GOOD}
    assert {name: len(found) for name, found in named.items()} == dict(zip(GOOD, (1, 1, 3, 1), strict=True))
    for name, found in named.items():
        for number, (row, window) in enumerate(zip(found, model.predict_windows(videos / name), strict=True)):
            assert (row["window"], row["start"], row["end"]) == (number, window.start, window.end)
            assert [row[label] for label in model.spec.labels] == pytest.approx(list(window.probabilities.values()))
            active = [label for label, p in window.probabilities.items() if p >= 0.5]
            assert sorted(row["active"]) == sorted(active)
            assert row["active"] == sorted(active, key=lambda label: -row[label])
            assert (row["person"], row["error"]) == (None, None)
    assert 0 < len(named["a.mp4"][0]["active"]) < 20


def test_a_bad_video_is_a_row_with_an_error(expected):
    found = {row["video"]: row for row in expected.to_pylist() if row["error"]}
    assert found.keys() == BAD.keys()
    for name, row in found.items():
        assert row["error"].startswith(BAD[name])
        assert {key for key, value in row.items() if value is not None} == {"video", "error"}


def test_rows_are_sorted(expected):
    keys = [(row["video"], row["window"] or 0) for row in expected.to_pylist()]
    assert keys == sorted(keys)


def test_columns_and_what_the_file_says_about_itself(checkpoint, expected):
    labels = amge.from_pretrained(checkpoint).spec.labels
    assert [(field.name, str(field.type)) for field in expected.schema] == [
        ("video", "string"),
        ("window", "int32"),
        ("start", "double"),
        ("end", "double"),
        ("person", "int32"),
        *((label, "float") for label in labels),
        ("active", "list<element: string>"),
        ("verdict", "string"),
        ("reasons", "list<element: string>"),
        ("error", "string"),
    ]
    said = {key.decode(): value.decode() for key, value in expected.schema.metadata.items()}
    assert (said["amge.model"], said["amge.threshold"]) == ("transm3e-lite.toy", "0.5")
    assert said["amge.version"] == amge.__version__
    assert said["amge.labels"].startswith('["neck_head", "chest"')
    assert len(said["amge.weights"]) == 64


def test_results_do_not_depend_on_where_the_folder_lies(checkpoint, videos, expected, tmp_path, monkeypatch):
    shutil.copytree(videos, tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    predict_files("moved", "results.parquet", checkpoint, workers=0)
    same(pq.read_table("results.parquet"), expected)


def test_a_list_of_files(checkpoint, videos, tmp_path, monkeypatch):
    monkeypatch.chdir(videos)
    out = tmp_path / "new" / "results.parquet"
    assert predict_files(["b.mp4", "a.mp4", "./b.mp4", "none.mp4"], out, checkpoint, workers=0).failed == 1
    found = {row["video"]: row["error"] for row in pq.read_table(out).to_pylist()}
    assert found == {"a.mp4": None, "b.mp4": None, "none.mp4": "none.mp4: no such file or folder; check the path"}


def test_fps_is_of_keypoints_and_noted(tmp_path, videos):
    points = np.random.default_rng(0).uniform(50, 400, (24, 17, 3))
    np.savez(tmp_path / "walk.npz", keypoints=points, fps=24)
    for fps, end, noted in ((None, 1.0, None), (12.0, 2.0, b"12.0")):
        out = tmp_path / f"{fps}.parquet"
        predict_files([tmp_path / "walk.npz"], out, OF_KEYPOINTS, fps=fps, workers=0)
        table = pq.read_table(out)
        assert table["end"].to_pylist() == [end] and table.schema.metadata.get(b"amge.fps") == noted
    with pytest.raises(ValueError, match=r"a\.mp4 has frames a second of its own"):
        both = [tmp_path / "walk.npz", videos / "a.mp4"]
        predict_files(both, tmp_path / "no.parquet", OF_KEYPOINTS, fps=12, workers=0)
    assert not (tmp_path / "no.parquet").exists()


def test_the_device_is_that_of_the_process_that_predicts(checkpoint, videos, tmp_path):
    with pytest.raises(ValueError, match="there is no device 'banana' here"):
        Predictor(checkpoint, device="banana")
    predictor = Predictor(checkpoint, device="cpu")
    predictor.device = torch.device("meta")  # stands for one that is not the CPU
    again = pickle.loads(pickle.dumps(predictor))
    assert not any(value.is_meta for value in again.model.parameters())
    again(Video("a.mp4", str(videos / "a.mp4")))
    assert all(value.is_meta for value in again.model.parameters())
    with pytest.raises(ValueError, match="there is no device 'banana' here"):
        predict_files(videos, tmp_path / "results.parquet", checkpoint, device="banana")


def test_a_row_for_each_person(skeletons):
    folder, table = skeletons
    found = {row["video"]: row for row in table.to_pylist()}
    assert list(found) == ["a.npz", "b/c.npz", "b/two.npz", "broken.json", "slow.npz"]
    assert found["broken.json"]["error"].startswith("broken.json does not hold skeletons")
    assert table.schema.metadata[b"amge.pose"] == b"mediapipe"
    windows = list(amge.build("st-gcn", pretrained="open-exercise-2d").predict_windows(folder / "b/two.npz"))
    pair = [row for row in table.to_pylist() if row["video"] == "b/two.npz"]
    assert [(row["start"], row["end"], row["person"]) for row in pair] == [(w.start, w.end, w.person) for w in windows]
    starts = sorted({window.start for window in windows})
    assert [row["window"] for row in pair] == [starts.index(window.start) for window in windows]
    assert {row["person"] for row in pair if row["window"] == len(starts) - 1} == {0, 1}
    for row, window in zip(pair, windows, strict=True):
        assert [row[label] for label in window.probabilities] == pytest.approx(list(window.probabilities.values()))


def test_an_error_of_ours_does_not_end_the_run(checkpoint, videos, tmp_path, monkeypatch):
    def fail(self, source, progress=None, pose=None, fps=None):
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(amge.MuscleModel, "predict_windows", fail)
    predict_files(videos, tmp_path / "results.parquet", checkpoint, workers=0)
    found = pq.read_table(tmp_path / "results.parquet")
    assert set(found["error"].to_pylist()) == {"RuntimeError: two lines"}
    assert len(found) == 6


def test_a_name_that_is_no_utf_8(tmp_path):
    name = b"caf\xe9.mp4"
    try:
        (tmp_path / os.fsdecode(name)).touch()
    except OSError:
        pytest.skip("this file system has no such names")
    (video,) = find_videos(tmp_path, "rgb")
    assert video.id == "caf\\udce9.mp4"
    assert os.fsencode(video.path).endswith(name)


# Worker processes


def test_a_worker_gives_the_same(checkpoint, videos, expected, tmp_path):
    out = tmp_path / "results.parquet"
    result = amge_cli("predict", videos, "--out", out, "--model", checkpoint)
    assert (result.exit_code, result.stdout) == (2, f"6 videos in {out}\n")
    assert result.stderr == f"error: 2 of 6 videos could not be used; 'error' in {out} says why\n"
    same(pq.read_table(out), expected)
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.slow
def test_two_workers_that_die_give_the_same(skeletons, tmp_path, trap):
    folder, expected = skeletons
    reported = []
    out = tmp_path / "results.parquet"
    killer = Thread(target=kill_caught, args=(trap,))
    killer.start()
    predict_files(folder, out, OF_KEYPOINTS, workers=2, save_every=0, progress=lambda *each: reported.append(each))
    killer.join()
    assert trap.exists()
    found, (lethal,) = apart(pq.read_table(out), "z-lethal.npz")
    same(found, expected)
    assert lethal["error"] == "its worker process was killed (SIGKILL), 2 times"
    assert reported == [(done, 6) for done in range(7)]
    assert list(out.parent.glob("results*")) == [out]


class Unfit:
    """What ends the process that unpickles it."""

    def __reduce__(self):
        return os._exit, (3,)


def test_a_worker_that_can_not_start():
    with pytest.raises(ChildProcessError, match="ended with code 3 before it had the model"):
        list(in_workers(Unfit(), [Video("a", "a")], 1))
    with pytest.raises(ValueError, match=r"can't be sent to worker processes .*; take workers=0"):
        list(in_workers(lambda video: None, [Video("a", "a")], 1))


# Going on


SCRIPT = f"""
import sys
from amge.bulk import predict_files

if __name__ == "__main__":
    predict_files(sys.argv[1], sys.argv[2], {OF_KEYPOINTS!r}, workers=1, save_every=0)
"""


def gone(process):
    """Whether a process has ended, if perhaps nobody has asked how."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")")[-1].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on(skeletons, tmp_path, trap, asked):
    folder, expected = skeletons
    out, parts = tmp_path / "results.parquet", tmp_path / "results.parquet.parts"
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    run = subprocess.Popen([sys.executable, script, folder, out])
    until(trap.exists)
    with pytest.raises(ValueError, match="another run writes"):
        predict_files(folder, out, OF_KEYPOINTS, workers=0)
    run.kill()
    run.wait()
    until(lambda: gone(trap.read_text()))
    (parts / ".part-00000005.parquet").write_bytes(b"PAR1 half")
    assert len(list(parts.glob("0*.parquet"))) == 4
    assert not out.exists()

    assert predict_files(folder, out, OF_KEYPOINTS, workers=0) == (out, 6, 1)
    assert asked == ["slow.npz", "z-lethal.npz"]
    assert not parts.exists()
    same(apart(pq.read_table(out), "z-lethal.npz")[0], expected)


def test_ctrl_c_keeps_what_is_done(checkpoint, videos, tmp_path, asked):
    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    out = tmp_path / "results.parquet"
    with pytest.raises(KeyboardInterrupt):
        predict_files(videos, out, checkpoint, workers=0, progress=stop)
    predict_files(videos, out, checkpoint, workers=0)
    assert Counter(asked) == dict.fromkeys([*GOOD, *BAD], 1)


def test_a_full_disk(checkpoint, videos, expected, tmp_path, monkeypatch, asked):
    out, parts, plain = tmp_path / "results.parquet", tmp_path / "results.parquet.parts", pq.write_table

    def full(table, file, **settings):
        if len(list(parts.glob("0*.parquet"))) == 2:
            file.write(b"PAR1 half of it")
            raise OSError(ENOSPC, os.strerror(ENOSPC))
        plain(table, file, **settings)

    with monkeypatch.context() as patched:
        patched.setattr(pq, "write_table", full)
        with pytest.raises(OSError, match=r"00000003.parquet can't be written: the disk is full; .* is kept$"):
            predict_files(videos, out, checkpoint, workers=0, save_every=0)
    assert sorted(path.name for path in parts.iterdir()) == ["00000001.parquet", "00000002.parquet", "lock", "run.json"]
    predict_files(videos, out, checkpoint, workers=0)
    assert asked == [*sorted([*GOOD, *BAD])[:3], *sorted([*GOOD, *BAD])[2:]]
    same(pq.read_table(out), expected)


@pytest.mark.parametrize("content", [None, "", "[]", '{"root": 1}'])
def test_a_damaged_note_beside_the_parts_is_named(tmp_path, content):
    schema = schema_of(["chest"], {"model": "toy"})
    store = Store(tmp_path / "results.parquet", schema, "/videos")
    store.add([failure(schema, "a.mp4", "broken")])
    store.close()
    note = store.folder / "run.json"
    note.unlink() if content is None else note.write_text(content)
    with pytest.raises(ValueError, match=f"{re.escape(str(note))} .*; delete {re.escape(str(store.folder))}, and"):
        Store(tmp_path / "results.parquet", schema, "/videos")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_disk_that_is_full_for_real(tmp_path):
    schema = schema_of(["chest"], {"model": "toy"})
    store = Store(tmp_path / "results.parquet", schema, "/videos")
    (store.folder / ".part-00000001.parquet").symlink_to("/dev/full")
    with pytest.raises(OSError, match="the disk is full"):
        store.add([failure(schema, "a.mp4", "broken")])
    store.close()
    assert not list(store.folder.glob("*.parquet"))


def test_a_full_disk_at_the_end_keeps_the_parts(tmp_path, monkeypatch):
    schema = schema_of(["chest"], {"model": "toy"})
    store = Store(tmp_path / "results.parquet", schema, "/videos")
    store.add([failure(schema, "a.mp4", "broken")])
    (tmp_path / ".part-results.parquet").symlink_to("/dev/full")
    with pytest.raises(OSError, match="the disk is full"):
        store.merge()
    assert not store.out.exists()
    store.merge()
    store.close()
    assert pq.read_table(store.out)["video"].to_pylist() == ["a.mp4"]


@pytest.fixture
def cut(checkpoint, videos, tmp_path):
    """The file of a run that was cut off after one video."""

    def stop(done, total):
        if done == 1:
            raise KeyboardInterrupt

    out = tmp_path / "results.parquet"
    with pytest.raises(KeyboardInterrupt):
        predict_files(videos, out, checkpoint, workers=0, progress=stop)
    return out


def test_parts_of_another_run_are_refused(cut, checkpoint, videos, tmp_path):
    with pytest.raises(ValueError, match=r"parts is of another run .threshold 0.5 and 0.3.; go on with those"):
        predict_files(videos, cut, checkpoint, workers=0, threshold=0.3)
    torch.manual_seed(1)
    other = amge.assemble(amge.from_pretrained(checkpoint).spec).save_pretrained(tmp_path / "other")
    with pytest.raises(ValueError, match=r"of another run .weights .* and .*; go on with those, or delete it"):
        predict_files(videos, cut, other, workers=0)
    with pytest.raises(ValueError, match=r"model transm3e-lite.toy and transm3e-lite.open-exercise"):
        predict_files(videos, cut, workers=0)
    with pytest.raises(ValueError, match="is of the videos in"):
        predict_files(videos / "deep", cut, checkpoint, workers=0)
    assert predict_files(videos, cut, checkpoint, workers=0).videos == 6


def test_errors_are_tried_again_when_asked(checkpoint, videos, tmp_path, asked):
    folder, out = tmp_path / "videos", tmp_path / "results.parquet"
    shutil.copytree(videos, folder)
    predict_files(folder, out, checkpoint, workers=0)
    first = out.read_bytes()
    with pytest.raises(ValueError, match=r"results.parquet exists; delete it or name another file, or pass --retry"):
        predict_files(folder, out, checkpoint, workers=0)
    with pytest.raises(ValueError, match=r"is of another run .threshold 0.5 and 0.3.; name another file"):
        predict_files(folder, out, checkpoint, workers=0, threshold=0.3, retry_errors=True)
    assert out.read_bytes() == first

    shutil.copy(videos / "a.mp4", folder / "empty.mp4")
    shutil.copy(videos / "a.mp4", folder / "new.mp4")
    (folder / "b.mp4").unlink()
    asked.clear()
    assert predict_files(folder, out, checkpoint, workers=0, retry_errors=True) == (out, 7, 1)
    assert asked == ["deep/text.mkv", "empty.mp4", "new.mp4"]
    found = {row["video"]: row for row in pq.read_table(out).to_pylist()}
    assert list(found) == sorted([*GOOD, *BAD, "new.mp4"])
    assert found["empty.mp4"] == {**found["a.mp4"], "video": "empty.mp4"}


def test_a_file_that_is_not_ours_is_left_alone(checkpoint, videos, tmp_path):
    out = tmp_path / "results.parquet"
    out.write_text("notes")
    for retry in (False, True):
        with pytest.raises(ValueError, match=r"results.parquet (exists|is not a Parquet file)"):
            predict_files(videos, out, checkpoint, workers=0, retry_errors=retry)
    pq.write_table(pa.table({"video": ["a.mp4"]}), tmp_path / "other.parquet")
    with pytest.raises(ValueError, match="is of another run"):
        predict_files(videos, tmp_path / "other.parquet", checkpoint, workers=0, retry_errors=True)
    assert out.read_text() == "notes"


def test_many_parts_become_one_sorted_file(tmp_path, monkeypatch):
    monkeypatch.setattr("amge.bulk.store.GROUP", 50)
    monkeypatch.setattr("amge.bulk.store.HELD", 2)
    schema = schema_of(["chest"], {"model": "toy"})
    store = Store(tmp_path / "results.parquet", schema, "/videos")
    names = [f"{i:03d}.mp4" for i in range(120)]
    for start in range(7):
        store.add([failure(schema, name, "first try") for name in reversed(names[start::7])])
    windows = [WindowPrediction(float(i), i + 1.0, {"chest": i / 100}, None) for i in range(90)]
    store.add([rows(schema, names[5], windows, 0.5)])
    store.merge()
    store.close()
    found = pq.ParquetFile(store.out)
    assert found.num_row_groups > 2
    table = found.read()
    assert table["video"].to_pylist() == sorted([*names, *names[5:6] * 89])
    assert table.filter(pc.equal(table["video"], names[5]))["window"].to_pylist() == list(range(90))
    assert store.failed == {*names} - {names[5]}
    found.close()


# What can't be done is said at once


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"model": "transm3e-litte"}, "did you mean 'transm3e-lite'"),
        ({"model": "/nowhere/toy"}, "does not exist"),
        ({"out": "results.csv"}, "name them .*results.parquet, not"),
        ({"workers": -1}, "workers must be a whole number"),
        ({"threshold": 1.5}, "threshold must lie in 0..1"),
        ({"pose": "mediapipe"}, "a pose estimator is for models that see joints"),
        ({"source": "none"}, "none: no such file"),
        ({"source": "hollow"}, "no videos in .*hollow: none of its files ends in .mp4"),
    ],
    ids=str,
)
def test_what_is_refused(checkpoint, videos, tmp_path, monkeypatch, settings, message):
    monkeypatch.chdir(tmp_path)
    Path("hollow").mkdir()
    with pytest.raises((ValueError, OSError), match=message):
        predict_files(**{"source": videos, "out": "results.parquet", "model": checkpoint, "workers": 0} | settings)
    assert list(tmp_path.iterdir()) == [tmp_path / "hollow"]


def test_a_label_that_is_called_like_a_column(checkpoint, videos, tmp_path):
    model = amge.from_pretrained(checkpoint)
    model.reset_head(2, ["chest", "error"])
    model.save_pretrained(tmp_path / "clash")
    with pytest.raises(ValueError, match="label 'error' of this model is called like a column"):
        predict_files(videos, tmp_path / "results.parquet", tmp_path / "clash", workers=0)


def test_without_pyarrow(monkeypatch, videos, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "amge.bulk")
    with pytest.raises(ImportError, match=r"needs pyarrow: pip install 'amge\[bulk\]'"):
        importlib.import_module("amge.bulk")
    result = CliRunner().invoke(app, ["predict", str(videos), "--out", str(tmp_path / "results.parquet")])
    assert (result.exit_code, result.stderr) == (2, "error: bulk prediction needs pyarrow: pip install 'amge[bulk]'\n")


def test_without_ray(monkeypatch, checkpoint, videos, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "amge.bulk.on_ray", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'amge\[ray\]'"):
        predict_files_on_ray(videos, tmp_path / "results.parquet", checkpoint)
    assert list(tmp_path.iterdir()) == []


# The command


def amge_cli(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_command(checkpoint, videos, tmp_path):
    good = tmp_path / "good.parquet"
    options = ("--out", good, "--workers", 0, "--model", checkpoint, "--threshold", 0.25)
    result = amge_cli("predict", videos / "b.mp4", videos / "a.mp4", *options)
    assert (result.exit_code, result.stderr, result.stdout) == (0, "", f"2 videos in {good}\n")
    assert pq.read_schema(good).metadata[b"amge.threshold"] == b"0.25"
    assert pq.read_table(good)["video"].to_pylist() == [str(videos / "a.mp4"), str(videos / "b.mp4")]
    assert amge_cli("predict", videos / "a.mp4", *options, "--retry-errors").stdout == f"2 videos in {good}\n"
    refused = amge_cli("predict", videos / "a.mp4", *options)
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)


def test_a_model_of_ones_own(checkpoint, videos, expected, tmp_path):
    out = tmp_path / "results.parquet"
    predict_files(videos, out, amge.from_pretrained(checkpoint), workers=0)
    same(pq.read_table(out), expected)


@pytest.mark.parametrize("options", [("--json",), ("--csv",), ("--save", "a.png")])
def test_options_that_exclude_out(videos, options, tmp_path):
    result = amge_cli("predict", videos, "--out", tmp_path / "results.parquet", *options)
    assert (result.exit_code, result.stderr) == (
        2,
        "error: --out excludes --json, --csv, --save, --expect, --like and --repetitions\n",
    )


@pytest.mark.parametrize("options", [("--workers", 2), ("--ray",), ("--retry-errors",)])
def test_options_that_need_out(videos, options):
    result = amge_cli("predict", videos, *options)
    assert (result.exit_code, result.stderr) == (2, "error: --workers, --ray and --retry-errors need --out\n")


# Ray


@pytest.fixture
def cluster(trap, monkeypatch):
    """Ray on this machine, with traps in its workers."""
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_BACKEND_LOG_LEVEL", "fatal")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield ray
    ray.shutdown()


def test_ray_gives_the_same_even_when_workers_die(cluster, skeletons, tmp_path, trap):
    folder, expected = skeletons
    out = tmp_path / "results.parquet"
    killer = Thread(target=kill_caught, args=(trap,))
    killer.start()
    predict_files_on_ray(folder, out, OF_KEYPOINTS, workers=2)
    killer.join()
    assert trap.exists()
    found, (lethal,) = apart(pq.read_table(out), "z-lethal.npz")
    same(found, expected)
    assert lethal["error"] == "its worker process died, 2 times"
    assert cluster.is_initialized()


def test_killed_after_the_last_part_went_it_is_done_when_called_again(tmp_path):
    schema, out = schema_of(["chest"], {"model": "toy"}), tmp_path / "results.parquet"
    killed = Store(out, schema, "/videos")
    killed.add([failure(schema, "a.mp4", "broken")])
    killed.merge()
    killed.lock.close()
    again = Store(out, schema, "/videos")
    assert set(again.where) == {"a.mp4"}
    again.merge()
    again.close()
    assert list(tmp_path.iterdir()) == [out] and len(pq.read_table(out)) == 1
    with pytest.raises(ValueError, match="exists; delete it"):
        Store(out, schema, "/videos")


def test_what_a_kill_left_unfinished_goes_with_the_next_run(tmp_path):
    schema = schema_of(["chest"], {"model": "toy"})
    left = tmp_path / ".part-results.parquet", tmp_path / "results.parquet.parts" / ".part-00000001.parquet"
    left[1].parent.mkdir()
    for path in left:
        path.write_bytes(b"PAR1 half")
    Store(tmp_path / "results.parquet", schema, "/videos").close()
    assert list(tmp_path.iterdir()) == []
