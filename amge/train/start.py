"""What a stage starts from: weights that a config names, or the model of the stage before, and what became of them."""

from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

from amge.errors import one_of
from amge.hub.files import Files, locate
from amge.hub.load import load, spec_of
from amge.hub.names import REPO
from amge.hub.published import PUBLISHED, find
from amge.labels import Move, Rows, listed, move, rows_of, take
from amge.model import MuscleModel

NETWORKS = ("imagenet", "efficientnet-lite0")
"""Inits that are weights of an image network, and know no tokens."""


def check_init(init: str, model: str) -> None:
    """Raise `ValueError` unless a config's `init` is called like something to start from."""
    tags = [entry.tag for entry in PUBLISHED.values() if entry.name == model.split(".")[0]]
    names = [*NETWORKS, "pretrained", *tags, *dict.fromkeys(entry.name for entry in PUBLISHED.values()), *PUBLISHED]
    if init in names or Path(init).expanduser().is_dir() or REPO.fullmatch(init):
        return
    try:
        one_of("init", init, names)
    except ValueError as error:
        raise ValueError(f"{error}, the folder of a checkpoint, or owner/name of a repository on the Hub") from None


def files_of(init: str, model: str) -> Files:
    """The checkpoint that a config's `init` and `model` name.

    Raises:
        ValueError: if there is none.
        OSError: if it can't be fetched.
    """
    if init == "pretrained":
        init = model
    if init in PUBLISHED or any(entry.name == init for entry in PUBLISHED.values()):
        return find(init, True)
    if f"{model.split('.')[0]}.{init}" in PUBLISHED:
        return find(model, init)
    if init == model and "/" not in init and not Path(init).exists():
        return find(init, True)  # says how to come by weights
    return locate(init)


def initialise(model: MuscleModel, init: str, name: str) -> str:
    """Start a model from weights that a config's `init` and `model` name; returns what became of them, for people.

    Raises:
        ValueError: if they do not fit, or there are none.
        OSError: if they can't be fetched.
    """
    if init == "imagenet":
        from amge.convert.imagenet import start_from_imagenet

        start_from_imagenet(model.backbone)
        return report(init, model.state_dict(), [key for key in model.state_dict() if key.startswith("backbone.")])
    if init == "efficientnet-lite0":
        from amge.convert.efficientnet_lite0 import start_from_efficientnet_lite0

        start_from_efficientnet_lite0(model.backbone)
        encoder: Any = model.backbone.encoder
        return report(init, model.state_dict(), [f"backbone.encoder.{key}" for key in encoder.state_dict()])
    check_init(init, name)
    files = files_of(init, name)
    saved = spec_of(files)
    place = name if init == "pretrained" else init
    said = saved.name if saved.tag else Path(place).name if Path(place).expanduser().is_dir() else place
    return start_from(model, load(files, saved), f"{said} ({saved.licence})" if saved.licence else said)


def start_from(model: MuscleModel, trained: MuscleModel, name: str = "the stage before", rest: str = "fresh") -> str:
    """Copy everything that both models have, rows of labels by their names; what is left keeps its weights.

    Args:
        model: to fill.
        trained: to take from.
        name: of that, for people.
        rest: what to call what is left.

    Returns:
        what is kept and what is fresh, a line.

    Raises:
        ValueError: if less than half of the backbone's tensors fit.
    """
    own, theirs = model.state_dict(), trained.state_dict()
    moves = move(labelled(trained), labelled(model))
    shared = {}
    for key, value in theirs.items():
        rows = moves.moved.get(key)
        if rows is not None and own[key].shape[1:] == value.shape[1:]:
            shared[key] = take(value, rows, own[key])
        elif rows is None and key in own and key not in moves.fresh and own[key].shape == value.shape:
            shared[key] = value
    backbone = {key for key in own if key.startswith("backbone.")}
    if 2 * len(backbone & shared.keys()) < len(backbone):
        raise ValueError(
            f"only {len(backbone & shared.keys())} of the {len(backbone)} tensors of the backbone are in the model to "
            f"start from; it is another network"
        )
    model.load_state_dict(shared, strict=False)
    return report(name, own, shared, moves, theirs, rest)


def labelled(model: MuscleModel) -> Rows:
    """The rows of a model, by the labels of its spec; by number, if it has none."""
    labels = model.spec.labels if model.spec else map(str, range(model.head.num_classes))  # type: ignore[arg-type]
    return rows_of(model, tuple(labels))


def report(
    name: str,
    own: Iterable[str],
    kept: Container[str],
    moves: Move | None = None,
    there: Iterable[str] = (),
    rest: str = "fresh",
) -> str:
    """What a model has of the weights that it starts from.

    Args:
        name: of the weights.
        own: tensors of the model.
        kept: those that are not fresh.
        moves: of rows.
        there: tensors of the weights.
        rest: what to call parts that have nothing of them.
    """
    moves = moves or Move()
    own, lines = list(own), []
    part = {key: part_of(key) for key in [*own, *there]}
    parts = dict.fromkeys(part[key] for key in own)
    whole = [p for p in parts if all(key in kept and key not in moves.partial for key in own if part[key] == p)]
    fresh = [p for p in parts if not any(key in kept for key in own if part[key] == p)]
    some = [p for p in parts if p not in whole and p not in fresh]
    lines.append(f"keeps {', '.join(whole) or 'no part whole'}")
    for p in some:
        keys = [key for key in own if part[key] == p]
        rows = next((key for key in keys if key in moves.partial), None)
        if rows is None:
            lines.append(f"keeps {sum(key in kept for key in keys)} of {len(keys)} tensors of {p}")
            continue
        stays = len(moves.moved[rows]) - len(moves.lacking[rows])
        news = f", those of {listed(moves.lacking[rows])} are fresh" if moves.lacking[rows] else ""
        gone = f", {len(moves.left[rows])} of the weights are not used" if moves.left[rows] else ""
        lines.append(f"keeps {stays} of {len(moves.moved[rows])} rows of {p} by their labels{news}{gone}")
    if fresh:
        lines.append(f"{rest} {', '.join(fresh)}")
    if unused := list(dict.fromkeys(part[key] for key in there if part[key] not in parts)):
        lines.append(f"does not use {', '.join(unused)}")
    return f"starts from {name}: {'; '.join(lines)}"


def part_of(key: str) -> str:
    """The part of a model that a tensor belongs to, and which of its banks."""
    return key if key.startswith("bank.") else key.partition(".")[0]
