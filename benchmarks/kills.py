"""Does a sudden death lose or spoil anything? Runs are killed (SIGKILL) at random moments and started again, as JSON.

python benchmarks/kills.py --count 20                 of each: bulk prediction, training, saving
python benchmarks/kills.py --what saving --count 200

A run dies after a random line of its output and a random while, so that all of it is struck on any machine. After each
kill every file under a final name is read; logs, to which lines are added, may end in the middle of one. What was
reported as done has to be there. The run started again has to end as one that nothing disturbed: with the same rows,
the same weights. `ended first` counts runs that were through before their moment came, `again` is the median of the
seconds that the second runs took, `whole` those of an undisturbed one.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

import amge

BULK = """
import os, sys
from amge.bulk import predict_files
if __name__ == "__main__":
    if os.path.exists(sys.argv[2]) and not os.path.exists(sys.argv[2] + ".parts"):
        sys.exit()  # done
    report = lambda done, total: print(done, flush=True)
    predict_files(sys.argv[1], sys.argv[2], sys.argv[3], workers=1, save_every=0, progress=report)
"""
SAVE = """
import sys
import amge
models = [amge.from_pretrained(path) for path in sys.argv[2:4]]
for number in range(int(sys.argv[4])):
    models[number % 2].save_pretrained(sys.argv[1])
    print(number, flush=True)
