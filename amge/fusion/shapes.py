"""The check that every token fusion starts with."""

import torch
from torch import Tensor


def same_shape(main: Tensor, receiver: Tensor) -> None:
    """Raise `ValueError` unless both token sets have one shape `(B, M, C)`: broadcasting would hide a mistake."""
    if not torch.compiler.is_compiling() and (main.ndim != 3 or main.shape != receiver.shape):
        raise ValueError(f"expected two token sets of one shape (B, M, C), got {main.shape} and {receiver.shape}")
