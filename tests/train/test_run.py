"""A whole run on a toy data set: stages, folder, resuming, processes."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
import yaml

pytest.importorskip("lightning")
pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

from typer.testing import CliRunner

import amge
from amge.cli import app
from amge.data.prepare.synthetic import prepare
from amge.data.sample import of_split
from amge.evaluate import predictions
from amge.files import alone
from amge.metrics import mean_average_precision
from amge.recipes.presets import PRESETS, preset
from amge.train.config import TrainConfig
from amge.train.loop import read_checkpoint
from amge.train.run import read_data, tokens_alone, train

SPEC = {
    "frames": 4,
    "size": 32,
    "activation": "sigmoid",
    "backbone_args": {"embed_dim": 8, "depth": 2, "double_at": (1,)},
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A prepared synthetic set with all splits."""
    folder = tmp_path_factory.mktemp("data") / "clips"
    prepare(folder, clips=95, frames=6, size=32, fps=4)
    return folder


def config(folder, **changes):
    values = {
        "model": "transm3e-tiny",
        "overrides": SPEC,
        "data": [{"name": "synthetic", "root": str(folder)}],
        "epochs": [2, 1],
        "batch_size": 8,
        "lr": [1e-3, 1e-3],
        "augment": {"operations": 0, "scale": [0.5, 1.0]},
        "ema": 0.9,
        "views": 1,
        "workers": 0,
        "accelerator": "cpu",
    }
    return TrainConfig.from_dict(values | changes)


@pytest.fixture(scope="module")
def trained(clips, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums depend on it, and other tests may have changed it
    yield out, train(config(clips), out)
    torch.set_num_threads(threads)


def test_the_run_folder_says_what_made_it(trained, clips):
    out, _ = trained
    run = json.loads((out / "run.json").read_text())
    assert run["config"]["seed"] == 0 and len(run["data"]) == 64
    assert {"torch", "lightning", "amge"} <= run["starts"][0]["packages"].keys()
    assert TrainConfig.from_yaml(out / "config.yaml") == config(clips)
    for stage in ("main", "teacher", "student"):
        assert (out / stage / "curves.png").stat().st_size > 5_000
        assert {"last.ckpt", "logs", "model.safetensors", "config.json"} <= {p.name for p in (out / stage).iterdir()}
    report = json.loads((out / "report" / "report.json").read_text())
    assert set(report["splits"]) == {"val_seen", "val_unseen", "test_seen", "test_unseen"}
    assert report["mean"]["val_a"] == pytest.approx(
        (report["splits"]["val_seen"]["mAP"] + report["splits"]["val_unseen"]["mAP"]) / 2, abs=0.01
    )
    assert (out / "report" / "report.png").stat().st_size > 10_000


def test_the_student_starts_from_the_main_model_and_ends_without_a_teacher(trained):
    out, model = trained
    assert not model.training and model.bank.banks == ("main", "receiver")
    assert not any("sender" in key or "teacher" in key for key in model.state_dict())
    again = amge.from_pretrained(out / "student")
    clip = model.input_spec.example()
    assert torch.equal(again(clip), model(clip))


def test_validation_is_logged_by_split(trained, clips):
    out, _ = trained
    header = (out / "student" / "logs" / "version_0" / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"loss", "train_classification", "train_distillation", "val_seen_mAP", "val_unseen_mAP"} <= set(header)
    rows = csv.DictReader((out / "student" / "logs" / "version_0" / "metrics.csv").read_text().splitlines())
    (row,) = [row for row in rows if row["val_seen_mAP"]]
    found = predictions(amge.from_pretrained(out / "student"), of_split(read_data(config(clips).data), "val_seen"), 1)
    expected = 100 * mean_average_precision(found.targets, found.probabilities)
    assert float(row["val_seen_mAP"]) == pytest.approx(expected, abs=0.01)


def test_a_finished_run_is_loaded(trained, clips, monkeypatch):
    out, model = trained
    monkeypatch.setattr("amge.train.run.fit", None)
    again = train(config(clips), out)
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), model.state_dict().values(), strict=True))
    assert len(json.loads((out / "run.json").read_text())["starts"]) == 1


def test_what_does_not_change_the_result_may_change(trained, clips, tmp_path):
    import shutil

    out, _ = trained
    shutil.copytree(clips, tmp_path / "moved")
    train(config(tmp_path / "moved", workers=1, logs=["csv", "tensorboard"]), out)