"""


class Case(NamedTuple):
    """What is killed."""

    command: Callable[[Path], list[str]]
    """Of a folder that it may fill."""
    faults: Callable[[Path, list[str]], list[str]]
    """What is wrong in the folder after a kill, by what was printed."""
    result: Callable[[Path], dict[str, Any]]
    """What it has come to in the end."""


def unreadable(folder: Path) -> list[str]:
    """The files that are not whole, but for what is not finished and for logs."""
    readers: dict[str, Callable[[Path], Any]] = {
        ".json": lambda path: json.loads(path.read_text()),
        ".yaml": lambda path: yaml.safe_load(path.read_text())["model"],
        ".parquet": pq.read_table,
        ".safetensors": load_file,
        ".ckpt": lambda path: torch.load(path, weights_only=True),
        ".png": lambda path: Image.open(path).load(),
    }
    faults = []
    for path in sorted(folder.rglob("*")):
        if path.suffix in readers and not any(part.startswith(".part-") for part in path.relative_to(folder).parts):
            try:
                readers[path.suffix](path)
            except Exception as error:
                faults.append(f"{path.relative_to(folder)}: {type(error).__name__}: {error!s:.200}")
    return faults


def start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        return subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )


def lines_of(log: Path) -> int:
    return log.read_bytes().count(b"\n")


def undisturbed(case: Case, folder: Path, log: Path) -> tuple[float, int]:
    """Seconds and lines of output of a whole run."""
    begin = time.perf_counter()
    if start(case.command(folder), log).wait():
        raise SystemExit(log.read_text())
    return time.perf_counter() - begin, lines_of(log)


def kill(case: Case, count: int, seed: int, folder: Path) -> dict[str, Any]:
    """Kill so many runs, each at a moment of its own."""
    rng, log, whole = np.random.default_rng(seed), folder / "log", folder / "whole"
    end, lines = undisturbed(case, whole, log)
    expected = case.result(whole)
    faults: list[str] = []
    endings, seconds = Counter[str](), []
    for number in range(count):
        out = folder / f"run-{number}"
        after, begin = int(rng.integers(lines)), time.perf_counter()
        process = start(case.command(out), log)
        while lines_of(log) < after and process.poll() is None:
            time.sleep(0.01)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0, 2 * end / (lines + 1)))
        process.kill()
        process.wait()
        moment = time.perf_counter() - begin
        endings["killed" if process.returncode < 0 else "ended first"] += 1
        time.sleep(0.3)  # its workers see that it is gone
        found = [] if not out.exists() else unreadable(out) + case.faults(out, log.read_text().splitlines())
        if process.returncode < 0:
            begin = time.perf_counter()
            again = start(case.command(out), log)
            if again.wait():
                found.append(f"started again it ends with code {again.returncode}: {log.read_text()[-500:]}")
            seconds.append(time.perf_counter() - begin)
        if not found:
            found = [f"{key} differs" for key, value in case.result(out).items() if value != expected[key]]
        faults += [f"{number}, killed after {moment:.2f} s: {fault}" for fault in found]
        shutil.rmtree(out, ignore_errors=True)
    times = {"whole": round(end, 1), "again": round(statistics.median(seconds), 1) if seconds else None}
    return {**endings, "seconds": times, "faults": faults}


def weights(folder: Path) -> dict[str, Any]:
    """Bytes of the tensors of each checkpoint below a folder."""
    return {
        str(path.relative_to(folder)): {key: value.numpy().tobytes() for key, value in load_file(path).items()}
        for path in sorted(folder.rglob("model.safetensors"))
        if not any(part.startswith(".part-") for part in path.parts)
    }


def bulk(place: Path) -> Case:
    """Predictions of 12 videos, each written when it is done."""
    from amge.video.write import write_video

    rng, script = np.random.default_rng(0), place / "bulk.py"
    script.write_text(BULK)
    (place / "videos").mkdir()
    for number in range(12):
        frames = rng.integers(0, 256, (24, 64, 64, 3), dtype=np.uint8)
        write_video(place / "videos" / f"{number}.mp4", frames, fps=12)
    model = amge.build("transm3e-tiny", evidence={"sure": 0.0, "detail": 0.0}).save_pretrained(place / "model")

    def faults(out: Path, lines: list[str]) -> list[str]:
        done = int(lines[-1]) if lines and lines[-1].isdecimal() else 0
        files = [*out.glob("results.parquet"), *out.glob("results.parquet.parts/[0-9]*.parquet")]
        there = {video for path in files for video in pq.read_table(path)["video"].to_pylist()}
        return [f"{done} videos were reported, {len(there)} are there"] * (len(there) < done)

    return Case(
        lambda out: [sys.executable, str(script), str(place / "videos"), str(out / "results.parquet"), str(model)],
        faults,
        lambda out: {"rows": pq.read_table(out / "results.parquet").to_pylist(), "files": sorted(os.listdir(out))},
    )


def training(place: Path) -> Case:
    """A run of two stages and a teacher on 100 rendered clips."""
    from amge.data.prepare.synthetic import prepare

    prepare(place / "clips", clips=100, frames=8, size=64)
    changes = ["overrides.frames=4", "overrides.size=32", "workers=0", "views=1", "epochs=[2,2]"]
    fields = [part for change in changes for part in ("--set", change)]
    command = [sys.executable, "-m", "amge.cli", "train", "--preset", "tiny", "--data", str(place / "clips"), *fields]

    def faults(out: Path, lines: list[str]) -> list[str]:
        stages = ("main", "teacher", "student")
        begun = [name for name in stages if any(line.startswith(f"{name}: ") for line in lines)]
        lost = [name for name in begun[:-1] if not (out / name / "config.json").exists()]
        return [f"the stage {name} was done, and is gone" for name in lost]

    def result(out: Path) -> dict[str, Any]:
        report = json.loads((out / "report" / "report.json").read_text())
        return {**weights(out), "report": report["splits"]}

    return Case(lambda out: [*command, "--out", str(out)], faults, result)


def saving(place: Path) -> Case:
    """Two models saved in turns over one another."""
    script = place / "save.py"
    script.write_text(SAVE)
    models = []
    for name in ("one", "two"):
        torch.manual_seed(len(models))
        models.append(amge.build("transm3e-tiny", tag=name).save_pretrained(place / name))

    def faults(out: Path, lines: list[str]) -> list[str]:
        checkpoint = out / "checkpoint"
        if not (checkpoint / "config.json").exists():
            return []  # killed between two models: none is better than a mixture
        tag = amge.from_pretrained(checkpoint).spec.tag
        same = weights(checkpoint) == weights(place / tag)
        return [] if same else [f"the config is of model {tag}, the weights are not"]

    def result(out: Path) -> dict[str, Any]:
        return {**weights(out), "files": sorted(os.listdir(out / "checkpoint"))}

    given = [str(path) for path in models]
    return Case(lambda out: [sys.executable, str(script), str(out / "checkpoint"), *given, "60"], faults, result)


CASES = {"bulk": bulk, "training": training, "saving": saving}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--count", type=int, default=20, help="kills of each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="file for the result, besides the output")
    options = parser.parse_args()
    found = {"count": options.count, "seed": options.seed}
    for name in options.what:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "given").mkdir()
            found[name] = kill(CASES[name](Path(folder) / "given"), options.count, options.seed, Path(folder))
        print(f"{name}: {found[name]}", file=sys.stderr)
    result = json.dumps(found, indent=1)
    print(result)
    if options.out:
        options.out.write_text(result + "\n")


if __name__ == "__main__":
    main()
