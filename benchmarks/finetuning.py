"""How long fine-tuning on labels of one's own takes, and what it gives, as JSON.

python benchmarks/finetuning.py OUT squat.mp4 jumping_jack.mp4 side_lunge.mp4
python benchmarks/finetuning.py OUT *.mp4 --set "freeze=[backbone.encoder]" --set teacher=self

Cuts clips of 1.5 s out of each video, half of them mirrored, and writes them to OUT/clips with a table of labels: the
name of each file is a class. What is tested is cut from the end of the recordings, what is learned before it, so that
no frame is in both; but it is the same person in the same room, so the test shows that the classes are learned, not
that they are known elsewhere. Then it runs `amge train --preset finetune`. `cpu_seconds` is what all cores together
worked on it, whoever else used them.
"""

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import amge
from amge.data.datasets import load_samples
from amge.evaluate import predictions
from amge.video.read import read_frames
from amge.video.write import write_video

SECONDS = 1.5
FPS = 15.0


def cut(videos: list[Path], folder: Path, clips: int, tests: int) -> None:
    """Write clips of each video and their table; so many in all, and so many of them to test."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, video in enumerate(videos):
        shown = [(frame.time, frame.end, frame.image().copy()) for frame in read_frames(video, 30.0, 256)]
        times = np.array([time for time, _, _ in shown])
        last = shown[-1][1] - SECONDS
        of_test, of_all = (total // len(videos) + (number < total % len(videos)) for total in (tests, clips))
        starts = [*np.linspace(0, last - SECONDS, of_all - of_test), *[last] * of_test]
        for i, start in enumerate(starts):
            wanted = start + np.arange(0, SECONDS, 1 / FPS)
            frames = np.stack([shown[j][2] for j in np.searchsorted(times, wanted + 1e-6, side="right") - 1])
            if i % 2:
                frames = frames[:, :, ::-1]
            path = folder / f"{video.stem}_{i}.mp4"
            write_video(path, np.ascontiguousarray(frames), FPS)
            split = "train" if i < of_all - of_test else "val_seen"
            rows.append({"video": path.name, "regions": video.stem, "activity": video.stem, "split": split})
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    """Run, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("videos", type=Path, nargs="+")
    parser.add_argument("--clips", type=int, default=20, help="In all.")
    parser.add_argument("--tests", type=int, default=6, help="Of these.")
    parser.add_argument("--set", action="append", default=[], help="As of `amge train`.")
    options = parser.parse_args()
    clips, run = options.out / "clips", options.out / "run"
    cut(options.videos, clips, options.clips, options.tests)
    command = ["train", "--preset", "finetune", "--data", str(clips), "--out", str(run)]
    command += [word for each in options.set for word in ("--set", each)]
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-m", "amge.cli", *command], check=True, stdout=sys.stderr)
    seconds, used = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    model = amge.from_pretrained(run / "student")
    spec: Any = model.spec
    samples = load_samples("folder", clips, labels="own")
    found = predictions(model, samples, views=1)
    result: dict[str, Any] = {"torch": torch.__version__, "cpus": os.cpu_count(), "load": os.getloadavg()}
    result |= {"set": options.set, "labels": spec.labels, "init": spec.provenance["init"], "seconds": round(seconds, 1)}
    result["cpu_seconds"] = round(used.ru_utime + used.ru_stime, 1)
    for split in ("train", "val_seen"):
        targets, probabilities = found.of_split(split)
        right = probabilities.argmax(axis=1) == targets.argmax(axis=1)
        result[split] = {"clips": len(right), "accuracy": round(float(right.mean()), 3)}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
