"""What the commands share: models by name or folder, and errors in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

MODEL_HELP = "A name from `amge list`, the folder of a checkpoint, or owner/name of one on the Hugging Face Hub."
ModelOption = Annotated[str, typer.Option(help=MODEL_HELP)]


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
