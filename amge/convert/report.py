"""What became of every tensor of a reference: where each of this library's came from, and what went nowhere.

The translation of a checkpoint looks at names and shapes alone, so it is run on marked tensors: once each tensor of the
reference holds its own number throughout, once each of its elements holds its own place. Wherever a mark turns up, the
weight of that tensor, or of that place, does.
"""

import dataclasses
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from amge.convert import keys
from amge.convert.reference import slots, translate, unpaired

FILLED = "zeros: pictures have no positions in time"
SKIPPED: Mapping[str, keys.Patterns] = {
    "musclemap": (
        (
            r"(patch_embed|cls_token|blocks|norm)_diff(\..+)?",
            "the difference branch, the teacher: only training needs it",
        ),
    ),
    "st-gcn": ((r"A", "the graph, a constant that the spec's graph makes again"),),
    "hd-gcn": ((r".+\.conv_d\..+", "a second name of the convolutions of the last level"),),
}
"""By source: which keys are left out on purpose, and why."""


@dataclass(frozen=True)
class Origin:
    """Where a tensor came from."""

    keys: tuple[str, ...]
    """Of the reference, in the order of the tensor's elements."""
    how: str = ""
    """What was done to them; nothing: the tensor is as it was."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """A conversion: each key of the reference is under one heading, and so is each tensor of the model."""

    source: str
    checkpoint: str = ""
    """Name of the file."""
    sha256: str = ""
    prefix: str = ""
    """What the file has before each key: the names of dictionaries that hold its weights, and `module.`."""
    arch: str = ""
    """Of the model; nothing if it could not be told."""
    mapped: Mapping[str, Origin] = field(default_factory=dict)
    """Tensor of the model to where it came from."""
    filled: Mapping[str, str] = field(default_factory=dict)
    """Tensor of the model that has no source, to what it holds and why."""
    skipped: Mapping[str, str] = field(default_factory=dict)
    """Key of the reference to why it is left out."""
    left_over: tuple[str, ...] = ()
    """Keys of the reference that have no place in the model."""
    missing: tuple[str, ...] = ()
    """Tensors of the model, or keys of the difference branch, that the checkpoint lacks."""
    unfit: Mapping[str, str] = field(default_factory=dict)
    """Tensor of the model to what it was given, by which keys, and what it needs."""
    error: str = ""
    """Why the checkpoint was refused; nothing if it was converted."""

    def problems(self) -> str:
        """What does not fit, the first few keys of each kind by name; nothing if all fits."""
        kinds = {"left over": self.left_over, "missing": self.missing, "of another shape or kind": list(self.unfit)}
        return "; ".join(
            f"{len(found)} {kind} ({', '.join(found[:3])}{', ...' if len(found) > 3 else ''})"
            for kind, found in kinds.items()
            if found
        )

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    def __str__(self) -> str:
        used = {key for origin in self.mapped.values() for key in origin.keys}
        counts = {
            f"mapped from {len(used)} keys": self.mapped,
            "filled in": self.filled,
            "keys skipped": self.skipped,
            "left over": self.left_over,
            "missing": self.missing,
            "of another shape or kind": self.unfit,
        }
        summary = ", ".join(f"{len(found)} {what}" for what, found in counts.items())
        lists: dict[str, list[str]] = {
            "mapped (tensor of the model <- keys of the checkpoint)": [
                f"{name} <- {', '.join(origin.keys)}" + (f" ({origin.how})" if origin.how else "")
                for name, origin in self.mapped.items()
            ],
            "filled in": [f"{name}: {why}" for name, why in self.filled.items()],
            "skipped": [f"{key}: {why}" for key, why in self.skipped.items()],
            "left over": list(self.left_over),
            "missing": list(self.missing),
            "of another shape or kind": [f"{name}: {what}" for name, what in self.unfit.items()],
        }
        within = f"every key is in the file as {self.prefix}KEY\n" if self.prefix else ""
        return f"{self.source} {self.checkpoint} as {self.arch}: {summary}\n{within}" + "".join(
            f"\n{title}:\n" + "".join(f"  {line}\n" for line in lines) for title, lines in lists.items() if lines
        )


def trace(source: str, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> Report:
    """What `from_reference` makes of every key; arguments and errors as of `translate`."""
    names = list(state)
    numbers = {key: torch.tensor(float(i)).expand(value.shape) for i, (key, value) in enumerate(state.items(), 1)}
    spec, marks = translate(source, numbers, config)
    _, places = translate(source, {key: _places(value.shape) for key, value in state.items()}, config)
    own = slots(spec)
    origins = {
        name: _origin(mark.round().long(), places[name], names, [value.shape for value in state.values()])
        for name, mark in marks.items()
    }
    mapped, unfit = {}, {}
    for name in own.keys() & marks.keys():
        floats = {state[key].is_floating_point() for key in origins[name].keys}
        given, needed = tuple(marks[name].shape), tuple(own[name].shape)
        by = f"from {', '.join(origins[name].keys)}, the model"
        if given != needed:
            unfit[name] = f"{given} {by} needs {needed}"
        elif floats - {own[name].is_floating_point()}:
            unfit[name] = f"{'fractions' if True in floats else 'whole numbers'} {by}'s are not"
        else:
            mapped[name] = origins[name]
    missing = [name for name in own if name not in marks]
    placed = {key for name in own.keys() & marks.keys() for key in origins[name].keys}
    strangers: set[str] = set()
    if source == "musclemap":
        trunk, difference = keys.split_branches(state)
        if difference:
            more, fewer = unpaired(trunk, difference)
            strangers = set(map(_of_difference, more))
            missing += map(_of_difference, fewer)
    skipped = {
        key: str(why)
        for key in names
        for pattern, why in SKIPPED.get(source, ())
        if key not in placed | strangers and re.fullmatch(pattern, key)
    }
    return Report(
        source=source,
        arch=spec.arch,
        mapped={name: mapped[name] for name in own if name in mapped and mapped[name].keys},
        filled={name: FILLED for name in own if name in mapped and not mapped[name].keys},
        skipped=skipped,
        left_over=tuple(key for key in names if key not in placed and key not in skipped),
        missing=tuple(missing),
        unfit={name: unfit[name] for name in own if name in unfit},
    )


def _of_difference(key: str) -> str:
    """The key of the difference branch that stands for one of the trunk."""
    head, dot, tail = key.partition(".")
    return f"{head}_diff{dot}{tail}"


def _places(shape: Sequence[int]) -> Tensor:
    return torch.arange(math.prod(shape), dtype=torch.float64).reshape(tuple(shape))


def _origin(which: Tensor, place: Tensor, names: Sequence[str], shapes: Sequence[torch.Size]) -> Origin:
    """The origin of a tensor from its marks: number of the reference's tensor, 0 for none, and place in that tensor."""
    found = [i - 1 for i in dict.fromkeys(torch.unique_consecutive(which).tolist()) if i]
    if not found:
        return Origin(())
    origin, shape = tuple(names[i] for i in found), shapes[found[0]]
    count = math.prod(shape)
    if len(found) == 1 and place.numel() == count and torch.equal(place.flatten(), _places((count,))):
        return Origin(origin, "" if place.shape == shape else f"reshaped from {tuple(shape)}")
    for axis in range(place.ndim):
        if parts := _parts(which, place, shapes, axis):
            if parts == [(i, 0, shapes[i][axis]) for i in found]:
                return Origin(origin, f"joined along axis {axis}")
            several = len(found) > 1
            cuts = (f"{start}:{stop}" + (f" of {names[i]}" if several else "") for i, start, stop in parts)
            return Origin(origin, f"parts along axis {axis} in the order {', '.join(cuts)}")
    if place.ndim == 5 and len(found) == 1 and torch.equal(place[which > 0], _places((count,))):
        times = (which > 0).movedim(2, 0).flatten(1).any(dim=1).nonzero().flatten().tolist()
        return Origin(
            origin, f"inflated from {tuple(shape)}: at {', '.join(map(str, times))} of axis 2, zero elsewhere"
        )
    verb = "rearranged" if place.numel() == sum(math.prod(shapes[i]) for i in found) else "resized"
    return Origin(origin, f"{verb} from {' and '.join(str(tuple(shapes[i])) for i in found)}")


