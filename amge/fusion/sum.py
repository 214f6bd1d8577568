"""Fusion by adding."""

from torch import Tensor, nn

from amge.fusion.shapes import same_shape


class Sum(nn.Module):
    """Adds the two token sets (Table 5 of the paper, "Sum").

    Args:
        dim: channels `C` of each token set.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.out_channels = dim

    def forward(self, main: Tensor, receiver: Tensor) -> Tensor:
        """`(B, M, C)` and `(B, M, C)` to `(B, M, C)`."""
        same_shape(main, receiver, self.out_channels)
        return main + receiver
