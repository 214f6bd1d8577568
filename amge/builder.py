"""From a spec to a model: the one place that assembles parts."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from amge.backbones.contract import Backbone
from amge.errors import one_of
from amge.fusion import LateFusion, PatchFusion
from amge.model import MuscleModel
from amge.registry import PARTS, make
from amge.spec import ModelSpec
from amge.tokens import TokenBank
from amge.zoo import list_models, spec


def make_backbone(spec: ModelSpec) -> Backbone:
    """The backbone, or both streams, of a spec."""
    sizes = {"frames": spec.frames, "size": spec.size}
    major = make("backbone", spec.backbone, spec.backbone_args, **sizes)
    if spec.streams is None:
        return major
    fusions = {f"patch-{fusion}": fusion for fusion in PARTS["fusion"]}
    one_of("streams", spec.streams, ("late", *fusions))
    if spec.streams == "late":
        if len(spec.banks) != 2:
            raise ValueError(f"late streams need a bank each, such as banks=('main', 'auxiliary'); got {spec.banks}")
        other = auxiliary_backbone(spec)
        return LateFusion(major, make("backbone", other["backbone"], other["backbone_args"], **sizes))
    if spec.auxiliary_backbone is not None:
        raise ValueError(
            "fused patch embeddings enter one trunk, so there is no auxiliary_backbone; streams='late' has"
        )
    return PatchFusion(major, make("fusion", fusions[spec.streams], spec.streams_args, dim=major.token_dim))


def auxiliary_backbone(spec: ModelSpec) -> dict[str, Any]:
    """Name and arguments of the backbone of the auxiliary modality."""
    if spec.auxiliary_backbone is None:
        return {"backbone": spec.backbone, "backbone_args": spec.backbone_args}
    return {"backbone": spec.auxiliary_backbone, "backbone_args": spec.auxiliary_backbone_args}


def make_head(spec: ModelSpec, in_channels: int) -> nn.Module:
    """The head of a spec for tokens of so many channels."""
    sizes = {"in_channels": in_channels, "num_classes": len(spec.labels), "labels": spec.labels}
    return make("head", spec.head, spec.head_args, num_tokens=spec.tokens if spec.banks else None, **sizes)


def distillation(student: MuscleModel) -> nn.Module:
    """The distillation that the spec of a student names: signals of the student and the teacher to a scalar.

    Raises:
        ValueError: if the spec names none, or one that does not fit the student.
    """
    spec = student.spec
    if spec is None or spec.distill is None:
        raise ValueError(
            f"this model has no distillation; build it with distill=, one of {', '.join(PARTS['distill'])}"
        )
    sizes = {"reduces": student.backbone.reduces, "banks": spec.banks, "activation": spec.activation}
    branches = getattr(student.head, "num_branches", 1)
    return make("distill", spec.distill, spec.distill_args, branches=branches, **sizes)


def teacher_spec(student: ModelSpec) -> ModelSpec:
    """The spec of the teacher that a student learns from: its auxiliary modality, one bank, no fusion, no teacher.

    Assemble it, train it by itself, and wrap it in `amge.distill.Teacher`.
    """
    return student.replace(
        **auxiliary_backbone(student),
        modality=student.auxiliary,
        banks=("sender",) if student.banks else (),
        fusion=None,
        streams=None,
        distill=None,
        head="mean",
        auxiliary_backbone=None,
        tag=None,
        licence=None,
        metrics={},
    )


def assemble(spec: ModelSpec) -> MuscleModel:
    """Build the model that a spec describes, with random weights, in train mode.

    It is first put together without memory (on the meta device), so that parts which do not fit are refused at once.

    Raises:
        ValueError: for an unknown part, arguments that a part refuses, or parts that do not fit one another.
    """
    if torch.get_default_device().type != "meta":
        try:
            with torch.device("meta"):
                _assemble(spec)
        except ValueError:
            raise
        except Exception:  # a part that the meta device can't hold; building it for real tells
            pass
    return _assemble(spec)


def states(part: nn.Module, kind: str, *sizes: str) -> None:
    """Raise `ValueError` unless a part states all sizes of its contract."""
    if missing := [size for size in sizes if not hasattr(part, size)]:
        raise ValueError(f"{kind} {type(part).__name__} must state {', '.join(missing)} as attributes")


def _assemble(spec: ModelSpec) -> MuscleModel:
    backbone = make_backbone(spec)
    states(backbone, "backbone", "token_dim", "embed_dims", "reduces", "out_channels")
    bank = TokenBank(spec.tokens, backbone.token_dim, spec.banks) if spec.banks else None
    sizes = {"dim": backbone.out_channels, "num_tokens": spec.tokens}
    fusion: Any = spec.fusion and make("fusion", spec.fusion, spec.fusion_args, **sizes)
    if fusion:
        states(fusion, "fusion", "out_channels")
    head = make_head(spec, fusion.out_channels if fusion else backbone.out_channels)
    model = MuscleModel(backbone, bank, fusion or None, head, spec)
    if spec.distill:
        distillation(model)
    return model


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
