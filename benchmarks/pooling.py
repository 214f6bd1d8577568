"""Every pooling convolution of MViTv2-S and -B alone, against what torch has for it: JSON, and a short table last.

python benchmarks/pooling.py --dtype bfloat16 tf32 --batch 8 --out pooling.json
python benchmarks/pooling.py --model transm3e-tiny --batch 1 --device cpu

All ways take tokens and give tokens, so that copies between layouts and the packing of weights count. Times are of the
forward pass, and of it with the backward pass. On a GPU they are of CUDA graphs, without the gaps between launches;
what fits into its cache stays there. The floor is the bytes that must be moved over the rate of a large copy, measured
in the same run. Errors are relative to float64, the largest of output and gradients. Runs from a checkout, uninstalled.
"""

import argparse
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import cache
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from measuring import Call, captured, copy_rate, in_words, machine, milliseconds, precision, release, write
from torch import Tensor
from torch.nn import functional as F

import amge
from amge.backbones.pooling_attention import PoolingAttention

try:
    from amge.layers.depthwise_pooling import depthwise_pool
except ImportError:  # a checkout from before it
    depthwise_pool = None

MODELS = ("transm3e-small", "transm3e-base")
"""Those of MViTv2-S and -B with 40 muscle tokens, which pass the poolings by."""


