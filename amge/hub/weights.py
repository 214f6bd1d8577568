"""The tensors of safetensors files, known by their headers before any is read."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from amge.hub.files import Files
from amge.hub.int8 import SCALE, decode
from amge.hub.names import INDEX, PICKLES, SHARD, WEIGHTS
from amge.spec import plain

MAX_HEADER = 10_000_000
"""Bytes of a header or an index: room for some hundred thousand tensors."""
FLOATS = ("F", "BF")
MAPPED = tuple(map(int, safetensors.__version__.split(".")[:2])) < (0, 8)
"""Whether tensors come as views of the file, to be copied before somebody changes it."""


class Stored(NamedTuple):
    """What a header says of a tensor."""

    file: Any
    """Open; its `get_tensor` reads."""
    path: Path
    shape: tuple[int, ...]
    dtype: str
    """As safetensors calls it, such as `F16`."""
    scale: "Stored | None" = None
    """Of a tensor in 8 bits, which is one of fractions then."""

    @property
    def is_float(self) -> bool:
        return self.scale is not None or self.dtype.startswith(FLOATS)


class Weights(AbstractContextManager["Weights"]):
    """Weights in one or several files, opened. Tensors in 8 bits count as what they stand for.

    Args:
        paths: of the files, as `weight_files` finds them.

    Raises:
        ValueError: if one is not a safetensors file, or not whole, or scales do not fit their tensor.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self.paths = list(paths)
        self.tensors: dict[str, Stored] = {}
        with ExitStack() as stack:
            for path in self.paths:
                file = stack.enter_context(opened(path))
                for key in file.keys():  # noqa: SIM118
                    if not key.isprintable():
                        raise ValueError(f"{path} has a tensor of the odd name {key!r:.80}")
                    if key in self.tensors:
                        raise ValueError(f"{path} holds {key} again, which {self.tensors[key].path.name} holds as well")
                    part = file.get_slice(key)
                    self.tensors[key] = Stored(file, path, tuple(part.get_shape()), str(part.get_dtype()))
            for key, stored in list(self.tensors.items()):
                scale = self.tensors.get(key + SCALE)
                if stored.dtype != "I8" or scale is None:
                    continue
                if not scale.is_float or scale.shape != stored.shape[:1]:
                    raise ValueError(
                        f"{scale.path} holds {key + SCALE} {scale.shape} as {scale.dtype}, but {key} {stored.shape} in "
                        f"int8 needs a fraction for each of its rows"
                    )
                self.tensors[key] = stored._replace(scale=self.tensors.pop(key + SCALE))
            self._stack = stack.pop_all()

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def elements(self) -> int:
        """Numbers in all tensors."""
        return sum(torch.Size(stored.shape).numel() for stored in self.tensors.values())

    @property
    def form(self) -> str:
        """The size of the files and how fractions are stored in them, such as `10.2 MB, float16`."""
        size = sum(path.stat().st_size for path in self.paths) / 1e6
        fractions = [each for each in self.tensors.values() if each.is_float]
        words = ["int8 with a scale for each row"] if any(each.scale for each in fractions) else []
        kinds = sorted({each.dtype for each in fractions if each.scale is None})
        words += [
            kind.replace("BF", "bfloat") if kind.startswith("B") else kind.replace("F", "float") for kind in kinds
        ]
        return f"{size:.1f} MB{', ' * bool(words)}{' and '.join(words)}"

    def unfit(self, own: dict[str, Tensor]) -> dict[str, str]:
        """Key to what is wrong with it, for every tensor that these weights or `own` lack, or that differs."""
        problems = {key: f"missing {key}" for key in own.keys() - self.tensors.keys()}
        problems |= {key: f"unexpected {key}" for key in self.tensors.keys() - own.keys()}
        for key in own.keys() & self.tensors.keys():
            here, there = tuple(own[key].shape), self.tensors[key]
            if here != there.shape:
                problems[key] = f"{key} is {there.shape}, the model has {here}"
            elif there.dtype == "I8" and own[key].is_floating_point() and not there.is_float:
                problems[key] = f"{key} is in int8 and has no {key + SCALE}"
            elif own[key].is_floating_point() != there.is_float:
                problems[key] = f"{key} holds {'fractions' if there.is_float else 'whole numbers'}, the model's do not"
        return dict(sorted(problems.items(), key=lambda item: item[1]))

    def get(self, key: str) -> Tensor:
        """A tensor as it is stored; of one in 8 bits the float32 that it stands for.

        Raises:
            ValueError: if it can't be read, or its scales hold NaN or infinity.
        """
        stored = self.tensors[key]
        try:
            value = stored.file.get_tensor(key)
            scale = stored.scale and stored.scale.file.get_tensor(key + SCALE)
        except (SafetensorError, OSError, RuntimeError, AttributeError) as error:  # a type that this torch lacks
            raise ValueError(f"{stored.path} could not be read: {key}: {error}") from None
        if scale is None:
            return value
        if not scale.isfinite().all():
            raise ValueError(f"{stored.path} holds NaN or infinity in {key + SCALE}; no model works with such weights")
        return decode(value, scale)

    def read(
        self, own: dict[str, Tensor], device: torch.device, dtype: torch.dtype | None
    ) -> Iterator[tuple[str, Tensor]]:
        """The tensors that `own` has, one at a time, each in its layout and, without `dtype`, its type; on `device`,
        where one of `own` has no memory.

        Raises:
            ValueError: for one that holds NaN, or infinity in a parameter, or more than its type can.
        """
        for key, slot in own.items():
            path, stored = self.tensors[key].path, self.get(key)
            if not stored.is_floating_point() and stored.dtype != slot.dtype:
                raise ValueError(f"{path} holds {stored.dtype} in {key}, the model has {slot.dtype}")
            target = dtype if dtype is not None and slot.is_floating_point() else slot.dtype
            place = device if slot.is_meta else slot.device
            value = stored.to(place, target, copy=MAPPED)
            if value.stride() != slot.stride():
                value = torch.empty_like(slot, device=place, dtype=target).copy_(value)
            if _spoilt(value, stored, isinstance(slot, torch.nn.Parameter)):
                raise ValueError(
                    f"{path} holds NaN or infinity in {key}"
                    + (f", as {target}" if target != stored.dtype else "")
                    + "; no model works with such weights"
                )
            yield key, value


