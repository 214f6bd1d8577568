"""What `amge predict` says besides probabilities: what was expected, and repetitions."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from amge.exercises import Comparison, Expected
    from amge.prediction import Prediction
    from amge.repetitions import Repetitions

STYLES = {"ok": "green", "missing": "bold yellow", "unexpected": "bold red"}


class Extras(NamedTuple):
    """Of one video."""

    compared: "tuple[Comparison, ...]" = ()
    """Of each person, if something was expected."""
    repeated: "Repetitions | None" = None
    answers: "tuple[Prediction, ...]" = ()
    """Of each repetition."""


def extras(
    result: "Prediction",
    network: Any,
    expected: "Expected | None",
    repetitions: bool,
    pose: str | None,
    fps: float | None,
) -> Extras:
    """What was asked for besides a prediction."""
    compared: tuple[Comparison, ...] = ()
    if expected:
        from amge.exercises import compare

        compared = tuple(compare(each, expected) for each in result.persons)
    if not repetitions:
        return Extras(compared)
    from amge.repetitions import activations
    from amge.repetitions import repetitions as find

    assert result.source is not None  # it is the path of a file
    joints = pose or ("mediapipe" if network.spec.modality == "skeleton" else None)
    repeated = find(result.source, joints, fps)
    answers = activations(network, result.source, repeated, pose, fps)
    return Extras(compared, repeated, tuple(each.with_threshold(result.threshold) for each in answers))


def plain(result: "Prediction", more: Extras) -> dict[str, Any]:
    """For JSON."""
    said = result.to_dict()
    for each, compared in zip((said, *said.get("others", ())), more.compared, strict=False):
        each["expected"] = compared.to_dict()
    if more.repeated:
        said["repetitions"] = more.repeated.to_dict()
        for each, answer in zip(said["repetitions"]["repetitions"], more.answers, strict=True):
            short = answer.to_dict()
            each |= {name: short[name] for name in ("verdict", "regions", "active")}
    return said


def marks(more: Extras, person: int, region: str) -> list[Text]:
    """What a row of the table says besides of a region of the so-manieth person."""
    if not more.compared:
        return []
    mark = more.compared[person].mark(region)
    return [Text("as expected" if mark == "ok" else mark, style=STYLES.get(mark, ""))]


def counted(more: Extras) -> Iterator[Text | Table]:
    """How many repetitions there are, and a row for each."""
    if more.repeated is None:
        return
    said = f"{more.repeated.count} repetition{'s' * (more.repeated.count != 1)}"
    yield Text(said + (f", {more.repeated.seconds:.1f} s each" if more.repeated.seconds else ""))
    if not more.repeated.count:
        return
    table = Table("from", "to", "active", box=None, pad_edge=False)
    for each, answer in zip(more.repeated.repetitions, more.answers, strict=True):
        active = "nobody" if answer.verdict == "nobody" else ", ".join(answer.active) or "–"
        table.add_row(f"{each.start:.1f} s", f"{each.end:.1f} s", active)
    yield table
