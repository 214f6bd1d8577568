"""Starting a backbone from the ImageNet weights that timm keeps on the Hub."""

from typing import Any

from torch import Tensor, nn

from amge.backbones.mvit import MViT
from amge.convert import keys
from amge.convert.inflate import fit

MVITV2 = {10: "mvitv2_tiny", 16: "mvitv2_small", 24: "mvitv2_base"}
"""timm's name by number of blocks."""


def start_from_imagenet(backbone: nn.Module) -> None:
    """Fill a backbone that is an MViTv2 with the inflated ImageNet weights of timm.

    Raises:
        ValueError: if timm has no weights for this backbone, they can't be fetched, or they do not fit.
    """
    if isinstance(backbone, MViT) and len(backbone.blocks) in MVITV2:
        state = keys.rename(keys.timm_to_pyslowfast(_fetch(MVITV2[len(backbone.blocks)])), keys.OWN)
        trunk = {key.removeprefix("backbone."): value for key, value in state.items() if key.startswith("backbone.")}
        own = backbone.state_dict()
        fitted = fit(trunk, own)
    else:
        raise ValueError(f"there are no ImageNet weights for this {type(backbone).__name__}")
    wrong = {key for key in own.keys() | fitted.keys() if getattr(fitted.get(key), "shape", None) != _shape(own, key)}
    if wrong:
        raise ValueError(f"the ImageNet weights do not fit this backbone at {sorted(wrong)[:5]}")
    backbone.load_state_dict(fitted)


def _shape(state: dict[str, Tensor], key: str) -> Any:
    return state[key].shape if key in state else "no such key"


def _fetch(name: str) -> dict[str, Tensor]:
    import timm

    try:
        return timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # timm, huggingface_hub and urllib each raise their own kinds
        cause = " ".join(str(error).split())[:200]
        raise ValueError(
            f"the ImageNet weights of timm's {name!r} could not be fetched ({type(error).__name__}: {cause}). They "
            f"come from the Hugging Face Hub on first use: check the network, or build without init"
        ) from None
