"""A threshold for each label, and a temperature: in the spec, in all that a model says, and where labels change."""

import json

import numpy as np
import pytest
import torch

import amge
from amge.hub import describe, read_spec
from amge.hub.card import model_card
from amge.prediction import WindowPrediction, in_words, of_windows

LABELS = ("chest", "triceps", "calves")
OWN = {"chest": 0.95, "triceps": 0.3, "calves": 0.05}


def video():
    return np.random.default_rng(0).integers(0, 256, (8, 40, 48, 3), dtype=np.uint8)


@pytest.fixture
def spec(tiny_spec):
    return tiny_spec.replace(labels=LABELS, threshold=OWN, temperature=2.0)


@pytest.fixture
def prediction():
    windows = [WindowPrediction(float(i), i + 1.0, {"chest": 0.9, "triceps": 0.4, "calves": 0.1}, None) for i in (0, 1)]
    return of_windows(windows, LABELS, OWN, "toy", "a.mp4")


# The spec


def test_labels_that_are_left_out_have_the_default(tiny_spec):
    spec = amge.ModelSpec(arch="a", backbone="b", labels=LABELS, threshold={"calves": 0.3})
    assert spec.threshold == {"chest": 0.5, "triceps": 0.5, "calves": 0.3} and list(spec.threshold) == list(LABELS)
    shares = amge.ModelSpec(arch="a", backbone="b", labels=LABELS, threshold={"calves": 0.3}, activation="softmax")
    assert shares.threshold == {"chest": 0.05, "triceps": 0.05, "calves": 0.3}


def test_it_travels_as_json_and_old_configs_load(spec, tiny_spec):
    assert amge.ModelSpec.from_json(spec.to_json()) == spec
    old = json.loads(tiny_spec.to_json())
    del old["temperature"]
    assert amge.ModelSpec.from_json(json.dumps(old)) == tiny_spec
    assert (tiny_spec.threshold, tiny_spec.temperature) == (0.5, 1.0)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"threshold": {"chest": 1.5}}, "the threshold of 'chest' must lie in 0..1, got 1.5"),
        ({"threshold": {"chest": None}}, "the threshold of 'chest' must lie in 0..1, got None"),
        ({"threshold": {"chess": 0.5}}, "unknown label with a threshold 'chess'; did you mean 'chest'"),
        ({"threshold": [0.1, 0.2, 0.3]}, "threshold must lie in 0..1"),
        ({"threshold": "0.5"}, "threshold must lie in 0..1"),
        ({"threshold": None}, "threshold must lie in 0..1"),
        ({"temperature": 0}, "temperature must be a number over 0, got 0"),
        ({"temperature": float("nan")}, "temperature must be a number over 0"),
        ({"temperature": True}, "temperature must be a number over 0"),
        ({"activation": "softmax", "temperature": 2.0}, "a temperature is of sigmoids"),
    ],
)
def test_what_is_no_threshold_or_temperature(spec, fields, message):
    with pytest.raises(ValueError, match=message):
        spec.replace(**fields)


def test_a_change_by_name_is_added_and_a_number_is_for_all(spec, tiny_spec):
    assert spec.replace(threshold={"chest": 0.1}).threshold == {**OWN, "chest": 0.1}
    assert spec.replace(threshold=0.4).threshold == 0.4
    some = tiny_spec.replace(labels=LABELS, threshold=0.4).replace(threshold={"chest": 0.1})
    assert some.threshold == {"chest": 0.1, "triceps": 0.4, "calves": 0.4}


def test_thresholds_go_with_their_labels(spec):
    changed = spec.replace(labels=("calves", "neck", "chest"))
    assert list(changed.threshold.items()) == [("calves", 0.05), ("neck", 0.5), ("chest", 0.95)]
    assert spec.replace(labels=("neck",), threshold={"neck": 0.2}).threshold == {"neck": 0.2}
    assert spec.replace(labels=("neck",), threshold=0.2).threshold == 0.2


def test_another_activation_has_neither(spec):
    changed = spec.replace(activation="softmax")
    assert (changed.threshold, changed.temperature) == (0.05, 1.0)


def test_no_precision_depends_on_them(tiny_spec):
    measured = tiny_spec.replace(metrics={"val_seen_mAP": 1.0})
    assert measured.replace(threshold={"neck_head": 0.2}, temperature=3.0).metrics == {"val_seen_mAP": 1.0}


