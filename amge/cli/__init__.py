"""The command line.

Exit codes: 0 all done, 2 something could not be used (one line on standard error says what).
"""

import importlib
import io
import os
import sys
import warnings
from contextlib import suppress
from typing import Annotated

import typer

from amge.cli.calibrate import calibrate
from amge.cli.convert import convert
from amge.cli.data import app as data
from amge.cli.demo import demo
from amge.cli.explain import explain
from amge.cli.export import export
from amge.cli.predict import predict
from amge.cli.publish import publish
from amge.cli.show import info, list_models, skeletons
from amge.cli.train import evaluate, train
from amge.cli.watch import watch
from amge.errors import complain, one_line_errors, reason
from amge.version import __version__

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help="Muscles at work, from video."
)


def print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"amge {__version__}")
        raise typer.Exit


@app.callback()
def imports(
    modules: Annotated[
        list[str] | None,
        typer.Option(
            "--import", metavar="MODULE", help="First run this module, which registers parts or data sets of your own."
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    with one_line_errors():
        if modules:
            sys.path.insert(0, os.getcwd())
        for module in modules or ():
            importlib.import_module(module)


app.command()(predict)
app.command()(watch)
app.command()(explain)
app.command()(demo)
app.command("list")(list_models)
app.command()(info)
app.command()(train)
app.command("eval")(evaluate)
app.command()(calibrate)
app.add_typer(data, name="data")
app.command()(publish)
app.command()(convert)
app.command()(export)
app.command()(skeletons)


def main() -> None:
    """The command, on any standard output: characters that it lacks are replaced, and one that is full ends it."""
    warnings.formatwarning = lambda message, *_, **__: f"warning: {reason(message)}\n"  # type: ignore[arg-type]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        try:
            app()
        finally:
            if sys.stdout:
                sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # where what is left goes as the interpreter ends
        if isinstance(error, BrokenPipeError):  # whoever reads has seen enough
            sys.exit(1)
        with suppress(OSError):  # standard error is full
            complain(
                OSError(f"could not write to standard output: {error.strerror}; free some space or write elsewhere")
            )
        sys.exit(2)
