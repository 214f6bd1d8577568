"""Which models can be written for other run times, how exact and how fast they are there, as JSON lines.

python benchmarks/export.py                                       # every name, untrained, as ONNX
python benchmarks/export.py --names st-gcn --format openvino
python benchmarks/export.py --times transm3e-lite --threads 2     # PyTorch, ONNX Runtime and OpenVINO side by side
python benchmarks/export.py --int8 transm3e-lite --data FOLDER    # mAP on the open exercise photographs, size, time
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from open_exercise import SPLITS, as_clip, exercises_of, mean_ap

import amge
from amge.data.open_exercise import load, to_frames
from amge.errors import reason
from amge.export.formats import FORMATS
from amge.results import Seen


def exports(name: str, format: str, folder: Path) -> dict[str, Any]:
    """Whether a model can be written, and how far its answers are from PyTorch's."""
    started = time.perf_counter()
    try:
        done = amge.export(amge.build(name), folder / f"model{FORMATS[format].suffix}", format)
    except (ValueError, ImportError) as error:
        return {"name": name, "reason": reason(error, 300)}
    size = round(sum(file.stat().st_size for file in done.files) / 1e6, 1)
    return {"name": name, "difference": done.difference, "MB": size, "seconds": round(time.perf_counter() - started)}


def on(run_time: str, path: Path, threads: int) -> Callable[..., Any]:
    """A file in a run time with so many threads; a clip to logits."""
    if run_time == "openvino":
        import openvino

        options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
        compiled = openvino.Core().compile_model(str(path), "CPU", options)
        return lambda *given: compiled(list(given))[0]
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    return lambda *given: session.run(None, dict(zip(names, given, strict=True)))[0]


def fastest(runs: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Milliseconds of each, the median of rounds in turn, so that what else the machine does meets all alike."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for each in range(rounds + 2):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            if each >= 2:
                times[name].append(1000 * (time.perf_counter() - started))
    return {name: round(float(np.median(values)), 1) for name, values in times.items()}


def times(name: str, threads: int, rounds: int, folder: Path) -> dict[str, Any]:
    """One clip in PyTorch and in each run time, in float32 and in 8 bits."""
    model = amge.build(name, pretrained=True)
    clip = model.input_spec.example()
    torch.set_num_threads(threads)
    with torch.inference_mode():
        runs: dict[str, Callable[[], Any]] = {"torch": lambda: model(clip)}
        for quantize in (None, "int8"):
            path = folder / f"{quantize}.onnx"
            amge.export(model, path, quantize=quantize)
            for run_time in ("onnxruntime", "openvino"):
                run = on(run_time, path, threads)
                runs[f"{run_time} {quantize or 'float32'}"] = lambda run=run: run(clip.numpy())
        found = fastest(runs, rounds)
    return {
        "name": name,
        "threads": threads,
        "ms": found,
        "of torch": {k: round(v / found["torch"], 2) for k, v in found.items()},
    }


def int8(name: str, data: Path, folder: Path) -> dict[str, Any]:
    """mAP on the validation photographs in float32, in 8 bits, and with convolutions too, calibrated on photographs of
    the training split; and the sizes of the files."""
    model = amge.build(name, pretrained=True)
    shown = [to_frames(each, model.spec.frames) for each in load(data, "train")[::24]]
    kinds: dict[str, dict[str, Any]] = {
        "float32": {},
        "int8": {"quantize": "int8"},
        "int8 calibrated": {"quantize": "int8", "calibrate_on": shown},
    }
    runs, sizes = {}, {}
    for kind, options in kinds.items():
        path = folder / f"{kind}.onnx"
        amge.export(model, path, **options)
        runs[kind] = on("onnxruntime", path, torch.get_num_threads())
        sizes[kind] = round(path.stat().st_size / 1e6, 2)
    scores: dict[str, dict[str, float]] = {kind: {} for kind in runs}
    for split in SPLITS:
        exercises = exercises_of(data, split)
        logits: dict[str, list[torch.Tensor]] = {kind: [] for kind in runs}
        for exercise in exercises:
            clip = as_clip(model, exercise)
            given = [part.numpy() for part in (clip if isinstance(clip, Seen) else (clip,))]
            for kind, run in runs.items():
                logits[kind].append(torch.from_numpy(run(*given))[0])
        targets = np.stack([exercise.target for exercise in exercises])
        for kind, rows in logits.items():
            scores[kind][split] = mean_ap(model, targets, torch.stack(rows))
    return {"name": name, "mAP": scores, "MB": sizes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", nargs="*", help="default: all")
    parser.add_argument("--format", default="onnx", choices=FORMATS)
    parser.add_argument("--times", metavar="NAME")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--int8", metavar="NAME")
    parser.add_argument("--data", type=Path, help="folder of the prepared open exercise photographs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if options.times:
            print(json.dumps(times(options.times, options.threads, options.rounds, folder)))
        elif options.int8:
            print(json.dumps(int8(options.int8, options.data, folder)))
        else:
            for name in options.names or amge.list_models():
                print(json.dumps(exports(name, options.format, folder)), flush=True)


if __name__ == "__main__":
    main()
