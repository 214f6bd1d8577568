"""`amge publish`."""

from pathlib import Path
from typing import Annotated

import typer

from amge.cli.shared import check_there
from amge.errors import one_line_errors


def publish(
    folder: Annotated[Path, typer.Argument(help="Checkpoint: config.json, model.safetensors and perhaps README.md.")],
    repo: Annotated[str, typer.Argument(help="OWNER/NAME on the Hugging Face Hub; made if need be.")],
    licence: Annotated[str | None, typer.Option(help="Of the weights, such as Apache-2.0, if they do not say.")] = None,
    private: Annotated[bool | None, typer.Option(help="Whether a new repository is private or public.")] = None,
    branch: Annotated[str | None, typer.Option(help="Branch; default: the main one.")] = None,
    message: Annotated[str | None, typer.Option(help="Of the commit.")] = None,
    extra: Annotated[
        list[Path] | None, typer.Option("--with", help="Another file, such as the module that registers your parts.")
    ] = None,
) -> None:
    """Publish a checkpoint on the Hugging Face Hub. Log in first: hf auth login, or HF_TOKEN."""
    with one_line_errors():
        check_there(folder, *(extra or ()))
        from amge.hub.card import unstated
        from amge.hub.load import read_spec
        from amge.hub.publish import publish as start

        done = start(folder, repo, licence=licence, private=private, branch=branch, message=message, extra=extra or ())
        typer.echo(f"{done.url}\nrevision {done.revision}\nsha256 {done.sha256}")
        spec = read_spec(folder)
        if lacking := unstated(spec if spec.licence else spec.replace(licence=licence)):
            typer.echo(f"note: config.json does not state {', '.join(lacking)}; see docs/checkpoints.md", err=True)
