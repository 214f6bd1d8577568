"""The poolings of a model alone: which there are, that all ways compute the same, and what is written."""

import json

import pooling
import pytest
import torch


def test_they_are_those_of_the_model():
    small, base = (pooling.poolings(name) for name in pooling.MODELS)
    assert small.total() == 32 and base.total() == 48 and set(small) == set(base)
    first = next(iter(small))
    assert first == ("query", 40, (8, 56, 56), (1, 1, 1), 1, 96, (3, 3, 3)) and first.channels == 96
    assert {one.stride[2] for one in small if one.part != "query"} == {1, 2, 4, 8}


@pytest.mark.parametrize("stride", [(1, 1, 1), (1, 2, 2), (2, 4, 4)])
@pytest.mark.parametrize("part", ["query", "key, value"])
def test_all_ways_compute_the_same(part, stride):
    torch.manual_seed(0)
    one = pooling.Pooling(part, 2, (3, 5, 6), stride, 2, 4, (3, 3, 3))
    errors = {name: pooling.error(way, one, torch.float32, "cpu") for name, way in pooling.WAYS.items()}
    assert max(errors.values()) < 1e-5, errors


def test_the_floor_counts_what_must_be_moved():
    dense = pooling.Pooling("query", 0, (1, 4, 4), (1, 1, 1), 1, 8, (3, 3, 3))
    assert dense.bytes(1, 2) == (16 * 8 * 2 * 2, 16 * 8 * 2 * 5)  # x, y; and x, dy, dx again
    assert dense._replace(stride=(1, 8, 8)).bytes(1, 2)[0] < dense.bytes(1, 2)[0] / 4


def test_it_runs_from_end_to_end(monkeypatch, capsys, tmp_path):
    arguments = ["--model", "transm3e-tiny", "--batch", "1", "--dtype", "float32", "--repeats", "1", "--size", "32"]
    out = tmp_path / "pooling.json"
    monkeypatch.setattr("sys.argv", ["pooling.py", *arguments, "--threads", "1", "--device", "cpu", "--out", str(out)])
    monkeypatch.setattr(pooling, "copy_rate", lambda device: 1e7)
    pooling.main()
    (case,) = json.loads(out.read_text())["cases"]
    assert set(case["sums"]["transm3e-tiny"]) == {"floor", *pooling.WAYS}
    assert all(both > 0 < forward for row in case["poolings"] for forward, both in row["milliseconds"].values())
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("largest relative error against float64: ours") and "sum, transm3e-tiny" in lines[-2]


def test_a_way_that_fails_leaves_the_others(monkeypatch):
    def broken(*arguments):
        raise RuntimeError("CUDA out of memory\nand more")

    monkeypatch.setitem(pooling.WAYS, "2-D", broken)
    one = pooling.Pooling("query", 1, (2, 4, 4), (1, 1, 1), 1, 4, (3, 3, 3))
    row = pooling.row(one, 1, "float32", "cpu", 1, 1e7)
    assert row["skipped"] == {"2-D": "RuntimeError: CUDA out of memory"} and len(row["milliseconds"]) == 3


def test_poolings_without_time_are_named(monkeypatch):
    monkeypatch.setattr(pooling, "copy_rate", lambda device: 1e7)
    result = pooling.measure(["transm3e-tiny"], 1, "float32", "cpu", seconds=-1)
    assert result["poolings"] == [] and len(result["skipped"]) == 8
