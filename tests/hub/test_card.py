"""The card of a checkpoint, and the table of published weights."""

import contextlib
import io
import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from typer.testing import CliRunner

import amge
from amge.cli import app
from amge.files import digest
from amge.hub import read_spec
from amge.hub.card import UNSTATED, model_card, unstated
from amge.hub.published import PUBLISHED, SHIPPED
from amge.zoo import MODELS, STATISTICAL

CLIP = Path(__file__).parents[2] / "examples" / "squat.mp4"
STATED = {
    "tag": "toy",
    "licence": "CC-BY-4.0",
    "metrics": {"val_seen_mAP": 68.69, "val_unseen_mAP": 51.6},
    "provenance": {
        "data": [{"name": "Open exercise photographs", "licence": "CC0-1.0"}, {"name": "MuscleMap", "licence": "MIT"}],
        "seed": 3,
        "commit": "0123abc",
        "teacher": "an MViTv2-S on differences",
        "command": ["amge", "train", "--preset", "paper"],
        "limits": "Only squats were seen.",
    },
}
TABLE = re.compile(r"(?<!\\)\|")


def tables(card):
    """Cells of each row of each table."""
    rows = [line for line in card.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in TABLE.split(row)[1:-1]] for row in rows]


def data_of(card):
    """The metadata, as the Hub's client reads it; what it wrote again is the same."""
    data = ModelCard(card, ignore_metadata_errors=False).data
    front = yaml.safe_load(re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)[1])
    assert front == yaml.safe_load(data.to_yaml())
    return data


def test_a_card_says_what_is_known(tiny_spec):
    spec = tiny_spec.replace(**STATED)
    card = model_card(spec)
    data = data_of(card)
    assert (data.library_name, data.pipeline_tag, data.license) == ("amge", "video-classification", "cc-by-4.0")
    assert {"muscle-activation", "rgb"} <= set(data.tags)
    found = {(each.dataset_split, each.metric_type): each.metric_value for each in data.eval_results}
    assert found == {("val_seen", "mAP"): 68.69, ("val_unseen", "mAP"): 51.6}
    assert {each.dataset_name for each in data.eval_results} == {"Open exercise photographs, MuscleMap"}
    labels = card.split("## Labels, in the order of the logits")[1].split("##")[0]
    assert re.findall("`(.+?)`", labels) == list(spec.labels)
    rows = tables(card)
    for row in (
        ["val_seen", "mAP", "68.69"],
        ["val_unseen", "mAP", "51.6"],
        ["Teacher", "an MViTv2-S on differences"],
        ["Licence of the code", "Apache-2.0"],
        ["Licence of the weights", "CC-BY-4.0"],
        ["commit", "0123abc"],
        ["seed", "3"],
        ["command", "amge train --preset paper"],
    ):
        assert row in rows, row
    for text in (
        "- Open exercise photographs. Licence: CC0-1.0.",
        "- MuscleMap. Licence: MIT.",
        "Seed 3;",
        "Not medical advice",
        "Only squats were seen.",
        "amge.from_pretrained('.')",
        "4 frames over 10 s",
        "64 × 64",
        "the square that holds the movement",
        "pixels in 0..1, minus (0.498, 0.498, 0.498), divided by (0.502, 0.502, 0.502)",
        "a label is active from 0.5 up",
    ):
        assert text in card, text
    assert UNSTATED not in card and unstated(spec) == []


def test_what_is_not_known_is_not_stated(tiny_spec):
    card = model_card(tiny_spec)
    data = data_of(card)
    assert data.license is None and data.eval_results is None
    for row in (["Licence of the weights", UNSTATED], ["commit", UNSTATED], ["seed", UNSTATED]):
        assert row in tables(card)
    for section in ("Training data", "Metrics"):
        assert card.split(f"## {section}\n\n")[1].startswith("Not stated.")
    assert len(unstated(tiny_spec)) == 6
    partly = tiny_spec.replace(metrics={"mAP": 1.5}, provenance={"data": [{"name": "A"}, "B", {"licence": "MIT"}]})
    card = model_card(partly)
    assert [UNSTATED, "mAP", "1.5"] in tables(card) and "Seed not stated;" in card
    for line in ("- A. Licence: not stated.", "- B. Licence: not stated.", "- not stated. Licence: MIT."):
        assert line in card
    (result,) = data_of(card).eval_results
    assert result.dataset_split is None and result.metric_value == 1.5
    assert "the licence of the training data" in unstated(partly) and "the training data" not in unstated(partly)


