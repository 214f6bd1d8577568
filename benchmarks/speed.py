"""Time and memory of a model against what one would pick in its place, interleaved in one run, as JSON.

python benchmarks/speed.py --model transm3e-lite        against the bare timm encoder of its frames
python benchmarks/speed.py --model transm3e-small --batch 1 8 --mode forward train --dtype float32 bfloat16
                                                        against torchvision's mvit_v2_s, which has one class token
python benchmarks/speed.py --model transm3e-small --batch 8 --dtype bfloat16 --compile reduce-overhead --graph --profile
                                                        compiled, as a CUDA graph, and the kernels that take longest
python benchmarks/speed.py --preset gpu                 all that is asked of a GPU, within eight minutes, a table last

Ratios are reference / ours: above 1 ours is faster or smaller. The floor is the time that the matrix multiplications of
our call take at the rate of one large multiplication, measured in the same run. Runs from a checkout, uninstalled.
"""

import argparse
import itertools
import json
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from candidates import Maker, candidates
from measuring import (
    Call,
    bf16_hardware,
    captured,
    forward_flops,
    gemm_rate,
    in_words,
    interleaved,
    machine,
    precision,
    release,
    top_kernels,
)
from torch import nn

import amge

Case = argparse.Namespace
"""`model`, `device`, `dtype`, `batch`, `mode`, `frames`, `size` of one comparison."""
DTYPES = ("float32", "tf32", "bfloat16")


def prepare(model: nn.Module, case: Case, way: str = "eager") -> Call:
    """The call to measure: a forward pass at inference, or a whole training step without the optimiser's.

    Args:
        way: "eager", "graph" for a CUDA graph, or "compiled" with a mode of `torch.compile` behind it or none.

    Raises:
        RuntimeError: where there can be no CUDA graph.
    """
    kind, _, mode = way.partition(" ")
    if kind == "graph" and case.device != "cuda":
        raise RuntimeError("CUDA graphs need a GPU")
    dtype = precision(case.dtype)
    model = model.to(case.device, dtype).train(case.mode == "train")
    shape = [case.batch, 3, case.frames, case.size, case.size]
    if isinstance(model, amge.MuscleModel):  # others than video models take something else
        shape[1:] = map(int, model.input_spec.shape[1:])
    given = torch.randn(shape, device=case.device, dtype=dtype)
    if kind == "compiled":
        model = torch.compile(model, mode=mode or None, dynamic=False)  # type: ignore[assignment]

    def forward() -> object:
        with torch.inference_mode():
            return model(given)

    def train() -> None:
        model.zero_grad(set_to_none=True)
        logits = model(given).float()
        nn.functional.binary_cross_entropy_with_logits(logits, torch.zeros_like(logits)).backward()

    call = train if case.mode == "train" else forward
    return captured(call) if kind == "graph" else call


@cache
def clip_flops(name: str, frames: int, size: int) -> int:
    """FLOP of the matrix multiplications and convolutions of one clip's forward pass."""
    with torch.device("meta"):
        model = amge.build(name, frames=frames, size=size)
    return forward_flops(model)


def peak(name: str, make: Maker, case: Case) -> float:
    """Peak memory in MiB of two calls: on a GPU its allocations, on a CPU those of a process of its own."""
    if case.device == "cpu":
        options = itertools.chain(*((f"--{key}", str(value)) for key, value in vars(case).items()))
        command = [sys.executable, __file__, "--peak", name, "--threads", str(torch.get_num_threads()), *options]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    release()
    call = prepare(make(), case)
    call()
    torch.cuda.reset_peak_memory_stats()
    call()
    return torch.cuda.max_memory_allocated() / 2**20


