"""Data sets by name, the rendered one, and the commands of `amge data`."""

import json
from collections import Counter
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from typer.testing import CliRunner

from amge.cli import app
from amge.data.datasets import DATASETS, load_samples, register_dataset
from amge.data.prepare.synthetic import UNSEEN, plan, prepare
from amge.data.sample import Sample, leaks
from amge.muscles import REGION_IDS
from amge.skeleton.files import read_skeletons
from amge.synthetic import EXERCISES
from amge.video.windows import windows


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets") / "synthetic"
    prepare(folder, clips=80, frames=4, size=32)
    return folder


def amge_data(*arguments):
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


# By name


def test_unknown_names_and_options(tmp_path):
    with pytest.raises(ValueError, match="unknown data set 'open_exercise'; did you mean 'open-exercise'"):
        load_samples("open_exercise", tmp_path)
    with pytest.raises(ValueError, match="unknown option of folder 'tables'; did you mean 'table'"):
        load_samples("folder", tmp_path, tables={})
    with pytest.raises(ValueError, match="unknown option of synthetic 'seed'"):
        load_samples("synthetic", tmp_path, seed=1)


def test_a_data_set_of_ones_own(tmp_path):
    with patch.dict(DATASETS):

        @register_dataset("mine")
        def mine(root: Path, **options) -> list[Sample]:
            return [Sample(id=str(options), video=root / "a.mp4", regions=(), activity="", split="train")]

        assert load_samples("mine", str(tmp_path), size=3)[0].id == "{'size': 3}"
        with pytest.raises(ValueError, match="there is a data set 'mine' already"):
            register_dataset("mine")(mine)


def test_names_lead_to_the_sets(prepared, rendered, tmp_path):
    assert len(load_samples("open-exercise", prepared)) == 10
    assert load_samples("folder", rendered) == load_samples("folder", rendered / "manifest.csv")
    assert load_samples("folder", rendered) == load_samples("synthetic", rendered)
    (tmp_path / "manifest.csv").write_text("video,activity,split\na.avi,Push,test_unseen\n")
    for name in ("musclemap136", "muscle-ucf90", "muscle-hmdb41"):
        (sample,) = load_samples(name, tmp_path, table={"push": ["chest"]})
        assert (sample.activity, sample.regions) == ("Push", ("chest",))
    with pytest.raises(ValueError, match="holds no whole set of rendered clips; amge data prepare synthetic"):
        load_samples("synthetic", prepared)
    with pytest.raises(ValueError, match="unknown data set 'gym'"):
        load_samples("gym", tmp_path / "nothing")
    for name, made in (
        ("synthetic", ", or make it: amge data prepare synthetic .*nothing"),
        ("open-exercise", ", or make it: amge data prepare open-exercise CHECKOUT .*nothing"),
        ("folder", ""),
    ):
        with pytest.raises(ValueError, match=f"nothing does not exist; check the path{made}$"):
            load_samples(name, tmp_path / "nothing")


# The rendered set


def test_the_plan_can_be_extended_and_does_not_leak():
    clips = list(plan(1000))
    assert list(plan(120)) == clips[:120] and list(plan(120, seed=1)) != clips[:120]
    assert len({clip.seed for clip in clips}) == 1000
    exercises = {split: {c.exercise for c in clips if c.split == split} for split in {c.split for c in clips}}
    assert exercises["val_unseen"] == exercises["test_unseen"] == set(UNSEEN)
    assert exercises["train"] == set(EXERCISES) - set(UNSEEN) >= exercises["val_seen"] | exercises["test_seen"]
    assert {region for name in exercises["train"] for region in EXERCISES[name].regions} == set(REGION_IDS)
    splits = Counter(clip.split for clip in clips)
    seen = splits["train"] + splits["val_seen"] + splits["test_seen"]
    assert splits["train"] / seen == pytest.approx(0.8, abs=0.01)
    assert splits["val_seen"] / seen == pytest.approx(0.1, abs=0.01)
    assert abs(splits["val_unseen"] - splits["test_unseen"]) <= 1
    for count in (1, 10, 79, 90, 120):
        few = list(plan(count))
        assert {c.exercise for c in few if c.split in ("val_seen", "test_seen")} <= {
            c.exercise for c in few if c.split == "train"
        }


