"""Any `timm` image model as a per-frame encoder that carries muscle tokens.

Shapes: `B` batch, `T H W` grid, `N` patches, `M'` tokens, `C` channels.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from amge.backbones.adapter import TokenDecoder
from amge.backbones.contract import Backbone, BackboneOutput
from amge.backbones.decoders import Decoders
from amge.errors import one_of
from amge.layers.exporting import exporting

AT_ONCE = 4
"""Images that a CPU encodes in one go where nothing learns: twelve do not fit its cache, and take 1.8 times as long."""


class Frames(Backbone):
    """Encodes each frame by itself and lets tokens read all frames through a decoder, or several.

    Args:
        encoder: images `(B * T, 3, H, W)` to a list of feature maps; `timm.create_model(..., features_only=True)`.
        adapter: the decoder, or several; `in_channels` must be those of the maps, finest first.
    """

    def __init__(self, encoder: nn.Module, adapter: TokenDecoder | Decoders) -> None:
        super().__init__()
        self.encoder = encoder
        self.adapter = adapter
        self.token_dim = adapter.token_dim
        self.embed_dims = adapter.embed_dims
        self.reduces = adapter.reduces
        self.out_channels = adapter.out_channels
        self.normed = adapter.normed
        self.watch = adapter.watch

    def attending(self) -> tuple[nn.Module, Callable[..., Tensor]] | None:
        """See `Backbone`."""
        return self.adapter, self.adapter.attention

    def encode_frames(self, images: Tensor) -> list[Tensor]:
        """Images `(n, 3, H, W)` to feature maps `(n, C_i, H_i, W_i)`; no image matters to another."""
        images = images.contiguous(memory_format=torch.channels_last)
        if images.device.type != "cpu" or torch.is_grad_enabled() or self.encoder.training or exporting():
            return self.encoder(images)
        parts = [self.encoder(some) for some in images.split(AT_ONCE)]
        return [torch.cat(level) for level in zip(*parts, strict=True)]

    def decode(self, maps: Sequence[Tensor], frames: int, tokens: Tensor | None = None) -> BackboneOutput:
        """Feature maps `(B * T, C_i, H_i, W_i)` of clips of `frames` frames, and tokens `(B, M', C)` or None."""
        return self.adapter(maps, frames, tokens)

    def forward(self, clip: Tensor, tokens: Tensor | None = None) -> BackboneOutput:
        """A clip `(B, 3, T, H, W)` and tokens `(B, M', C)` or None."""
        return self.decode(self.encode_frames(rearrange(clip, "b c t h w -> (b t) c h w")), clip.shape[2], tokens)


def timm_frames(
    encoder: str,
    levels: Sequence[int] = (-2, -1),
    frames: int = 8,
    size: int = 224,
    banks: int = 1,
    decoders: int | None = None,
    **adapter: Any,
) -> Frames:
    """Build `Frames` on a `timm` model with random weights (a checkpoint or the training recipe brings real ones).

    Args:
        encoder: a name from `timm.list_models()` whose model offers `features_only`.
        levels: which of the model's feature levels the tokens read, finest first.
        frames: frames per clip that the position tables are made for.
        size: picture side in pixels that the position tables are made for.
        banks: banks of tokens.
        decoders: that each bank has of its own, see `Decoders`; None: one reads all banks.
        adapter: arguments of `TokenDecoder`.

    Raises:
        ValueError: for an unknown timm model, or one without intermediate features.
    """
    import timm  # brings torchvision with it, half a second that only this backbone needs

    one_of("timm model", encoder, timm.list_models())
    features: dict[str, Any] = {"features_only": True, "out_indices": tuple(levels)}
    try:
        try:
            model: Any = timm.create_model(encoder, img_size=size, **features)
        except TypeError:  # most take pictures of any size
            model = timm.create_model(encoder, **features)
        channels = model.feature_info.channels()
    except (RuntimeError, AssertionError, AttributeError, IndexError, ValueError) as error:
        raise ValueError(f"timm model {encoder!r} gives no feature maps at levels {tuple(levels)}: {error}") from error
    if not channels:
        raise ValueError(f"levels must name at least one feature level of {encoder!r}")
    if getattr(model, "output_fmt", None) == "NHWC":
        model.register_forward_hook(lambda module, images, maps: [rearrange(m, "b h w c -> b c h w") for m in maps])
    model.to(memory_format=torch.channels_last)  # what CPU and GPU convolutions are fastest in
    reduction = model.feature_info.reduction()[0]
    side = -(-size // reduction)

    def decoder() -> TokenDecoder:
        return TokenDecoder(channels, (frames, side, side), **adapter)

    if decoders is None:
        return Frames(model, decoder())
    banks = max(banks, 1)
    return Frames(model, Decoders([decoder() for _ in range(banks * decoders)], banks))
