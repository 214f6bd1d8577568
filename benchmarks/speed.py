"""Time and memory of a model against what one would pick in its place, interleaved in one run, as JSON.

python benchmarks/speed.py --model transm3e-lite        against the bare timm encoder of its frames
python benchmarks/speed.py --model transm3e-small --batch 1 8 --mode forward train --dtype float32 bfloat16
                                                        against torchvision's mvit_v2_s, which has one class token

Ratios are reference / ours: above 1 ours is faster or smaller. The floor is the time that the matrix multiplications of
our call take at the rate of one large multiplication, measured in the same run.
"""

import argparse
import gc
import itertools
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import amge

Case = argparse.Namespace
"""`device`, `dtype`, `batch`, `mode`, `frames`, `size` of one comparison."""


def candidates(name: str, frames: int, size: int) -> dict[str, Callable[[], nn.Module]]:
    """How to build the model and what a user would pick instead."""
    spec = amge.spec(name)

    def encoder(layout: torch.memory_format) -> nn.Module:
        import timm

        return Images(timm.create_model(spec.backbone_args["encoder"], num_classes=0), layout)

    models: dict[str, Callable[[], nn.Module]] = {name: lambda: amge.build(name, frames=frames, size=size)}
    if spec.backbone == "timm-frames":
        models["encoder"] = lambda: encoder(torch.contiguous_format)
        models["encoder, channels last"] = lambda: encoder(torch.channels_last)
    elif spec.backbone == "mvitv2":
        models["torchvision mvit_v2_s"] = lambda: torchvision_mvit(len(spec.labels), frames, size)
    return models


