"""From names to models: the registry of parts and of named models, and the one place that assembles them."""

import inspect
from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from amge.backbones.frames import timm_frames
from amge.backbones.mvit import MViT, mvitv2
from amge.errors import one_of
from amge.fusion import MCTF, Concat, Sum
from amge.heads import MeanTokens
from amge.model import MuscleModel
from amge.muscles import REGION_IDS
from amge.spec import ModelSpec
from amge.tokens import TokenBank

Part = TypeVar("Part", bound=Callable[..., nn.Module])

PARTS: dict[str, dict[str, Callable[..., nn.Module]]] = {
    "backbone": {"timm-frames": timm_frames, "mvit": MViT, "mvitv2": mvitv2},
    "fusion": {"mctf": MCTF, "sum": Sum, "concat": Concat},
    "head": {"mean": MeanTokens},
}
MODELS: dict[str, Callable[[], ModelSpec]] = {}


def register(kind: str, name: str) -> Callable[[Part], Part]:
    """Decorator that makes a part known to specs under `name`.

    Besides the spec's own `<kind>_args`, the builder offers a `backbone` `frames` and `size`, a `fusion` `dim` and
    `num_tokens`, a `head` `in_channels` and `num_classes`; a part gets those that its signature names.

    Args:
        kind: `backbone`, `fusion` or `head`.
        name: what specs call it; a name that is taken raises `ValueError`.
    """
    parts = PARTS[one_of("kind of part", kind, PARTS)]

    def add(part: Part) -> Part:
        if parts.get(name, part) is not part:
            raise ValueError(f"the {kind} name {name!r} is taken by {parts[name]!r}")
        parts[name] = part
        return part

    return add


def register_model(function: Callable[[], ModelSpec]) -> Callable[[], ModelSpec]:
    """Decorator for a function that returns the spec of a named model; the name is the spec's `arch`."""
    arch = function().arch
    if arch in MODELS:
        raise ValueError(f"the model name {arch!r} is taken by {MODELS[arch]!r}")
    MODELS[arch] = function
    return function


@register_model
def transm3e_lite() -> ModelSpec:
    """TransM³E on EfficientNet-Lite0 frames: 4.8 M parameters, for phones and CPUs."""
    return ModelSpec(
        arch="transm3e-lite",
        backbone="timm-frames",
        backbone_args={"encoder": "tf_efficientnet_lite0", "dim": 160, "depth": 4, "num_heads": 5, "dropout": 0.1},
        banks=("main", "receiver"),
        fusion="mctf",
        fusion_args={"scale": None},
        head_args={"dropout": 0.2},
        mean=(127 / 255,) * 3,
        std=(128 / 255,) * 3,
    )


MVITV2_BASE = {"depth": 24, "double_at": (2, 5, 21), "drop_path": 0.3}
PAPER: dict[str, Any] = {"frames": 16, "activation": "softmax", "threshold": 0.05, "backbone": "mvitv2"}
"""What the paper's models share: 16 frames, a softmax over the regions, and the threshold of the official figures."""


@register_model
def mvitv2_small() -> ModelSpec:
    """MViTv2-S as in the tables of the paper: one class token and a linear head. 34.2 M parameters."""
    return ModelSpec(arch="mvitv2-small", tokens=1, head_args={"dropout": 0.5}, **PAPER)


@register_model
def mvitv2_base() -> ModelSpec:
    """MViTv2-B: 24 blocks. 50.9 M parameters."""
    return mvitv2_small().replace(arch="mvitv2-base", backbone_args=MVITV2_BASE)


@register_model
def mvitv2_small_mct() -> ModelSpec:
    """MViTv2-S with a bank of class tokens (MCTs), their mean before the head; on differences, the teacher."""
    return mvitv2_small().replace(arch="mvitv2-small-mct", tokens=len(REGION_IDS))


@register_model
def mvitv2_base_mct() -> ModelSpec:
    """MViTv2-B with a bank of class tokens (MCTs)."""
    return mvitv2_small_mct().replace(arch="mvitv2-base-mct", backbone_args=MVITV2_BASE)