@pytest.mark.parametrize("data", ["MuscleMap", ["MuscleMap"], {"name": "MuscleMap"}, [{"name": "MuscleMap"}]], ids=str)
def test_data_by_mere_names(tiny_spec, data):
    spec = tiny_spec.replace(provenance={"data": data}, metrics={"val_mAP": 1})
    assert "- MuscleMap. Licence: not stated.\n" in model_card(spec)
    assert data_of(model_card(spec)).eval_results[0].dataset_name == "MuscleMap"


@pytest.mark.parametrize("data", [None, "", [], {}, 0, 5, [None], [5], [[]]], ids=str)
def test_odd_data(tiny_spec, data):
    data_of(model_card(tiny_spec.replace(provenance={"data": data}, metrics={"val_mAP": 1})))


ODD = (
    "a|b",
    "`tick`",
    "two\nlines",
    "💪 muscle",
    "a: b",
    "- x",
    "# y",
    "---",
    "'quoted\"",
    "{{ jinja }}",
    " ",
    "x" * 300,
)


def test_odd_values_break_neither_table_nor_metadata(tiny_spec, tmp_path):
    plain = tables(model_card(tiny_spec.replace(**STATED)))
    for odd in ODD:
        provenance = {"commit": odd, "seed": odd, "teacher": odd, "command": odd, "limits": odd, odd: odd}
        spec = tiny_spec.replace(
            labels=ODD,
            licence=odd,
            tag=odd,
            metrics={f"val_seen_{odd}": 1.5, odd: 2},
            provenance=provenance | {"data": [{"name": odd, "licence": odd}]},
        )
        card = model_card(spec)
        data = data_of(card)
        if odd.strip():
            assert data.license == "other" and re.fullmatch(r"[a-z0-9.-]+", data.license_name)
        rows = tables(card)
        assert len(rows) == len(plain) + 1, odd
        assert {len(row) for row in rows} == {2, 3}
        assert card.count("\n# ") == 1 + (odd == "# y"), odd
        assert card.count("\n## ") == 5
    labels = card.split("## Labels, in the order of the logits\n\n")[1].split("\n\n##")[0]
    assert "\n" not in labels and "`` `tick` ``" in labels and "`💪 muscle`" in labels
    folder = amge.assemble(spec).save_pretrained(tmp_path)
    assert amge.from_pretrained(folder).spec.labels == ODD
    assert data_of((folder / "README.md").read_text(encoding="utf-8")).library_name == "amge"


@pytest.mark.parametrize("licence, tag", [("apache-2.0", "apache-2.0"), ("MIT", "mit"), ("My own terms", "other")])
def test_licences_that_the_hub_knows_and_others(tiny_spec, licence, tag):
    data = data_of(model_card(tiny_spec.replace(licence=licence)))
    assert data.license == tag and data.to_dict().get("license_name") == ("my-own-terms" if tag == "other" else None)


def test_the_card_of_a_skeleton_model_says_how_many_dimensions_it_takes():
    spec = amge.spec("st-gcn-tiny")
    solid = spec.replace(backbone_args={**spec.backbone_args, "streams": ["joint", "world-joint"]})
    assert "; joints about the hips" in model_card(spec) and "; 3-D joints about the hips" in model_card(solid)


def test_the_teacher(tiny_spec):
    def teacher(spec):
        return next(row[1] for row in tables(model_card(spec)) if row[0] == "Teacher")

    assert teacher(tiny_spec) == "not stated; it is made to learn from one on `rgb_diff` (`dense-token`)"
    assert teacher(tiny_spec.replace(distill=None)) == "none"
    assert teacher(tiny_spec.replace(provenance={"teacher": "a | b"})) == "a \\| b"


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_model_has_a_card(name):
    spec = amge.spec(name)
    card = model_card(spec, repo="owner/name")
    assert "amge.from_pretrained('owner/name')\n" in card and f"# {name}\n" in card
    assert spec.modality in data_of(card).tags
    assert {len(row) for row in tables(card)} == {2}


def run_snippet(card, place, monkeypatch):
    shutil.copy(CLIP, place / "video.mp4")
    monkeypatch.chdir(place)
    code = re.search("```python\n(.*?)```", card, re.DOTALL)[1]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(code, {})
    return said.getvalue()


def test_the_snippet_runs(tiny_model, tmp_path, monkeypatch):
    tiny_model.spec = tiny_model.spec.replace(threshold=0.0)
    folder = tiny_model.save_pretrained(tmp_path / "model")
    said = run_snippet((folder / "README.md").read_text(), folder, monkeypatch)
    assert all(label in said for label in tiny_model.spec.labels)


