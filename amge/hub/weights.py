"""The tensors of safetensors files, known by their headers before any is read."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from amge.hub.files import Files
from amge.hub.names import INDEX, PICKLES, SHARD, WEIGHTS

MAX_HEADER = 10_000_000
"""Bytes of a header or an index: room for some hundred thousand tensors."""
FLOATS = ("F", "BF")


class Stored(NamedTuple):
    """What a header says of a tensor."""

    file: Any
    """Open; its `get_tensor` reads."""
    path: Path
    shape: tuple[int, ...]
    is_float: bool


class Weights(AbstractContextManager["Weights"]):
    """The weights of a checkpoint, opened.

    Args:
        files: of the checkpoint.

    Raises:
        ValueError: if there are none, or one is not a safetensors file, or not whole.
        OSError: if they can't be fetched.
    """

    def __init__(self, files: Files) -> None:
        self.tensors: dict[str, Stored] = {}
        with ExitStack() as stack:
            for path in weight_files(files):
                file = stack.enter_context(opened(path))
                for key in file.keys():  # noqa: SIM118
                    if key in self.tensors:
                        raise ValueError(f"{path} holds {key} again, which {self.tensors[key].path.name} holds as well")
                    part = file.get_slice(key)
                    is_float = str(part.get_dtype()).startswith(FLOATS)
                    self.tensors[key] = Stored(file, path, tuple(part.get_shape()), is_float)
            self._stack = stack.pop_all()

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def elements(self) -> int:
        """Numbers in all tensors."""
        return sum(torch.Size(stored.shape).numel() for stored in self.tensors.values())

    def unfit(self, own: dict[str, Tensor]) -> dict[str, str]:
        """Key to what is wrong with it, for every tensor that these weights or `own` lack, or that differs."""
        problems = {key: f"missing {key}" for key in own.keys() - self.tensors.keys()}
        problems |= {key: f"unexpected {key}" for key in self.tensors.keys() - own.keys()}
        for key in own.keys() & self.tensors.keys():
            here, there = tuple(own[key].shape), self.tensors[key]
            if here != there.shape:
                problems[key] = f"{key} is {there.shape}, the model has {here}"
            elif own[key].is_floating_point() != there.is_float:
                problems[key] = f"{key} holds {'fractions' if there.is_float else 'whole numbers'}, the model's do not"
        return dict(sorted(problems.items(), key=lambda item: item[1]))

    def read(
        self, own: dict[str, Tensor], device: torch.device, dtype: torch.dtype | None
    ) -> Iterator[tuple[str, Tensor]]:
        """The tensors that `own` has, one at a time, each in its layout and, without `dtype`, its type.

        Raises:
            ValueError: for one that holds NaN, or infinity in a parameter, or more than `dtype` can.
        """
        for key, slot in own.items():
            try:
                value = self.tensors[key].file.get_tensor(key)
            except (SafetensorError, OSError) as error:
                raise ValueError(f"{self.tensors[key].path} could not be read: {error}") from None
            target = dtype if dtype is not None and slot.is_floating_point() else slot.dtype
            value = value.to(device, target)
            if value.stride() != slot.stride():
                value = torch.empty_like(slot, device=device, dtype=target).copy_(value)
            if value.is_floating_point() and value.numel():
                ends = torch.stack(value.aminmax())
                if ends.isnan().any() or (isinstance(slot, torch.nn.Parameter) and ends.isinf().any()):
                    raise ValueError(
                        f"{self.tensors[key].path} holds NaN or infinity in {key}"
                        + (f", as {target}" if target != slot.dtype else "")
                        + "; no model works with such weights"
                    )
            yield key, value


def opened(path: Path) -> Any:
    """A safetensors file, open, after a look at how long its header claims to be.

    Raises:
        ValueError: if it is none.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
        if MAX_HEADER < length < path.stat().st_size:
            raise SafetensorError(f"its header claims to have {length:,} bytes, {MAX_HEADER:,} are allowed")
        try:
            return safe_open(path, "pt", backend="pread")  # type: ignore[call-arg]  # tensors in memory of their own
        except TypeError:  # safetensors before 0.8 maps the file
            return safe_open(path, "pt")
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a readable safetensors file: {error}") from None


def weight_files(files: Files) -> list[Path]:
    """The files that hold the weights of a checkpoint: one, or those that its index lists.

    Raises:
        ValueError: if there are none, or the index is broken or names other files than it may.
        OSError: if they can't be fetched.
    """
    if whole := files.get(WEIGHTS):
        return [whole]
    index = files.get(INDEX)
    if index is None:
        pickles = sorted(name for name in files.names() if name.endswith(PICKLES))
        hint = (
            f"; {pickles[0]} is a pickle, which can run code and is never opened: `amge convert` reads its tensors, "
            f"and nothing else, into a checkpoint"
            if pickles
            else ""
        )
        raise ValueError(f"{files} has no {WEIGHTS}{hint}")
    try:
        if index.stat().st_size > MAX_HEADER:
            raise ValueError(f"it has {index.stat().st_size:,} bytes, {MAX_HEADER:,} are allowed")
        names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        if wrong := [name for name in names if not (isinstance(name, str) and SHARD.fullmatch(name))]:
            raise ValueError(f"it lists {wrong[0]!r:.80}; shards are called model-00001-of-00002.safetensors")
    except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError) as error:
        raise ValueError(f"{files}: {INDEX} is broken: {error}") from None
    paths = {name: files.get(name) for name in names}
    if missing := [name for name, path in paths.items() if path is None]:
        raise ValueError(f"{files} lacks {', '.join(missing[:3])}, which its index lists")
    return [path for path in paths.values() if path]
