import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hub_server import Fault, direct, serve

ROOT = Path(__file__).parents[2]
REPO = "me/my-muscle-model"
PUBLISHED = {"config.json", "model.safetensors", "README.md", "custom_parts.py"}


@pytest.fixture
def run(monkeypatch, registry):
    """Runs a script as `python SCRIPT ARGUMENTS` would, in this process."""

    def run(script, *arguments):
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        torch.manual_seed(0)
        runpy.run_path(str(ROOT / script), run_name="__main__")

    return run


def process(*arguments, cwd=ROOT, **environment):
    """A Python process on one thread, without proxies and without what the caller's environment says of the Hub."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and not name.startswith(("HF_", "HUGGING"))
    }
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=kept
        | {"OMP_NUM_THREADS": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1"}
        | (environment or {"HF_HUB_OFFLINE": "1"}),
        capture_output=True,
        text=True,
        timeout=120,
    )


def printed(name, text):
    return [float(value) for value in re.findall(rf"{name} (\d+\.\d+)", text)]


def test_mctf_in_a_vit_learns(run, capsys):
    run("examples/mctf_in_a_vit.py")
    first, middle, last = printed("loss", capsys.readouterr().out)
    assert last < middle < first and last < first / 2


def test_mctkd_brings_the_tokens_of_a_timm_model_closer_to_those_of_another(run, capsys):
    run("examples/mctkd_between_timm_models.py")
    shown = capsys.readouterr().out
    first, middle, last = printed("distillation", shown)
    assert last < middle < first and last < first / 2
    first, _, last = printed("classification", shown)
    assert last < first


def test_custom_parts_come_back_from_a_folder(run, capsys, tmp_path):
    run("examples/custom_parts.py", "--out", tmp_path / "model")
    assert capsys.readouterr().out == f"{tmp_path / 'model'}: outputs (2, 20) equal to the bit\n"
    assert {path.name for path in (tmp_path / "model").iterdir()} == PUBLISHED - {"custom_parts.py"}


@pytest.fixture
def hub():
    with serve(token="test") as hub:
        yield hub


@pytest.fixture
def publish(run, hub, tmp_path, monkeypatch):
    """Runs the example that publishes parts of one's own."""
    direct(hub, tmp_path / "hf", monkeypatch)

    def publish(*arguments, token="test"):
        monkeypatch.setenv("HF_TOKEN", token)
        run("examples/custom_parts.py", "--repo", REPO, *arguments)

    return publish


@pytest.mark.slow
def test_custom_parts_come_back_from_the_hub_and_work_for_others(hub, tmp_path):
    environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": "test"}
    result = process("examples/custom_parts.py", "--repo", REPO, **environment)
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{REPO}: outputs (2, 20) equal to the bit\n"
    newest, files = hub.revision(REPO, "main")
    assert set(files) == PUBLISHED
    assert f"HEAD /{REPO}/resolve/{newest}/model.safetensors" in hub.requests

    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    load = "import amge, custom_parts; model = amge.from_pretrained('.'); print(model.spec.backbone_args)"
    result = process("-c", load, cwd=tmp_path)
    assert result.stdout == "{'dims': (24, 48, 96)}\n", result.stderr
    result = process("-c", load.replace(", custom_parts", ""), cwd=tmp_path)
    assert result.returncode == 1 and "first `import custom_parts`, which registers them" in result.stderr


def test_one_bit_changed_on_the_way_back_is_noticed(publish, hub, capsys):
    hub.faults.append(Fault("GET", "model.safetensors", "spoil"))
    with pytest.raises(OSError, match=r"model.safetensors is not what the Hub says"):
        publish()
    assert "equal" not in capsys.readouterr().out


def test_publishing_sends_the_checkpoint_alone_and_again_only_what_changed(publish, hub, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "notes.txt").write_text("not for others")
    for _ in range(2):
        publish("--out", tmp_path / "model")
    assert [set(files) for files in hub.repos[REPO].values()] == [set(), PUBLISHED]


def test_a_wrong_token_publishes_nothing(publish, hub):
    with pytest.raises(ValueError, match="401"):
        publish(token="wrong")
    assert hub.repos == {}
