"""The mean-of-tokens head of the paper."""

from collections.abc import Sequence

from torch import Tensor, nn

from amge.layers.module import Module


class MeanTokens(Module):
    """Averages the tokens and projects the mean to one logit per class (section 4, MCTs).

    The activation (softmax in the paper, sigmoid in this library's own checkpoints) belongs to the model's spec.

    Args:
        in_channels: channels `C` of the tokens.
        num_classes: number of logits `K`.
        dropout: on the mean.
    """

    def __init__(self, in_channels: int, num_classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.dropout = nn.Dropout(dropout)
        self.projection = nn.Linear(in_channels, num_classes)

    def rows(self, labels: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Which tensors have a row for each label; see `amge.labels`."""
        return dict.fromkeys(("projection.weight", "projection.bias"), tuple(labels))

    def forward(self, tokens: Tensor) -> Tensor:
        """`(B, M, C)` to `(B, K)`."""
        return self.projection(self.dropout(tokens.mean(dim=1)))
