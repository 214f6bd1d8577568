import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import Fault, serve

ROOT = Path(__file__).parents[2]
REPO = "me/my-muscle-model"
PUBLISHED = {"config.json", "model.safetensors", "README.md", "custom_parts.py"}


def run(*arguments, cwd=ROOT, **environment):
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


def test_mctf_in_a_vit_learns():
    result = run("examples/mctf_in_a_vit.py")
    assert result.returncode == 0, result.stderr
    first, middle, last = printed("loss", result.stdout)
    assert last < middle < first and last < first / 2


def test_mctkd_brings_the_tokens_of_a_timm_model_closer_to_those_of_another():
    result = run("examples/mctkd_between_timm_models.py")
    assert result.returncode == 0, result.stderr
    first, middle, last = printed("distillation", result.stdout)
    assert last < middle < first and last < first / 2
    first, _, last = printed("classification", result.stdout)
    assert last < first


def test_custom_parts_come_back_from_a_folder(tmp_path):
    result = run("examples/custom_parts.py", "--out", tmp_path / "model")
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{tmp_path / 'model'}: outputs (2, 20) equal to the bit\n"
    assert {path.name for path in (tmp_path / "model").iterdir()} == PUBLISHED - {"custom_parts.py"}


@pytest.fixture
def hub():
    with serve(token="test") as hub:
        yield hub


def publish(hub, tmp_path, *arguments, token="test"):
    environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": token}
    return run("examples/custom_parts.py", "--repo", REPO, *arguments, **environment)


def test_custom_parts_come_back_from_the_hub_and_work_for_others(hub, tmp_path):
    result = publish(hub, tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{REPO}: outputs (2, 20) equal to the bit\n"
    newest, files = hub.revision(REPO, "main")
    assert set(files) == PUBLISHED
    assert f"HEAD /{REPO}/resolve/{newest}/model.safetensors" in hub.requests

    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    load = "import amge, custom_parts; model = amge.from_pretrained('.'); print(model.spec.backbone_args)"
    result = run("-c", load, cwd=tmp_path)
    assert result.stdout == "{'dims': (24, 48, 96)}\n", result.stderr
    result = run("-c", load.replace(", custom_parts", ""), cwd=tmp_path)
    assert result.returncode == 1 and "first `import custom_parts`, which registers them" in result.stderr


def test_one_bit_changed_on_the_way_back_is_noticed(hub, tmp_path):
    hub.faults.append(Fault("GET", "model.safetensors", "spoil"))
    result = publish(hub, tmp_path)
    assert result.returncode == 1 and "equal" not in result.stdout
    assert "model.safetensors is not what the Hub says" in result.stderr


def test_publishing_sends_the_checkpoint_alone_and_again_only_what_changed(hub, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "notes.txt").write_text("not for others")
    for _ in range(2):
        result = publish(hub, tmp_path, "--out", tmp_path / "model")
        assert result.returncode == 0, result.stderr
    assert [set(files) for files in hub.repos[REPO].values()] == [set(), PUBLISHED]


def test_a_wrong_token_publishes_nothing(hub, tmp_path):
    result = publish(hub, tmp_path, token="wrong")
    assert result.returncode == 1 and "401" in result.stderr
    assert hub.repos == {}
