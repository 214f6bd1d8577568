"""EfficientNet in two halves: a frozen trunk whose features are computed once, and a top that trains.

The trunk ends where the finer of the two feature levels lies that the tokens read (stride 16). Its features of an
augmented clip never change, so a run keeps them and pays for the trunk once instead of in every epoch.

Shapes: `B` batch, `T` frames, `h w` the grid of the trunk's features, `C` their channels.
"""

from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from amge.model import MuscleModel
from amge.results import Features

TRUNK_STAGES = 5


def encoder_of(model: MuscleModel) -> Any:
    """The model's `features_only` EfficientNet.

    Raises:
        ValueError: if it has another encoder, or other levels than the last two.
    """
    encoder: Any = getattr(model.backbone, "encoder", None)
    if not hasattr(encoder, "conv_stem") or encoder.feature_info.reduction() != [16, 32]:
        raise ValueError("the recipe trains EfficientNet encoders that give the levels (-2, -1)")
    return encoder


def freeze_trunk(model: MuscleModel) -> None:
    encoder = encoder_of(model)
    for part in (encoder.conv_stem, encoder.bn1, *encoder.blocks[:TRUNK_STAGES]):
        part.requires_grad_(False)


@torch.inference_mode()
def trunk(model: MuscleModel, clip: Tensor) -> Tensor:
    """A normalised clip `(B, 3, T, H, W)` to the trunk's features, float16 `(B, T, C, h, w)`."""
    encoder = encoder_of(model)
    images = rearrange(clip, "b c t h w -> (b t) c h w").contiguous(memory_format=torch.channels_last)
    with torch.autocast(clip.device.type, torch.bfloat16):
        features = encoder.bn1(encoder.conv_stem(images))
        for stage in encoder.blocks[:TRUNK_STAGES]:
            features = stage(features)
    return rearrange(features, "(b t) c h w -> b t c h w", t=clip.shape[2]).half().cpu()


def forward_top(model: MuscleModel, features: Tensor) -> Features:
    """What `model.forward_features` gives for the clip that `trunk` made `features` from."""
    fine = rearrange(features.float(), "b t c h w -> (b t) c h w").contiguous(memory_format=torch.channels_last)
    coarse = fine
    for stage in encoder_of(model).blocks[TRUNK_STAGES:]:
        coarse = stage(coarse)
    tokens = model.bank and model.bank(len(features))
    adapter: Any = model.backbone.adapter
    return model.gather(adapter([fine, coarse], features.shape[1], tokens))
