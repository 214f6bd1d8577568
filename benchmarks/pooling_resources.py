"""What the kernels of a pooling attention take of a GPU, compiled without one, as a table.

python benchmarks/pooling_resources.py --capability 80 90

One row for each kernel, type and pooling of MViTv2-S with other code: registers of a thread, bytes that they spill,
bytes of shared memory, and instructions. The 65,536 registers of a processor hold 16 warps at 128 a thread.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from amge.backbones import query_extension_triton as extension
from amge.layers import depthwise_pooling_triton as convolutions
from amge.layers import head_pooling_triton as with_norms
from amge.layers.grid import Grid, pooled

POOLINGS = [((8, 56, 56), 1, 1), ((8, 56, 56), 2, 2), ((8, 56, 56), 4, 2), ((8, 56, 56), 8, 1)]
"""Grid, stride in height and width, and heads of 96 channels; smaller grids run the same code."""
BATCH, TOKENS = 8, 40
TOOL = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"


@contextmanager
def compiled(capability: int) -> Iterator[list[Any]]:
    """Launches compile for a device that need not be there, and do no more; gives what they compiled."""
    made: list[Any] = []
    run = JITFunction.run
    device = SimpleNamespace(
        get_current_target=lambda: GPUTarget("cuda", capability, 32),
        get_current_device=lambda: capability,
        get_current_stream=lambda device: None,
    )

    def compile_alone(self: JITFunction, *arguments: Any, **options: Any) -> None:
        made.append(run(self, *arguments, **options | {"warmup": True}))

    driver.set_active(device)
    with patch.object(JITFunction, "run", compile_alone):
        yield made


def launch(grid: Grid, stride: Grid, heads: int, dtype: torch.dtype) -> None:
    """The kernels of the pooling of queries that lie beside keys and values, alone and with norms and extension."""
    small, channels = pooled(grid, stride), 96 * heads
    size, small_size = (t * h * w for t, h, w in (grid, small))
    x = torch.empty(BATCH, TOKENS + size, 3 * channels, dtype=dtype)[..., :channels]
    dx, y = torch.empty(x.shape, dtype=dtype), torch.empty(BATCH, TOKENS + small_size, channels, dtype=dtype)
    taps, scales = torch.empty(27, 96, dtype=dtype), torch.empty(2, 96, dtype=dtype)
    sizes = ((3, 3, 3), grid, small, stride)
    convolutions.forward(x, taps, y, 1, *sizes)
    convolutions.token_gradient(y, taps, dx, 1, *sizes)
    convolutions.weight_gradient(x, y, taps, 1, *sizes)
    by_head = y.unflatten(-1, (heads, 96))
    with_norms.forward(x, taps, scales, None, [by_head], 1e-6, *sizes)
    with_norms.norm_gradient(x, taps, scales, [by_head], 1e-6, *sizes)
    terms, offsets = torch.empty(*by_head.shape[:3], 240, dtype=dtype), [torch.empty(8, 8, dtype=torch.long)] * 3
    extended = torch.empty(*by_head.shape[:3], 120, dtype=dtype)
    extension.forward(by_head, terms, offsets, [15, 111, 111], 10.0, extended)
    extension.term_gradient(extended[..., 96:], offsets, [15, 111, 111], 10.0, terms)


def resources(kernel: Any) -> list[int]:
    """Registers, spilled bytes, shared bytes and instructions."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "kernel.cubin")
        file.write_bytes(kernel.asm["cubin"])
        command = [TOOL, "--dump-resource-usage", "-sass", file]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    usage = [int(re.findall(rf"{name}:(\d+)", text)[0]) for name in ("REG", "STACK", "SHARED")]
    return [*usage, len(re.findall(r"^\s+/\*[0-9a-f]+\*/\s+\S", text, re.M))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capability", type=int, nargs="+", default=[80, 90])
    parser.add_argument("--dtype", nargs="+", default=["bfloat16", "float32"])
    parser.add_argument("--stride", type=int, nargs="+", default=[stride for _, stride, _ in POOLINGS])
    options = parser.parse_args()
    print(f"{'sm':3} {'type':9} {'grid':10} {'stride':6} {'kernel':24} registers spilled shared instructions")
    for capability in options.capability:
        for dtype in options.dtype:
            for grid, stride, heads in (pooling for pooling in POOLINGS if pooling[1] in options.stride):
                with compiled(capability) as made:
                    launch(grid, (1, stride, stride), heads, getattr(torch, dtype))
                for kernel in made:
                    about = f"{capability:3} {dtype:9} {'x'.join(map(str, grid)):10} {stride:6}"
                    registers, spilled, shared, instructions = resources(kernel)
                    file = Path(kernel.src.fn.fn.__code__.co_filename).stem.removesuffix("_triton")
                    name = f"{file.split('_')[0]} {kernel.metadata.name.strip('_')}"
                    print(f"{about} {name:24} {registers:9} {spilled:7} {shared:6} {instructions:12}")


if __name__ == "__main__":
    main()
