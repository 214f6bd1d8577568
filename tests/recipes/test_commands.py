import pytest
from typer.testing import CliRunner

pytest.importorskip("lightning")

import amge
from amge.backbones.streams import THREE_D
from amge.recipes import __main__ as commands
from amge.recipes.transm3e_lite.recipe import STAGES


def run(*arguments):
    return CliRunner().invoke(commands.app, [str(argument) for argument in arguments])


def test_there_is_a_command_for_each_shipped_model():
    shown = run("--help").stdout
    assert all(name in shown for name in ("transm3e-lite", "st-gcn", "ship"))


def test_options_reach_the_recipe_of_the_video_model(monkeypatch):
    calls = []
    monkeypatch.setattr(commands, "train_lite", lambda *given, **options: calls.append((given, options)))
    twice = ("--split", "train", "--split", "val_seen", "--split", "train")
    assert (
        run("transm3e-lite", "--data", "photos", "--out", "run", "--epochs", 2, 1, "--seed", 3, *twice).exit_code == 0
    )
    assert run("transm3e-lite", "--data", "photos", "--out", "run", "--no-tokens", "--stage", "rgb").exit_code == 0
    (first, options), (second, _) = calls
    assert (first[0].arch, str(first[1]), str(first[2])) == ("transm3e-lite", "photos", "run")
    assert first[3:] == (STAGES, (2, 1), True, (2, 4))
    assert options == {"size": 160, "ensemble": 4, "seed": 3, "splits": ("train", "val_seen")}
    assert (second[0].banks, second[0].tokens, second[3]) == (("main",), 1, ("rgb",))


def test_options_reach_the_recipe_of_the_skeleton_model(monkeypatch):
    calls = []
    monkeypatch.setattr(commands, "train_poses", lambda spec, *given, **options: calls.append((spec, options)))
    more = ("--stream", "joint", "--stop", 7, "--figures", 2)
    assert run("st-gcn", "--data", "photos", "--out", "run", *more).exit_code == 0
    assert run("st-gcn", "--data", "photos", "--out", "run", "--model", "ctr-gcn", "--tokens", 0).exit_code == 0
    assert run("st-gcn", "--data", "photos", "--out", "run", "--model", "pose-mlp").exit_code == 0
    other = ("--model", "pose-mlp.open-exercise", "--graph", "coco-17", "--stream", "joint", "--width", 8)
    assert run("st-gcn", "--data", "photos", "--out", "run", *other, "--tokens", 0).exit_code == 0
    (first, options), (second, _), (third, _), (fourth, _) = calls
    assert fourth.backbone_args == {
        "graph": "coco-17",
        "streams": ("joint",),
        "width": 8,
        "parts": 24,
        "levels": (0.05, 0.95),
    }
    assert fourth.banks == () and amge.assemble(fourth).bank is None
    assert first.backbone_args["graph"] == "coco-17" and third.backbone_args["graph"] == "body-19"
    assert third.backbone_args["streams"] == THREE_D
    assert first.backbone_args["streams"] == ("joint",) and first.backbone_args["depth"] == 3 and first.tokens == 20
    assert options == {"seed": 0, "stop": 7, "splits": ("train",), "figures": 2}
    assert second.arch == "ctr-gcn" and "depth" not in second.backbone_args and second.banks == ()


def test_what_a_user_can_mend_is_one_line(tmp_path):
    place = ("--data", tmp_path / "nowhere", "--out", tmp_path / "run")
    for arguments in (
        ("transm3e-lite", *place, "--model", "transm3e-lit"),
        ("transm3e-lite", *place, "--stage", "rbg"),
        ("st-gcn", *place, "--model", "transm3e-tiny"),
        ("ship", tmp_path / "nowhere", tmp_path / "out", "--tag", "x", "--licence", "MIT"),
        ("ship", tmp_path, tmp_path / "out", "--tag", "x", "--licence", "MIT", "--metrics", "{a"),
    ):
        result = run(*arguments)
        assert result.exit_code == 2 and result.stderr.startswith("error: ") and result.stderr.count("\n") == 1


def test_figures_of_weights_that_saw_the_validation_photographs_say_so(tiny_model, tmp_path):
    shared = ("--tag", "x", "--licence", "MIT", "--metrics", '{"val_seen_mAP": 50.0}')
    for splits, note in (
        (["train"], None),
        (["train", "val_seen"], "of the same recipe on train alone; these weights have seen val_seen"),
    ):
        tiny_model.spec = tiny_model.spec.replace(provenance={"splits": splits})
        source = tiny_model.save_pretrained(tmp_path / "run")
        assert run("ship", source, tmp_path / "out", *shared).exit_code == 0
        assert amge.from_pretrained(tmp_path / "out").spec.provenance.get("metrics") == note


def test_what_is_shipped_may_be_in_8_bits(tiny_model, tmp_path):
    source = tiny_model.save_pretrained(tmp_path / "run")
    sizes = {}
    for dtype in ("float32", "float16", "int8"):
        out = tmp_path / dtype
        assert run("ship", source, out, "--tag", "x", "--licence", "MIT", "--dtype", dtype).exit_code == 0
        sizes[dtype] = (out / "model.safetensors").stat().st_size
    assert sizes["int8"] < 0.75 * sizes["float16"] < 0.5 * sizes["float32"]
    refused = run("ship", source, tmp_path / "out", "--tag", "x", "--licence", "MIT", "--dtype", "int4")
    assert refused.exit_code == 2 and "unknown dtype 'int4'" in refused.stderr and "int8" in refused.stderr
