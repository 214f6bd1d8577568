"""Does a model keep up with a camera, say the same as offline, and stay as it was for hours? As JSON.

python benchmarks/live.py VIDEO --seconds 60 --play          over and over: latency, CPU time, equality with offline
python benchmarks/live.py VIDEO --hours 1 --every 2 --side 64        memory, with a model that says always the same
"""

import argparse
import itertools
import json
import os
import platform
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

import amge
from amge.builder import load
from amge.inputs import choice
from amge.live import Watch
from amge.live.source import Source
from amge.model import MuscleModel
from amge.prediction import WindowPrediction, light
from amge.video.frames import Shown, from_array
from amge.video.read import read_frames


def rss() -> int:
    """MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20


def over_and_over(video: np.ndarray, fps: float, seconds: float) -> Iterator[Shown]:
    """A video forwards and backwards, as a movement goes on."""
    turn = itertools.cycle([*range(len(video)), *reversed(range(1, len(video) - 1))])
    for number, index in zip(range(round(seconds * fps)), turn, strict=False):
        yield Shown(number / fps, (number + 1) / fps, None, lambda index=index: video[index], min(video.shape[1:3]))


def source_of(frames: np.ndarray, fps: float) -> Source:
    return Source("it", from_array(frames, fps, max(frames.shape[1:3])), False)


def largest(answers: Mapping[float, WindowPrediction], others: Mapping[float, WindowPrediction]) -> dict[str, Any]:
    """The largest difference of a probability between windows that end at the same time."""
    both = [(answers[end].probabilities, others[end].probabilities) for end in answers if end in others]
    differences = [abs((one[k] or 0.0) - (other[k] or 0.0)) for one, other in both for k in one]
    return {"windows": len(both), "difference": max(differences, default=None)}


def by_end(predictions: Iterable[WindowPrediction]) -> dict[float, WindowPrediction]:
    return {round(each.end, 6): light(each) for each in predictions}


def watched(model: MuscleModel, video: np.ndarray, arguments: argparse.Namespace) -> dict[str, Any]:
    """By the CPU time of the thread, which a busy machine does not change by much; by the clock, if that is asked for;
    and against the windows that `predict` cuts of the same frames."""
    frames = np.stack([shown.image() for shown in over_and_over(video, arguments.fps, arguments.seconds)])
    counted = Watch(model, source_of(frames, arguments.fps), arguments.every, fast=True, clock=time.thread_time)
    start = time.process_time()
    fast = by_end(result.prediction for result in counted)
    busy = time.process_time() - start
    offline = by_end(model.predict_windows(frames, fps=arguments.fps))
    done: dict[str, Any] = {
        "cpu_time": {**counted.summary(), "seconds_a_second": round(busy / arguments.seconds, 3)},
        "against_offline": largest(fast, offline),
    }
    if arguments.play:
        load, start = os.getloadavg()[0], time.process_time()
        with Watch(model, source_of(frames, arguments.fps), arguments.every) as played:
            answers = by_end(result.prediction for result in played)
        done["played"] = {
            **played.summary(),
            "seconds_a_second": round((time.process_time() - start) / arguments.seconds, 3),
            "load_before": round(load, 1),
            "against_fast": largest(answers, fast) if not played.dropped else None,
        }
    return done


def endured(model: MuscleModel, video: np.ndarray, arguments: argparse.Namespace) -> dict[str, Any]:
    """Memory while hours pass in which the model's logits are always the same."""
    logits = torch.zeros(1, len(model.spec.labels))
    features = model.forward_features(model.input_spec.example())
    source = Source("it", over_and_over(video, arguments.fps, 3600 * arguments.hours), False)
    samples: list[int] = []
    with (
        patch.object(MuscleModel, "forward_features", lambda *_: features),
        patch.object(MuscleModel, "forward_head", lambda *_: logits),
        Watch(model, source, arguments.every, fast=True) as watching,
    ):
        for _ in watching:
            if not watching.results % 20:
                samples.append(rss())
    tenths = np.array_split(samples, 10)
    return {
        **watching.summary(),
        "hours": arguments.hours,
        "rss_mib_least_of_each_tenth": [int(tenth.min()) for tenth in tenths],
        "rss_mib_most": max(samples),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("video")
    parser.add_argument("--model", default="transm3e-lite")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--hours", type=float)
    parser.add_argument("--play", action="store_true", help="also at its own rate; the machine should be free")
    parser.add_argument("--side", type=int, help="longer side of the frames in pixels; default: the model's")
    parser.add_argument("--every", type=float, default=0.5)
    parser.add_argument("--fps", type=float, default=30.0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = load(arguments.model)
    side, _ = choice(model.spec)
    video = np.stack([shown.image() for shown in read_frames(arguments.video, arguments.fps, arguments.side or side)])
    done = (endured if arguments.hours else watched)(model, video, arguments)
    about = {"model": arguments.model, "video": arguments.video, "threads": arguments.threads, "cpus": os.cpu_count()}
    print(json.dumps(about | done | {"amge": amge.__version__, "python": platform.python_version()}, indent=2))


if __name__ == "__main__":
    with torch.inference_mode():
        main()
