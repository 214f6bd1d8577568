"""The checks that token fusions start with."""

import torch
from torch import Tensor


def same_shape(main: Tensor, receiver: Tensor, dim: int) -> None:
    """Raise `ValueError` unless both token sets have one shape `(B, M, dim)`: broadcasting would hide a mistake."""
    if torch.compiler.is_compiling():
        return
    if main.ndim != 3 or main.shape != receiver.shape or main.shape[-1] != dim:
        raise ValueError(
            f"expected two token sets of one shape (B, M, C), C = {dim}, got {tuple(main.shape)} and "
            f"{tuple(receiver.shape)}; a linear layer can bring another width to {dim}"
        )


def check_heads(dim: int, num_heads: int) -> None:
    """Raise `ValueError` unless `num_heads` is a whole number that divides `dim`; names some that do."""
    if not isinstance(num_heads, int) or num_heads < 1 or dim % num_heads:
        divisors = [n for n in range(1, min(dim, 16) + 1) if dim % n == 0]
        raise ValueError(f"num_heads={num_heads} does not divide dim={dim}; these do: {divisors}")


def check_depth(depth: int, least: int = 1) -> None:
    """Raise `ValueError` for fewer layers than a fusion needs."""
    if not isinstance(depth, int) or depth < least:
        raise ValueError(f"this fusion needs at least {least} layer{'s' * (least > 1)}, got depth={depth!r}")
