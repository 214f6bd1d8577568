"""Any network that ends in a feature map as a backbone, with muscle tokens where they are asked for.

Shapes: `B` batch, `T H W` grid, `N` patches, `M'` tokens, `C` channels.
"""

from collections.abc import Callable

from einops import rearrange
from torch import Tensor, nn

from amge.backbones.adapter import TokenDecoder
from amge.backbones.contract import Backbone, BackboneOutput
from amge.layers.watch import Watch


class Encoded(Backbone):
    """The places of an encoder's last feature map are the patches; tokens read them through a `TokenDecoder`.

    Without a decoder the patches are the features themselves, whose mean a head takes: the plain network.

    Args:
        encoder: a clip `(B, 3, T, H, W)` to features `(B, C, T', H', W')`.
        channels: `C`.
        adapter: the decoder, with one map of `channels`; None for a network without tokens.
    """

    def __init__(self, encoder: nn.Module, channels: int, adapter: TokenDecoder | None = None) -> None:
        super().__init__()
        self.encoder = encoder
        self.adapter = adapter
        self.token_dim = adapter.token_dim if adapter else channels
        self.embed_dims = adapter.embed_dims if adapter else ()
        self.reduces = adapter.reduces if adapter else ()
        self.out_channels = adapter.out_channels if adapter else channels
        self.normed = adapter is not None and adapter.normed
        self.last = Watch()
        self.watch = adapter.watch if adapter else self.last

    def attending(self) -> tuple[nn.Module, Callable[..., Tensor]] | None:
        """See `Backbone`."""
        return (self.adapter, self.adapter.attention) if self.adapter else None

    def features(self, clip: Tensor) -> Tensor:
        """What the encoder takes to `(B, C, T', H', W')`."""
        return self.encoder(clip)

    def forward(self, clip: Tensor, tokens: Tensor | None = None) -> BackboneOutput:
        """What the encoder takes, and tokens `(B, M', token_dim)` or None.

        Raises:
            ValueError: for tokens where there is no decoder.
        """
        features = self.features(clip)
        frames, height, width = features.shape[2:]
        if self.adapter:
            return self.adapter([rearrange(features, "b c t h w -> (b t) c h w")], frames, tokens)
        if tokens is not None:
            raise ValueError("this network has no decoder for tokens; build it with a bank, such as tokens=20")
        grid = (frames, height, width)
        return BackboneOutput(self.last(features.flatten(2).transpose(1, 2), grid), grid, None, ())