# What a model says


def test_each_region_is_active_from_its_own(prediction):
    assert prediction.active == ["triceps", "calves"]
    assert prediction.windows[0].active(prediction.threshold) == ["triceps", "calves"]
    assert [row["region"] for row in prediction.rows() if row["active"]] == ["triceps", "calves"] * 2
    plain = json.loads(prediction.to_json())
    assert plain["threshold"] == OWN and plain["active"] == ["triceps", "calves"]
    assert "active from 0.05 to 0.95, each label its own: triceps, calves" in repr(prediction)
    page = prediction._repr_html_()
    faded = [line.split("</td>")[0].rpartition(">")[2] for line in page.split("<tr ")[1:] if "opacity:0.45" in line]
    assert faded == ["chest"]
    assert prediction.with_threshold(0.5).active == ["chest"]
    assert prediction.with_threshold({**OWN, "chest": 0.9}).active == ["chest", "triceps", "calves"]
    with pytest.raises(ValueError, match="no threshold for 'triceps'; give one number for all"):
        prediction.with_threshold({"chest": 0.9})


def test_in_words():
    assert (in_words(0.5), in_words({"a": 0.5, "b": 0.5})) == ("0.5", "0.5")
    assert in_words({"a": 0.5, "b": 0.25}) == "0.25 to 0.5, each label its own"


@pytest.mark.parametrize("renamed", [{}, {"chest": "row"}])
def test_a_picture_has_a_tick_at_each_threshold(prediction, monkeypatch, renamed):
    """On the body map, and on bars of other labels."""
    from dataclasses import replace

    from amge.viz.page import Page

    ticks = []
    monkeypatch.setattr(Page, "tick", lambda page, x, top, bottom: ticks.append(x))
    named = replace(
        prediction,
        probabilities={renamed.get(name, name): p for name, p in prediction.items()},
        threshold={renamed.get(name, name): p for name, p in OWN.items()},
        windows=(),
    )
    named.plot()
    first, *places = ticks[1:]
    shares = [OWN[name] for name, _ in prediction.top()]
    width = (first - places[0]) / (shares[0] - shares[1])
    assert [first - place for place in places] == pytest.approx([width * (shares[0] - s) for s in shares[1:]])


def test_predict_by_its_own_and_by_yours(spec):
    torch.manual_seed(0)
    model = amge.assemble(spec).eval()
    prediction = model.predict(video())
    assert prediction.threshold == OWN
    assert prediction.active == [name for name, p in prediction.top() if p >= OWN[name]]
    assert set(model.predict(video(), threshold=0.0).active) == set(LABELS)
    assert model.predict(video(), threshold=dict.fromkeys(LABELS, 1.0)).active == []
    assert "active from 0.05 to 0.95, each label its own" in repr(model)


def test_logits_are_divided_by_the_temperature_where_probabilities_are_made(spec):
    torch.manual_seed(0)
    model = amge.assemble(spec).eval()
    clip = torch.randn(2, 3, 4, 64, 64)
    with torch.no_grad():
        logits = model(clip)
    assert torch.equal(model.probabilities(logits), (logits / 2).sigmoid())
    assert list(model.predict(clip[:1]).values()) == pytest.approx((logits[0] / 2).sigmoid().tolist())
    model.spec = spec.replace(temperature=1.0)
    with torch.no_grad():
        assert torch.equal(model(clip), logits)


def test_a_table_of_many_videos(spec):
    pytest.importorskip("pyarrow")
    from amge.bulk.predictor import Predictor
    from amge.bulk.table import rows

    predictor = Predictor(amge.assemble(spec))
    assert json.loads(predictor.schema.metadata[b"amge.threshold"]) == OWN
    window = WindowPrediction(0.0, 1.0, {"chest": 0.9, "triceps": 0.4, "calves": 0.1}, None)
    table = rows(predictor.schema, "a.mp4", [window], predictor.threshold)
    assert table["active"].to_pylist() == [["triceps", "calves"]]
    assert Predictor(amge.assemble(spec), threshold=0.4).threshold == 0.4


