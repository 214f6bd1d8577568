"""The names of parts and models: the one place where a string becomes a module's constructor."""

import inspect
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from amge.backbones.blind import Blind
from amge.backbones.frames import timm_frames
from amge.backbones.mvit import MViT, mvitv2
from amge.backbones.skeleton import ctr_gcn, hd_gcn, joint_mixer, pose_mlp, st_gcn
from amge.backbones.video import TEMPORAL_STRIDE, cnn, video_swin
from amge.distill.logits import LogitDistillation, PredictionDistillation
from amge.distill.placement import PLACEMENTS, FeatureDistillation
from amge.distill.token import AXES, TokenDistillation
from amge.errors import one_of
from amge.fusion import MCTF, Bottleneck, Concat, CrossAttention, Mean, Mixed, Product, SelfAttention, Sum
from amge.heads import ClassAligned, Constant, DeiT, Linear, LookUp, MeanTokens
from amge.spec import ModelSpec

Part = TypeVar("Part", bound=Callable[..., nn.Module])


def token_distillation(
    placement: str,
    axis: str,
    reduces: tuple[bool, ...],
    banks: tuple[str, ...],
    num_tokens: int,
    target: str = "receiver",
    temperature: float | None = None,
    weight: float = 1.0,
    form: str = "paper",
) -> FeatureDistillation:
    """A row of Table 4."""
    if axis == "token" and num_tokens == 1:
        raise ValueError(
            f"a softmax over one token says nothing; take distill='{placement}-channel' or '{placement}-full', or "
            f"tokens=2 or more"
        )
    loss = TokenDistillation(temperature, axis, weight, form)
    return FeatureDistillation(reduces, banks, placement, target, patches=target == "main", loss=loss)


def logit_distillation(
    hard: bool, token: bool, branches: int, activation: str, temperature: float = 1.0, weight: float = 1.0
) -> PredictionDistillation:
    """KD rows of Table 6."""
    return PredictionDistillation(branches, token, LogitDistillation(hard, temperature, weight, activation))


PARTS: dict[str, dict[str, Callable[..., nn.Module]]] = {
    "backbone": {
        "timm-frames": timm_frames,
        "mvit": MViT,
        "mvitv2": mvitv2,
        **{kind: partial(cnn, kind) for kind in TEMPORAL_STRIDE},
        "video-swin": video_swin,
        "st-gcn": st_gcn,
        "ctr-gcn": ctr_gcn,
        "hd-gcn": hd_gcn,
        "joint-mixer": joint_mixer,
        "pose-mlp": pose_mlp,
        "blind": Blind,
    },
    "fusion": {
        "mctf": MCTF,
        "sum": Sum,
        "mean": Mean,
        "concat": Concat,
        "product": Product,
        "self-attention": SelfAttention,
        "cross-attention": CrossAttention,
        "bottleneck": Bottleneck,
        "mixed": Mixed,
    },
    "head": {
        "mean": MeanTokens,
        "linear": Linear,
        "class-aligned": ClassAligned,
        "constant": Constant,
        "deit": DeiT,
        "look-up": LookUp,
    },
    "distill": {
        **{f"{place}-{axis}": partial(token_distillation, place, axis) for place in PLACEMENTS for axis in AXES},
        "logits": partial(logit_distillation, False, False),
        "deit-soft": partial(logit_distillation, False, True),
        "deit-hard": partial(logit_distillation, True, True),
    },
}
HOMES: dict[tuple[str, str], str] = {}
"""By kind and name, the module that registered a part."""
MODELS: dict[str, Callable[[], ModelSpec]] = {}


def same_code(one: Callable, other: Callable) -> bool:
    """Whether both are the same class or function, or versions of it: defined at one place under one name."""
    places = [(getattr(x, "__module__", x), getattr(x, "__qualname__", x)) for x in (one, other)]
    return one is other or places[0] == places[1]


