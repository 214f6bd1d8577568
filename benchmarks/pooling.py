"""Every pooling convolution of MViTv2-S and -B alone, against what torch has for it: JSON, and a short table last.

python benchmarks/pooling.py --dtype bfloat16 tf32 --batch 8 --out pooling.json
python benchmarks/pooling.py --model transm3e-tiny --batch 1 --device cpu

All ways take tokens and give those of query, or key and value, so that copies between layouts and the packing of
weights count. Times are of the forward pass, and of it with the backward pass. On a GPU they are of CUDA graphs,
without the gaps between launches; what fits into its cache stays there. The floor is the bytes that must be moved over
the rate of a large copy, measured in the same run. Errors are relative to float64, the largest of output and gradients.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from measuring import Call, captured, copy_rate, in_words, machine, milliseconds, precision, release, write
from pooling_ways import WAYS, Pooled, Pooling, contiguous, poolings
from torch import Tensor

MODELS = ("transm3e-small", "transm3e-base")
"""Those of MViTv2-S and -B with 40 muscle tokens, which pass the poolings by."""


def inputs(pooling: Pooling, batch: int, dtype: torch.dtype, device: str) -> tuple[Tensor, list[Tensor]]:
    x = torch.randn(batch, pooling.tokens + prod(pooling.grid), pooling.channels, device=device, dtype=dtype)
    shape = (pooling.width, 1, *pooling.kernel)
    weights = [torch.randn(shape, device=device, dtype=dtype) / 5 for _ in range(pooling.weights)]
    return x.requires_grad_(), [weight.requires_grad_() for weight in weights]


def median(call: Call, repeats: int, device: str) -> float:
    """Milliseconds of a call, many of them at once where it is short, as a CUDA graph where it can be one."""
    call()
    if device == "cuda":
        try:
            call = captured(call)
        except Exception as reason:
            print(f"without a CUDA graph: {in_words(reason)}", file=sys.stderr)
    many = 10 if milliseconds(call, device) < 2 and device == "cuda" else 1
    return statistics.median(milliseconds(lambda: [call() for _ in range(many)], device) / many for _ in range(repeats))


def times(
    way: Callable[..., Pooled], pooling: Pooling, batch: int, dtype: torch.dtype, device: str, repeats: int
) -> list[float]:
    """Milliseconds of the forward pass, and of it with the backward pass."""
    x, weights = inputs(pooling, batch, dtype, device)
    with torch.no_grad():
        forward = median(lambda: way(x, weights, pooling), repeats, device)
        slopes = [torch.randn(out.shape, device=device, dtype=dtype) for out in way(x, weights, pooling)]

    def train() -> object:
        return torch.autograd.grad(way(x, weights, pooling), [x, *weights], slopes)

    return [round(forward, 4), round(median(train, repeats, device), 4)]


def error(way: Callable[..., Pooled], pooling: Pooling, dtype: torch.dtype, device: str) -> float:
    """The largest relative error of output and gradients, on two samples."""

    x, weights = inputs(pooling, 2, dtype, device)
    exact, *others = (tensor.detach().double().requires_grad_() for tensor in (x, *weights))
    shape = (2, pooling.tokens + pooling.pooled, pooling.heads * pooling.width)
    slopes = [torch.randn(shape, device=device).to(dtype) for _ in weights]

    def results(outs: Pooled, given: list[Tensor]) -> list[Tensor]:
        gradients = torch.autograd.grad(outs, given, [slope.to(given[0].dtype) for slope in slopes])
        return [*(out.detach() for out in outs), *gradients]

    one, two = way(x, weights, pooling), contiguous(exact, others, pooling)
    pairs = zip(results(one, [x, *weights]), results(two, [exact, *others]), strict=True)
    return max(float((got.double() - right).norm() / right.norm()) for got, right in pairs)


def row(pooling: Pooling, batch: int, dtype: str, device: str, repeats: int, rate: float) -> dict[str, Any]:
    """Floor, times and errors of one pooling."""
    kind = precision(dtype)
    floor = [round(size / rate, 4) for size in pooling.bytes(batch, kind.itemsize)]
    result: dict[str, Any] = {"pooling": str(pooling), **pooling._asdict(), "floor_ms": floor}
    result |= {"milliseconds": {}, "error": {}}
    failed: dict[str, str] = {}
    for name, way in WAYS.items():
        try:
            result["error"][name] = float(f"{error(way, pooling, kind, device):.1e}")
            result["milliseconds"][name] = times(way, pooling, batch, kind, device, repeats)
        except Exception as failure:
            failed[name] = in_words(failure)
        release()
    return result | ({"skipped": failed} if failed else {})


def measure(
    models: list[str],
    batch: int,
    dtype: str,
    device: str,
    repeats: int = 7,
    frames: int | None = None,
    size: int | None = None,
    seconds: float = float("inf"),
) -> dict[str, Any]:
    """All poolings of some models, and for each model the sums over its blocks; after `seconds` no more is begun."""
    end = time.monotonic() + seconds
    counts = {name: poolings(name, frames, size) for name in models}
    rate, rows, left = copy_rate(device), [], []
    for pooling in dict.fromkeys(pooling for count in counts.values() for pooling in count):
        if time.monotonic() > end:
            left.append(str(pooling))
            continue
        found = row(pooling, batch, dtype, device, repeats, rate)
        rows.append(found | {"blocks": {name: count[pooling] for name, count in counts.items()}})
    result: dict[str, Any] = {"batch": batch, "dtype": dtype, "device": device}
    result |= {"copy_gb_per_s": round(rate / 1e6, 1), "poolings": rows, "sums": {}}
    for name in models:
        mine = [found for found in rows if found["blocks"][name]]
        sums = {"floor": total(mine, name, lambda found: found["floor_ms"])}
        for way in WAYS:
            if mine and all(way in found["milliseconds"] for found in mine):
                sums[way] = total(mine, name, lambda found, way=way: found["milliseconds"][way])
        result["sums"][name] = sums
    return result | ({"skipped": left} if left else {})


def total(rows: list[dict[str, Any]], model: str, times: Callable[[dict[str, Any]], list[float]]) -> list[float]:
    return [round(sum(found["blocks"][model] * times(found)[index] for found in rows), 3) for index in (0, 1)]


def table(result: dict[str, Any], short: bool = False) -> str:
    """Forward / forward and backward in ms, a line for each pooling unless `short`, and the sums."""
    lines = [f"{result['dtype']}, batch {result['batch']}, ms forward / with backward"]
    columns = ["floor", *WAYS]
    lines.append(f"{'':50}" + "".join(f"{column:>18}" for column in columns))
    named = {found["pooling"]: {"floor": found["floor_ms"], **found["milliseconds"]} for found in result["poolings"]}
    sums = {f"sum, {name}": times for name, times in result["sums"].items()}
    for name, times in (sums if short else named | sums).items():
        cells = (f"{times[c][0]:.3f} / {times[c][1]:.3f}" if c in times else "-" for c in columns)
        lines.append(f"{name:50}" + "".join(f"{cell:>18}" for cell in cells))
    errors = {way: [found["error"][way] for found in result["poolings"] if way in found["error"]] for way in WAYS}
    worst = ", ".join(f"{way} {max(values):.1e}" for way, values in errors.items() if values)
    return "\n".join([*lines, f"largest relative error against float64: {worst}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=list(MODELS))
    parser.add_argument("--dtype", nargs="+", default=["bfloat16"], choices=["float32", "tf32", "bfloat16", "float16"])
    parser.add_argument("--batch", type=int, nargs="+", default=[8])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"])
    parser.add_argument("--frames", type=int, help="default: the model's")
    parser.add_argument("--size", type=int, help="default: the model's")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, help="write JSON here; default: print it before the table")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sizes = {"frames": options.frames, "size": options.size}
    results: dict[str, Any] = {"torch": torch.__version__, "machine": machine(options.device), "cases": []}
    for batch in options.batch:
        for dtype in options.dtype:
            case = measure(options.model, batch, dtype, options.device, options.repeats, **sizes)
            results["cases"].append(case)
            if options.out:
                write(options.out, results)
    if not options.out:
        print(json.dumps(results, indent=1))
    for case in results["cases"]:
        print(table(case))


if __name__ == "__main__":
    main()