def torchvision_mvit(num_classes: int, frames: int, size: int) -> nn.Module:
    """torchvision's mvit_v2_s; its builder takes 16 frames of 224 only, so other sizes get its settings spelled out."""
    from torchvision.models.video import MViT, mvit_v2_s
    from torchvision.models.video.mvit import MSBlockConfig

    if (frames, size) == (16, 224):
        return mvit_v2_s(num_classes=num_classes)
    all_heads = [1, 2, 2, *[4] * 11, 8, 8]
    blocks = [
        MSBlockConfig(
            heads, 96 * before, 96 * heads, [3] * 3, [3] * 3, [1, *[heads // before] * 2], [1, *[8 // heads] * 2]
        )
        for before, heads in zip([1, *all_heads], all_heads, strict=False)
    ]
    options: dict[str, Any] = {"residual_pool": True, "residual_with_cls_embed": False, "stochastic_depth_prob": 0.2}
    options |= {"rel_pos_embed": True, "proj_after_attn": True, "num_classes": num_classes}
    return MViT((size, size), frames, blocks, **options)


class Images(nn.Module):
    """An image model on the frames of a clip."""

    def __init__(self, model: nn.Module, layout: torch.memory_format) -> None:
        super().__init__()
        self.model, self.layout = model.to(memory_format=layout), layout

    def forward(self, clip: Tensor) -> Tensor:
        return self.model(clip.transpose(1, 2).flatten(0, 1).contiguous(memory_format=self.layout))


def prepare(model: nn.Module, case: Case) -> Callable[[], object]:
    """The call to measure: a forward pass at inference, or a whole training step without the optimiser's."""
    dtype = getattr(torch, case.dtype)
    model = model.to(case.device, dtype).train(case.mode == "train")
    clip = torch.randn(case.batch, 3, case.frames, case.size, case.size, device=case.device, dtype=dtype)

    def forward() -> object:
        with torch.inference_mode():
            return model(clip)

    def train() -> None:
        model.zero_grad(set_to_none=True)
        logits = model(clip).float()
        nn.functional.binary_cross_entropy_with_logits(logits, torch.zeros_like(logits)).backward()

    return train if case.mode == "train" else forward


def milliseconds(call: Callable[[], object], device: str) -> float:
    start = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - start)


def interleaved(calls: dict[str, Callable[[], object]], repeats: int, device: str) -> dict[str, float]:
    """Median milliseconds of each call, round by round so that noise hits all alike; the first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for round_ in range(repeats + 1):
        for name, call in calls.items():
            elapsed = milliseconds(call, device)
            if round_:
                times[name].append(elapsed)
    return {name: statistics.median(values) for name, values in times.items()}


def gemm_rate(case: Case) -> float:
    """FLOP per millisecond of a large matrix multiplication."""
    side = 512 if case.dtype == "bfloat16" and not bf16_hardware(case.device) else 2048
    a = torch.randn(side, side, device=case.device, dtype=getattr(torch, case.dtype))
    return 2 * side**3 / interleaved({"gemm": lambda: a @ a}, 7, case.device)["gemm"]


def bf16_hardware(device: str) -> bool:
    return torch.cuda.is_bf16_supported(False) if device == "cuda" else torch.ops.mkldnn._is_mkldnn_bf16_supported()


def flops(call: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        call()
    return counter.get_total_flops()


def peak(name: str, case: Case) -> float:
    """Peak memory in MiB of two calls: on a GPU its allocations, on a CPU those of a process of its own."""
    if case.device == "cpu":
        options = itertools.chain(*((f"--{key}", str(value)) for key, value in vars(case).items()))
        command = [sys.executable, __file__, "--peak", name, "--threads", str(torch.get_num_threads()), *options]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    gc.collect()
    call = prepare(candidates(case.model, case.frames, case.size)[name](), case)
    call()
    torch.cuda.reset_peak_memory_stats()
    call()
    return torch.cuda.max_memory_allocated() / 2**20


def compare(case: Case, repeats: int) -> dict[str, Any]:
    """Times, memory and ratios of one case."""
    torch.manual_seed(0)
    models = candidates(case.model, case.frames, case.size)
    peaks = {name: peak(name, case) for name in models}  # first: the models of `calls` would count on a GPU
    calls = {name: prepare(make(), case) for name, make in models.items()}
    times = interleaved(calls, repeats, case.device)
    first, *others = calls
    # A backward pass multiplies twice as much as the forward pass; torch's own count takes depthwise for dense there.
    with torch.device("meta"):
        forward = prepare(models[first](), Case(**{**vars(case), "mode": "forward", "device": "meta"}))
    count = flops(forward) * (3 if case.mode == "train" else 1)
    floor = count / gemm_rate(case)
    return {
        **{key: value for key, value in vars(case).items() if key != "model"},
        "milliseconds": {name: round(value, 1) for name, value in times.items()},
        "ratio": {name: round(times[name] / times[first], 3) for name in others},
        "peak_mib": {name: round(value) for name, value in peaks.items()},
        "peak_ratio": {name: round(peaks[name] / peaks[first], 3) for name in others},
        "gflop": round(count / 1e9, 1),
        "floor_ms": round(floor, 1),
        "times_floor": round(times[first] / floor, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="transm3e-lite")
    parser.add_argument("--batch", type=int, nargs="+", default=[1])
    parser.add_argument("--mode", nargs="+", default=["forward"], choices=["forward", "train"])
    parser.add_argument("--dtype", nargs="+", default=["float32"], choices=["float32", "bfloat16"])
    parser.add_argument("--frames", type=int, nargs="+", help="default: the model's; several show how time grows")
    parser.add_argument("--size", type=int, help="default: the model's")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    spec = amge.spec(options.model)
    size = options.size or spec.size
    cases = [
        Case(model=options.model, batch=batch, mode=mode, dtype=dtype, frames=frames, size=size, device=options.device)
        for frames in options.frames or [spec.frames]
        for batch in options.batch
        for mode in options.mode
        for dtype in options.dtype
    ]
    models = candidates(options.model, cases[0].frames, size)
    with torch.device("meta"):  # this also loads all libraries, so that every peak counts the same ones
        parameters = {name: sum(p.numel() for p in make().parameters()) for name, make in models.items()}
    if options.peak:
        call = prepare(models[options.peak](), cases[0])
        call(), call()
        status = Path("/proc/self/status").read_text()  # ru_maxrss would include the parent's memory before exec
        print(int(status.split("VmHWM:")[1].split()[0]) / 1024)
        return
    about = {
        "model": options.model,
        "parameters": parameters,
        "threads": options.threads,
        "torch": torch.__version__,
        "machine": torch.cuda.get_device_name() if options.device == "cuda" else platform.machine(),
        "bf16 hardware": bf16_hardware(options.device),
    }
    print(json.dumps(about | {"cases": [compare(case, options.repeats) for case in cases]}, indent=2))


if __name__ == "__main__":
    main()