def register(kind: str, name: str) -> Callable[[Part], Part]:
    """Decorator that makes a part known to specs under `name`.

    Besides the spec's own `<kind>_args`, `assemble` offers a part those of these that its signature names:

    - a `backbone` `frames`, `size`, `banks` (how many) and `with_tokens` (whether there is one);
    - a `fusion` `dim` and `num_tokens`;
    - a `head` `in_channels`, `num_classes`, `num_tokens`, `labels`, `activation`, `dim` (channels of the tokens before
      a fusion) and `normed` (whether a layer norm is the last that they pass);
    - a `distill` (signals of student and teacher to a scalar) the student's `reduces`, `banks`, `num_tokens`,
      `branches` and `activation`.

    Args:
        kind: `backbone`, `fusion`, `head` or `distill`.
        name: what specs call it; a name that is taken raises `ValueError`, unless by an earlier version of the same
            part, as when a cell of a notebook runs again.
    """
    parts = PARTS[one_of("kind of part", kind, PARTS)]
    home = sys._getframe(1).f_globals.get("__name__", "__main__")

    def add(part: Part) -> Part:
        if not same_code(parts.get(name, part), part):
            raise ValueError(f"the {kind} name {name!r} is taken by {parts[name]!r}")
        parts[name], HOMES[kind, name] = part, home
        return part

    return add


def used(spec: ModelSpec) -> list[tuple[str, str]]:
    """Kind and name of every part that a spec names."""
    streams = (spec.streams or "").removeprefix("patch-")
    named = (
        ("backbone", spec.backbone),
        ("backbone", spec.auxiliary_backbone),
        ("backbone", spec.skeleton),
        ("fusion", spec.skeleton_fusion),
        ("fusion", spec.fusion),
        ("fusion", None if streams in ("", "late") else streams),
        ("head", spec.head),
        ("distill", spec.distill),
    )
    return list(dict.fromkeys((kind, name) for kind, name in named if name))


def origin(kind: str, name: str) -> str | None:
    """The module to import so that a part is registered; None for one of this library, or of nowhere."""
    module = HOMES.get((kind, name))
    if module != "__main__":
        return module
    main = sys.modules[module]
    file = getattr(main, "__file__", None)
    if file and main.__spec__:  # python -m package.module
        return main.__spec__.name.removesuffix(".__main__")
    return Path(file).stem if file else None


def register_model(function: Callable[[], ModelSpec]) -> Callable[[], ModelSpec]:
    """Decorator for a function that returns the spec of a named model; the name is the spec's `arch`."""
    arch = function().arch
    if not same_code(MODELS.get(arch, function), function):
        raise ValueError(f"the model name {arch!r} is taken by {MODELS[arch]!r}")
    MODELS[arch] = function
    return function


def make(kind: str, name: str, chosen: Mapping[str, Any], **given: Any) -> Any:
    """The part of that name, from the arguments chosen for it and those given sizes that its signature names.

    Raises:
        ValueError: for an unknown name, or arguments that the part refuses.
    """
    try:
        constructor = PARTS[kind][one_of(kind, name, PARTS[kind])]
    except ValueError as error:
        raise ValueError(f"{error}; if it is a part of your own, import the module that registers it first") from None
    named = inspect.signature(constructor).parameters
    refused = f"{kind} {name!r} does not take these arguments"
    if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in named.values()):
        for argument in chosen:
            try:
                one_of("argument", argument, [each for each in named if each not in given])
            except ValueError as error:
                raise ValueError(f"{refused}: {error}") from None
    try:
        return constructor(**chosen, **{size: value for size, value in given.items() if size in named})
    except TypeError as error:
        raise ValueError(f"{refused}: {error}") from error


def make_head(spec: ModelSpec, backbone: Any, fusion: Any) -> nn.Module:
    """The head of a spec for what a backbone and a fusion, or None, give."""
    sizes = {
        "in_channels": (fusion or backbone).out_channels,
        "dim": backbone.out_channels,
        "num_classes": len(spec.labels),
        "num_tokens": spec.tokens if spec.banks else None,
        "labels": spec.labels,
        "activation": spec.activation,
        "normed": fusion is None and getattr(backbone, "normed", False),
    }
    return make("head", spec.head, spec.head_args, **sizes)
