"""Two-stream models whose streams meet at the end: late fusion (Table 6).

Shapes: `B` batch, `T H W` clip or grid, `N` patches, `M` tokens of a stream, `C` channels.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from amge.backbones.contract import Backbone, BackboneOutput


class LateFusion(Backbone):
    """Two whole backbones side by side, each with half of the tokens; a token fusion then merges the halves.

    It is a backbone itself: it takes a clip with the channels of both modalities, the major one first, and tokens of
    two banks. A token fusion after it (sum, concatenation, product, cross-attention, ...) makes the late fusion of that
    name. Patches and grid are the major stream's. Tokens after each block are told if both streams have blocks of the
    same widths.

    Args:
        major: backbone of the first modality.
        auxiliary: backbone of the second; if its tokens are wider or narrower than the major's, they are projected.

    Raises:
        ValueError: if the streams take no clips, or give tokens of different widths.
    """

    def __init__(self, major: Backbone, auxiliary: Backbone) -> None:
        super().__init__()
        if major.out_channels != auxiliary.out_channels:
            raise ValueError(
                f"the streams must give tokens of one width, got out_channels={major.out_channels} and "
                f"{auxiliary.out_channels}; choose sizes of the two backbones that agree, "
                f"such as dim={major.out_channels} for the second"
            )
        self.channels = [clip_channels(stream) for stream in (major, auxiliary)]
        self.major, self.auxiliary = major, auxiliary
        self.token_dim = major.token_dim
        same = major.token_dim == auxiliary.token_dim
        self.token_proj = nn.Identity() if same else nn.Linear(major.token_dim, auxiliary.token_dim)
        self.told = major.embed_dims == auxiliary.embed_dims
        self.embed_dims = major.embed_dims if self.told else ()
        self.reduces = major.reduces if self.told else ()
        self.out_channels = major.out_channels
        self.input_layout = ("B", sum(self.channels), "T", "H", "W")
        if hasattr(major, "watch"):
            self.watch = major.watch

    def attending(self) -> tuple[nn.Module, Callable[..., Tensor]] | None:
        """That of the major stream, see `Backbone`."""
        return getattr(self.major, "attending", lambda: None)()

    def forward(self, clip: Tensor, tokens: Tensor | None = None) -> BackboneOutput:
        """A clip `(B, 6, T, H, W)` and tokens `(B, 2M, token_dim)`: first those of the major stream.

        Raises:
            ValueError: without tokens.
        """
        if tokens is None:
            raise ValueError("late fusion merges tokens: give it a bank for each stream")
        first, second = clip.split(self.channels, dim=1)
        mine, theirs = tokens.chunk(2, dim=1)
        a, b = self.major(first, mine), self.auxiliary(second, self.token_proj(theirs))
        pairs = zip(a.block_tokens, b.block_tokens, strict=True) if self.told else ()
        return BackboneOutput(
            a.patches,
            a.grid,
            torch.cat([a.tokens, b.tokens], dim=1),  # type: ignore[list-item]
            tuple(torch.cat(pair, dim=1) for pair in pairs),
            a.patch_embedding,
        )


def clip_channels(backbone: Backbone) -> int:
    """How many channels the clips of a backbone have.

    Raises:
        ValueError: if it takes something else than clips.
    """
    layout = getattr(backbone, "input_layout", Backbone.input_layout)
    if len(layout) != 5 or layout[0] != "B" or layout[2:] != ("T", "H", "W"):
        raise ValueError(f"two-stream models take clips (B, 3, T, H, W) of both modalities, not {layout}")
    return int(layout[1])
