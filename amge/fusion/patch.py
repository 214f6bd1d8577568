"""Two-stream models whose streams meet at the start: fusion of patch embeddings (Table 6).

Shapes: `B` batch, `T H W` clip or grid, `N` patches, `M'` tokens, `C` channels.
"""

import copy
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from amge.backbones.contract import Backbone, BackboneOutput
from amge.fusion.late import clip_channels


class PatchFusion(Backbone):
    """One trunk behind two patch embeddings, whose patches a fusion merges before the first block.

    It is a backbone itself: it takes a clip with the channels of both modalities, the major one first. Where the fusion
    gives more channels than the trunk takes (concatenation), a linear layer leads back.

    Args:
        backbone: with a `patch_embed` (clip to patches and grid) and an `encode` (patches, grid and tokens to a
            `BackboneOutput`), such as `MViT`.
        fusion: two sets of patches `(B, N, C)` to one `(B, N, out_channels)`.

    Raises:
        ValueError: for a backbone without these two.
    """

    def __init__(self, backbone: Backbone, fusion: nn.Module) -> None:
        super().__init__()
        if not hasattr(backbone, "patch_embed") or not hasattr(backbone, "encode"):
            raise ValueError(
                f"{type(backbone).__name__} has no patch embedding to fuse; MViT has one, and late fusion fits any "
                "backbone"
            )
        trunk: Any = backbone
        self.backbone = trunk
        self.auxiliary_embed = copy.deepcopy(trunk.patch_embed)
        for module in self.auxiliary_embed.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
        self.fusion = fusion
        same = fusion.out_channels == backbone.token_dim
        self.proj = nn.Identity() if same else nn.Linear(fusion.out_channels, backbone.token_dim)  # type: ignore[arg-type]
        self.token_dim, self.out_channels = backbone.token_dim, backbone.out_channels
        self.embed_dims, self.reduces = backbone.embed_dims, backbone.reduces
        self.normed = getattr(backbone, "normed", False)
        self.input_layout = ("B", 2 * clip_channels(backbone), "T", "H", "W")
        if hasattr(backbone, "watch"):
            self.watch = backbone.watch

    def attending(self) -> tuple[nn.Module, Callable[..., Tensor]] | None:
        """That of the trunk, see `Backbone`."""
        return getattr(self.backbone, "attending", lambda: None)()

    def forward(self, clip: Tensor, tokens: Tensor | None = None) -> BackboneOutput:
        """A clip `(B, 6, T, H, W)` and tokens `(B, M', token_dim)` or None."""
        major, auxiliary = clip.chunk(2, dim=1)
        patches, grid = self.backbone.patch_embed(major)
        fused = self.proj(self.fusion(patches, self.auxiliary_embed(auxiliary)[0]))
        return self.backbone.encode(fused, grid, tokens)