def compare(
    case: Case,
    repeats: int,
    ours: Sequence[str] = ("eager",),
    reference: Sequence[str] = ("eager",),
    memory: bool = True,
    rows: int = 0,
) -> dict[str, Any]:
    """Times, memory and ratios of one case; what cannot be had is left out, and `skipped` says why.

    Args:
        ours: ways to run our model, see `prepare`.
        reference: those of what it is compared with.
        memory: whether to measure it too.
        rows: how many kernels of ours to name, 0 for none.
    """
    torch.manual_seed(0)
    models, reason = candidates(case.model, case.frames, case.size)
    skipped = {"reference": reason} if reason else {}
    peaks: dict[str, float] = {}
    for name, make in models.items() if memory else ():  # first: the models of `calls` would count on a GPU
        try:
            peaks[name] = peak(name, make, case)
        except Exception as error:
            skipped[f"{name}, memory"] = in_words(error)
    calls: dict[str, Call] = {}
    times: dict[str, float] = {}

    def add(name: str, way: str) -> None:
        label = name if way == "eager" else f"{name}, {way}"
        try:
            calls[label] = prepare(models[name](), case, way)
        except Exception as error:
            skipped[label] = in_words(error)
        release()

    for name in models:
        for way in ours if name == case.model else reference:
            if way != "graph":
                add(name, way)
    times |= interleaved(calls, repeats, case.device, skipped)
    rate = gemm_rate(case.dtype, case.device)
    profiled: dict[str, Any] = {}
    if rows and case.model in times:
        try:
            profiled = {"profile": top_kernels(calls[case.model], case.device, rows)}
        except Exception as error:
            skipped["profile"] = in_words(error)
    calls.clear()
    if "graph" in ours:  # last and alone: a capture that fails can leave torch unfit for anything random
        add(case.model, "graph")
        times |= interleaved(calls, repeats, case.device, skipped)
    mine = [label for label in times if label.split(", ")[0] == case.model]
    result = {
        **{key: value for key, value in vars(case).items() if key != "model"},
        "milliseconds": {name: round(value, 2) for name, value in times.items()},
        "peak_mib": {name: round(value) for name, value in peaks.items()},
        **profiled,
    }
    for label in mine:  # "ratio" is that of the model as it is
        against = {other: round(times[other] / times[label], 3) for other in times if other not in mine}
        result["ratio" + label.removeprefix(case.model)] = against
    if case.model in peaks:
        rest = {other: round(value / peaks[case.model], 3) for other, value in peaks.items() if other != case.model}
        result["peak_ratio"] = rest
    if mine:
        # A backward pass multiplies twice as much as the forward pass; torch's count takes depthwise for dense there.
        count = clip_flops(case.model, case.frames, case.size) * case.batch * (3 if case.mode == "train" else 1)
        floor = count / rate
        result |= {"gflop": round(count / 1e9, 1), "floor_ms": round(floor, 2)}
        result["times_floor"] = round(min(times[label] for label in mine) / floor, 2)
    return result | ({"skipped": skipped} if skipped else {})


def about(device: str) -> dict[str, Any]:
    """The machine and what runs on it."""
    return {
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": machine(device),
        "bf16 hardware": bf16_hardware(device),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="default: transm3e-lite, with --preset transm3e-small")
    parser.add_argument("--batch", type=int, nargs="+", default=[1])
    parser.add_argument("--mode", nargs="+", default=["forward"], choices=["forward", "train"])
    parser.add_argument("--dtype", nargs="+", default=["float32"], choices=DTYPES)
    parser.add_argument("--frames", type=int, nargs="+", help="default: the model's; several show how time grows")
    parser.add_argument("--size", type=int, help="default: the model's")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--compile", nargs="?", const="", metavar="MODE", help="both compiled too, in a mode or none")
    parser.add_argument("--graph", action="store_true", help="ours as a CUDA graph too")
    parser.add_argument("--profile", nargs="?", type=int, const=10, default=0, metavar="ROWS", help="kernels by time")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    group = parser.add_argument_group("preset", "--batch, --mode, --dtype and ways to run are then given")
    group.add_argument("--preset", choices=["gpu"])
    group.add_argument("--part", nargs="+", help="only these parts of it")
    group.add_argument("--minutes", type=float, default=7.5, help="what does not fit is skipped")
    group.add_argument("--out", type=Path, help="default: benchmarks/results/DATE_speed_gpu.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.preset:
        import gpu_preset

        gpu_preset.run(options)
        return
    name = options.model or "transm3e-lite"
    spec = amge.spec(name)
    size = options.size or spec.size
    cases = [
        Case(model=name, batch=batch, mode=mode, dtype=dtype, frames=frames, size=size, device=options.device)
        for frames in options.frames or [spec.frames]
        for batch in options.batch
        for mode in options.mode
        for dtype in options.dtype
    ]
    models, _ = candidates(name, cases[0].frames, size)
    with torch.device("meta"):  # this also loads all libraries, so that every peak counts the same ones
        parameters = {label: sum(p.numel() for p in make().parameters()) for label, make in models.items()}
    if options.peak:
        call = prepare(models[options.peak](), cases[0])
        call(), call()
        status = Path("/proc/self/status").read_text()  # ru_maxrss would include the parent's memory before exec
        print(int(status.split("VmHWM:")[1].split()[0]) / 1024)
        return
    reference = ["eager"] if options.compile is None else ["eager", f"compiled {options.compile}".strip()]
    ours = [*reference, "graph"] if options.graph else reference
    results = [compare(case, options.repeats, ours, reference, rows=options.profile) for case in cases]
    print(json.dumps({"model": name, "parameters": parameters, **about(options.device), "cases": results}, indent=2))


if __name__ == "__main__":
    main()
