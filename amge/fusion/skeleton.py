"""A second stream of joints: its muscle tokens are fused with those of pictures, where somebody's joints are known.

Shapes: `B` batch, `P` persons, `T` frames, `V` joints, `A` axes, `M` muscle tokens, `C` channels.
"""

import torch
from torch import Tensor, nn

from amge.backbones.contract import Backbone
from amge.layers.module import Module
from amge.tokens import TokenBank

BANK = "skeleton"


class SkeletonStream(Module):
    """Muscle tokens read the joints of a person, and are fused with those that read the pictures.

    Of clips without joints the tokens stay those of the pictures, so that one head answers with joints and without.

    Args:
        backbone: takes skeletons and tokens.
        num_tokens: `M`.
        fusion: merges the tokens of the pictures and those of the joints, `(B, M, C)` each, to as many.
        dim: `C`.

    Raises:
        ValueError: if the fusion gives tokens of another width than it takes, or the backbone takes no skeletons.
    """

    def __init__(self, backbone: Backbone, num_tokens: int, fusion: nn.Module, dim: int) -> None:
        super().__init__()
        layout = getattr(backbone, "input_layout", Backbone.input_layout)
        if layout[-3:] == ("T", "H", "W"):
            raise ValueError(f"the second stream sees joints, {type(backbone).__name__} takes clips")
        if fusion.out_channels != dim:
            raise ValueError(f"the fusion of both streams must keep {dim} channels, it gives {fusion.out_channels}")
        self.input_layout = layout
        self.backbone = backbone
        self.bank = TokenBank(num_tokens, backbone.token_dim, (BANK,))
        self.project = nn.Linear(backbone.out_channels, dim)
        self.fusion = fusion

    def tokens(self, skeletons: Tensor) -> Tensor:
        """Skeletons `(B, P, T, V, A)` to the tokens that read them, `(B, M, C)`."""
        out = self.backbone(skeletons, self.bank(skeletons.shape[0]).to(skeletons.dtype))
        return self.project(out.tokens)

    def forward(self, tokens: Tensor, skeletons: Tensor) -> Tensor:
        """Tokens of the pictures `(B, M, C)` and skeletons `(B, P, T, V, A)` to those of both `(B, M, C)`."""
        there = (skeletons[..., 2] > 0).flatten(1).any(dim=1)[:, None, None]
        return torch.where(there, self.fusion(tokens, self.tokens(skeletons)), tokens)
