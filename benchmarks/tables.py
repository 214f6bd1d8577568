"""The rows of Tables 2 to 14 of the paper: list them, or build each and take a training step.

python benchmarks/tables.py --list
python benchmarks/tables.py --table 4 --dry-run
python benchmarks/tables.py --markdown > docs/tables.md
"""

import argparse
import sys
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

import amge
from amge.distill import Teacher
from amge.model import MuscleModel
from amge.paper import NOTES, ROWS, TABLES, TITLES, Row
from amge.train.objective import Objective

INTRODUCTION = """# The paper's tables, row by row

Every row is a call. `benchmarks/tables.py --list` prints them, `--table 4 --dry-run` builds each row of a table and
takes one training step on random clips; `-small` may be `-tiny` everywhere, for tests and for experiments on a CPU.
Parameters are those of the model at inference, in millions, at 20 outputs; the number that the paper prints, if any,
stands beside ours. No row is trained here: MuscleMap136 needs a signed agreement.

`amge.distillation(model)` gives the loss that a row's `distill` names, `amge.teacher_spec(model.spec)` its teacher, and
`amge.train.objective.Objective` one training step with both; [components.md](components.md) says more.
"""


def millions(row: Row, size: str | None = None) -> str:
    """Parameters of a row, counted without memory."""
    with torch.device("meta"):
        return f"{sum(p.numel() for p in row.build(size).parameters()) / 1e6:.2f}"


def small_clips(model: MuscleModel, batch: int, frames: int, size: int) -> Tensor:
    """Random clips as the model takes them."""
    layout = getattr(model.backbone, "input_layout", amge.backbones.Backbone.input_layout)
    sizes = {"B": batch, "P": 2, "T": frames, "H": size, "W": size}
    return torch.randn([axis if isinstance(axis, int) else sizes[axis] for axis in layout])


def step(row: Row, size: str | None = None, frames: int = 4, side: int = 64) -> tuple[MuscleModel, dict[str, Tensor]]:
    """Build a row and run two clips of a video forward and back: the model with gradients, the terms of the loss."""
    model = row.build(size)
    sender = row.teacher_spec(size)
    teacher = Teacher(amge.assemble(sender)) if sender else None
    objective = Objective(model, teacher)
    clips = small_clips(model, 1, frames, side), small_clips(model, 1, frames, side)
    with torch.no_grad():
        target = torch.zeros_like(model.forward_signals(clips[0]).branches[0])
    target[:, ::3] = 1
    if teacher:
        losses = objective.two_clips(clips, target, tuple(small_clips(teacher.model, 1, frames, side) for _ in clips))
    else:
        losses = objective(torch.cat(clips), torch.cat([target, target]))
    if any(parameter.requires_grad for parameter in model.parameters()):  # statistical baselines have none
        torch.stack(list(losses.values())).sum().backward()
    return model, losses


def listing(rows: Sequence[Row], size: str | None) -> Iterator[str]:
    for row in rows:
        yield f"table {row.table:>2}  {row.label:<24} {row.call(size)}" + (f"  # {row.remark}" if row.remark else "")


def dry_run(rows: Sequence[Row], size: str | None, frames: int, side: int) -> Iterator[str]:
    torch.manual_seed(0)
    for row in rows:
        line = f"table {row.table:>2}  {row.label:<24} "
        _, losses = step(row, size, frames, side)
        terms = "  ".join(f"{name} {value.item():.4f}" for name, value in losses.items())
        yield f"{line}{millions(row, size):>6} M  {terms}"


def markdown(rows: Sequence[Row]) -> Iterator[str]:
    yield from INTRODUCTION.splitlines()
    for table in sorted({row.table for row in rows}):
        yield from ("", f"## Table {table}: {TITLES[table]}", "")
        if table in NOTES:
            yield from (NOTES[table], "")
        chosen = [row for row in rows if row.table == table]
        columns = ["row", "call", "parameters (M)"]
        paper, remarks = any(row.parameters is not None for row in chosen), any(row.remark for row in chosen)
        columns += ["parameters in the paper (M)"] * paper + ["remark"] * remarks
        yield f"| {' | '.join(columns)} |"
        yield f"|{'---|' * len(columns)}"
        for row in chosen:
            cells = [row.label, f"`{row.call()}`", millions(row)]
            cells += ["–" if row.parameters is None else str(row.parameters)] * paper + [row.remark or " "] * remarks
            yield f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="print each row and the call that builds it (default)")
    what.add_argument("--dry-run", action="store_true", help="build each row, run forward and back, print parameters")
    what.add_argument("--markdown", action="store_true", help="print the tables as a page, at the paper's size")
    parser.add_argument("--table", type=int, nargs="+", choices=list(TABLES), help="only these tables")
    parser.add_argument("--size", choices=("tiny",), help="build rows at this size in place of the paper's")
    parser.add_argument("--frames", type=int, default=4, help="of the clips of a dry run (%(default)s)")
    parser.add_argument("--side", type=int, default=64, help="of the clips of a dry run, in pixels (%(default)s)")
    options = parser.parse_args()
    if options.frames < 1 or options.side < 1:
        parser.error("--frames and --side must be 1 or more")
    rows = [row for row in ROWS if options.table is None or row.table in options.table]
    if options.dry_run:
        lines = dry_run(rows, options.size, options.frames, options.side)
    else:
        lines = markdown(rows) if options.markdown else listing(rows, options.size)
    try:
        for line in lines:
            sys.stdout.write(line.rstrip() + "\n")
            sys.stdout.flush()
    except (ValueError, ImportError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