def test_a_rendered_set(rendered):
    samples = load_samples("synthetic", rendered)
    assert len(samples) == 80 and leaks(samples) == []
    for sample in samples[:3]:
        assert sample.regions == EXERCISES[sample.activity].regions and sample.source == sample.id
        (window,) = windows(sample.video, 4)
        skeletons = read_skeletons(sample.skeletons)
        assert window.frames.shape == (4, 32, 32, 3)
        assert skeletons.keypoints.shape == (1, 4, 17, 3) and skeletons.end == pytest.approx(4 / 16)
    assert not list(rendered.rglob(".part*"))


@pytest.mark.slow
def test_rendering_goes_on_and_is_the_same_with_more_workers(rendered, tmp_path):
    out = tmp_path / "set"
    prepare(out, clips=3, frames=4, size=32)
    kept = sorted((out / "videos").iterdir())[0]
    before = kept.stat().st_mtime_ns
    sorted((out / "skeletons").iterdir())[1].unlink()
    assert len(prepare(out, clips=6, frames=4, size=32, workers=2)) == 6
    assert kept.stat().st_mtime_ns == before
    for sample in load_samples("synthetic", out):
        for path in (sample.video, sample.skeletons):
            assert path.read_bytes() == (rendered / path.relative_to(out)).read_bytes()
    with pytest.raises(ValueError, match=r"holds clips of other options, .*; name a new folder"):
        prepare(out, clips=6, frames=5, size=32)
    with pytest.raises(ValueError, match="expected at least 1 clip"):
        prepare(out, clips=0)


# Commands


def test_check_and_info(rendered, tmp_path):
    result = amge_data("check", "synthetic", rendered, "--json", tmp_path / "a" / "report.json")
    assert result.exit_code == 0, result.output
    assert "80 of 80 samples can be used" in result.stdout and "4 to 4 frames of 32x32 to 32x32" in result.stdout
    report = json.loads((tmp_path / "a" / "report.json").read_text())
    assert sum(report["splits"].values()) == 80 and report["broken"] == []
    result = amge_data("info", "synthetic", rendered)
    assert result.exit_code == 0 and report["fingerprint"] in result.stdout
    assert "quadriceps" in result.stdout


def test_check_ends_with_2_where_something_is_broken(tmp_path):
    (tmp_path / "labels.csv").write_text(
        "video,regions,activity,split\na.mp4,chest,x,train\nb.mp4,chest,x,val_unseen\n"
    )
    result = amge_data("check", "folder", tmp_path)
    assert result.exit_code == 2
    assert "broken: a (train): " in result.stdout and "0 of 2 samples can be used" in result.stdout
    assert "leak: activity 'x' is in train and in val_unseen" in result.stdout
    result = amge_data("check", "folders", tmp_path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: unknown data set 'folders'") and result.stderr.count("\n") == 1


def test_info_compares_with_the_paper(tmp_path):
    (tmp_path / "manifest.csv").write_text("video,regions\nPush/a.avi,chest\nHug/b.avi,chest\n")
    result = amge_data("info", "muscle-hmdb41", tmp_path)
    assert result.exit_code == 2 and "name them (unseen=, --unseen)" in result.stderr
    result = amge_data("info", "muscle-hmdb41", tmp_path, "--unseen", "push, hug")
    assert result.exit_code == 0 and "-3311" in result.stdout
    (tmp_path / "table.json").write_text('{"push": ["chest"], "hug": []}')
    (tmp_path / "rows.csv").write_text("video,split\nPush/a.avi,test_seen\nHug/b.avi,train\n")
    options = "--manifest", tmp_path / "rows.csv", "--table", tmp_path / "table.json"
    assert amge_data("info", "muscle-hmdb41", tmp_path, *options).exit_code == 0


def test_prepare_commands(tmp_path):
    result = amge_data("prepare", "synthetic", tmp_path / "clips", "--clips", 2, "--frames", 4, "--size", 32)
    assert result.exit_code == 0 and "2 clips in" in result.stdout
    assert len(np.load(next((tmp_path / "clips/skeletons").iterdir()))["keypoints"]) == 1
    result = amge_data("prepare", "open-exercise", tmp_path, tmp_path / "out", "--pose", "none")
    assert result.exit_code == 2 and "give a checkout of yuhonas/free-exercise-db" in result.stderr
