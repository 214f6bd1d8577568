"""Fine-tuning: what a run starts from, keeps and says; labels of one's own."""

import json
from dataclasses import replace

import pytest
import torch

pytest.importorskip("lightning")
pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

from typer.testing import CliRunner

import amge
from amge import synthetic
from amge.cli import app
from amge.recipes.presets import preset
from amge.train.config import TrainConfig
from amge.train.run import own_labels, read_data, train
from amge.train.start import initialise
from amge.video.write import write_video

CLASSES = ("squat", "jumping_jack")
SMALL = {
    "workers": 0,
    "accelerator": "cpu",
    "batch_size": 4,
    "epochs": (0, 2),
    "augment": {"operations": 0},
    "freeze": (),
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Rendered clips of two classes of one's own, and their table."""
    folder = tmp_path_factory.mktemp("own")
    rows = ["video,regions,split"]
    for i in range(12):
        name = CLASSES[i % 2]
        frames = synthetic.render(name, frames=8, size=(64, 64), seed=i, fps=8).frames
        write_video(folder / f"{i}.mp4", frames, 8)
        rows.append(f"{i}.mp4,{name},{'train' if i < 8 else 'val_seen'}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A checkpoint of a whole model: two banks and a fusion, all their numbers its own."""
    torch.manual_seed(3)
    spec = amge.spec("transm3e-tiny").replace(
        frames=4, size=32, activation="sigmoid", backbone_args={"embed_dim": 8, "depth": 2, "double_at": (1,)}
    )
    return amge.assemble(spec).save_pretrained(tmp_path_factory.mktemp("start") / "weights")


def tune(clips, start, **changes):
    return preset("finetune", str(clips), **SMALL | {"model": str(start)} | changes)


def test_a_fine_tuned_model_keeps_all_but_the_head_and_says_so(clips, start, tmp_path, capsys):
    model = train(tune(clips, start, lr=(1e-9, 1e-9), epochs=(0, 1)), tmp_path / "run")
    said, trained = capsys.readouterr().out, amge.from_pretrained(start)
    assert "labels: squat, jumping_jack" in said
    line = "starts from weights: keeps backbone, bank.tokens.main, bank.tokens.receiver, fusion; fresh head"
    assert f"student: {line}\nstudent: frozen nothing" in said
    kept = {key: value for key, value in trained.state_dict().items() if not key.startswith("head.")}
    assert all(torch.allclose(model.state_dict()[key], value, atol=1e-6) for key, value in kept.items())
    assert model.spec.labels == CLASSES and model.spec.provenance["init"] == line.removeprefix("starts from ")
    assert model.spec.provenance["teacher"] == "none" and not (tmp_path / "run" / "main").exists()
    assert "few videos" in model.spec.provenance["measured"]
    report = json.loads((tmp_path / "run" / "report" / "report.json").read_text())
    assert report["splits"]["val_seen"]["few"] and set(model.predict(clips / "0.mp4")) == set(CLASSES)
    done = CliRunner().invoke(app, ["eval", str(tmp_path / "run" / "student"), "folder", str(clips), "--views", "1"])
    assert done.exit_code == 0 and "* of fewer than 30" in done.output


def test_a_resumed_run_says_from_where(clips, start, tmp_path, capsys, monkeypatch):
    made = tune(clips, start)
    monkeypatch.setattr("amge.train.loop.save_pretrained", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        train(made, tmp_path)
    monkeypatch.undo()
    capsys.readouterr()
    model = train(made, tmp_path)
    said = capsys.readouterr().out
    assert f"student: goes on after epoch 2 of 2 ({tmp_path / 'student' / 'last.ckpt'})" in said
    assert "starts from" not in said and "keeps backbone" in model.spec.provenance["init"]
    train(made, tmp_path)
    assert f"student: done, taken from {tmp_path / 'student'}" in capsys.readouterr().out


def test_a_run_of_an_older_version_goes_on(clips, start, tmp_path):
    made = tune(
        clips, start, epochs=(0, 1), labels="model", teacher="auto", overrides={"labels": CLASSES, "distill": None}
    )
    train(made, tmp_path)
    run = json.loads((tmp_path / "run.json").read_text())
    del run["config"]["labels"], run["config"]["teacher"]
    (tmp_path / "run.json").write_text(json.dumps(run))
    train(made, tmp_path)
    with pytest.raises(ValueError, match=r"another teacher \('auto' there, 'none' here\)"):
        train(replace(made, teacher="none"), tmp_path)


def test_the_start_teaches_itself(clips, start, tmp_path):
    model = train(tune(clips, start, teacher="self"), tmp_path)
    assert (model.spec.auxiliary, model.spec.pairing) == ("rgb", 1) and not (tmp_path / "teacher").exists()
    assert model.spec.provenance["teacher"].startswith("the weights that it started from on `rgb` (`dense-token`)")


def test_a_teacher_on_differences_is_trained_first(clips, start, tmp_path, capsys):
    train(tune(clips, start, teacher="rgb_diff", epochs=(0, 1)), tmp_path)
    said = capsys.readouterr().out
    assert "teacher: starts from weights: keeps backbone; fresh bank.tokens.sender, head" in said
    assert said.index("teacher: starts") < said.index("student: starts")


def test_two_stages_from_a_whole_model_keep_receiver_and_fusion(clips, start, tmp_path, capsys):
    changes = {"init": str(start), "model": "transm3e-tiny", "teacher": "none", "epochs": (1, 1), "lr": (1e-9, 1e-9)}
    spec = amge.from_pretrained(start).spec
    overrides = {key: getattr(spec, key) for key in ("frames", "size", "activation", "backbone_args")}
    model = train(tune(clips, start, overrides=overrides, **changes), tmp_path)
    trained = amge.from_pretrained(start).state_dict()
    for key in ("bank.tokens.receiver", "fusion.norm.weight", "fusion.attention.qkv_main.weight"):
        assert torch.allclose(model.state_dict()[key], trained[key], atol=1e-6), key
    said = capsys.readouterr().out
    assert "main: starts from weights: keeps backbone, bank.tokens.main; fresh head; does not use" in said
    kept = "backbone, bank.tokens.main, head; as before bank.tokens.receiver, fusion"
    assert f"student: starts from the stage before: keeps {kept}" in said


@pytest.mark.slow
@pytest.mark.parametrize("init", ["pretrained", "transm3e-lite", "transm3e-lite.open-exercise", "open-exercise"])
def test_published_weights_by_name_are_kept_whole(init):
    spec = amge.spec("transm3e-lite")
    shipped = {"backbone_args": {**spec.backbone_args, "decoders": 2}, "person_head": True}
    model = amge.build("transm3e-lite", labels=spec.labels[::-1], **shipped)
    said = initialise(model, init, "transm3e-lite")
    trained = amge.build("transm3e-lite", pretrained=True)
    keys = [key for key in trained.state_dict() if not key.startswith("head.")]
    assert all(torch.equal(model.state_dict()[key], trained.state_dict()[key]) for key in keys)
    assert torch.equal(model.head.projection.weight.flip(0), trained.head.projection.weight)
    kept = "backbone, bank.tokens.main, bank.tokens.receiver, fusion, head, person"
    assert said == f"starts from transm3e-lite.open-exercise (Apache-2.0): keeps {kept}"


def test_shared_labels_keep_their_rows_and_are_told():
    shipped = amge.spec("transm3e-lite").backbone_args | {"decoders": 2}
    model = amge.build("transm3e-lite", labels=("gluteus", "other"), person_head=True, backbone_args=shipped)
    said = initialise(model, "pretrained", "transm3e-lite")
    assert said.endswith(
        "keeps 1 of 2 rows of head by their labels, those of 'other' are fresh, 19 of the weights are not used"
    )


def test_an_unknown_init_lists_what_there_is(clips):
    with pytest.raises(ValueError, match="unknown init 'open-exercize'; did you mean 'open-exercise'") as refused:
        preset("finetune", str(clips), init="open-exercize")
    for valid in ("imagenet", "pretrained", "transm3e-lite.open-exercise", "st-gcn", "folder", "owner/name"):
        assert valid in str(refused.value)
    assert preset("finetune", str(clips), init="me/my-model@abc").init == "me/my-model@abc"
    with pytest.raises(ValueError, match="no trained weights are published for 'transm3e-small'"):
        preset("finetune", str(clips), model="transm3e-small")


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"teacher": "me"}, "unknown teacher 'me'"),
        ({"labels": "mine"}, "unknown kind of labels 'mine'"),
        ({"teacher": "self", "init": None}, "give it as init"),
        ({"teacher": "self", "overrides": {"distill": None}}, "needs epochs of stage 2 and a model that distils"),
        ({"epochs": (0, 0)}, "epochs are two numbers"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(clips, changes, said):
    with pytest.raises(ValueError, match=said):
        preset("finetune", str(clips), **changes)


def test_own_labels_are_those_that_occur_in_order(clips):
    samples = read_data([{"name": "folder", "root": str(clips)}], "own")
    assert own_labels(samples, ("chest",)) == CLASSES
    assert own_labels(samples, ("jumping_jack", "squat", "lunge")) == ("jumping_jack", "squat", "lunge")
    made = TrainConfig.from_dict({"model": "transm3e-tiny", "data": [{"name": "folder", "root": str(clips)}]})
    assert (made.labels, made.teacher) == ("model", "auto")
    with pytest.raises(ValueError, match=r"unknown muscle region 'squat'.*labels='own' \(--labels own\)"):
        read_data(made.data)


def test_the_command_line_knows_own_labels(clips, tmp_path):
    def run(*words):
        return CliRunner().invoke(app, ["data", *words, "folder", str(clips)])

    assert run("info").exit_code == 2
    for option in ("own", "squat,jumping_jack"):
        done = run("info", "--labels", option)
        assert done.exit_code == 0 and "jumping_jack" in done.output and "chest" not in done.output
    done = run("check", "--labels", "own")
    assert done.exit_code == 0 and "12 of 12 samples can be used" in done.output
    assert run("info", "--labels", "squat").exit_code == 2


def test_a_label_that_is_nearly_a_muscle_is_pointed_out(tmp_path):
    from amge.data.check import check
    from amge.data.datasets import load_samples

    (tmp_path / "labels.csv").write_text("video,regions\nx.mp4,quadricep;bum\n")
    report = check(load_samples("folder", tmp_path, labels="own"))
    assert [line for line in report.warnings if "meant" in line] == [
        "label quadricep is no muscle region, is quadriceps meant?"
    ]


@pytest.mark.slow
def test_own_classes_are_learned_from_the_shipped_weights(clips, tmp_path):
    made = preset("finetune", str(clips), workers=0, accelerator="cpu", epochs=(0, 4), overrides={"frames": 4})
    model = train(made, tmp_path)
    assert model.spec.metrics["val_seen_mAP"] == 100
    trained = amge.build("transm3e-lite", pretrained=True).state_dict()
    for key in ("bank.tokens.main", "bank.tokens.receiver", "fusion.attention.qkv_main.weight"):
        assert torch.cosine_similarity(model.state_dict()[key].flatten(), trained[key].flatten(), dim=0) > 0.95, key
    encoder = [key for key in trained if key.startswith("backbone.encoder.")]
    assert all(torch.equal(model.state_dict()[key], trained[key]) for key in encoder)
