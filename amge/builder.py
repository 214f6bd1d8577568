"""Models by name: the one place that chooses between fresh and trained weights."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from amge.assemble import assemble
from amge.devices import device_of
from amge.errors import one_of
from amge.hub.files import Files, locate
from amge.hub.load import from_pretrained, spec_of
from amge.hub.load import load as load_checkpoint
from amge.hub.published import find, is_name
from amge.model import MuscleModel
from amge.spec import SpecFields, check_arguments, class_names
from amge.zoo import list_models, spec

if TYPE_CHECKING:
    from typing_extensions import Unpack


def build(
    name: str,
    pretrained: bool | str | Path | None = False,
    init: str | None = None,
    *,
    num_classes: int | None = None,
    strict: bool = True,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    **overrides: "Unpack[SpecFields]",
) -> MuscleModel:
    """Build a named model.

    Args:
        name: one of `list_models()`, `arch` or `arch.tag`.
        pretrained: True loads the published weights of the name (of its default tag if it has none) and returns the
            model in eval mode; a string is another tag of the arch, a folder that `save_pretrained` wrote, or a
            repository on the Hub as `owner/name`.
        init: "imagenet" starts the backbone of an untrained model from timm's ImageNet weights on the Hub; tokens,
            fusion and head stay random.
        num_classes: labels `class_0`, `class_1`, ...; trained weights with another number get a fresh head.
        strict: whether trained weights must fit in every tensor; see `from_pretrained`.
        device: where the model is to be; default: torch's default device.
        dtype: of floating-point weights; default: float32.
        revision: of a repository on the Hub.
        token: of the Hub; see `from_pretrained`.
        cache_dir: of the Hub; see `from_pretrained`.
        local_files_only: never use the network.
        overrides: fields of `ModelSpec` to replace. With `pretrained`, the weights must still fit; rows of `labels` in
            another order go with their names.

    Raises:
        ValueError: for an unknown name, field or part, or if there are no weights that fit, or they may not be read.
        OSError: if the Hub can't be reached.
    """
    check_arguments(build, overrides)
    device = None if device is None else device_of(device)
    if init is not None:
        one_of("init", init, ("imagenet",))
        if pretrained not in (False, None):
            raise ValueError("init and pretrained exclude each other: one starts from ImageNet, the other is trained")
    if pretrained not in (False, None):
        if not isinstance(pretrained, (bool, str, Path)):
            raise ValueError(f"pretrained is True, a tag, a folder or a repository on the Hub, got {pretrained!r}")
        one_of("model", name, list_models())
        hub = {"token": token, "cache_dir": cache_dir, "local_files_only": local_files_only}
        files = find(name, pretrained, revision, **hub)
        saved = spec_of(files)
        if saved.arch != name.split(".")[0]:
            raise ValueError(
                f"{files} holds a {saved.arch!r}, not a {name!r}; amge.from_pretrained loads it as what it is"
            )
        return load_checkpoint(files, saved, overrides, num_classes, strict, device, dtype)
    if revision is not None:
        raise ValueError(f"revision={revision!r} is of trained weights; say which with pretrained=")
    if num_classes is not None:
        if "labels" in overrides:
            raise ValueError(f"labels={overrides['labels']!r} say how many classes there are; leave num_classes out")
        overrides["labels"] = class_names(num_classes)
    model = assemble(spec(name).untrained().replace(**overrides))
    if init:
        from amge.convert.imagenet import start_from_imagenet

        start_from_imagenet(model.backbone)
    return model if device is None and dtype is None else model.to(device, dtype)


def files_of(model: str) -> Files:
    """The files of trained weights, by name, folder or repository; `ValueError` if there are none."""
    return find(model, True) if is_name(model) else locate(model)


def load(model: str, device: str | torch.device | None = None) -> Any:
    """A model with trained weights, by name, folder or repository; `ValueError` if there is none."""
    return build(model, True, device=device) if is_name(model) else from_pretrained(model, device=device)