class Pooling(NamedTuple):
    """A convolution of one block: of the query, or of key and value together."""

    part: str
    tokens: int
    grid: tuple[int, int, int]
    stride: tuple[int, int, int]
    heads: int
    width: int
    kernel: tuple[int, int, int]

    @property
    def weights(self) -> int:
        return 1 if self.part == "query" else 2

    @property
    def channels(self) -> int:
        return self.weights * self.heads * self.width

    @property
    def pooled(self) -> int:
        return prod(-(-size // step) for size, step in zip(self.grid, self.stride, strict=True))

    def bytes(self, batch: int, itemsize: int) -> tuple[float, float]:
        """The fewest that the forward pass moves, and it with the backward pass."""
        share = prod(min(1, size / step) for size, step in zip(self.kernel, self.stride, strict=True))
        read, out, whole = share * prod(self.grid), self.pooled, prod(self.grid)
        forward = read + out + 2 * self.tokens
        backward = out + read + whole + 2 * self.tokens
        scale = batch * self.channels * itemsize
        return forward * scale, (forward + backward) * scale

    def __str__(self) -> str:
        grid, stride = ("x".join(map(str, sizes)) for sizes in (self.grid, self.stride))
        return f"{self.part} {grid} / {stride}, {self.heads} heads, {self.tokens} tokens"


@cache
def poolings(name: str, frames: int | None = None, size: int | None = None) -> Counter[Pooling]:
    """Those of a model, each with the number of blocks that have it."""
    found: Counter[Pooling] = Counter()

    def note(attn: Any, given: tuple[Tensor, tuple[int, int, int]]) -> None:
        x, grid = given
        sizes = attn.num_heads, attn.head_dim, tuple(attn.pool_q.weight.shape[2:])
        for part, stride in (("query", attn.stride_q), ("key, value", attn.stride_kv)):
            found[Pooling(part, x.shape[1] - prod(grid), tuple(grid), tuple(stride), *sizes)] += 1

    with torch.device("meta"), torch.no_grad():
        spec = amge.spec(name)
        model = amge.build(name, frames=frames or spec.frames, size=size or spec.size).eval()
        for module in model.modules():
            if isinstance(module, PoolingAttention):
                module.register_forward_pre_hook(note)
        model(torch.empty([1, *map(int, model.input_spec.shape[1:])]))
    return found


def packed(weights: list[Tensor], pooling: Pooling) -> Tensor:
    return torch.cat([weight.repeat(pooling.heads, 1, 1, 1, 1) for weight in weights])


def on_patches(x: Tensor, pooling: Pooling, pool: Callable[[Tensor], Tensor]) -> Tensor:
    """Pool `(B, T, H, W, C)`; class tokens pass by."""
    tokens, patches = x[:, : pooling.tokens], x[:, pooling.tokens :].unflatten(1, pooling.grid)
    return torch.cat([tokens, pool(patches).flatten(1, 3)], dim=1)


def conv3d(x: Tensor, weights: list[Tensor], pooling: Pooling, layout: torch.memory_format) -> Tensor:
    weight = packed(weights, pooling).contiguous(memory_format=layout)
    padding = [size // 2 for size in pooling.kernel]

    def pool(patches: Tensor) -> Tensor:
        clip = patches.permute(0, 4, 1, 2, 3).contiguous(memory_format=layout)
        return F.conv3d(clip, weight, None, pooling.stride, padding, 1, len(weight)).permute(0, 2, 3, 4, 1)

    return on_patches(x, pooling, pool)


def channels_last(x: Tensor, weights: list[Tensor], pooling: Pooling) -> Tensor:
    return conv3d(x, weights, pooling, torch.channels_last_3d)


def contiguous(x: Tensor, weights: list[Tensor], pooling: Pooling) -> Tensor:
    return conv3d(x, weights, pooling, torch.contiguous_format)


def planes(x: Tensor, weights: list[Tensor], pooling: Pooling) -> Tensor:
    """A channels-last 2-D convolution of all frames for each step of the kernel in time, shifted and added up."""
    weight, depth = packed(weights, pooling), pooling.kernel[0]
    padding = [size // 2 for size in pooling.kernel[1:]]

    def pool(patches: Tensor) -> Tensor:
        pictures = patches.flatten(0, 1).permute(0, 3, 1, 2)
        total: Any = 0
        for step in range(depth):
            plane = weight[:, :, step].contiguous(memory_format=torch.channels_last)
            one = F.conv2d(pictures, plane, None, pooling.stride[1:], padding, 1, len(weight))
            before = depth // 2 - step
            clip = one.permute(0, 2, 3, 1).unflatten(0, patches.shape[:2])
            total = total + F.pad(clip, (0, 0, 0, 0, 0, 0, before, -before))
        return total[:, :: pooling.stride[0]]

    return on_patches(x, pooling, pool)


def ours(x: Tensor, weights: list[Tensor], pooling: Pooling) -> Tensor:
    """What the library does with such tokens on their device."""
    if depthwise_pool is None:
        return channels_last(x, weights, pooling)
    weight = weights[0] if len(weights) == 1 else packed(weights, pooling)  # heads share the rows of one
    return depthwise_pool(x, weight, pooling.grid, pooling.stride)


WAYS = {"ours": ours, "channels last": channels_last, "contiguous": contiguous, "2-D": planes}


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
    way: Callable[..., Tensor], pooling: Pooling, batch: int, dtype: torch.dtype, device: str, repeats: int
) -> list[float]:
    """Milliseconds of the forward pass, and of it with the backward pass."""
    x, weights = inputs(pooling, batch, dtype, device)
    with torch.no_grad():
        forward = median(lambda: way(x, weights, pooling), repeats, device)
        slope = torch.randn_like(way(x, weights, pooling))

    def train() -> object:
        return torch.autograd.grad(way(x, weights, pooling), [x, *weights], slope)

    return [round(forward, 4), round(median(train, repeats, device), 4)]


def error(way: Callable[..., Tensor], pooling: Pooling, dtype: torch.dtype, device: str) -> float:
    """The largest relative error of output and gradients, on two samples."""

    def results(function: Callable[..., Tensor], x: Tensor, weights: list[Tensor], slope: Tensor) -> list[Tensor]:
        out = function(x, weights, pooling)
        return [out.detach(), *torch.autograd.grad(out, [x, *weights], slope.to(out.dtype))]

    x, weights = inputs(pooling, 2, dtype, device)
    exact, *others = (tensor.detach().double().requires_grad_() for tensor in (x, *weights))
    slope = torch.randn(2, pooling.tokens + pooling.pooled, pooling.channels, device=device).to(dtype)
    pairs = zip(results(way, x, weights, slope), results(contiguous, exact, others, slope), strict=True)
    return max(float((one.double() - other).norm() / other.norm()) for one, other in pairs)


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
