"""From which probability on a label is active."""

from collections.abc import Iterable, Mapping
from typing import Any

from amge.errors import one_of

Threshold = float | Mapping[str, float]
"""One for all labels, or by name its own for each."""


def check_threshold(threshold: Threshold, labels: Iterable[str]) -> Threshold:
    """A threshold as a plain number, or as one for each of the labels in their order.

    Raises:
        ValueError: if one does not lie in 0..1, is of another label, or missing.
    """
    if not isinstance(threshold, Mapping):
        return _share("threshold", threshold)
    labels = dict.fromkeys(labels)
    if other := [name for name in threshold if name not in labels]:
        one_of("label with a threshold", other[0], labels)
    if missing := [name for name in labels if name not in threshold]:
        raise ValueError(f"no threshold for {missing[0]!r}; give one number for all labels, or one for each")
    return {name: _share(f"the threshold of {name!r}", threshold[name]) for name in labels}


def _share(what: str, value: Any) -> float:
    try:
        found = -1.0 if isinstance(value, bool | str) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = -1.0
    if not 0 <= found <= 1:
        raise ValueError(f"{what} must lie in 0..1, got {value!r}")
    return found


def threshold_of(threshold: Threshold, label: str) -> float:
    """The threshold of one label."""
    return threshold[label] if isinstance(threshold, Mapping) else threshold


def in_words(threshold: Threshold) -> str:
    """A threshold for people: `0.5`; `0.21 to 0.48, each label its own`."""
    values = set(threshold.values()) if isinstance(threshold, Mapping) else {threshold}
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}, each label its own"


def ranked(probabilities: Mapping[str, float | None]) -> list[tuple[str, float]]:
    """Labels whose probabilities are known, with these, most likely first."""
    return sorted(((name, p) for name, p in probabilities.items() if p is not None), key=lambda item: -item[1])


def reaching(probabilities: Mapping[str, float | None], threshold: Threshold) -> list[str]:
    """Labels from the threshold up, most likely first."""
    return [name for name, p in ranked(probabilities) if p >= threshold_of(threshold, name)]
