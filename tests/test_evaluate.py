import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("lightning")
pytest.importorskip("matplotlib")
pytest.importorskip("pyarrow")
import pyarrow.parquet as pq
from typer.testing import CliRunner

import amge
from amge.cli import app
from amge.data.open_exercise import load, samples, to_frames
from amge.data.sample import of_split
from amge.evaluate import Predictions, evaluate, predictions, report
from amge.metrics import mean_average_precision


@pytest.fixture(scope="module")
def checkpoint(tiny_spec, tmp_path_factory):
    import torch

    torch.manual_seed(0)
    return amge.assemble(tiny_spec).save_pretrained(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def model(checkpoint):
    return amge.from_pretrained(checkpoint)


def test_predictions_are_those_of_predict(model, prepared):
    chosen = of_split(samples(prepared), "train")
    found = predictions(model, chosen, views=1, batch_size=3)
    assert [sample.id for sample in found.samples] == [sample.id for sample in chosen]
    for exercise, row, target in zip(load(prepared, "train"), found.probabilities, found.targets, strict=True):
        expected = list(model.predict(to_frames(exercise, model.spec.frames)).values())
        np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-5)
        assert (target == exercise.target).all()


def test_figures_by_hand():
    """Two regions, one of which a split lacks; means of seen and unseen."""
    base = {"video": None, "regions": (), "activity": "a"}
    from amge.data.sample import Sample

    rows = [
        ("1", "val_seen", [1, 0], [0.9, 0.2]),
        ("2", "val_seen", [0, 0], [0.1, 0.1]),
        ("3", "val_unseen", [1, 0], [0.1, 0.9]),
        ("4", "val_unseen", [0, 1], [0.6, 0.7]),
    ]
    found = Predictions(
        ("x", "y"),
        [Sample(id=id, split=split, **base) for id, split, _, _ in rows],
        np.array([target for _, _, target, _ in rows]),
        np.array([scores for _, _, _, scores in rows]),
        {"5": "no such file"},
    )
    figures = report(found, 0.5, resamples=20)
    seen, unseen = figures["splits"]["val_seen"], figures["splits"]["val_unseen"]
    assert seen["AP"] == {"x": 100.0, "y": None} and seen["mAP"] == 100.0 and seen["samples"] == 2
    assert unseen["AP"] == {"x": 50.0, "y": 50.0} and unseen["mAP"] == 50.0
    assert figures["mean"] == {"val_a": 75.0} and figures["broken"] == {"5": "no such file"}
    assert seen["f1_micro"] == 100.0 and unseen["f1_micro"] == pytest.approx(2 / 5 * 100)


def test_files_of_an_evaluation(model, prepared, tmp_path):
    chosen = of_split(samples(prepared), "train", "val_seen", "val_unseen")
    figures = evaluate(model, chosen, tmp_path / "report", views=1, resamples=20)
    assert json.loads((tmp_path / "report" / "report.json").read_text()) == figures
    assert (tmp_path / "report" / "report.png").stat().st_size > 10_000
    table = pq.read_table(tmp_path / "report" / "predictions.parquet").to_pydict()
    train = [row for row, split in enumerate(table["split"]) if split == "train"]
    labels = model.spec.labels
    targets = np.array([table[f"y_{label}"] for label in labels]).T[train]
    scores = np.array([table[f"p_{label}"] for label in labels]).T[train]
    expected = 100 * mean_average_precision(targets, scores)
    assert figures["splits"]["train"]["mAP"] == pytest.approx(expected, abs=0.01)
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == [
        "predictions.parquet",
        "report.json",
        "report.png",
    ]


def test_command(checkpoint, prepared, tmp_path):
    arguments = [str(checkpoint), "open-exercise", str(prepared), "--views", "1"]
    shown = CliRunner().invoke(app, ["eval", *arguments, "--out", str(tmp_path / "report")])
    assert shown.exit_code == 0 and "val_a" in shown.stdout and "quadriceps" in shown.stdout
    printed = CliRunner().invoke(app, ["eval", *arguments, "--json", "--split", "train", "--threshold", "0.2"])
    figures = json.loads(printed.stdout)
    assert list(figures["splits"]) == ["train"] and figures["threshold"] == 0.2
    refused = CliRunner().invoke(app, ["eval", *arguments, "--split", "test_seen"])
    assert refused.exit_code == 2 and "no samples of test_seen" in refused.stderr
    refused = CliRunner().invoke(app, ["eval", str(checkpoint), "open-exercise", str(tmp_path)])
    assert refused.exit_code == 2 and "does not hold the prepared" in refused.stderr
    assert "makes it, CHECKOUT being one of github.com/yuhonas/free-exercise-db" in refused.stderr
    shown = CliRunner().invoke(app, ["eval", *arguments, "--device", "cpu", "--json"])
    assert shown.exit_code == 0 and "val_seen" in json.loads(shown.stdout)["splits"]


def test_broken_samples_have_no_row_and_end_in_code_2(model, checkpoint, prepared, tmp_path):
    import shutil

    shutil.copytree(prepared, tmp_path / "set")
    (tmp_path / "set" / "images" / "8_0.png").write_bytes(b"broken")
    chosen = of_split(samples(tmp_path / "set"), "val_seen", "val_unseen")
    found = predictions(model, chosen, views=1)
    assert list(found.broken) == ["8"] and [sample.id for sample in found.samples] == ["9"]
    result = CliRunner().invoke(app, ["eval", str(checkpoint), "open-exercise", str(tmp_path / "set"), "--views", "1"])
    assert result.exit_code == 2 and "1 videos could not be read, such as 8" in result.stderr
    gone = [replace(sample, video=(tmp_path / "none.png",)) for sample in chosen]
    with pytest.raises(ValueError, match="none of the 2 videos can be read"):
        predictions(model, gone, views=1)


def test_skeletons(prepared):
    model = amge.build("st-gcn-tiny").eval()
    found = predictions(model, of_split(samples(prepared), "val_seen"), views=1)
    assert found.probabilities.shape == (1, 20) and np.isfinite(found.probabilities).all()
