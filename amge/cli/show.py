"""`amge list`, `amge info` and `amge skeletons`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from amge.cli.shared import MODEL_HELP, check_model, check_there
from amge.errors import one_line_errors

out = Console()
LARGEST = 10**11, 10**5
"""Numbers and tensors of a model that is worth describing."""


def list_models(
    pattern: Annotated[str, typer.Argument(help="Shell-style pattern.")] = "*",
    pretrained: Annotated[bool, typer.Option("--pretrained", help="The published weights, in full, as JSON.")] = False,
) -> None:
    """List the models, and those with trained weights as NAME.TAG."""
    with one_line_errors():
        from amge import zoo
        from amge.hub.published import PUBLISHED, list_pretrained

        if pretrained:
            typer.echo(json.dumps([asdict(entry) for entry in list_pretrained(pattern)], indent=2))
            return
        rows = Table(box=None, pad_edge=False)
        for column in ("name", "input", "weights", "licence of weights"):
            rows.add_column(column, no_wrap=True)
        for name in zoo.list_models(pattern):
            entry = PUBLISHED.get(name)
            spec = zoo.spec(entry.name if entry and entry.repo else name)  # the Hub is not asked
            size = "" if spec.modality == "skeleton" else f" x {spec.size} x {spec.size}"
            tagged = next((each.full_name for each in list_pretrained() if each.name == name), None)
            absent = f"as {tagged}" if tagged else "not published"
            weights, licence = (entry.repo or "in the package", entry.licence) if entry else (absent, "–")
            rows.add_row(name, f"{spec.frames}{size}, {spec.modality}", weights, licence)
        Console(width=max(out.width, 120)).print(rows)


def skeletons(
    source: Annotated[Path, typer.Argument(help="Pickle of a skeleton data set (PYSKL, MMAction2).")],
    out: Annotated[Path, typer.Argument(help="New folder.")],
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Open the pickle; whatever is not an array in it is refused.")
    ] = False,
    fps: Annotated[float, typer.Option(help="Frames a second.")] = 30.0,
) -> None:
    """Convert a pickled skeleton data set to npz files, once."""
    with one_line_errors():
        check_there(source)
        from amge.convert.skeletons import from_pickle

        typer.echo(f"{from_pickle(source, out, allow_pickle, fps)} samples in {out}")


def info(
    name: Annotated[str, typer.Argument(help=MODEL_HELP)],
) -> None:
    """Print the spec of a model and its size, as JSON."""
    with one_line_errors():
        check_model(name)
        from torch import nn

        from amge import zoo
        from amge.hub.load import outline, read_spec
        from amge.hub.published import is_name

        spec = zoo.spec(name) if is_name(name) else read_spec(name)
        tensors = {id(value): value for value in outline(spec, *LARGEST)[0].values()}
        parameters = sum(value.numel() for value in tensors.values() if isinstance(value, nn.Parameter))
        typer.echo(json.dumps({"parameters": parameters, **json.loads(spec.to_json())}, indent=2))
