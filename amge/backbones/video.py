"""Networks of other libraries on clips: 3-D CNNs of pytorchvideo (extra `baselines`) and Video Swin of torchvision.

Shapes: `B` batch, `T H W` clip or grid, `C` channels.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from amge.backbones.adapter import decoder_for
from amge.backbones.encoded import Encoded
from amge.errors import one_of
from amge.layers.checkpointing import Blocks, run

TEMPORAL_STRIDE = {"c2d": 2, "i3d": 2, "slow": 1, "slowfast": 4}
"""Frames of a clip to one of the features, of each CNN."""


class SlowFastFeatures(nn.Module):
    """Two pathways from one clip, one of them on every fourth frame; their features are put side by side.

    The frames of the slow pathway are spread evenly from the first to the last, as PySlowFast samples them; the
    features of the fast one are averaged in time to as many. Their mean over all places is what the reference
    classifies.
    """

    def __init__(self, stages: Sequence[nn.Module], alpha: int = 4) -> None:
        super().__init__()
        self.grad_checkpointing = False
        self.stages = nn.ModuleList(stages)
        self.alpha = alpha

    def forward(self, clip: Tensor) -> Tensor:
        """A clip `(B, 3, T, H, W)`, `T` a multiple of `alpha`, to `(B, C, T / alpha, H', W')`.

        Raises:
            ValueError: for another number of frames.
        """
        frames = clip.shape[2]
        if frames % self.alpha or not frames:
            raise ValueError(f"SlowFast takes a number of frames that {self.alpha} divides, got {frames}")
        count = frames // self.alpha
        chosen = [index * (frames - 1) // max(count - 1, 1) for index in range(count)]
        pathways = [clip[:, :, chosen], clip]
        for stage in self.stages:
            pathways = run(
                self, lambda *inputs, stage=stage: stage(list(inputs)), *pathways
            )  # stages replace items of the list
        slow, fast = pathways
        return torch.cat([slow, fast.unflatten(2, (slow.shape[2], -1)).mean(dim=3)], dim=1)


class SwinFeatures(nn.Module):
    """torchvision's Video Swin without its head."""

    def __init__(self, swin: Any) -> None:
        super().__init__()
        self.patch_embed, self.pos_drop, self.stages, self.norm = (
            swin.patch_embed,
            swin.pos_drop,
            Blocks(*swin.features),
            swin.norm,
        )

    def no_weight_decay(self) -> set[str]:
        """Names of the tables of relative positions."""
        return {name for name, _ in self.named_parameters() if name.endswith("relative_position_bias_table")}

    def forward(self, clip: Tensor) -> Tensor:
        """A clip `(B, 3, T, H, W)` to `(B, C, T / 2, H / 32, W / 32)`."""
        x = self.norm(self.stages(self.pos_drop(self.patch_embed(clip))))
        return x.permute(0, 4, 1, 2, 3)


def _video(encoder: nn.Module, channels: int, grid: tuple[int, int, int], with_tokens: bool, adapter: Any) -> Encoded:
    return Encoded(encoder, channels, decoder_for(with_tokens, channels, grid, adapter))


def cnn(
    kind: str,
    width: int = 64,
    frames: int = 16,
    size: int = 224,
    with_tokens: bool = True,
    **adapter: Any,
) -> Encoded:
    """A ResNet-50 for video, as pytorchvideo builds it, with random weights.

    Args:
        kind: `c2d`, `i3d`, `slow` or `slowfast`.
        width: channels of the stem, of the slow pathway in SlowFast; the originals' is 64.
        frames: frames per clip that the position tables are made for.
        size: side of the clip in pixels that they are made for.
        with_tokens: whether muscle tokens read the features.
        adapter: arguments of `TokenDecoder`.

    Raises:
        ValueError: for an unknown kind.
        ImportError: without pytorchvideo.
    """
    one_of("video CNN", kind, TEMPORAL_STRIDE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it scripts functions as it is imported, which torch deprecates
            from pytorchvideo.models import hub  # type: ignore[import-untyped]
    except ImportError:
        raise ImportError("this backbone needs pytorchvideo: pip install 'amge[baselines]'") from None
    encoder: nn.Module
    if kind == "slowfast":
        net = hub.slowfast_r50(pretrained=False, stem_dim_outs=(width, width // 8))
        encoder, channels = SlowFastFeatures(net.blocks[:-2]), 36 * width
    else:
        net = getattr(hub, f"{kind}_r50")(pretrained=False, stem_dim_out=width)
        encoder, channels = Blocks(*net.blocks[:-1]), 32 * width
    side = -(-size // 32)
    return _video(encoder, channels, (-(-frames // TEMPORAL_STRIDE[kind]), side, side), with_tokens, adapter)


def video_swin(
    embed_dim: int = 96,
    depths: Sequence[int] = (2, 2, 18, 2),
    heads: Sequence[int] = (3, 6, 12, 24),
    window: Sequence[int] = (8, 7, 7),
    drop_path: float = 0.1,
    frames: int = 16,
    size: int = 224,
    with_tokens: bool = True,
    **adapter: Any,
) -> Encoded:
    """Video Swin (Liu et al., CVPR 2022), as torchvision builds it, with random weights; the defaults are "small".

    Args:
        embed_dim: channels of the patches.
        depths: blocks of each stage.
        heads: attention heads of each stage.
        window: frames, rows and columns of patches that attend to one another.
        drop_path: probability to drop a residual branch in the last block; it grows linearly from 0 in the first.
        frames: frames per clip that the position tables are made for.
        size: side of the clip in pixels that they are made for.
        with_tokens: whether muscle tokens read the features.
        adapter: arguments of `TokenDecoder`.
    """
    from torchvision.models.video.swin_transformer import SwinTransformer3d

    swin = SwinTransformer3d([2, 4, 4], embed_dim, list(depths), list(heads), list(window), 4.0, 0.0, 0.0, drop_path)
    channels = embed_dim * 2 ** (len(depths) - 1)
    side = -(-size // 32)
    return _video(SwinFeatures(swin), channels, (-(-frames // 2), side, side), with_tokens, adapter)