def _spoilt(value: Tensor, stored: Tensor, finite: bool) -> bool:
    """Whether a tensor holds NaN, or infinity where there should be none or the stored tensor has none."""
    if value.is_meta or not value.numel() or not (value.is_floating_point() or value.is_complex()):
        return False
    ends = torch.stack((torch.view_as_real(value) if value.is_complex() else value).aminmax())
    if ends.isfinite().all():
        return False
    return finite or bool(ends.isnan().any()) or not torch.equal(value.isinf().cpu(), stored.isinf())


def document(path: Path) -> Any:
    """What a small JSON file says.

    Raises:
        ValueError: if it is not JSON, or not small.
        OSError: if it can't be read.
    """
    if not path.is_file():
        raise ValueError("it is not a file")
    if (size := path.stat().st_size) > MAX_HEADER:
        raise ValueError(f"it has {size:,} bytes, {MAX_HEADER:,} are allowed")
    return plain(path.read_text(encoding="utf-8"))


def opened(path: Path) -> Any:
    """A safetensors file, open, after a look at how long its header claims to be.

    Raises:
        ValueError: if it is none.
    """
    try:
        if not path.is_file():
            raise SafetensorError("it is not a file")
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
        if MAX_HEADER < length < path.stat().st_size:
            raise SafetensorError(f"its header claims to have {length:,} bytes, {MAX_HEADER:,} are allowed")
        return safe_open(path, "pt", **({} if MAPPED else {"backend": "pread"}))
    except (SafetensorError, OSError, MemoryError) as error:
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
        names = sorted(set(document(index)["weight_map"].values()))
        if wrong := [name for name in names if not (isinstance(name, str) and SHARD.fullmatch(name))]:
            raise ValueError(f"it lists {wrong[0]!r:.80}; shards are called model-00001-of-00002.safetensors")
    except (ValueError, OSError) as error:
        raise ValueError(f"{files}: {INDEX} is broken: {error}") from None
    except (KeyError, TypeError, AttributeError):
        raise ValueError(f"{files}: {INDEX} is broken: its weight_map does not map tensors to files") from None
    paths = {name: files.get(name) for name in names}
    if missing := [name for name, path in paths.items() if path is None]:
        raise ValueError(f"{files} lacks {', '.join(missing[:3])}, which its index lists")
    return [path for path in paths.values() if path]
