"""The class-aligned head of Xu et al., "Multi-class Token Transformer for Weakly Supervised Semantic Segmentation".

Shapes: `B` batch, `M` tokens, `C` channels, `K` classes.
"""

from collections.abc import Sequence

from torch import Tensor

from amge.layers.module import Module


class ClassAligned(Module):
    """The mean over the channels of token `k` is the logit of class `k` (Table 8, "MCT"): no parameters.

    Args:
        num_classes: number of logits `K`.
        num_tokens: `M`; must equal `K`.
        normed: whether the tokens come out of a layer norm over channels, after which their mean is always zero.

    Raises:
        ValueError: if there is not one token for each class, or the tokens are normed.
    """

    aligned = True

    def __init__(self, num_classes: int, num_tokens: int | None = None, normed: bool = False) -> None:
        super().__init__()
        if normed:
            raise ValueError(
                "a class-aligned head averages channels, whose mean is zero after a layer norm: build the backbone "
                "without its last one, backbone_args={..., 'norm': False}"
            )
        num_tokens = num_classes if num_tokens is None else num_tokens
        if num_tokens != num_classes:
            raise ValueError(
                f"a class-aligned head needs one token for each class, got {num_tokens} tokens for {num_classes} "
                f"classes; set tokens={num_classes}, or take head='mean', which takes any number"
            )
        self.num_classes = num_classes

    def rows(self, labels: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """None of its own, the tokens are; see `amge.labels`."""
        return {}

    def forward(self, tokens: Tensor) -> Tensor:
        """`(B, K, C)` to `(B, K)`."""
        if tokens.shape[1] != self.num_classes:
            raise ValueError(f"expected {self.num_classes} tokens, one for each class, got {tuple(tokens.shape)}")
        return tokens.mean(dim=-1)
