import importlib.util
import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("lightning")
pytest.importorskip("sklearn")

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("train_tables", ROOT / "benchmarks" / "train_tables.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["train_tables"] = module
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_script_writes_from_the_json(script):
    assert (ROOT / "docs" / "results.md").read_text() == "\n".join(script.markdown()) + "\n"


def test_collecting_and_what_is_noise(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "RESULTS", tmp_path)
    gains = {"one class token": 0.0, "MCTs": 2.0, "MCTs, MCTKD": 2.0}
    for seed in range(3):
        folder = tmp_path / "runs" / "table-3" / f"seed-{seed}"
        folder.mkdir(parents=True)
        for row, gain in gains.items():
            shake = 0.2 * seed * (-1) ** seed if row == "MCTs, MCTKD" else 0.1 * seed
            figures = dict.fromkeys(script.COLUMNS, 40 + gain + shake)
            found = {"row": row, "seed": seed, "parameters": 4_000_000, "mAP": figures}
            (folder / f"{row}.json").write_text(json.dumps(found))
    content = json.loads(script.collect(3, tmp_path / "runs").read_text())
    assert list(content["rows"]) == list(gains) and "seed" not in content["config"]
    assert content["rows"]["MCTs"]["mAP"]["photos val_seen"] == {"0": 42.0, "1": 42.1, "2": 42.2}
    real, chance = script.noise(content["rows"])
    assert "+2.0 (+2.0, +2.0, +2.0 by seed), more than chance" in real
    assert "within chance" in chance


def test_every_row_can_be_built(script):
    from amge.assemble import assemble

    spec = script.config(3, "PHOTOS", "CLIPS", 0).spec()
    for changes in script.TABLE_3.values():
        assemble(spec.replace(**changes))
    base = script.config(2, "PHOTOS", "CLIPS", 0)
    for name in script.TABLE_2:
        if name not in ("random", "all-ones", "all-zeros"):
            assemble(script.replace(base, model=name).spec())
