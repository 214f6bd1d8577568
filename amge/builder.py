"""From names to models: the registry of parts and of named models, and the one place that assembles them."""

from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from amge.backbones.frames import timm_frames
from amge.errors import one_of
from amge.fusion import MCTF, Concat, Sum
from amge.heads import MeanTokens
from amge.model import MuscleModel
from amge.spec import ModelSpec
from amge.tokens import TokenBank

Part = TypeVar("Part", bound=Callable[..., nn.Module])

PARTS: dict[str, dict[str, Callable[..., nn.Module]]] = {
    "backbone": {"timm-frames": timm_frames},
    "fusion": {"mctf": MCTF, "sum": Sum, "concat": Concat},
    "head": {"mean": MeanTokens},
}
MODELS: dict[str, Callable[[], ModelSpec]] = {}


def register(kind: str, name: str) -> Callable[[Part], Part]:
    """Decorator that makes a part known to specs under `name`.

    What the builder calls it with, besides the spec's own `<kind>_args`: a `backbone` with `frames` and `size`, a
    `fusion` with `dim`, a `head` with `in_channels` and `num_classes`.

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
        try:
            return make(**chosen, **given)
        except TypeError as error:
            raise ValueError(f"{kind} {name!r} does not take these arguments: {error}") from error

    backbone: Any = part("backbone", spec.backbone, spec.backbone_args, frames=spec.frames, size=spec.size)
    bank = TokenBank(spec.tokens, backbone.token_dim, spec.banks)
    fusion: Any = spec.fusion and part("fusion", spec.fusion, spec.fusion_args, dim=backbone.out_channels)
    channels = fusion.out_channels if fusion else backbone.out_channels
    head = part("head", spec.head, spec.head_args, in_channels=channels, num_classes=len(spec.labels))
    return MuscleModel(backbone, bank, fusion or None, head, spec)


def build(name: str, pretrained: bool | str | Path = False, **overrides: Any) -> MuscleModel:
    """Build a named model.

    Args:
        name: one of `list_models()`, `arch` or `arch.tag`.
        pretrained: True loads the shipped weights of the name (its default tag if it has none) and returns the
            model in eval mode; a string is another tag of the arch, or a folder that `save_pretrained` wrote.
        overrides: fields of `ModelSpec` to replace. With `pretrained`, the weights must still fit.

    Raises:
        ValueError: for an unknown name, field or part, or if there are no weights that fit.
    """
    from amge.hub.local import load_weights, read_spec
    from amge.hub.weights import find

    if not pretrained:
        untrained: dict[str, Any] = {"tag": None, "licence": None, "metrics": {}}
        return assemble(spec(name).replace(**(untrained | overrides)))
    one_of("model", name, list_models())
    folder = find(name, pretrained)
    saved = read_spec(folder)
    if saved.arch != name.split(".")[0]:
        raise ValueError(f"{folder} holds a {saved.arch!r}, not a {name!r}")
    return load_weights(assemble(saved.replace(**overrides)), folder)
