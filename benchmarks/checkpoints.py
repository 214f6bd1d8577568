"""How long a model takes to load and how much memory that needs, against `torch.load` of the same weights, as JSON.

python benchmarks/checkpoints.py                      transm3e-small, random weights, from disk
python benchmarks/checkpoints.py --model transm3e-lite --rounds 9

Each way runs in a process of its own, which has imported everything and built a model before; the ways take turns, and
the file is in the page cache. `seconds` is the median of the rounds, the least and the largest beside it. `peak` is how
far the process's memory (all of it, mapped files too) rises above where it was, in units of the weights. Linux only.
"""

import argparse
import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file

import amge

COMMIT = "0" * 40
REPO = "me/model"
BY_HAND = "amge.build, torch.load, load_state_dict"


def built_then_filled(name: str, folder: Path) -> Any:
    """What one writes by hand."""
    model = amge.build(name)
    model.load_state_dict(torch.load(folder / "model.pth", weights_only=True))
    return model.eval()


WAYS: dict[str, Callable[[str, Path], Any]] = {
    "bytes of the file": lambda name, folder: (folder / "model.safetensors").read_bytes(),
    "torch.load, no model": lambda name, folder: torch.load(folder / "model.pth", weights_only=True),
    "safetensors load_file, no model": lambda name, folder: {
        key: value.clone() for key, value in load_file(folder / "model.safetensors").items()
    },
    "amge.build, no weights": lambda name, folder: amge.build(name),
    BY_HAND: built_then_filled,
    "amge.from_pretrained(folder)": lambda name, folder: amge.from_pretrained(folder),
    "amge.from_pretrained(folder, dtype=bfloat16)": lambda name, folder: amge.from_pretrained(
        folder, dtype=torch.bfloat16
    ),
    "amge.from_pretrained(repository in the cache)": lambda name, folder: amge.from_pretrained(
        REPO, COMMIT, cache_dir=folder / "cache"
    ),
}


def prepare(name: str, folder: Path) -> None:
    """The same weights as a checkpoint, as a pickle, and as the Hub's client keeps them."""
    model = amge.build(name)
    model.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "model.pth")
    repo = folder / "cache" / f"models--{REPO.replace('/', '--')}"
    (repo / "blobs").mkdir(parents=True)
    (snapshot := repo / "snapshots" / COMMIT).mkdir(parents=True)
    for file in ("config.json", "model.safetensors"):
        content = (folder / file).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        (repo / "blobs" / digest).write_bytes(content)
        (snapshot / file).symlink_to(Path("../../blobs", digest))


def memory(field: str) -> int:
    """A line of this process's memory in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))


def measure(way: str, name: str, folder: Path) -> None:
    """Print seconds and bytes that a way takes."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    amge.build("transm3e-tiny")
    torch.load(folder / "small.pth", weights_only=True)
    for path in folder.rglob("model.*"):
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts here
    start = time.perf_counter()
    kept = WAYS[way](name, folder)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "peak": memory("VmHWM") - before}))
    del kept


def main(name: str, rounds: int, ways: list[str]) -> None:
    found: dict[str, list[dict[str, float]]] = {way: [] for way in dict.fromkeys((BY_HAND, *ways))}
    with tempfile.TemporaryDirectory() as scratch:
        prepare(name, folder := Path(scratch))
        torch.save({"a": torch.zeros(2)}, folder / "small.pth")
        size = (folder / "model.safetensors").stat().st_size
        for _ in range(rounds):
            for way in found:
                command = [sys.executable, __file__, "--model", name, "--way", way, "--folder", scratch]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                found[way].append(json.loads(done.stdout.splitlines()[-1]))
    baseline = statistics.median(each["seconds"] for each in found[BY_HAND])
    result = {
        "model": name,
        "megabytes": round(size / 1e6, 1),
        "rounds": rounds,
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "safetensors": safetensors.__version__,
        },
        "ways": {
            way: {
                "seconds": round(median := statistics.median(seconds := sorted(each["seconds"] for each in runs)), 3),
                "range": [round(seconds[0], 3), round(seconds[-1], 3)],
                "of the time by hand": round(median / baseline, 2),
                "peak": round(statistics.median(each["peak"] for each in runs) / size, 2),
            }
            for way, runs in found.items()
        },
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="transm3e-small", help="name of a model; its weights are random")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), metavar="WAY", help="default: all")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        measure(arguments.way, arguments.model, arguments.folder)
    else:
        main(arguments.model, arguments.rounds, arguments.ways)
