"""Which rows of a model's tensors belong to which label, and where they go in a model of other labels.

Parts say it of themselves. A head has a method `rows(labels)`: its tensors whose first axis counts labels, or what else
has names, to these names in order; and `aligned = True` if token `k` is label `k`, so that the tokens of every bank are
such rows too. Then a fusion with a parameter for each token names it in `token_rows` (`reset_parameters` of the module
that holds it makes it fresh), which is None if it can't tell tokens apart from their places; a fusion that says nothing
treats all tokens alike. Of a head that says nothing nobody knows the rows.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

LISTED = 20
"""Names that a message lists."""


class Rows(NamedTuple):
    """What a model says of its tensors."""

    labels: tuple[str, ...]
    named: Mapping[str, tuple[str, ...]]
    """Tensor to what each of its rows stands for."""
    unknown: tuple[str, ...] = ()
    """Tensors that may have such rows, but nobody says which."""


@dataclass(frozen=True)
class Move:
    """What becomes of the tensors of weights in a model of other labels; those that it does not name go as they are."""

    moved: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Tensor of the model to the row of the weights that each of its rows takes; -1: it stays fresh."""
    fresh: Mapping[str, str] = field(default_factory=dict)
    """Tensor of the model that takes nothing, and why."""
    lacking: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Moved tensor to the names of its rows that stay fresh."""
    left: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Moved tensor to the names of rows of the weights that nothing takes."""

    @property
    def partial(self) -> set[str]:
        """Moved tensors that are not filled whole, or from whole ones."""
        return {key for key in self.moved if self.lacking[key] or self.left[key]}


def rows_of(model: nn.Module, labels: Sequence[str]) -> Rows:
    """What the parts of a model, its `head`, `bank` and `fusion`, say of their rows."""
    parts: dict[str, Any] = {part: getattr(model, part, None) for part in ("head", "bank", "fusion")}
    head, bank, fusion = parts.values()
    labels = tuple(labels)
    tokens = [f"bank.{name}" for name in bank.state_dict()] if bank else []
    there = head.state_dict()
    if not hasattr(head, "rows"):
        return Rows(labels, {}, tuple(f"head.{name}" for name in there) or tuple(tokens))
    named = {f"head.{name}": tuple(names) for name, names in head.rows(labels).items() if name in there}
    if getattr(head, "aligned", False):
        of_fusion = getattr(fusion, "token_rows", ())
        if of_fusion is None:
            return Rows(labels, named, tuple(tokens))
        named |= dict.fromkeys([*tokens, *(f"fusion.{name}" for name in of_fusion)], labels)
    return Rows(labels, named)


def move(weights: Rows, model: Rows) -> Move:
    """Decide which rows of weights a model takes: by name, wherever they are. The one place where this is decided."""
    if weights == model:
        return Move()
    fresh: dict[str, str] = {}
    if weights.labels != model.labels:
        unknown = dict.fromkeys([*weights.unknown, *model.unknown])
        fresh = {key: f"{key}, of which its part does not say which row is whose" for key in unknown}
    moved: dict[str, tuple[int, ...]] = {}
    lacking: dict[str, tuple[str, ...]] = {}
    left: dict[str, tuple[str, ...]] = {}
    for key, names in model.named.items():
        there = weights.named.get(key, names)
        if there == names or key in fresh:
            continue
        places = {name: row for row, name in enumerate(there)}
        rows = tuple(places.get(name, -1) for name in names)
        if max(rows, default=-1) < 0:
            fresh[key] = f"{key}, which has no row for any of the labels"
            continue
        moved[key] = rows
        lacking[key] = tuple(name for name in names if name not in places)
        wanted = set(names)
        left[key] = tuple(name for name in there if name not in wanted)
    return Move(moved, fresh, lacking, left)


def take(value: Tensor, rows: Sequence[int], own: Tensor | None = None) -> Tensor:
    """The rows of a tensor of the weights in the order of the model; those numbered -1 are the model's own."""
    index = torch.tensor(rows, device=value.device)
    taken = value.index_select(0, index.clamp(min=0))
    if own is not None and min(rows) < 0:
        stays = (index < 0).view(-1, *[1] * (value.ndim - 1))
        taken = torch.where(stays, own.detach().to(taken), taken)
    return taken


def listed(names: Iterable[str]) -> str:
    """Names in a message, not too many of them."""
    names = list(names)
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(map(repr, names[:LISTED])) + more
