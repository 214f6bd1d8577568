"""`amge demo`."""

from typing import Annotated

import typer

from amge.cli.predict import default_model
from amge.cli.shared import MODEL_HELP, check_model
from amge.errors import one_line_errors


def demo(
    model: Annotated[str | None, typer.Option(help=f"{MODEL_HELP} Default: as of `amge predict`.")] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen at; the default is for this machine alone, 0.0.0.0 for all.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen at.")] = 7860,
) -> None:
    """Show a page in the browser that takes a clip and shows what is at work."""
    with one_line_errors():
        model = model or default_model()
        check_model(model)
        from amge.demo.page import serve

        serve(model, host, port)
