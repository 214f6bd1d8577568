"""The table of backbones: what it measures, and that the page says so."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from amge.paper import REFERENCE_PARAMETERS

ROOT = Path(__file__).parents[2]
SCRIPT = runpy.run_path(str(ROOT / "benchmarks" / "backbones.py"))
RESULTS = ROOT / "benchmarks" / "results" / "backbones.json"


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["backbones.py", *map(str, arguments)])
    SCRIPT["main"]()


def test_it_measures_what_is_asked_for(monkeypatch, capsys, tmp_path):
    run(monkeypatch, "--model", "ctr-gcn", "st-gcn", "--repeats", 1, "--threads", 1, "--out", tmp_path / "a.json")
    results = json.loads((tmp_path / "a.json").read_text())
    first, second = results["models"]
    assert (first["model"], first["parameters"], first["reference"], first["paper"]) == (
        "ctr-gcn",
        1426114,
        1426114,
        1.4,
    )
    assert second["gmacs"] > first["gmacs"] > 0 and first["milliseconds"] > 0 and first["input"] == [1, 32, 17, 3]
    run(monkeypatch, "--model", "st-gcn", "--repeats", 1, "--threads", 1)
    assert json.loads(capsys.readouterr().out)["models"][0]["model"] == "st-gcn"


def test_the_page_is_that_of_the_results(monkeypatch, capsys):
    run(monkeypatch, "--markdown", RESULTS)
    assert capsys.readouterr().out == (ROOT / "docs" / "backbones.md").read_text()


ALWAYS = ("ctr-gcn", "slowfast-r50", "videoswin-small", "transm3e-small")
"""One of each kind of network; the others with the slow tests."""
ROWS = [
    pytest.param(row, id=row["model"], marks=() if row["model"] in ALWAYS else pytest.mark.slow)
    for row in json.loads(RESULTS.read_text())["models"]
]


@pytest.mark.parametrize("row", ROWS)
def test_the_counts_of_the_page_are_those_of_the_models(row):
    if row["model"].endswith("-r50"):
        pytest.importorskip("pytorchvideo")
    assert {**row, **SCRIPT["cost"](row["model"])} == row
    assert row["parameters"] == REFERENCE_PARAMETERS.get(row["model"], row["parameters"])


def test_every_model_of_table_2_is_there():
    rows = [row["model"] for row in json.loads(RESULTS.read_text())["models"]]
    assert rows == SCRIPT["NAMES"] and len(rows) == 14