@pytest.mark.parametrize("form", ["--json", "--csv", None])
def test_the_command(spec, tmp_path, form):
    from typer.testing import CliRunner

    from amge.cli import app
    from amge.video.write import write_video

    write_video(tmp_path / "a.mp4", video(), fps=4)
    torch.manual_seed(0)
    own = {"chest": 0.0, "triceps": 1.0, "calves": 0.0}
    folder = amge.assemble(spec.replace(threshold=own)).save_pretrained(tmp_path / "model")
    arguments = ["predict", str(tmp_path / "a.mp4"), "--model", str(folder), *([form] if form else [])]
    result = CliRunner().invoke(app, [*arguments, "--save", str(tmp_path / "a.png")])
    assert result.exit_code == 0 and (tmp_path / "a.png").stat().st_size > 10_000, result.output
    if form == "--json":
        said = json.loads(result.stdout)
        assert said["threshold"] == own and set(said["videos"][0]["active"]) == {"chest", "calves"}
    elif form == "--csv":
        active = {line.split(",")[3] for line in result.stdout.splitlines() if line.split(",")[5] == "1"}
        assert active == {"chest", "calves"}


def test_the_card_names_all(spec):
    card = model_card(spec)
    assert "3 logits, sigmoid divided by 2; a label is active from 0.05 to 0.95, each label its own up" in card
    assert "`chest` from 0.95 up, `triceps` from 0.3 up, `calves` from 0.05 up" in card
    assert "a label is active from 0.5 up" in model_card(spec.replace(threshold=0.5))


# Where labels change


@pytest.fixture
def folder(spec, tmp_path):
    torch.manual_seed(0)
    return amge.assemble(spec).save_pretrained(tmp_path / "checkpoint")


def test_on_disk(spec, folder):
    assert amge.from_pretrained(folder).spec.replace(imports={}) == spec


@pytest.mark.filterwarnings("ignore:Use 'content:DeprecationWarning")
def test_on_the_hub(spec, folder, tmp_path, monkeypatch):
    from hub_server import direct, serve

    with serve(token="test") as hub:
        direct(hub, tmp_path, monkeypatch)
        monkeypatch.setenv("HF_TOKEN", "test")
        amge.from_pretrained(folder).push_to_hub("me/own", licence="MIT")
        again = amge.from_pretrained("me/own")
    assert (again.spec.threshold, again.spec.temperature) == (OWN, 2.0)


def test_in_another_order_the_answer_is_the_same(folder):
    model, turned = amge.from_pretrained(folder), amge.from_pretrained(folder, labels=LABELS[::-1])
    one, other = model.predict(video()), turned.predict(video())
    assert one == pytest.approx(dict(other)) and one.active == other.active
    assert list(turned.spec.threshold) == [*LABELS[::-1]] and turned.spec.threshold == OWN


@pytest.mark.filterwarnings("ignore:.*was not loaded whole")
def test_with_some_labels_and_others(folder):
    model = amge.from_pretrained(folder, labels=("calves", "neck"), strict=False)
    assert (model.spec.threshold, model.spec.temperature) == ({"calves": 0.05, "neck": 0.5}, 2.0)
    assert model.predict(video())["calves"] == pytest.approx(amge.from_pretrained(folder).predict(video())["calves"])


def test_with_a_new_head(folder):
    model = amge.from_pretrained(folder)
    model.reset_head(2, labels=("calves", "neck"), keep=True)
    assert (model.spec.threshold, model.spec.temperature) == ({"calves": 0.05, "neck": 0.5}, 2.0)
    model.reset_head(2)
    assert (model.spec.threshold, model.spec.temperature) == ({"class_0": 0.5, "class_1": 0.5}, 1.0)


def test_rows_by_another_name_keep_their_thresholds(folder):
    describe(folder, labels=("push", "press", "raise"))
    assert read_spec(folder).threshold == {"push": 0.95, "press": 0.3, "raise": 0.05}
    describe(folder, threshold=0.4)
    assert read_spec(folder).threshold == 0.4


def test_training_on_labels_of_ones_own_starts_from_thresholds_without_a_temperature(folder):
    pytest.importorskip("lightning")
    from amge.train.config import TrainConfig

    data = ({"name": "folder", "root": "videos"},)
    for init in ({"model": str(folder), "init": str(folder)}, {"model": "transm3e-lite", "init": str(folder)}):
        config = TrainConfig(**init, data=data, teacher="none", overrides={"labels": ["calves", "neck"]})
        spec = config.spec()
        assert (spec.threshold, spec.temperature) == ({"calves": 0.05, "neck": 0.5}, 1.0)
