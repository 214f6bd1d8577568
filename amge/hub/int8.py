"""Weights in 8 bits: whole numbers -127..127 with a scale for each row of the first axis, such as an output channel."""

import torch
from torch import Tensor

FORM = "int8 per output channel"
"""What the header of a safetensors file says of it, under `amge`."""
SCALE = ".scale"
"""After the name of a tensor: what its scales are called."""


def encode(key: str, value: Tensor) -> dict[str, Tensor]:
    """A tensor as it is stored: one of fractions with two axes or more as int8 `(N, ...)` and float32 `key.scale`
    `(N,)`, so that row `n` is about `int8[n] * scale[n]`; others as they are, and so those with infinity in them."""
    if not value.is_floating_point() or value.ndim < 2 or not value.numel() or not value.isfinite().all():
        return {key: value}
    rows = value.float().flatten(1)
    scale = (rows.abs().amax(dim=1) / 127).clamp(min=torch.finfo(torch.float32).tiny)
    whole = (rows / scale[:, None]).round().clamp(-127, 127)
    return {key: whole.to(torch.int8).view(value.shape), key + SCALE: scale}


def decode(value: Tensor, scale: Tensor) -> Tensor:
    """The float32 tensor that int8 `(N, ...)` and its scales `(N,)` stand for."""
    return value.float() * scale.float().view(-1, *[1] * (value.ndim - 1))
