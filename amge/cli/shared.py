"""What the commands share: models by name or folder, and errors in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

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