def _parts(which: Tensor, place: Tensor, shapes: Sequence[torch.Size], axis: int) -> list[tuple[int, int, int]] | None:
    """A tensor as parts of others, one after the other along an axis: index, start and stop of each; None if it is
    not."""
    rest = place.shape[:axis], place.shape[axis + 1 :]
    numbers, starts = (marks.movedim(axis, -1).reshape(-1, place.shape[axis])[0].tolist() for marks in (which, place))
    parts: list[tuple[int, int, int]] = []
    for number, start in zip(numbers, starts, strict=True):
        i, row = number - 1, int(start) // math.prod(rest[1])
        if i < 0 or (shapes[i][:axis], shapes[i][axis + 1 :]) != rest or row >= shapes[i][axis]:
            return None
        if parts and parts[-1][0] == i and parts[-1][2] == row:
            parts[-1] = (i, parts[-1][1], row + 1)
        else:
            parts.append((i, row, row + 1))
    cuts = [_places(shapes[i]).narrow(axis, start, stop - start) for i, start, stop in parts]
    owners = [torch.full(cut.shape, i + 1) for cut, (i, *_) in zip(cuts, parts, strict=True)]
    proven = torch.equal(torch.cat(cuts, axis), place) and torch.equal(torch.cat(owners, axis), which)
    return parts if proven else None
