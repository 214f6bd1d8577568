"""Starting a backbone from the ImageNet weights that timm keeps on the Hub."""

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from amge.backbones.mvit import MViT
from amge.convert import keys
from amge.convert.inflate import fit
from amge.fusion import LateFusion, PatchFusion
from amge.hub.names import WEIGHTS

MVITV2 = {10: "timm/mvitv2_tiny.fb_in1k", 16: "timm/mvitv2_small.fb_in1k", 24: "timm/mvitv2_base.fb_in1k"}
"""Repository on the Hub by number of blocks."""


def start_from_imagenet(backbone: nn.Module) -> None:
    """Fill a backbone that is an MViTv2, or each stream of a pair, with the inflated ImageNet weights of timm.

    Raises:
        ValueError: if timm has no weights for this backbone, they can't be fetched, or they do not fit.
    """
    if isinstance(backbone, LateFusion):
        for stream in (backbone.major, backbone.auxiliary):
            start_from_imagenet(stream)
        return
    if isinstance(backbone, PatchFusion):
        start_from_imagenet(backbone.backbone)
        backbone.auxiliary_embed.load_state_dict(backbone.backbone.patch_embed.state_dict())
        return
    if not isinstance(backbone, MViT) or len(backbone.blocks) not in MVITV2:
        raise ValueError(f"there are no ImageNet weights for this {type(backbone).__name__}")
    state = keys.rename(keys.timm_to_pyslowfast(_fetch(MVITV2[len(backbone.blocks)])), keys.OWN)
    trunk = {key.removeprefix("backbone."): value for key, value in state.items() if key.startswith("backbone.")}
    own = backbone.state_dict()
    fitted = fit(trunk, own)
    wrong = own.keys() ^ fitted.keys() | {key for key in own.keys() & fitted if own[key].shape != fitted[key].shape}
    if wrong:
        raise ValueError(f"the ImageNet weights do not fit this backbone at {sorted(wrong)[:5]}")
    backbone.load_state_dict(fitted)


def _fetch(repository: str) -> dict[str, Tensor]:
    """The safetensors of a repository on the Hub, or of its local cache."""
    from amge.hub.remote import Repo

    try:
        path = Repo(repository).get(WEIGHTS)
        if path is None:
            raise ValueError(f"it has no {WEIGHTS}")
        return load_file(path)
    except (OSError, ValueError, SafetensorError) as error:
        raise ValueError(
            f"the ImageNet weights {repository!r} could not be fetched from the Hugging Face Hub; they are needed on "
            f"first use: check the network, or build without init ({error})"
        ) from error
