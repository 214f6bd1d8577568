"""The checks that token fusions start with."""

import torch
from torch import Tensor


def same_shape(main: Tensor, receiver: Tensor) -> None:
    """Raise `ValueError` unless both token sets have one shape `(B, M, C)`: broadcasting would hide a mistake."""
    if not torch.compiler.is_compiling() and (main.ndim != 3 or main.shape != receiver.shape):
        raise ValueError(f"expected two token sets of one shape (B, M, C), got {main.shape} and {receiver.shape}")


def check_heads(dim: int, num_heads: int) -> None:
    """Raise `ValueError` unless `num_heads` divides `dim`; names some that do."""
    if num_heads < 1 or dim % num_heads:
        divisors = [n for n in range(1, min(dim, 16) + 1) if dim % n == 0]
        raise ValueError(f"num_heads={num_heads} does not divide dim={dim}; these do: {divisors}")
