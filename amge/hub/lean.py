"""Putting a model together without filling its parameters, which a checkpoint is about to replace."""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules import module
from torch.nn.parameter import is_lazy

from amge.devices import default_device

Hook = Callable[[Tensor], None]


class _Watchers(threading.local):
    """What looks at the tensors that modules register in this thread."""

    parameter: Hook | None = None
    buffer: Hook | None = None


_watchers = _Watchers()


def _watch(kind: str) -> Callable[[nn.Module, str, Tensor | None], None]:
    def hook(owner: nn.Module, name: str, tensor: Tensor | None) -> None:
        watcher = getattr(_watchers, kind)
        if watcher is not None and tensor is not None:
            watcher(tensor)

    return hook


# For good, as other threads may be walking through torch's hooks whenever one is added or removed.
module.register_module_parameter_registration_hook(_watch("parameter"))
module.register_module_buffer_registration_hook(_watch("buffer"))


@contextmanager
def _watching(parameter: Hook, buffer: Hook | None = None) -> Iterator[None]:
    before = _watchers.parameter, _watchers.buffer
    _watchers.parameter, _watchers.buffer = parameter, buffer
    try:
        yield
    finally:
        _watchers.parameter, _watchers.buffer = before


@contextmanager
def counted(numbers: float, tensors: float) -> Iterator[None]:
    """Refuse modules that register more numbers, as parameters and buffers, or more of these.

    Raises:
        ValueError: when they do.
    """
    left = [numbers, tensors]

    def add(tensor: Tensor) -> None:
        left[0] -= 0 if is_lazy(tensor) else tensor.numel()
        left[1] -= 1
        if min(left) < 0:
            raise ValueError(
                f"it describes a model of more than {numbers:,} numbers or {tensors:,} tensors, far more than its "
                f"weights hold"
            )

    with _watching(add, add):
        yield


@contextmanager
def without_parameters() -> Iterator[None]:
    """Every parameter that modules register loses its memory, one by one, to the meta device; it stays the same object,
    for whatever refers to it. Buffers and whatever else modules compute stay real."""

    def move(tensor: Tensor) -> None:
        if type(tensor) is nn.Parameter and not tensor.is_meta:
            refill(tensor, torch.empty_like(tensor, device="meta"))

    with _watching(move):
        yield


def refill(parameter: Tensor, value: Tensor) -> None:
    """Give a parameter, the same object, the memory of another tensor."""
    other = nn.Parameter(value, parameter.requires_grad)
    other.__dict__.update(parameter.__dict__)
    torch.utils.swap_tensors(parameter, other)


@contextmanager
def chance_kept() -> Iterator[None]:
    """Leave the random states of PyTorch, NumPy and Python as they were."""
    device = default_device()
    before = np.random.get_state(), random.getstate()
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else ()):
            yield
    finally:
        np.random.set_state(before[0])
        random.setstate(before[1])
