"""Banks of learnable muscle tokens (MCTs).

Shapes: `B` batch, `M` tokens per bank, `M'` tokens of all banks together, `C` channels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from amge.layers.module import Module


class TokenBank(Module):
    """Named banks of `num_tokens` learnable tokens each, and the one place where a sequence is cut back into them.

    The paper's student carries the banks `main` and `receiver`, its teacher one bank, `sender` (section 4, MCTs
    and MCTKD). All banks start from a truncated normal; the official code starts its receiver from zeros.

    Raises:
        ValueError: for no bank, repeated names, or sizes below one.
    """

    def __init__(self, num_tokens: int, dim: int, banks: Sequence[str] = ("main",)) -> None:
        super().__init__()
        if not banks or isinstance(banks, str) or len(set(banks)) != len(banks):
            raise ValueError(f"banks must be distinct names, at least one; got {tuple(banks)}")
        if num_tokens < 1 or dim < 1:
            raise ValueError(f"num_tokens and dim must be positive; got {num_tokens} and {dim}")
        self.num_tokens = num_tokens
        self.dim = dim
        self.banks = tuple(banks)
        self.tokens = nn.ParameterDict(
            {bank: nn.init.trunc_normal_(torch.empty(num_tokens, dim), std=0.02) for bank in banks}
        )

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters that weight decay should leave alone, besides biases and norms."""
        return {f"tokens.{bank}" for bank in self.banks}

    def forward(self, batch_size: int) -> Tensor:
        """All banks, one after the other, for each sample: `(B, M', C)`."""
        tokens = torch.cat([self.tokens[bank] for bank in self.banks])
        return tokens.expand(batch_size, -1, -1)

    def split(self, tokens: Tensor) -> dict[str, Tensor]:
        """Cut `(B, M', C)` into one `(B, M, C)` per bank, by name.

        Raises:
            ValueError: if the sequence does not hold just the tokens of all banks.
        """
        expected = self.num_tokens * len(self.banks)
        if tokens.shape[1] != expected:
            raise ValueError(
                f"expected {expected} tokens ({len(self.banks)} banks of {self.num_tokens}), got {tokens.shape[1]}"
            )
        return dict(zip(self.banks, tokens.split(self.num_tokens, dim=1), strict=True))
