"""Does a process that predicts for days stay as it was? Memory, files and threads while one clip is predicted, as JSON.

python benchmarks/endurance.py --count 10000                                     a clip of 12 frames of 64 x 64
python benchmarks/endurance.py --model st-gcn.open-exercise --count 10000        keypoints of as many frames

The first `--warm` predictions do not count: libraries are loaded then, and memory is taken that stays. It goes up and
down by what the allocator keeps; `grown` is the least of the last fifth of the samples less the least of the first.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

import amge
from amge.builder import load
from amge.video.write import write_video

SAMPLES = 100


def made(folder: Path, modality: str, frames: int = 12) -> Path:
    """A short video, or a file of keypoints, in three dimensions for models that want them."""
    rng = np.random.default_rng(0)
    if modality == "skeleton":
        keypoints, world = rng.uniform(20, 300, (1, frames, 33, 2)), rng.uniform(-1, 1, (1, frames, 33, 3))
        np.savez(folder / "clip.npz", keypoints=keypoints, world=world, fps=12)
        return folder / "clip.npz"
    write_video(folder / "clip.mp4", rng.integers(0, 256, (frames, 64, 64, 3), dtype=np.uint8), fps=12)
    return folder / "clip.mp4"


def state() -> dict[str, float]:
    status = Path("/proc/self/status").read_text()
    return {
        "MB": round(int(status.split("VmRSS:")[1].split()[0]) / 1024, 2),
        "open files": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
    }


def endure(model: amge.MuscleModel, path: Path, count: int, warm: int) -> dict[str, Any]:
    """Predict `path` again and again."""
    for _ in range(warm):
        first = model.predict(path)
    samples, step = [state()], max(count // SAMPLES, 1)
    start = time.perf_counter()
    for number in range(1, count + 1):
        last = model.predict(path)
        if number % step == 0:
            samples.append(state())
    seconds, fifth = time.perf_counter() - start, max(len(samples) // 5, 1)
    least = [{key: min(s[key] for s in some) for key in some[0]} for some in (samples[:fifth], samples[-fifth:])]
    return {
        "predictions": count,
        "a second": round(count / seconds, 2),
        "the same answer": dict(first) == dict(last),
        "first": samples[0],
        "last": samples[-1],
        "grown": {key: round(least[1][key] - least[0][key], 2) for key in least[0]},
        "MB": [sample["MB"] for sample in samples[:: max(len(samples) // 20, 1)]],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="transm3e-lite", help="name with published weights, or a checkpoint")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--warm", type=int, default=50)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="file for the result, besides the output")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = load(options.model)
    with tempfile.TemporaryDirectory() as folder:
        found = endure(model, made(Path(folder), model.spec.modality), options.count, options.warm)
    about = {"model": options.model, "machine": platform.machine(), "torch": torch.__version__, "av": av.__version__}
    result = json.dumps(about | found, indent=1)
    print(result)
    if options.out:
        options.out.write_text(result + "\n")


if __name__ == "__main__":
    main()
