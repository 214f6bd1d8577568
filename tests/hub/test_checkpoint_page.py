"""The page on checkpoints, from top to bottom, with a hub."""

import re
import shlex
import shutil
import warnings
from pathlib import Path

from hub_server import direct, serve
from typer.testing import CliRunner

from amge.cli import app

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```(python|bash)\n(.*?)```", (ROOT / "docs" / "checkpoints.md").read_text(), re.S)


def test_everything_on_the_page_runs(tmp_path, monkeypatch, capsys):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "snippet"}
    with serve(token="test") as hub, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        direct(hub, tmp_path / "hf", monkeypatch)
        monkeypatch.setenv("HF_TOKEN", "test")
        for language, text in BLOCKS:
            if language == "python":
                exec(compile(text, "docs/checkpoints.md", "exec"), names)
                continue
            for line in text.splitlines():
                result = CliRunner().invoke(app, shlex.split(line)[1:])
                assert result.exit_code == 0, result.output
    assert "no trained weights are published for 'transm3e-small'" in capsys.readouterr().out
    assert {"model.safetensors", "config.json", "README.md"} <= set(hub.revision("me/my-model", "main")[1])
