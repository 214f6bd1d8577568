"""How long from a video file to its answer, and from the clip to the logits alone, for shipped models, as JSON.

python benchmarks/end_to_end.py examples/squat.mp4 --model transm3e-lite --model transm3e-lite-pose --model st-gcn

Weights are loaded before; decoding, poses (extra `pose`), the look for somebody and the forward pass count. Models take
turns, so that what else the machine does meets all alike; milliseconds are medians, and `of` is the ratio to the first.
"""

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from measuring import Call, interleaved, machine

import amge
from amge.builder import load
from amge.model import MuscleModel


def forward(model: MuscleModel, clip: Any) -> None:
    with torch.inference_mode():
        model(clip)


def measure(video: str, names: list[str], threads: int, repeats: int) -> dict[str, Any]:
    """Milliseconds of `predict` and of a forward pass by name."""
    torch.set_num_threads(threads)
    calls: dict[str, Call] = {}
    for name in names:
        model = load(name)
        calls[f"{name}, video"] = partial(model.predict, video)
        calls[f"{name}, clip"] = partial(forward, model, model.preprocess(video))
    found = interleaved(calls, repeats, "cpu")
    by_name = {
        name: {what: round(found[f"{name}, {what}"], 1) for what in ("video", "clip")}
        | {"of": round(found[f"{name}, video"] / found[f"{names[0]}, video"], 2)}
        for name in names
    }
    about = {"video": Path(video).name, "threads": threads, "repeats": repeats, "machine": machine("cpu")}
    return {**about, "amge": amge.__version__, "torch": torch.__version__, "ms": by_name}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video")
    parser.add_argument("--model", action="append", help="several; the first is what ratios are to")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    print(json.dumps(measure(options.video, options.model or ["transm3e-lite"], options.threads, options.repeats)))


if __name__ == "__main__":
    main()
