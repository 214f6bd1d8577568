"""What the benchmarks of speed share: a clock, CUDA graphs, kernels by time, rates of the machine, failures in words.

With `device` "cuda" times are between CUDA events, which count the gaps between launches too.
"""

import gc
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

Call = Callable[[], object]


def milliseconds(call: Call, device: str) -> float:
    if device == "cpu":
        start = time.perf_counter()
        call()
        return 1000 * (time.perf_counter() - start)
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    begin.record()
    call()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end)


def interleaved(
    calls: dict[str, Call], repeats: int, device: str, failed: dict[str, str] | None = None
) -> dict[str, float]:
    """Median milliseconds of each call, round by round so that noise hits all alike, behind rounds that warm up.

    With `failed`, a call that raises is left out, and the reason stands there under its name.
    """
    warm = 1 if device == "cpu" else 3  # a compiled model records its graph in the second
    times: dict[str, list[float]] = {name: [] for name in calls}
    for round_ in range(warm + repeats):
        for name, call in list(calls.items()):
            if name not in times:
                continue
            try:
                elapsed = milliseconds(call, device)
            except Exception as error:
                if failed is None:
                    raise
                failed[name] = in_words(error)
                del times[name]
                release()
                continue
            if round_ >= warm:
                times[name].append(elapsed)
    return {name: statistics.median(values) for name, values in times.items()}


def captured(call: Call) -> Call:
    """The call as a CUDA graph, whose replays launch all kernels at once.

    Raises:
        RuntimeError: where it cannot be captured, as when it waits for the GPU.
    """
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()

    def replay(keep: Call = call) -> None:  # the graph reads the call's tensors wherever they lay
        graph.replay()

    return replay


def top_kernels(call: Call, device: str, rows: int = 10) -> dict[str, Any]:
    """The kernels (on a CPU: the operators) of one call that take most of its time."""
    call(), call()
    activities = [ProfilerActivity.CPU] if device == "cpu" else [ProfilerActivity.CUDA]
    with profile(activities=activities) as record:
        call()
        if device == "cuda":
            torch.cuda.synchronize()
    attribute = f"self_{'cpu' if device == 'cpu' else 'device'}_time_total"
    found = {row.key: (getattr(row, attribute) / 1000, row.count) for row in record.key_averages()}
    total = sum(time for time, _ in found.values())
    top = sorted(found.items(), key=lambda item: -item[1][0])[:rows]
    return {
        "ms": round(total, 2),
        "launches": sum(count for time, count in found.values() if time),
        "top": {name: {"ms": round(ms, 2), "share": round(ms / total, 3), "count": n} for name, (ms, n) in top},
    }


def copy_rate(device: str) -> float:
    """Bytes per millisecond that a large copy reads and writes."""
    source = torch.randn(2**28 if device == "cuda" else 2**24, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / interleaved({"copy": lambda: target.copy_(source)}, 7, device)["copy"]


def gemm_rate(dtype: str, device: str) -> float:
    """FLOP per millisecond of a large matrix multiplication."""
    slow = dtype == "bfloat16" and not bf16_hardware(device)
    side = 512 if slow else 2048 if device == "cpu" else 8192
    a = torch.randn(side, side, device=device, dtype=precision(dtype))
    return 2 * side**3 / interleaved({"gemm": lambda: a @ a}, 7, device)["gemm"]


def bf16_hardware(device: str) -> bool:
    return torch.cuda.is_bf16_supported(False) if device == "cuda" else torch.ops.mkldnn._is_mkldnn_bf16_supported()


def precision(name: str) -> torch.dtype:
    """The type of a name; "tf32" is float32 whose products may take fewer bits, which "float32" forbids."""
    for backend in (torch.backends.cuda.matmul, torch.backends.cudnn):
        backend.allow_tf32 = name == "tf32"
    return torch.float32 if name == "tf32" else getattr(torch, name)


def forward_flops(model: Any) -> int:
    """FLOP of the matrix multiplications and convolutions of a model on one example, counted without memory.

    Args:
        model: built on the device `meta`.
    """
    with torch.device("meta"), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model.eval()(torch.empty([1, *map(int, model.input_spec.shape[1:])]))
    return counter.get_total_flops()


def release() -> None:
    """Give back a GPU's memory that nothing holds any more; on a CPU it goes back by itself."""
    if torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()


def in_words(error: BaseException) -> str:
    """One line of an exception."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"[:200]


def machine(device: str) -> str:
    import platform

    return torch.cuda.get_device_name() if device == "cuda" else platform.machine()


def write(path: Path, results: Any) -> None:
    """JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    beside.write_text(json.dumps(results, indent=1) + "\n")
    beside.replace(path)
