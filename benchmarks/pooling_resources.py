"""What the kernels of `amge.layers.depthwise_pooling` take of a GPU, compiled without one, as a table.

python benchmarks/pooling_resources.py --capability 80 90

One row for each kernel, type and pooling of MViTv2-S with other code: registers of a thread, bytes that they spill,
bytes of shared memory, and instructions. The 65,536 registers of a processor hold 16 warps at 128 a thread.
"""

import argparse
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from amge.layers import depthwise_pooling_triton as kernels
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
    """The three kernels of the pooling of queries that lie beside keys and values."""
    small, channels = pooled(grid, stride), 96 * heads
    size, small_size = (t * h * w for t, h, w in (grid, small))
    x = torch.empty(BATCH, TOKENS + size, 3 * channels, dtype=dtype)[..., :channels]
    y = torch.empty(BATCH, TOKENS + small_size, channels, dtype=dtype)
    weight = torch.empty(96, 1, 3, 3, 3)
    kernels.forward(x, weight, y, grid, small, stride)
    kernels.token_gradient(y, weight, torch.empty(x.shape, dtype=dtype), grid, small, stride)
    kernels.weight_gradient(x, y, weight, grid, small, stride)


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
    options = parser.parse_args()
    print(f"{'sm':3} {'type':9} {'grid':10} {'stride':6} {'kernel':17} registers spilled shared instructions")
    for capability in options.capability:
        for dtype in options.dtype:
            for grid, stride, heads in POOLINGS:
                with compiled(capability) as made:
                    launch(grid, (1, stride, stride), heads, getattr(torch, dtype))
                for kernel in made:
                    about = f"{capability:3} {dtype:9} {'x'.join(map(str, grid)):10} {stride:6}"
                    registers, spilled, shared, instructions = resources(kernel)
                    name = kernel.metadata.name.strip("_")
                    print(f"{about} {name:17} {registers:9} {spilled:7} {shared:6} {instructions:12}")


if __name__ == "__main__":
    main()
