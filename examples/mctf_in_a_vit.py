"""Two banks of muscle tokens (MCT) and their fusion (MCTF) in a vision transformer of your own.

Nothing of amge but three modules is used: the bank gives the tokens and cuts the sequence back into banks, the fusion
merges the banks, the head averages. The pictures are noise, so what falls is the loss of learning them by heart.

python examples/mctf_in_a_vit.py
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from amge import TokenBank
from amge.fusion import MCTF
from amge.heads import MeanTokens


class TinyViT(nn.Module):
    """A plain vision transformer with `M` class tokens in each of two banks.

    Shapes: `B` pictures, `N` patches, `M` tokens per bank, `C` channels, `K` labels.
    """

    def __init__(
        self,
        size: int = 64,
        patch: int = 16,
        dim: int = 64,
        depth: int = 3,
        num_heads: int = 4,
        num_tokens: int = 20,
        num_classes: int = 20,
    ) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, dim, patch, stride=patch)
        self.positions = nn.Parameter(nn.init.trunc_normal_(torch.empty((size // patch) ** 2, dim), std=0.02))
        layer = nn.TransformerEncoderLayer(dim, num_heads, 4 * dim, 0.0, F.gelu, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, depth, nn.LayerNorm(dim), enable_nested_tensor=False)
        self.bank = TokenBank(num_tokens, dim, banks=("main", "receiver"))
        self.fusion = MCTF(dim, num_heads, scale=None)
        self.head = MeanTokens(dim, num_classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """`(B, 3, H, W)` to logits `(B, K)`."""
        patches = self.patches(pictures).flatten(2).mT + self.positions  # (B, N, C)
        tokens = self.bank(len(pictures))  # (B, 2 M, C)
        encoded = self.encoder(torch.cat([tokens, patches], dim=1))
        banks = self.bank.split(encoded[:, : tokens.shape[1]])  # (B, M, C) by name
        return self.head(self.fusion(banks["main"], banks["receiver"]))


def main(steps: int = 30) -> None:
    torch.manual_seed(0)
    model = TinyViT()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    pictures, labels = torch.randn(8, 3, 64, 64), (torch.rand(8, 20) < 0.2).float()
    for step in range(steps):
        loss = F.binary_cross_entropy_with_logits(model(pictures), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step in (0, steps // 2, steps - 1):
            print(f"step {step + 1:2d}: loss {loss.item():.3f}")


if __name__ == "__main__":
    main()