def test_the_snippet_of_shipped_weights_runs(tmp_path, monkeypatch):
    folder = Path(shutil.copytree(SHIPPED / "transm3e-lite.open-exercise", tmp_path / "model"))
    assert "quadriceps" in run_snippet(model_card(read_spec(folder)), folder, monkeypatch)


# The table


def test_the_table_says_what_the_shipped_checkpoints_say():
    shipped = [row for row in amge.list_pretrained() if row.repo is None]
    assert {row.full_name for row in shipped} == {path.name for path in SHIPPED.iterdir() if path.is_dir()}
    for row in shipped:
        spec = read_spec(SHIPPED / row.full_name)
        assert (spec.arch, spec.tag, spec.name) == (row.name, row.tag, row.full_name)
        assert (spec.licence, spec.metrics) == (row.licence, row.metrics)
        assert digest(SHIPPED / row.full_name / "model.safetensors") == row.sha256
        assert row.full_name in amge.list_models() and amge.spec(row.full_name) == spec


def test_patterns_of_the_table():
    everything = amge.list_pretrained()
    assert [row.full_name for row in everything] == sorted(PUBLISHED)
    assert amge.list_pretrained("*.open-exercise*") == everything
    assert [row.tag for row in amge.list_pretrained("st-*")] == ["open-exercise", "open-exercise-2d"]
    assert [row.tag for row in amge.list_pretrained("st-gcn.open-exercise")] == ["open-exercise"]
    assert amge.list_pretrained("st-gcn") == [] == amge.list_pretrained("resnet*")


@pytest.mark.parametrize("name", ["all-ones", "transm3e-small", "mvitv2-tiny", "ctr-gcn"])
def test_a_name_without_weights_never_comes_with_random_ones(name):
    assert name in set(MODELS) - {row.name for row in PUBLISHED.values()}
    with pytest.raises(ValueError) as refused:
        amge.build(name, pretrained=True)
    text = str(refused.value)
    if name in STATISTICAL:
        assert text == f"{name!r} learns nothing, so there are no weights of it; amge.build({name!r}) is all of it"
        return
    for word in (name, *PUBLISHED, "amge train", "amge convert", "amge.list_pretrained()", "untrained"):
        assert word in text
    with pytest.raises(ValueError, match=r"neither a tag.*published weights: .*transm3e-lite\.open-exercise"):
        amge.build(name, pretrained="open-exercise")


@pytest.mark.parametrize(
    "name, words",
    [
        ("transm3e-small", "--preset paper --set model=transm3e-small --data MUSCLEMAP136"),
        ("mvitv2-base-mct", "--preset paper --set model=mvitv2-base-mct --data MUSCLEMAP136"),
        ("two-stream-small", "--preset paper --set model=two-stream-small --data MUSCLEMAP136"),
        ("videoswin-base", "--preset paper --set model=videoswin-base --set init=null --data MUSCLEMAP136"),
        ("ctr-gcn", "--preset open-exercise --set model=ctr-gcn --set init=null --data OPEN_EXERCISE"),
        ("transm3e-tiny", "--preset tiny --set model=transm3e-tiny --data CLIPS"),
        ("mvitv2-tiny-mct", "--preset tiny --set model=mvitv2-tiny-mct --data CLIPS"),
        ("hd-gcn-tiny", "--preset tiny --set model=hd-gcn-tiny --data CLIPS"),
    ],
)
def test_the_advice_is_a_command_that_fits_the_model(name, words):
    with pytest.raises(ValueError, match=f"Train it: amge train {words} --out RUN, ") as refused:
        amge.build(name, pretrained=True)
    command = re.search(r"amge (train .*?) --out RUN", str(refused.value))[1]
    done = CliRunner().invoke(app, [*command.split(), "--print"])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("name", sorted({row.name for row in PUBLISHED.values()}))
def test_a_name_with_weights(name):
    model = amge.build(name, pretrained=True)
    assert (model.spec.name, model.training) == (f"{name}.open-exercise", False)
    for row in amge.list_pretrained(f"{name}.*"):
        by_tag, by_name = amge.build(name, pretrained=row.tag), amge.build(row.full_name, pretrained=True)
        assert by_tag.spec.name == row.full_name and by_name.spec == by_tag.spec


@pytest.mark.parametrize("pattern", ["*", "st-gcn*", "resnet*"])
def test_the_table_as_json(pattern):
    result = CliRunner().invoke(app, ["list", pattern, "--pretrained"])
    assert result.exit_code == 0
    rows = json.loads(result.stdout)
    assert [f"{row['name']}.{row['tag']}" for row in rows] == [r.full_name for r in amge.list_pretrained(pattern)]
    for row in rows:
        assert row.keys() == {"name", "tag", "repo", "revision", "sha256", "licence", "metrics"}
