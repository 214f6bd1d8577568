from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SPACE = ROOT / "examples" / "space"


def project():
    return pytest.importorskip("tomllib").loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_a_space_installs_what_the_library_needs():
    lines = (SPACE / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert lines[1:] == [*project()["dependencies"], *project()["optional-dependencies"]["pose"]]


def test_a_space_says_what_runs_it():
    head = yaml.safe_load((SPACE / "README.md").read_text(encoding="utf-8").split("---")[1])
    assert head["sdk"] == "gradio" and (SPACE / head["app_file"]).exists()
    assert f"gradio>={head['sdk_version'].split('.')[0]}," in project()["optional-dependencies"]["demo"][0]
