import re
import shlex
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from amge.cli import app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PYTHON = [(page, code) for page in PAGES for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.S)]
SHELL = [
    (page, line.split("&& ")[-1])
    for page in PAGES
    for block in re.findall(r"```(?:bash|console)\n(.*?)```", page.read_text(), re.S)
    for line in block.splitlines()
    if line.split("&& ")[-1].startswith("amge ")
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that looks like a checkout to a snippet."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("page", "code"), PYTHON, ids=[f"{page.stem}-{i}" for i, (page, _) in enumerate(PYTHON)])
def test_python_snippet_runs(page, code, folder):
    exec(compile(code, str(page), "exec"), {"__name__": "snippet"})


@pytest.mark.parametrize(("page", "command"), SHELL, ids=[command for _, command in SHELL])
def test_command_runs(page, command, folder):
    result = CliRunner().invoke(app, shlex.split(command)[1:])
    assert result.exit_code == 0, result.output
    for saved in re.findall(r"--save (\S+)", command):
        assert (folder / saved).stat().st_size > 10_000


def test_the_readme_has_snippets_and_commands():
    assert sum(page.name == "README.md" for page, _ in PYTHON) >= 2
    assert sum(page.name == "README.md" for page, _ in SHELL) >= 2
