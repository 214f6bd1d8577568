"""The transformer layer of the attention fusions of Nagrani et al. ("Attention Bottlenecks", NeurIPS 2021).

Shapes: `B` batch, `M` and `L` tokens, `C` channels.
"""

from torch import Tensor, nn

from amge.fusion.shapes import check_heads


class AttentionLayer(nn.Module):
    """Pre-norm attention of tokens to themselves or to a context, then an MLP, each with its shortcut.

    Args:
        dim: channels `C`.
        num_heads: attention heads; must divide `dim`.
        mlp_ratio: hidden width of the MLP, in `C`.
        dropout: on the attention weights.

    Raises:
        ValueError: if `num_heads` does not divide `dim`.
    """

    def __init__(self, dim: int, num_heads: int = 1, mlp_ratio: float = 4.0, dropout: float = 0.0) -> None:
        super().__init__()
        check_heads(dim, num_heads)
        hidden = int(dim * mlp_ratio)
        self.norm1 = nn.LayerNorm(dim)
        self.attention = nn.MultiheadAttention(dim, num_heads, dropout, batch_first=True)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, tokens: Tensor, context: Tensor | None = None) -> Tensor:
        """`(B, M, C)` and, to attend to in place of the tokens themselves, `(B, L, C)`; gives `(B, M, C)`."""
        query = self.norm1(tokens)
        seen = query if context is None else self.norm1(context)
        tokens = tokens + self.attention(query, seen, seen, need_weights=False)[0]
        return tokens + self.mlp(self.norm2(tokens))