def test_a_checkpoint_cut_off_by_a_power_cut_is_named(trained, clips, tmp_path):
    import shutil

    out = shutil.copytree(trained[0], tmp_path / "run")
    (out / "student" / "config.json").unlink()
    last = out / "student" / "last.ckpt"
    for left in (last.stat().st_size // 2, 0):
        os.truncate(last, left)
        with pytest.raises(
            ValueError,
            match=re.escape(f"{last} is empty or damaged") + ".*delete the .ckpt files in .*, and student trains",
        ):
            train(config(clips), out)
    last.unlink()
    train(config(clips), out)
    assert (out / "student" / "config.json").exists()


def test_what_torch_reads_but_no_run_wrote_is_no_checkpoint(tmp_path):
    torch.save({"a": 1}, tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match=r"last\.ckpt is empty or damaged"):
        read_checkpoint(tmp_path / "last.ckpt")


def test_a_damaged_model_of_a_stage_that_is_done_is_written_again(trained, clips, tmp_path):
    import shutil

    out = shutil.copytree(trained[0], tmp_path / "run")
    for name in ("model.safetensors", "config.json"):
        (out / "student" / name).write_bytes(b"")
        remedy = f"{name}.*; delete {re.escape(str(out / 'student' / 'config.json'))}, and student is written again"
        with pytest.raises(ValueError, match=remedy):
            train(config(clips), out)
    (out / "student" / "config.json").unlink()
    train(config(clips), out)
    amge.from_pretrained(out / "student")


ODD_RUNS = '{"config": 3, "data": "x", "starts": []}', '{"config": {}, "data": "x", "starts": []}'


@pytest.mark.parametrize("content", ["", "{", "[]", '{"config": {}}', *ODD_RUNS])
def test_a_damaged_run_json_is_named(trained, clips, tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(ValueError, match=re.escape(str(tmp_path / "run.json")) + ".* delete it to go on"):
        train(config(clips), tmp_path)


def test_two_runs_do_not_write_one_folder(clips, tmp_path):
    (tmp_path / "lock").touch()
    with (tmp_path / "lock").open("rb") as other:
        alone(other, tmp_path)
        with pytest.raises(ValueError, match=f"another run writes {re.escape(str(tmp_path))} just now"):
            train(config(clips), tmp_path)
    assert not (tmp_path / "run.json").exists()


def test_a_shell_of_slurm_is_told_what_to_do(clips, tmp_path, monkeypatch):
    for name, value in {"NTASKS": 2, "JOB_NAME": "train", "JOB_ID": 1, "NODELIST": "localhost", "PROCID": 0}.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    with pytest.raises(ValueError, match="SLURM_JOB_NAME=interactive"):
        train(config(clips), tmp_path / "refused")


def test_a_refused_run_leaves_the_folder_free(clips, tmp_path):
    out = tmp_path / "run"
    for wrong in (
        {"freeze": ["nothing"]},
        {"batch_size": 500},
        {"loss": "asymmetric", "overrides": SPEC | {"activation": "softmax"}},
    ):
        with pytest.raises(ValueError):
            train(config(clips, **wrong), out)
    assert not (out / "run.json").exists()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"keep": "bets"}, "did you mean 'best'"),
        ({"precision": "fp16"}, "unknown precision"),
        ({"logs": ["csv", "wandb"]}, "unknown logger 'wandb'"),
        ({"lr": ["a", 1]}, "lr must be a number"),
        ({"weight_decay": -1}, "weight_decay must be a number"),
        ({"augment": {"scale": [1, 0.5]}}, "scale is a least and a largest"),
        ({"augment": {"magnitude": 40}}, "magnitude must be a number in 0..10"),
        ({"flow": {"method": "dis"}}, "flow: .*folder"),
        ({"keep": "best", "validate_every": 5}, "never tests a stage"),
        ({"strategy": "fsdp"}, "set ema to 0"),
        ({"data": [{"name": "synthetics", "root": "x"}]}, "did you mean 'synthetic'"),
    ],
)
def test_configs_that_make_no_sense(clips, changes, reason):
    with pytest.raises(ValueError, match=reason):
        config(clips, **changes)


def test_numbers_as_yaml_reads_them(clips):
    made = config(clips, **yaml.safe_load("{lr: [1e-3, 1e-4], weight_decay: 5e-2}"))
    assert made.lr == (1e-3, 1e-4) and made.weight_decay == 0.05


