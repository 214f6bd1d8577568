"""Fusions that merge each element of one token set with the same element of the other."""

from torch import Tensor

from amge.fusion.shapes import same_shape
from amge.layers.module import Module


class Elementwise(Module):
    """What the fusions here share; `merge` says how they differ.

    Args:
        dim: channels `C` of each token set.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.out_channels = dim

    @staticmethod
    def merge(main: Tensor, receiver: Tensor) -> Tensor:
        raise NotImplementedError("a fusion by elements defines merge(main, receiver)")

    def forward(self, main: Tensor, receiver: Tensor) -> Tensor:
        """`(B, M, C)` and `(B, M, C)` to `(B, M, C)`."""
        same_shape(main, receiver, self.out_channels)
        return self.merge(main, receiver)


class Sum(Elementwise):
    """Adds the two token sets (Table 5 of the paper, "Sum")."""

    @staticmethod
    def merge(main: Tensor, receiver: Tensor) -> Tensor:
        return main + receiver


class Mean(Elementwise):
    """Averages the two token sets: what the paper does where it leaves MCTF out (appendix C.1)."""

    @staticmethod
    def merge(main: Tensor, receiver: Tensor) -> Tensor:
        return (main + receiver) / 2


class Product(Elementwise):
    """Multiplies the two token sets (Table 5 of the paper, "Multiplication")."""

    @staticmethod
    def merge(main: Tensor, receiver: Tensor) -> Tensor:
        return main * receiver
