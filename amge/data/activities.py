"""Names of activities, which folders, lists and papers spell each in their own way."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

_RUN_TOGETHER = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORDS = re.compile(r"[^\W\d_]+|\d+")


def canonical(name: str) -> str:
    """One spelling of a name: `v-ups`, `V_up` and `VUps` are all `vup`.

    Case, spaces, `_`, `-` and plurals don't count, words may be run together as in `PoleVault`.
    """
    return "".join(_singular(word.lower()) for word in _WORDS.findall(_RUN_TOGETHER.sub(" ", name))) or name


def _singular(word: str) -> str:
    if re.search(r"(ch|sh|ss|x)es$", word):
        return word[:-2]
    return word[:-1] if len(word) > 2 and word.endswith("s") and not word.endswith("ss") else word


def same_activity(one: str, other: str) -> bool:
    """Whether two names mean one activity."""
    return canonical(one) == canonical(other)


def closest(name: str, valid: Iterable[str]) -> list[str]:
    """Up to three of the names that are spelled like `name`, the closest first."""
    spelled = {canonical(other): other for other in valid}
    return [spelled[other] for other in get_close_matches(canonical(name), spelled, n=3, cutoff=0.6)]


def match_activity(name: str, valid: Iterable[str]) -> str:
    """The one of `valid` that means the same as `name`.

    Raises:
        ValueError: if none does, with the closest names, or several do.
    """
    names = list(dict.fromkeys(valid))
    found = [name] if name in names else [other for other in names if same_activity(name, other)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"activity {name!r} can mean {' or '.join(map(repr, found))}; spell it like one of them")
    close = closest(name, names)
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"there are {', '.join(names[:40]) or 'none'}"
    raise ValueError(f"unknown activity {name!r}; {hint}")
