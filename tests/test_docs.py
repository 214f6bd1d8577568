import re
import shlex
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from amge.cli import app

ROOT = Path(__file__).parent.parent
ELSEWHERE = [ROOT / "docs" / "checkpoints.md"]
"""It needs a hub: tests/hub/test_checkpoint_page.py."""
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted({*(ROOT / "docs").glob("*.md")} - {*ELSEWHERE})]
PYTHON = {page: re.findall(r"```python\n(.*?)```", page.read_text(), re.S) for page in PAGES}
SHELL = [
    (page, line.split("&& ")[-1])
    for page in PAGES
    for block in re.findall(r"```(?:bash|console)\n(.*?)```", page.read_text(), re.S)
    for line in block.splitlines()
    if line.split("&& ")[-1].startswith("amge ")
]

LONG = {
    ROOT / "docs" / "exercises_expected.md",
    ROOT / "docs" / "transm3e.md",
    ROOT / "docs" / "training.md",
    ROOT / "docs" / "pictures.md",
    ROOT / "docs" / "bulk.md",
    ROOT / "docs" / "skeletons.md",
    ROOT / "docs" / "export.md",
    "amge predict examples --out results.parquet --workers 2",
    'amge predict examples/squat.mp4 --expect "barbell squat" --model transm3e-lite',
}
"""Networks of full size, as tests/convert compares in small; training, as tests/train does; a video that is drawn, as
tests/viz does in small; torch's recorder; poses, as tests/skeleton looks for; processes, as a snippet of the same page
starts too."""


def each(things):
    marks = {one: [pytest.mark.slow] * (one in LONG) for one in things}
    return [pytest.param(one, marks=marks[one], id=getattr(one, "stem", one)) for one in marks]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that looks like a checkout to a snippet."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", each(page for page, snippets in PYTHON.items() if snippets))
def test_python_snippets_run_one_after_the_other(page, folder, registry):
    names = {"__name__": "snippet"}
    for code in PYTHON[page]:
        exec(compile(code, str(page), "exec"), names)


@pytest.mark.parametrize("command", each(dict.fromkeys(command for _, command in SHELL)))
def test_command_runs(command, folder):
    result = CliRunner().invoke(app, shlex.split(command)[1:])
    assert result.exit_code == 0, result.output
    for saved in re.findall(r"--save (\S+)", command):
        assert (folder / saved).stat().st_size > 10_000


def test_the_readme_has_snippets_and_commands():
    assert len(PYTHON[ROOT / "README.md"]) >= 2
    assert sum(page.name == "README.md" for page, _ in SHELL) >= 2
