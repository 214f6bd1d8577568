"""What the commands share: models by name or folder, and errors in one line."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

ModelOption = Annotated[str, typer.Option(help="A name from `amge list`, or the folder of a checkpoint.")]


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn what a user can mend into one line and exit code 2; anything else is a bug and shows itself."""
    try:
        yield
    except (ValueError, OSError, ImportError) as error:
        complain(error)
        raise typer.Exit(2) from None


def complain(error: Exception) -> None:
    typer.echo(f"error: {' '.join(str(error).split())}", err=True)


def load(model: str) -> Any:
    """A model with trained weights, by name or folder."""
    import amge

    return amge.from_pretrained(model) if is_path(model) else amge.build(model, pretrained=True)


def is_path(model: str) -> bool:
    """Whether `--model` means a folder; a known name does not, even where a file is called the same."""
    import amge

    return model not in amge.list_models() and (os.path.exists(model) or os.sep in model)
