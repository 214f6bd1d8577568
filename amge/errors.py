"""One way to say that a name is not known."""

from collections.abc import Iterable
from difflib import get_close_matches


def one_of(kind: str, name: object, valid: Iterable[str]) -> str:
    """`name` if it is among `valid`; otherwise a `ValueError` that offers the closest names and all valid ones."""
    choices = list(valid)
    if isinstance(name, str) and name in choices:
        return name
    close = get_close_matches(str(name), choices, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
    listed = ", ".join(choices[:40]) + (f" and {len(choices) - 40} more" if len(choices) > 40 else "")
    raise ValueError(f"unknown {kind} {name!r}; {hint}valid: {listed or 'none'}")