def test_fields_from_the_command_line(clips, tmp_path):
    changes = ["--set", "overrides.frames=4", "--set", "lr=[1e-3, 1e-4]", "--set", "seed=3"]
    result = CliRunner().invoke(app, ["train", "--preset", "tiny", "--data", str(clips), "--print", *changes])
    made = TrainConfig.from_dict(yaml.safe_load(result.stdout))
    assert made.overrides == {"activation": "sigmoid", "frames": 4} and made.seed == 3 and made.lr[1] == 1e-4
    assert made.spec().threshold == 0.5
    for wrong, reason in ((["--set", "seed"], "FIELD=VALUE"), (["--set", "sede=1"], "did you mean 'seed'")):
        refused = CliRunner().invoke(app, ["train", "--preset", "tiny", "--data", "x", "--print", *wrong])
        assert refused.exit_code == 2 and reason in refused.stderr


def test_a_folder_refuses_another_run(trained, clips):
    out, _ = trained
    with pytest.raises(ValueError, match="another lr"):
        train(config(clips, lr=[1e-4, 1e-4]), out)
    with pytest.raises(ValueError, match="another data"):
        source = {"name": "synthetic", "root": str(clips), "exclude": ["squat"]}
        train(replace(config(clips), data=(source,)), out)


def run_of(config, out):
    """A run in a process of its own, by the command line."""
    path = out.with_suffix(".yaml")
    path.write_text(config.to_yaml())
    command = [sys.executable, "-m", "amge.cli", "train", str(path), "--out", str(out)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ | {"OMP_NUM_THREADS": "1"}, text=True
    )


def weights(folder):
    return amge.from_pretrained(folder).state_dict()


@pytest.mark.slow
def test_killed_in_the_middle_of_an_epoch_it_goes_on_to_the_same_weights(trained, clips, tmp_path):
    """With workers, which fetch ahead, and SIGKILL, which nothing can catch."""
    out = tmp_path / "run"
    made = config(clips, workers=2, epochs=[2, 1])
    process = run_of(made, out)
    deadline = time.monotonic() + 120
    while not (out / "main" / "last.ckpt").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.2)  # into the second epoch
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it ended before it was killed"
    assert not (out / "main" / "model.safetensors").exists()
    torch.load(out / "main" / "last.ckpt", weights_only=True)  # whole
    resumed = run_of(made, out)
    text = resumed.communicate(timeout=300)[0]
    assert resumed.returncode == 0, text
    for stage in ("main", "teacher", "student"):
        for key, value in weights(trained[0] / stage).items():
            assert torch.equal(weights(out / stage)[key], value), f"{stage}: {key}"


