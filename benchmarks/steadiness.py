"""Does the same movement get the same answer? Videos looped and cut at 20 lengths, 4 to 20 s, from 10 starts, as JSON.

python benchmarks/steadiness.py --videos FOLDER
python benchmarks/steadiness.py --videos FOLDER --set sampling=even frames=8        looked at in another way

`spread` is the largest difference of any region between any two of the cuts, `same` the share of cuts whose set of
active regions is the most frequent one; `whole` counts the cuts alone that are as long as the video, and so hold all of
it. `--time` compares the seconds for videos with those of the settings of `--set`, in turns.
"""

import argparse
import json
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

import amge
from amge.builder import load
from amge.video.read import read_frames

LENGTHS = np.linspace(4, 20, 20)


def frames_of(path: Path) -> tuple[np.ndarray, float]:
    """All frames of a video, no larger than a model looks at them, and how many come in a second."""
    shown = [(each.image(), each.time) for each in read_frames(path, 30.0, 480)]
    return np.stack([image for image, _ in shown]), 1 / float(np.median(np.diff([time for _, time in shown])))


def cuts(model: amge.MuscleModel, path: Path, starts: int) -> dict[str, Any]:
    frames, rate = frames_of(path)
    values, active, whole = [], [], []
    for seconds in LENGTHS:
        for start in range(starts):
            chosen = (np.arange(round(seconds * rate)) + start * len(frames) // starts) % len(frames)
            found = model.predict(frames[chosen], fps=rate)
            values.append([p if p is not None else 0.0 for p in found.values()])
            active.append(tuple(sorted(found.active)))
            whole.append(len(chosen) >= len(frames))
    figures: dict[str, Any] = {"cuts": len(values)}
    for name, kept in (("all", np.ones(len(whole), bool)), ("whole", np.array(whole))):
        sets = Counter(each for each, keep in zip(active, kept, strict=True) if keep)
        figures[name] = {
            "spread": round(float(np.ptp(np.array(values)[kept], axis=0).max()), 3),
            "same": round(sets.most_common(1)[0][1] / int(kept.sum()), 3),
        }
    return figures


def seconds_of(models: dict[str, amge.MuscleModel], path: Path, repeats: int) -> dict[str, float]:
    """Median seconds of each for one video, in turns; the first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in models}
    for number in range(repeats + 1):
        for name, model in models.items():
            start = time.perf_counter()
            model.predict(path)
            if number:
                times[name].append(time.perf_counter() - start)
    return {name: round(statistics.median(each), 3) for name, each in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="transm3e-lite", help="name, or folder of a checkpoint")
    parser.add_argument("--videos", type=Path, help="folder of videos")
    parser.add_argument("--starts", type=int, default=10)
    parser.add_argument("--set", nargs="*", default=[], metavar="FIELD=VALUE", help="fields of the spec to replace")
    parser.add_argument("--time", type=Path, nargs="*", default=[], help="videos to time, with and without --set")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model, other = load(options.model), load(options.model)
    changes = dict(each.split("=", 1) for each in options.set)
    other.spec = other.spec.replace(**{name: yaml.safe_load(value) for name, value in changes.items()})
    report: dict[str, Any] = {"model": options.model, "set": changes, "threads": options.threads}
    if options.videos:
        report["cuts"] = {p.stem: cuts(other, p, options.starts) for p in sorted(options.videos.glob("*.mp4"))}
    for path in options.time:
        report.setdefault("seconds", {})[path.name] = seconds_of({"as it is": model, "with --set": other}, path, 9)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
