"""`amge list`, `amge info` and `amge skeletons`."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from amge.cli.shared import one_line_errors
from amge.hub.weights import is_path

out = Console()


def list_models(pattern: Annotated[str, typer.Argument(help="Shell-style pattern.")] = "*") -> None:
    """List the models, and those with trained weights as NAME.TAG."""
    import amge

    with one_line_errors():
        rows = Table(box=None, pad_edge=False)
        for column in ("name", "input", "weights", "licence of weights"):
            rows.add_column(column, no_wrap=True)
        for name in amge.list_models(pattern):
            spec = amge.spec(name)
            size = "" if spec.modality == "skeleton" else f" x {spec.size} x {spec.size}"
            shape = f"{spec.frames}{size}, {spec.modality}"
            rows.add_row(name, shape, "shipped" if spec.tag else "–", spec.licence or "–")
        out.print(rows)


def skeletons(
    source: Annotated[Path, typer.Argument(help="Pickle of a skeleton data set (PYSKL, MMAction2).")],
    out: Annotated[Path, typer.Argument(help="New folder.")],
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Open the pickle; whatever is not an array in it is refused.")
    ] = False,
    fps: Annotated[float, typer.Option(help="Frames a second.")] = 30.0,
) -> None:
    """Convert a pickled skeleton data set to npz files, once."""
    from amge.convert.skeletons import from_pickle

    with one_line_errors():
        typer.echo(f"{from_pickle(source, out, allow_pickle, fps)} samples in {out}")


def info(
    name: Annotated[str, typer.Argument(help="A name from `amge list`, or the folder of a checkpoint.")],
) -> None:
    """Print the spec of a model and its size, as JSON."""
    import torch

    import amge
    from amge.hub.local import read_spec

    with one_line_errors():
        spec = read_spec(Path(name)) if is_path(name) else amge.spec(name)
        with torch.device("meta"):
            network = amge.assemble(spec)
        parameters = sum(p.numel() for p in network.parameters())
        typer.echo(json.dumps({"parameters": parameters, **json.loads(spec.to_json())}, indent=2))
