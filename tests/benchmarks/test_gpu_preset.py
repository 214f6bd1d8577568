"""`speed.py --preset gpu`: goals beside figures, parts that fail or have no time, and a machine with few packages."""

import json
import os
import subprocess
import sys
from pathlib import Path

import gpu_preset
import pytest
from goals import summary

ROOT = Path(__file__).parents[2]
MISSING = ("av", "lightning", "mediapipe", "pytorchvideo", "torch_geometric", "cv2", "typer", "rich", "sklearn")
CASE = {"part": "forward", "model": "ours", "mode": "forward", "dtype": "bfloat16", "batch": 8, "device": "cuda"}


def table(*cases):
    lines = summary({"machine": "GPU", "torch": "2", "model": "ours", "cases": list(cases)}).splitlines()
    return {line.split(">=")[0].split("<=")[0].strip(): " ".join(line.split()) for line in lines}


def test_each_goal_stands_beside_the_best_figure():
    times = {"ours": 20.0, "ours, graph": 10.0, "theirs": 40.0, "theirs, compiled": 5.0}
    found = table(
        {**CASE, "milliseconds": times}, {**CASE, "mode": "train", "milliseconds": {"ours": 50, "theirs": 70}}
    )
    assert found["bfloat16 forward, batch 8, best way"].endswith(">= 3.5 4.00 yes 10.00 ms graph, 40.00 ms theirs")
    assert " >= 1.5 1.40 NO " in found["bfloat16 train, batch 8, eager"]
    assert found["bfloat16 train, batch 32, best way"].endswith(">= 3.5 - - not measured: not asked for")


def test_memory_backbones_and_what_is_left_out():
    training = {**CASE, "part": "training", "mode": "train"}
    found = table(
        {**training, "peak_mib": {"ours": 60, "theirs": 80}},
        {**training, "batch": 32, "failed": "OutOfMemoryError: too much"},
        {**CASE, "part": "backbones", "model": "swin", "milliseconds": {"swin": 10.0, "theirs": 9.6}},
        {**CASE, "part": "backbones", "model": "gcn", "milliseconds": {"gcn": 3.0}, "skipped": {"reference": "none"}},
    )
    assert " <= 0.6 0.75 NO 60 MiB, 80 MiB" in found["training memory, batch 8, of the reference's"]
    assert "OutOfMemoryError: too much" in found["training memory, batch 32, of the reference's"]
    assert " >= 0.95 0.96 yes " in found["swin forward, batch 8"]
    assert found["gcn forward, batch 8"].endswith("3.00 ms; not measured: none")
    assert "left out, training ours train bfloat16 32: all: OutOfMemoryError: too much" in found


@pytest.fixture
def script(monkeypatch, tmp_path):
    """What stands for the worker: it answers with the names of jobs, dies of "die", and sleeps at "sleep"."""
    path = tmp_path / "worker.py"
    path.write_text("""
import json, os, sys, time
for job in json.loads(sys.argv[1]):
    if job == "die": os.abort()
    if job == "sleep": time.sleep(60)
    open(sys.argv[2], "a").write(json.dumps({"told": job}) + "\\n")
    if job == "restart": sys.exit(75)
""")
    monkeypatch.setattr(gpu_preset, "__file__", str(path))


def test_a_process_that_dies_loses_one_job(script):
    told = list(gpu_preset.answered(["a", "die", "restart", "b"], 60, 1))
    failed = {"failed": "the process ended with code -6"}
    assert told == [{"told": "a"}, failed, {"told": "restart"}, {"told": "b"}]


def test_what_takes_too_long_is_stopped_and_the_rest_named(script):
    told = list(gpu_preset.answered(["a", "sleep", "b"], 2, 1))
    assert told == [{"told": "a"}, {"failed": "no time left"}, {"failed": "no time left"}]


@pytest.mark.slow
def test_every_part_but_compilation_runs_on_a_machine_with_few_packages(tmp_path):
    """From another folder, uninstalled."""
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({MISSING}))\n")
    sizes = ["--model", "transm3e-tiny", "--device", "cpu", "--repeats", "1", "--threads", "1", "--size", "64"]
    command = [sys.executable, str(ROOT / "benchmarks" / "speed.py"), "--preset", "gpu", *sizes, "--frames", "8"]
    parts = ("forward", "training", "float32", "pooling", "backbones", "cpu")
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "gpu.json"), "--minutes", "9", "--part", *parts],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    results, printed = json.loads((tmp_path / "gpu.json").read_text()), done.stdout
    mvit = [case for case in results["cases"] if case["part"] in ("forward", "training", "float32")]
    assert len(mvit) == 7 and all(case["ratio"]["torchvision MViT"] > 0 for case in mvit)
    assert "CUDA graphs need a GPU" in printed and "tf32 train, batch 32, best way" in printed
    cases = {(case["part"], case.get("model"), case.get("mode")): case for case in results["cases"]}
    assert cases["cpu", "transm3e-tiny", "forward"]["ratio"]["torchvision MViT"] > 0
    assert cases["pooling", None, None]["sums"]["transm3e-tiny"]["ours"][0] > 0
    assert cases["backbones", "videoswin-tiny", "train"]["ratio"]["torchvision SwinTransformer3d"] > 0
    assert "needs pytorchvideo" in cases["backbones", "c2d-tiny", "forward"]["skipped"]["c2d-tiny"]
    assert "c2d-tiny forward, batch 8 >= 0.95 - - not measured" in " ".join(printed.split())
    for name in ("st-gcn-tiny", "ctr-gcn-tiny", "hd-gcn-tiny"):
        assert cases["backbones", name, "train"]["milliseconds"][name] > 0
    assert "no package has st-gcn-tiny" in printed and "float32 forward, batch 1 on the CPU" in printed


def test_an_unknown_part_is_one_line(monkeypatch):
    import speed

    monkeypatch.setattr(sys, "argv", ["speed.py", "--preset", "gpu", "--part", "backward", "--device", "cpu"])
    with pytest.raises(SystemExit, match="error: no part backward; there are forward, training, float32, pooling"):
        speed.main()