@pytest.mark.slow
def test_two_processes_are_one_with_twice_the_batch(clips, tmp_path):
    """By torchrun, gloo; no chance inside the network, whose draws would differ between processes."""
    still = SPEC | {"backbone_args": SPEC["backbone_args"] | {"drop_path": 0.0}, "head_args": {}}
    still |= {"tokens": 4, "banks": ("main",), "fusion": None, "distill": None}
    one = config(clips, overrides=still, batch_size=8, epochs=[2, 0], ema=0.0)
    train(one, tmp_path / "one")
    two = replace(one, batch_size=4, devices=2, strategy="ddp")
    (tmp_path / "two.yaml").write_text(two.to_yaml())
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "amge.cli",
    ]
    done = subprocess.run(
        [*launcher, "train", str(tmp_path / "two.yaml"), "--out", str(tmp_path / "two")],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for key, value in weights(tmp_path / "one" / "main").items():
        torch.testing.assert_close(
            weights(tmp_path / "two" / "main")[key], value, rtol=1e-3, atol=1e-4
        )  # of steps that sum to 1e-2


def test_broken_videos_are_reported_and_training_goes_on(clips, tmp_path):
    import shutil

    copy = tmp_path / "clips"
    shutil.copytree(clips, copy)
    samples = read_data([{"name": "synthetic", "root": copy}])
    broken = [sample for sample in samples if sample.split == "train"][:2] + [
        sample for sample in samples if sample.split == "val_seen"
    ][:1]
    for sample in broken:
        sample.video.write_bytes(sample.video.read_bytes()[:200])
    alone = SPEC | {"banks": ("main",), "fusion": None, "distill": None}
    train(config(copy, overrides=alone, epochs=[1, 0]), tmp_path / "run")
    listed = (tmp_path / "run" / "main" / "broken.tsv").read_text()
    assert [line.split("\t")[0] for line in listed.splitlines()] == sorted(sample.id for sample in broken)
    report = json.loads((tmp_path / "run" / "report" / "report.json").read_text())
    assert list(report["broken"]) == [broken[2].id]


@pytest.mark.slow
def test_a_full_disk_ends_it_with_one_line_and_the_last_checkpoint_whole(clips, tmp_path):
    """A limit on the size of files stands in for the disk: the second checkpoint does not fit."""
    out = tmp_path / "run"
    made = config(clips, epochs=[2, 0], overrides=SPEC | {"banks": ("main",), "fusion": None, "distill": None})
    (tmp_path / "run.yaml").write_text(made.to_yaml())
    code = """
import resource, signal
from amge.cli import app
from amge.train.loop import SeedSteps

def fill(self, trainer, module):
    if trainer.current_epoch == 1:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

SeedSteps.on_train_epoch_start = fill
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
app()
"""
    done = subprocess.run(
        [sys.executable, "-c", code, "train", str(tmp_path / "run.yaml"), "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("error: ") and "Traceback" not in done.stderr
    assert torch.load(out / "main" / "last.ckpt", weights_only=True)["epoch"] == 0
    assert not (out / "main" / "model.safetensors").exists()


def test_bad_configs(clips, tmp_path):
    with pytest.raises(ValueError, match="did you mean 'batch_size'"):
        TrainConfig.from_dict({"batchsize": 3})
    with pytest.raises(ValueError, match="needs a name and a root"):
        config(clips, data=[{"name": "synthetic"}])
    with pytest.raises(ValueError, match="epochs must be a list"):
        config(clips, epochs=3)
    with pytest.raises(ValueError, match="two numbers, of stage 1"):
        config(clips, epochs=[3])
    with pytest.raises(ValueError, match="unknown model 'transm3e-tinny'"):
        config(clips, model="transm3e-tinny")
    with pytest.raises(ValueError, match="unknown augmentation 'flip'"):
        config(clips, augment={"flip": 1})
    with pytest.raises(ValueError, match="'pairing': 1"):
        config(clips, clips=1)
    with pytest.raises(ValueError, match="make no batch"):
        train(config(clips, batch_size=500), tmp_path / "run")
    with pytest.raises(ValueError, match="unknown init 'imagnet'"):
        train(config(clips, init="imagnet"), tmp_path / "init")


def test_the_config_in_the_docs():
    import re

    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
    made = TrainConfig.from_dict(yaml.safe_load(re.search(r"```yaml\n(.*?)```", page, re.S)[1]))
    assert made.model == "transm3e-tiny" and made.data[1]["exclude"] == ["lunge"]


@pytest.mark.parametrize("name", PRESETS)
def test_presets_fit_their_models(name):
    made = preset(name, "DATA")
    assert made.spec().arch == made.model and TrainConfig.from_dict(yaml.safe_load(made.to_yaml())) == made


def test_leaks_between_data_sets_are_refused(clips, prepared, tmp_path):
    (tmp_path / "labels.csv").write_text("video,regions,activity,split\nx.mp4,chest,lunge,train\n")
    sources = [{"name": "synthetic", "root": str(clips)}, {"name": "folder", "root": str(tmp_path)}]
    with pytest.raises(ValueError, match=r"'lunge' is in train and in .*exclude"):
        read_data(sources)
    assert read_data([sources[0], sources[1] | {"exclude": ["lunge"]}])


def test_tokens_alone():
    spec = amge.spec("transm3e-small")
    main, teacher = tokens_alone(spec, "rgb"), tokens_alone(spec, "rgb_diff")
    assert (main.banks, main.fusion, main.distill, main.modality) == (("main",), None, None, "rgb")
    assert (teacher.banks, teacher.fusion, teacher.modality) == (("sender",), None, "rgb_diff")


def test_a_config_is_the_same_after_yaml(clips, tmp_path):
    made = config(clips, flow={"folder": "flow", "max_gb": 1.0}, logs=["csv", "tensorboard"])
    (tmp_path / "run.yaml").write_text(made.to_yaml())
    again = TrainConfig.from_yaml(tmp_path / "run.yaml")
    assert json.loads(json.dumps(asdict(again))) == json.loads(json.dumps(asdict(made)))
    assert again.spec() == made.spec()
