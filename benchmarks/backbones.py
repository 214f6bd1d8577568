"""Parameters, multiply-adds and CPU time of every backbone of Table 2, and of the models of this project.

python benchmarks/backbones.py --out benchmarks/results/backbones.json
python benchmarks/backbones.py --markdown benchmarks/results/backbones.json > docs/backbones.md
"""

import argparse
import datetime
import json
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from measuring import forward_flops
from torch import nn

import amge
from amge.paper import REFERENCE_PARAMETERS, ROWS

PAPER = {row.model: row.parameters for row in ROWS if row.table == 2 and row.parameters}
NAMES = [*PAPER, "transm3e-lite"]
INTRODUCTION = """# Backbones: size and cost

Every model of the paper's Table 2 and `transm3e-lite`, at 20 outputs, as `amge.build(name)` builds them. *Reference* is
the count of the reference implementation, which tests compare with ours; *paper* is what the paper prints.
Multiply-adds are those of matrix multiplications and convolutions for one clip (what papers call GFLOPs). Times are of
one clip of random numbers, batch 1, float32, in eval mode, medians of {repeats} passes taken in turns, on {threads}
threads of a shared {machine} CPU with torch {torch}, on {date}: good for comparing rows, not as absolute numbers.
`benchmarks/backbones.py` writes this page; `benchmarks/speed.py --model NAME` compares a network with torchvision's or
pytorchvideo's own.
"""
NOTE = """
The paper's number differs from the reference's by more than 2 % for {names}.
For I3D it prints 20.4, for Slow 24.3 and for SlowFast 25.3 million; the reference implementations that it names have
{i3d}, {slow} and {slowfast} million, as ours do. ST-GCN has 3.08 million with its learned importance of edges, HD-GCN
1.29 million.
"""


def cost(name: str) -> dict[str, Any]:
    """Parameters and multiply-adds, counted without memory."""
    with torch.device("meta"):
        model = amge.build(name)
    return {
        "model": name,
        "input": list(model.input_spec.shape[1:]),
        "parameters": sum(p.numel() for p in model.parameters()),
        "reference": REFERENCE_PARAMETERS.get(name),
        "paper": PAPER.get(name),
        "gmacs": round(forward_flops(model) / 2e9, 3),
    }


@torch.inference_mode()
def milliseconds(names: list[str], repeats: int) -> dict[str, float]:
    """Medians, pass by pass over all models, so that noise hits all alike; a first pass warms up."""
    models: dict[str, nn.Module] = {name: amge.build(name).eval() for name in names}
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(repeats + 1):
        for name, model in models.items():
            clip = model.input_spec.example()
            start = time.perf_counter()
            model(clip)
            times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def measure(names: list[str], repeats: int, threads: int) -> dict[str, Any]:
    torch.set_num_threads(threads)
    times = milliseconds(names, repeats)
    return {
        "date": datetime.date.today().isoformat(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "threads": threads,
        "repeats": repeats,
        "models": [{**cost(name), "milliseconds": round(times[name], 1)} for name in names],
    }


def markdown(results: dict[str, Any]) -> str:
    millions = {row["model"]: f"{row['parameters'] / 1e6:.2f}" for row in results["models"]}
    lines = [
        INTRODUCTION.format(**results),
        "| model | input | parameters (M) | reference (M) | paper (M) | multiply-adds (G) | CPU time (ms) |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in results["models"]:
        reference = "–" if row["reference"] is None else f"{row['reference'] / 1e6:.2f}"
        cells = [
            f"`{row['model']}`",
            " × ".join(map(str, row["input"])),
            millions[row["model"]],
            reference,
            "–" if row["paper"] is None else str(row["paper"]),
            f"{row['gmacs']:.2f}",
            f"{row['milliseconds']:.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    apart = [
        row["model"]
        for row in results["models"]
        if row["paper"] and abs(row["paper"] * 1e6 / row["reference"] - 1) > 0.02
    ]
    names = ", ".join(f"`{name}`" for name in apart)
    kinds = {kind: millions[f"{kind}-r50"] for kind in ("i3d", "slow", "slowfast")}
    return "\n".join(lines) + "\n" + NOTE.format(names=names, **kinds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=NAMES, choices=NAMES, metavar="NAME", help="only these")
    parser.add_argument("--out", type=Path, help="write JSON here; default: print it")
    parser.add_argument("--markdown", type=Path, help="print the page of a JSON file, measure nothing")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if options.markdown:
        print(markdown(json.loads(options.markdown.read_text())), end="")
        return
    text = json.dumps(measure(options.model, options.repeats, options.threads), indent=1) + "\n"
    if options.out:
        options.out.write_text(text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
