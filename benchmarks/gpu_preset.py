"""`speed.py --preset gpu`: what is asked of one GPU, measured within minutes, against goals.

Each part is a list of jobs that a process of its own goes through, so that one that runs out of memory, crashes or
takes too long loses no other; results are on disk after each job. What has no time left is named as left out.
"""

import argparse
import datetime
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import pooling
import torch
from goals import summary
from measuring import in_words, write
from speed import about, compare

import amge
from amge.zoo import BASELINES, TINY_BASELINES

Job = dict[str, Any]
RESULTS = Path(__file__).parent / "results"
RESTART = 75
"""Exit code of a process whose GPU takes no more work: another goes on behind the job that did that."""
ROWS = 12
"""Kernels to name of a profile."""
COMPILED = "compiled reduce-overhead"
"""CUDA graphs through `torch.compile`: one call that a user can make."""


def parts(model: str, device: str) -> dict[str, tuple[float, list[Job]]]:
    """The jobs of each part, and the seconds that it may take; what it leaves is there for the others."""
    memory = device == "cuda"
    graph: Job = {"ours": ["eager", "graph"], "memory": memory}
    compiled: Job = {"ours": [COMPILED], "memory": False}
    plain: Job = {"memory": False}

    def timed(mode: str, dtype: str, batch: int, more: Job, **others: Any) -> Job:
        return {"device": device, "model": model, "mode": mode, "dtype": dtype, "batch": batch} | more | others

    pooled: Job = {"poolings": list(dict.fromkeys([model, model.replace("-small", "-base")])), "device": device}
    names = TINY_BASELINES if model.endswith("-tiny") else BASELINES
    return {
        "forward": (90, [timed("forward", "bfloat16", batch, graph, rows=ROWS * (batch == 8)) for batch in (1, 8, 32)]),
        "training": (100, [timed("train", "bfloat16", batch, graph, rows=ROWS * (batch == 8)) for batch in (8, 32)]),
        "float32": (60, [timed("forward", "tf32", 32, graph), timed("train", "tf32", 32, {"memory": memory})]),
        "pooling": (60, [pooled | {"dtype": dtype, "batch": 8, "seconds": 25} for dtype in ("bfloat16", "tf32")]),
        "compiled": (
            130,
            [
                timed("forward", "bfloat16", 1, compiled),
                timed("train", "bfloat16", 8, compiled),
                timed("forward", "bfloat16", 8, compiled, reference=["eager", COMPILED]),
                timed("forward", "bfloat16", 32, compiled),
                timed("train", "bfloat16", 32, compiled),
            ],
        ),
        "backbones": (
            110,
            [timed(mode, "bfloat16", 8, plain, model=name) for name in names for mode in ("forward", "train")],
        ),
        "cpu": (40, [timed("forward", "float32", 1, plain, device="cpu")]),
    }


def work(job: Job) -> dict[str, Any]:
    """What a job measures."""
    if "poolings" in job:
        arguments = {key: value for key, value in job.items() if key != "poolings"}
        return pooling.measure(job["poolings"], **arguments)
    spec = amge.spec(job["model"])
    case = {key: job[key] for key in ("model", "device", "dtype", "batch", "mode")}
    case |= {"frames": job["frames"] or spec.frames, "size": job["size"] or spec.size}
    arguments = {key: value for key, value in job.items() if key not in case}
    return compare(argparse.Namespace(**case), **arguments)


def worker(jobs: list[Job], answers: Path, threads: int) -> None:
    """Go through jobs, each with a line of JSON when it is done."""
    torch.set_num_threads(threads)
    for job in jobs:
        try:
            answer = work(job)
        except Exception as error:
            answer = {"failed": in_words(error)}
        with answers.open("a") as file:
            file.write(json.dumps(answer) + "\n")
        if job["device"] == "cuda" and unfit(answer):
            sys.exit(RESTART)


def unfit(answer: dict[str, Any]) -> bool:
    """Whether this process can measure no more: its GPU fails, or it broke off a capture."""
    try:
        torch.cuda.synchronize()
    except Exception:
        return True
    return any(label.endswith(", graph") for label in answer.get("skipped", ()))


def answered(jobs: list[Job], seconds: float, threads: int) -> Iterator[dict[str, Any]]:
    """The answer to each job, as soon as it is there; those that have no time left are skipped."""
    end = time.monotonic() + seconds
    while jobs and time.monotonic() < end:
        with tempfile.TemporaryDirectory() as folder:
            answers, told = Path(folder, "answers"), 0
            answers.touch()
            command = [sys.executable, __file__, json.dumps(jobs), str(answers), str(threads)]
            process = subprocess.Popen(command, stdout=2, start_new_session=True)
            try:
                code = None
                while code is None and time.monotonic() < end:
                    time.sleep(0.1)
                    code = process.poll()
                    for line in answers.read_text().splitlines(keepends=True)[told:]:
                        if line.endswith("\n"):
                            told += 1
                            yield json.loads(line)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)  # with the processes that compile for it
                    process.wait()
        jobs = jobs[told:]
        if jobs and code not in (None, RESTART):
            yield {"failed": f"the process ended with code {code}"}
            jobs = jobs[1:]
    for _ in jobs:
        yield {"failed": "no time left"}


def run(options: argparse.Namespace) -> None:
    """Measure all parts, or those asked for, and print a table last."""
    start = time.monotonic()
    end = start + 60 * options.minutes
    model = options.model or "transm3e-small"
    out = options.out or RESULTS / f"{datetime.date.today().isoformat()}_speed_gpu.json"
    chosen = parts(model, options.device)
    if unknown := set(options.part or ()) - set(chosen):
        raise SystemExit(f"error: no part {', '.join(sorted(unknown))}; there are {', '.join(chosen)}")
    results: dict[str, Any] = {"date": datetime.date.today().isoformat(), "model": model, **about(options.device)}
    results |= {"command": " ".join(sys.argv), "cases": []}
    sizes = {"frames": options.frames[0] if options.frames else None, "size": options.size}
    for part in options.part or chosen:
        limit, jobs = chosen[part]
        jobs = [{"repeats": options.repeats, **sizes, **job} for job in jobs]
        told = zip(jobs, answered(jobs, min(limit, end - time.monotonic()), options.threads), strict=True)
        for job, answer in told:
            kept = {key: job[key] for key in ("model", "mode", "dtype", "batch", "device") if key in job}
            results["cases"].append({"part": part, **kept, **answer})
            results["seconds"] = round(time.monotonic() - start, 1)
            write(out, results)
            words = " ".join(str(value) for value in kept.values())
            print(f"[{results['seconds']:5.0f} s] {part}: {words}: {answer.get('failed', 'done')}", file=sys.stderr)
    print(summary(results))
    print(f"{out}, {results.get('seconds', 0):.0f} s")


if __name__ == "__main__":
    worker(json.loads(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
