"""What a user can mend, said in one line: a name that is not known, an input that can't be used."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

LONGEST = 2000
"""Characters of a message on the command line."""


class VideoError(ValueError):
    """An input that cannot be used: one line that names it and says what would work."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.encode("utf-8", "backslashreplace").decode().split()))


def describe(source: object) -> str:
    """How a message names `source`."""
    return str(source) if isinstance(source, str | os.PathLike) else f"the {type(source).__name__}"


def one_of(kind: str, name: object, valid: Iterable[str]) -> str:
    """`name` if it is among `valid`; otherwise a `ValueError` that offers the closest names and all valid ones."""
    choices = list(valid)
    if isinstance(name, str) and name in choices:
        return name
    close = get_close_matches(str(name), choices, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
    listed = ", ".join(choices[:40]) + (f" and {len(choices) - 40} more" if len(choices) > 40 else "")
    raise ValueError(f"unknown {kind} {name!r:.80}; {hint}valid: {listed or 'none'}")


def outside() -> int:
    """How many calls up the first is that neither this library nor torch made: where a warning belongs."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in ("amge", "torch", "contextlib"):
        level, frame = level + 1, frame.f_back
    return level


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn what a user can mend into one line and exit code 2; anything else is a bug and shows itself."""
    try:
        yield
    except BrokenPipeError:  # whoever reads has seen enough, as `amge.cli.main` knows
        raise
    except (ValueError, OSError, ImportError) as error:
        import typer

        if isinstance(error, OSError) and not error.filename and sys.stdout:
            sys.stdout.flush()  # if that is what is full, `main` says so
        complain(error)
        raise typer.Exit(2) from None


def complain(error: Exception) -> None:
    import typer

    typer.echo(f"error: {reason(error)}", err=True)


def reason(error: Exception, longest: int = LONGEST) -> str:
    """What went wrong, in one line: of what a system says the file first, and of a long story the start."""
    said = str(error)
    if isinstance(error, FileExistsError) and error.filename:
        said = f"{error.filename} is a file where a folder is needed"
    elif isinstance(error, OSError) and error.filename and error.strerror:
        said = f"{error.filename}: {error.strerror}"
    said = " ".join(said.split())
    return said if len(said) <= longest else f"{said[:longest]} …"