@register_model
def transm3e_small() -> ModelSpec:
    """TransM³E-small: MViTv2-S with a main and a receiver bank, and MCTF. 44.4 M parameters."""
    return mvitv2_small_mct().replace(
        arch="transm3e-small", banks=("main", "receiver"), fusion="mctf", fusion_args={"token_affine": True}
    )


@register_model
def transm3e_base() -> ModelSpec:
    """TransM³E-base: the same on MViTv2-B. 61.0 M parameters."""
    return transm3e_small().replace(arch="transm3e-base", backbone_args=MVITV2_BASE)


def list_models(pattern: str = "*") -> list[str]:
    """Names of all models that match a shell-style pattern, those with shipped weights also as `arch.tag`."""
    from amge.hub.weights import shipped

    return sorted(name for name in {*MODELS, *shipped()} if fnmatch(name, pattern))


def spec(name: str) -> ModelSpec:
    """The spec of a named model; for `arch.tag`, that of the shipped checkpoint.

    Raises:
        ValueError: for an unknown name, with the closest ones.
    """
    from amge.hub.local import read_spec
    from amge.hub.weights import shipped

    if name in (folders := shipped()):
        return read_spec(folders[name])
    return MODELS[one_of("model", name, list_models())]()


def assemble(spec: ModelSpec) -> MuscleModel:
    """Build the model that a spec describes, with random weights, in train mode.

    Raises:
        ValueError: for an unknown part, or arguments that a part refuses.
    """

    def part(kind: str, name: str, chosen: Mapping[str, Any], **given: Any) -> nn.Module:
        make = PARTS[kind][one_of(kind, name, PARTS[kind])]
        named = inspect.signature(make).parameters
        try:
            return make(**chosen, **{size: value for size, value in given.items() if size in named})
        except TypeError as error:
            raise ValueError(f"{kind} {name!r} does not take these arguments: {error}") from error

    backbone: Any = part("backbone", spec.backbone, spec.backbone_args, frames=spec.frames, size=spec.size)
    bank = TokenBank(spec.tokens, backbone.token_dim, spec.banks) if spec.banks else None
    sizes = {"dim": backbone.out_channels, "num_tokens": spec.tokens}
    fusion: Any = spec.fusion and part("fusion", spec.fusion, spec.fusion_args, **sizes)
    channels = fusion.out_channels if fusion else backbone.out_channels
    head = part("head", spec.head, spec.head_args, in_channels=channels, num_classes=len(spec.labels))
    return MuscleModel(backbone, bank, fusion or None, head, spec)


def build(name: str, pretrained: bool | str | Path = False, init: str | None = None, **overrides: Any) -> MuscleModel:
    """Build a named model.

    Args:
        name: one of `list_models()`, `arch` or `arch.tag`.
        pretrained: True loads the shipped weights of the name (its default tag if it has none) and returns the
            model in eval mode; a string is another tag of the arch, or a folder that `save_pretrained` wrote.
        init: "imagenet" starts the backbone of an untrained model from timm's ImageNet weights on the Hub; tokens,
            fusion and head stay random.
        overrides: fields of `ModelSpec` to replace. With `pretrained`, the weights must still fit.

    Raises:
        ValueError: for an unknown name, field or part, or if there are no weights that fit, or they can't be fetched.
    """
    from amge.hub.local import load_weights, read_spec
    from amge.hub.weights import find

    if init is not None:
        one_of("init", init, ("imagenet",))
        if pretrained:
            raise ValueError("init and pretrained exclude each other: one starts from ImageNet, the other is trained")
    if not pretrained:
        untrained: dict[str, Any] = {"tag": None, "licence": None, "metrics": {}}
        model = assemble(spec(name).replace(**(untrained | overrides)))
        if init:
            from amge.convert.imagenet import start_from_imagenet

            start_from_imagenet(model.backbone)
        return model
    one_of("model", name, list_models())
    folder = find(name, pretrained)
    saved = read_spec(folder)
    if saved.arch != name.split(".")[0]:
        raise ValueError(f"{folder} holds a {saved.arch!r}, not a {name!r}")
    return load_weights(assemble(saved.replace(**overrides)), folder)
