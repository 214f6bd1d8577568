"""Our models against what one would pick instead, in several ways to run them."""

import json
from types import SimpleNamespace

import pytest
import speed
import torch
from candidates import candidates
from measuring import top_kernels

TINY = {"model": "transm3e-tiny", "device": "cpu", "dtype": "float32", "batch": 1, "frames": 8, "size": 64}


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """A rate of multiplications above any processor's, which takes no time to measure."""
    monkeypatch.setattr(speed, "gemm_rate", lambda dtype, device: 1e8)


def run(capsys, monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["speed.py", "--repeats", "1", "--threads", "1", "--device", "cpu", *arguments])
    speed.main()
    return json.loads(capsys.readouterr().out)


@pytest.mark.slow
def test_it_compares_with_the_bare_encoder(capsys, monkeypatch):
    (case,) = run(capsys, monkeypatch, "--frames", "2", "--size", "64")["cases"]
    assert case["ratio"]["encoder"] > 0 and case["milliseconds"]["encoder"] > 0 and case["peak_mib"]["encoder"] > 0


@pytest.mark.slow
def test_it_compares_with_torchvision_at_any_size_and_shows_how_time_grows(capsys, monkeypatch):
    arguments = ["--model", "transm3e-small", "--size", "32", "--frames", "2", "4", "--mode", "train"]
    result = run(capsys, monkeypatch, *arguments)
    assert set(result["parameters"]) == {"transm3e-small", "torchvision mvit_v2_s"}
    short, long = result["cases"]
    assert long["gflop"] > short["gflop"] > 0 and short["floor_ms"] > 0
    assert short["times_floor"] > 1 and short["peak_mib"]["transm3e-small"] > 0
    assert short["ratio"]["torchvision mvit_v2_s"] > 0 and short["peak_ratio"]["torchvision mvit_v2_s"] > 0


def test_compiled_both_are_compared_too(capsys, monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "compile", lambda model, **options: asked.append(options) or model)
    monkeypatch.setattr(speed, "peak", lambda *_: 1.0)
    (case,) = run(capsys, monkeypatch, "--model", "transm3e-tiny", "--compile", "reduce-overhead")["cases"]
    way = "compiled reduce-overhead"
    assert set(case[f"ratio, {way}"]) == {"torchvision MViT", f"torchvision MViT, {way}"}
    assert asked == [{"mode": "reduce-overhead", "dynamic": False}] * 2


@pytest.mark.parametrize("mode", ["forward", "train"])
def test_what_cannot_be_had_is_left_out_with_the_reason(mode):
    case = SimpleNamespace(**TINY, mode=mode)
    result = speed.compare(case, 1, ("eager", "graph"), memory=False, rows=3)
    assert result["skipped"] == {"transm3e-tiny, graph": "RuntimeError: CUDA graphs need a GPU"}
    assert result["ratio"]["torchvision MViT"] > 0 and len(result["profile"]["top"]) == 3


def test_a_call_that_fails_leaves_the_others(monkeypatch):
    class Broken(torch.nn.Module):
        def forward(self, clip):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate much")

    models, _ = candidates("transm3e-tiny", 8, 64)
    monkeypatch.setattr(speed, "candidates", lambda *_: ({**models, "broken": Broken}, ""))
    result = speed.compare(SimpleNamespace(**TINY, mode="forward"), 1, memory=False)
    assert "out of memory" in result["skipped"]["broken"] and set(result["ratio"]) == {"torchvision MViT"}


@pytest.mark.parametrize("name", ["transm3e-tiny", "videoswin-tiny", "c2d-tiny", "slow-tiny", "slowfast-tiny"])
def test_references_take_the_same_clips_and_have_the_same_outputs(name):
    if name.startswith(("c2d", "slow")):
        pytest.importorskip("pytorchvideo")
    models, reason = candidates(name, 8, 64)
    clip = torch.randn(1, 3, 8, 64, 64)
    with torch.inference_mode():
        shapes = {tuple(make().eval()(clip).shape) for make in models.values()}
    assert shapes == {(1, 20)} and len(models) == 2 and not reason


@pytest.mark.parametrize(("name", "count"), [("transm3e-small", 34245524), ("transm3e-base", 50901044)])
def test_torchvision_gets_the_blocks_of_ours(name, count):
    with torch.device("meta"):
        _, theirs = (make() for make in candidates(name, 16, 224)[0].values())
    assert sum(p.numel() for p in theirs.parameters()) == count


def test_without_a_reference_it_says_so(monkeypatch):
    assert candidates("st-gcn", 32, 224)[1] == "no package has st-gcn to compare with"
    monkeypatch.setitem(__import__("sys").modules, "pytorchvideo.models", None)
    models, reason = candidates("c2d-tiny", 8, 64)
    assert list(models) == ["c2d-tiny"] and reason.startswith("nothing to compare c2d-tiny with: ")


def test_the_work_of_every_kind_of_model_is_counted():
    counts = [
        speed.clip_flops(name, 8, 64) for name in ("transm3e-tiny", "videoswin-tiny", "ctr-gcn-tiny", "hd-gcn-tiny")
    ]
    assert min(counts) > 1e6


def test_the_profile_names_the_operators():
    a = torch.randn(64, 64)
    found = top_kernels(lambda: (a @ a).relu(), "cpu", 1)
    assert len(found["top"]) == 1 and found["launches"] >= 2 and found["ms"] > 0
