"""Constants of a network that arithmetic makes."""

from collections.abc import Callable

import torch
from torch import Tensor


def constant(make: Callable[..., Tensor], *arguments: object) -> Tensor:
    """What `make` gives for the arguments, computed on the CPU and put on the default device.

    On the meta device, where a model is put together without memory, arithmetic is slow to start.
    """
    with torch.device("cpu"):
        value = make(*arguments)
    return torch.empty(value.shape, dtype=value.dtype).copy_(value)
