"""Multi-Classification Tokens Fusion (MCTF), section 4 of the paper, eq. 2-7.

Shapes: `B` batch, `M` tokens, `C` channels, `h` heads, `d = C / h`.
"""

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from amge.errors import one_of
from amge.fusion.shapes import same_shape
from amge.layers.drop_path import add_path
from amge.layers.module import Module

FORMS = ("paper", "official")
PAIRS = {"self": ("mm", "rr"), "mr": ("mr", "mr"), "rm": ("rm", "rm")}
"""Attention to its pair of sets for the main and for the receiver result; "mr" is the query of main on the keys of
receiver."""


class _TokenAffineNorm(nn.LayerNorm):
    """Normalises over channels, with a scale and a shift `(M, C)` per token."""

    def forward(self, tokens: Tensor) -> Tensor:
        return F.layer_norm(tokens, tokens.shape[-1:], eps=self.eps) * self.weight + self.bias


class _MixedAttention(nn.Module):
    """`CLS_f` of eq. 2-6: attention among and across two token sets, `(B, M, C)` twice to `(B, M, C)`."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        scale: float | None,
        dropout: float,
        attentions: Sequence[str],
        reshuffle: bool,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.scale = scale
        self.reshuffle = reshuffle
        inner = num_heads * -(-dim // num_heads)
        self.qkv_main = nn.Linear(dim, 3 * inner, bias=False)
        self.qkv_receiver = nn.Linear(dim, 3 * inner, bias=False)
        pairs = [PAIRS[one_of("attention of MCTF", name, PAIRS)] for name in attentions]
        self.proj_main = nn.ModuleDict({pair: nn.Linear(inner, dim) for pair, _ in pairs})
        self.proj_receiver = nn.ModuleDict({pair: nn.Linear(inner, dim) for _, pair in pairs})
        self.proj = nn.Sequential(nn.Linear(2 * dim, dim), nn.ReLU(), nn.Linear(dim, dim))
        self.dropout = nn.Dropout(dropout)

    def forward(self, main: Tensor, receiver: Tensor) -> Tensor:
        q_m, k_m, v_m = rearrange(self.qkv_main(main), "b m (three h d) -> three b h m d", three=3, h=self.num_heads)
        q_r, k_r, v_r = rearrange(
            self.qkv_receiver(receiver), "b m (three h d) -> three b h m d", three=3, h=self.num_heads
        )
        query, key = {"m": q_m, "r": q_r}, {"m": k_m, "r": k_r}

        def attend(projections: nn.ModuleDict, value: Tensor) -> Tensor:
            total = torch.zeros_like(main)
            for pair, projection in projections.items():
                out = F.scaled_dot_product_attention(query[pair[0]], key[pair[1]], value, scale=self.scale)
                if self.reshuffle:  # the official code reads the memory of (C, M) as (M, C)
                    out = rearrange(out, "b 1 m d -> b 1 d m").reshape(out.shape)
                total = total + projection(self.dropout(rearrange(out, "b h m d -> b m (h d)")))
            return total

        mixed = torch.cat([attend(self.proj_main, v_m), attend(self.proj_receiver, v_r)], dim=-1)
        return self.proj(mixed)


class MCTF(Module):
    """Fuses the main and the receiver tokens by six attentions (eq. 2-7).

    The default is the paper's form: heads are split, values come from the set that the result is for (eq. 3 and 4),
    layer norms run over channels, and eq. 7 adds both results to the mean of the two sets. Where the paper is silent it
    follows the official code: `P_f` has two layers (the paper's parameter count needs them), and each of the six
    attentions has its own projection although eq. 3 and 4 reuse the names `P_mr` and `P_rm`.

    Heads that do not divide `dim` get the next width that they divide: query, key and value are projected to it, and
    each attention's projection leads back (5 heads of 768 channels are 5 of 154).

    The form "official" computes what the official code does, for its checkpoints: layer norms over tokens and channels
    together; heads that are never split and only set the scale, `(C / num_heads) ** -0.5` whatever `scale` says; and,
    after each attention, the memory of the transposed result read as if it were not transposed, which mixes tokens and
    channels.

    Args:
        dim: channels `C` of each token set.
        num_heads: attention heads (Table 10).
        scale: factor on `Q Kᵀ`; the paper's is 0.8, `None` takes the usual `(C / num_heads) ** -0.5`.
        dropout: on each attention's output (`DP` in eq. 3 and 4).
        drop_path: probability to drop the last residual branch of a sample (`DP` in eq. 7; the paper trains at 0.2).
        mlp_ratio: hidden width of the MLP, in `C`.
        attentions: which of the attentions count (Table 11): `self` (each set on itself), `mr` (main asks, receiver is
            looked at) and `rm` (the other way round); each serves both results.
        form: `paper` or `official`.
        token_affine: scales and shifts of the layer norms have a row per token, as the official code's have and the
            44.4 M parameters that the paper prints need; they start at 1 and 0, so that they change nothing at first.
        num_tokens: `M`; needed by the official form and by `token_affine`.

    Raises:
        ValueError: if `num_heads` is below 1, `drop_path` is no probability below 1, the form or an attention is
            unknown or repeated, or `num_tokens` is missing.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int = 1,
        scale: float | None = 0.8,
        dropout: float = 0.0,
        drop_path: float = 0.2,
        mlp_ratio: float = 1.0,
        attentions: Sequence[str] = tuple(PAIRS),
        form: str = "paper",
        token_affine: bool = False,
        num_tokens: int | None = None,
    ) -> None:
        super().__init__()
        official = one_of("form of MCTF", form, FORMS) == "official"
        if not isinstance(num_heads, int) or num_heads < 1:
            raise ValueError(f"num_heads must be a whole number, 1 or more, got {num_heads!r}")
        if not attentions or isinstance(attentions, str) or len(set(attentions)) != len(attentions):
            raise ValueError(f"attentions must be distinct names from {tuple(PAIRS)}, at least one; got {attentions!r}")
        if not 0 <= drop_path < 1:
            raise ValueError(f"drop_path must lie in 0..1 and be less than 1, got {drop_path}")
        if (official or token_affine) and num_tokens is None:
            raise ValueError("the official form and token_affine need num_tokens, the tokens of each set")
        if official:
            scale, num_heads = (dim // num_heads) ** -0.5, 1
        hidden = int(dim * mlp_ratio)
        self.out_channels = dim
        self.drop_path = drop_path
        self.num_tokens = num_tokens if official or token_affine else None

        def norm() -> nn.LayerNorm:
            kind = nn.LayerNorm if official or not token_affine else _TokenAffineNorm
            return kind((num_tokens, dim) if official or token_affine else dim)  # type: ignore[arg-type]

        self.norm_main, self.norm_receiver = norm(), norm()
        self.attention = _MixedAttention(dim, num_heads, scale, dropout, attentions, reshuffle=official)
        self.norm = norm()
        norms = [f"{name}.{key}" for name in ("norm_main", "norm_receiver", "norm") for key in ("weight", "bias")]
        self.token_rows = None if official else tuple(norms) if token_affine else ()
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, main: Tensor, receiver: Tensor) -> Tensor:
        """`(B, M, C)` and `(B, M, C)` to `(B, M, C)`."""
        same_shape(main, receiver, self.out_channels)
        if self.num_tokens not in (None, main.shape[1]):
            raise ValueError(f"this MCTF has norms for {self.num_tokens} tokens, got {main.shape[1]}")
        average = (main + receiver) / 2
        fused = average + self.attention(self.norm_main(main), self.norm_receiver(receiver))
        return add_path(average, self.mlp(self.norm(fused)), self.drop_path, self.training)
