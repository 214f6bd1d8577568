"""Time of one clip against the bare timm encoder on the same frames, interleaved in one run, as JSON.

python benchmarks/speed.py --model transm3e-lite
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable

import timm
import torch

import amge


def milliseconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="transm3e-lite", help="a model on the timm-frames backbone")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=40)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = amge.build(options.model).eval()
    spec = model.spec
    bare = timm.create_model(spec.backbone_args["encoder"], num_classes=0).eval()
    clip = torch.randn(1, 3, spec.frames, spec.size, spec.size)
    images = clip[0].transpose(0, 1).contiguous()
    fast = timm.create_model(spec.backbone_args["encoder"], num_classes=0).eval().to(memory_format=torch.channels_last)
    fast_images = images.contiguous(memory_format=torch.channels_last)
    calls = {
        "model": lambda: model(clip),
        "encoder": lambda: bare(images),
        "encoder, channels last": lambda: fast(fast_images),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for round_ in range(options.repeats + 3):
        for name, call in calls.items():
            elapsed = milliseconds(call)
            if round_ >= 3:
                times[name].append(elapsed)
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(
        json.dumps(
            {
                "model": spec.name,
                "parameters": sum(p.numel() for p in model.parameters()),
                "frames": spec.frames,
                "size": spec.size,
                "threads": options.threads,
                "torch": torch.__version__,
                "machine": platform.processor() or platform.machine(),
                "milliseconds": {name: round(value, 1) for name, value in medians.items()},
                "ratio": round(medians["model"] / medians["encoder"], 3),
                "ratio, channels last": round(medians["model"] / medians["encoder, channels last"], 3),
            }
        )
    )


if __name__ == "__main__":
    main()
