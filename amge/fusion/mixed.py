"""Mixed attention fusion of Peng et al., "Delving Deep into One-Shot Skeleton-based Action Recognition with Diverse
Occlusions" (Trans4SOAR), for two sets.

Shapes: `B` batch, `M` tokens, `C` channels, `h` heads, `d = C / h`.
"""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from amge.fusion.shapes import check_heads, same_shape
from amge.layers.module import Module


class Mixed(Module):
    """Attention from one set at a time to both sets, mixed before the softmax (Table 6 of the paper, "MixedFusion").

    Either set asks queries of its own; keys and values come from both sets, projected once for each asker. The two
    versions `a` and `b` of queries, keys and values gate each other, `(a * softmax(b) + b * softmax(a)) / 2`, and one
    attention follows. It is added to the mean of the two sets; an MLP follows. The original has three sets: one asks
    twice, and each of the other two gives keys and values with it; it adds position tables, which tokens and patches
    here do not need.

    Args:
        dim: channels `C` of each set.
        num_heads: attention heads; must divide `dim`.
        scale: factor on `Q Kᵀ`; the usual `(C / num_heads) ** -0.5` unless given.
        mlp_ratio: hidden width of the MLP, in `C`.

    Raises:
        ValueError: if `num_heads` does not divide `dim`.
    """

    def __init__(self, dim: int, num_heads: int = 1, scale: float | None = None, mlp_ratio: float = 4.0) -> None:
        super().__init__()
        check_heads(dim, num_heads)
        hidden = int(dim * mlp_ratio)
        self.out_channels = dim
        self.num_heads, self.scale = num_heads, scale
        self.norm1 = nn.LayerNorm(dim)
        self.query_main, self.query_receiver = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.key_value_main, self.key_value_receiver = nn.Linear(dim, 2 * dim), nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, main: Tensor, receiver: Tensor) -> Tensor:
        """`(B, M, C)` and `(B, M, C)` to `(B, M, C)`."""
        same_shape(main, receiver, self.out_channels)
        average = (main + receiver) / 2
        main, receiver = self.norm1(main), self.norm1(receiver)
        both = torch.cat([main, receiver], dim=1)

        def mix(a: Tensor, b: Tensor) -> Tensor:
            a, b = (rearrange(x, "b m (h d) -> b h m d", h=self.num_heads) for x in (a, b))
            return (a * b.softmax(dim=-1) + b * a.softmax(dim=-1)) / 2

        query = mix(self.query_main(main), self.query_receiver(receiver))
        pairs = zip(self.key_value_main(both).chunk(2, -1), self.key_value_receiver(both).chunk(2, -1), strict=True)
        key, value = (mix(a, b) for a, b in pairs)
        attended = F.scaled_dot_product_attention(query, key, value, scale=self.scale)
        fused = average + self.proj(rearrange(attended, "b h m d -> b m (h d)"))
        return fused + self.mlp(self.norm2(fused))
