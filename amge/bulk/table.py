"""The table of results: its columns, and the rows of one video."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from amge.prediction import Threshold, WindowPrediction

FIRST = (("video", pa.string()), ("window", pa.int32()), ("start", pa.float64()), ("end", pa.float64()))
PERSON = ("person", pa.int32())
TEXTS = pa.list_(pa.field("element", pa.string()))
LAST = (("active", TEXTS), ("verdict", pa.string()), ("reasons", TEXTS), ("error", pa.string()))


def schema_of(labels: Sequence[str], about: Mapping[str, object]) -> pa.Schema:
    """The columns, with what a file of them says about itself: `about`, as text or JSON, each under `amge.` and its
    name.

    Raises:
        ValueError: if a label is called like another column.
    """
    own = [name for name, _ in (*FIRST, PERSON, *LAST)]
    if clash := [label for label in labels if label in own]:
        raise ValueError(
            f"the label {clash[0]!r} of this model is called like a column of the results; rename it in the spec of "
            f"the model: none of {', '.join(own)} can be a label"
        )
    columns = [*FIRST, PERSON, *((label, pa.float32()) for label in labels), *LAST]
    return pa.schema(
        columns,
        metadata={
            f"amge.{key}": value if isinstance(value, str) else json.dumps(value) for key, value in about.items()
        },
    )


def rows(schema: pa.Schema, video: str, predictions: Iterable[WindowPrediction], threshold: Threshold) -> pa.Table:
    """The predictions of a video to a row each, by window and person.

    Raises:
        ValueError: if there are none.
    """
    found: list[dict[str, Any]] = []
    number, start = -1, None
    for window in predictions:
        if window.start != start:
            number, start = number + 1, window.start
        row = {"video": video, "window": number, "start": window.start, "end": window.end, "person": window.person}
        said = {"active": window.active(threshold), "verdict": window.verdict, "reasons": list(window.reasons)}
        found.append({**row, **window.probabilities, **said})
    if not found:
        raise ValueError("the model gave no prediction")
    found.sort(key=lambda row: (row["window"], row["person"] or 0))
    return pa.Table.from_pylist(found, schema)


def failure(schema: pa.Schema, video: str, error: str) -> pa.Table:
    """The row of a video that could not be used."""
    return pa.Table.from_pylist([{"video": video, "error": " ".join(error.split())}], schema)


def differences(schema: pa.Schema, other: pa.Schema) -> list[str]:
    """In what two files of results differ that one can't go on with the other, such as `threshold 0.5 and 0.3`."""
    one, two = (each.metadata or {} for each in (schema, other))
    keys = [key for key in sorted(one.keys() | two.keys()) if key.startswith(b"amge.") and one.get(key) != two.get(key)]
    told = [f"{key[5:].decode()} {_short(two.get(key))} and {_short(one.get(key))}" for key in keys]
    return told or ([] if schema.equals(other) else ["columns"])


def _short(value: bytes | None) -> str:
    text = "none" if value is None else value.decode()
    return text if len(text) <= 40 else f"{text[:40]}…"
