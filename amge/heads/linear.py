"""One projection of all tokens.

Shapes: `B` batch, `M` tokens, `C` channels, `K` classes.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from amge.layers.module import Module


class Linear(Module):
    """Projects the tokens, one after the other in one vector, to one logit per class: each token has its own weights.

    With one token, or with pooled features, it is the plain linear classifier.

    Args:
        in_channels: channels `C`.
        num_classes: number of logits `K`.
        num_tokens: `M`.
        dropout: on the vector.

    Raises:
        ValueError: without a number of tokens: patches, whose number varies, need `head="mean"`.
    """

    def __init__(self, in_channels: int, num_classes: int, num_tokens: int | None = 1, dropout: float = 0.0) -> None:
        super().__init__()
        if num_tokens is None:
            raise ValueError("a linear head needs a fixed number of tokens; for a model without any take head='mean'")
        self.num_classes = num_classes
        self.dropout = nn.Dropout(dropout)
        self.projection = nn.Linear(num_tokens * in_channels, num_classes)

    def rows(self, labels: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Which tensors have a row for each label; see `amge.labels`."""
        return dict.fromkeys(("projection.weight", "projection.bias"), tuple(labels))

    def forward(self, tokens: Tensor) -> Tensor:
        """`(B, M, C)`, or pooled features `(B, C)` where `M` is 1, to `(B, K)`."""
        return self.projection(self.dropout(tokens.flatten(1)))
