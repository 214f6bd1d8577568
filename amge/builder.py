"""From a spec to a model: the one place that assembles parts."""

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from amge.backbones.contract import Backbone
from amge.devices import default_device
from amge.errors import one_of
from amge.fusion import LateFusion, PatchFusion
from amge.model import MuscleModel
from amge.registry import PARTS, make
from amge.spec import ModelSpec, class_names
from amge.tokens import TokenBank
from amge.zoo import list_models, spec


def make_backbone(spec: ModelSpec) -> Backbone:
    """The backbone, or both streams, of a spec."""
    sizes = {"frames": spec.frames, "size": spec.size, "with_tokens": bool(spec.banks)}
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
    sizes = {
        "reduces": student.backbone.reduces,
        "banks": spec.banks,
        "num_tokens": spec.tokens,
        "branches": getattr(student.head, "num_branches", 1),
        "activation": spec.activation,
    }
    return make("distill", spec.distill, spec.distill_args, **sizes)


def teacher_spec(student: ModelSpec) -> ModelSpec:
    """The spec of the teacher that a student learns from: its auxiliary modality, one bank, the mean of its tokens as
    head, no fusion, no teacher.

    Assemble it, train it by itself, and wrap it in `amge.distill.Teacher`.

    Raises:
        ValueError: for something else than a spec.
    """
    check_spec(student)
    return student.untrained().replace(
        arch=f"{student.arch}-teacher",
        **auxiliary_backbone(student),
        modality=student.auxiliary,
        banks=("sender",) if student.banks else (),
        fusion=None,
        streams=None,
        distill=None,
        head="mean",
        auxiliary_backbone=None,
    )


def assemble(spec: ModelSpec) -> MuscleModel:
    """Build the model that a spec describes, with random weights, in train mode.

    It is first put together without memory (on the meta device), so that parts which do not fit are refused at once; at
    last fusion and head are tried on tokens of zeros.

    Raises:
        ValueError: for an unknown part, arguments that a part refuses, or parts that do not fit one another.
    """
    check_spec(spec)
    if torch.__version__ < "2.9":  # it can't be imported on the meta device, where a part's libraries would
        with torch.device("cpu"):
            import_module("torch._dynamo")
    if default_device().type != "meta":
        with torch.device("meta"):
            rehearse(spec)
    model = put_together(spec)
    if default_device().type != "meta":
        try_parts(model, spec)
    return model


def check_spec(spec: ModelSpec) -> None:
    """Raise `ValueError` unless it is a spec."""
    if not isinstance(spec, ModelSpec):
        raise ValueError(f"expected a ModelSpec, such as amge.spec(name) or model.spec, got {spec!r:.80}")


def rehearse(spec: ModelSpec) -> None:
    """Put a model and its teacher together on the default device, to see whether they fit.

    Raises:
        ValueError: for parts that do not fit one another.
    """
    try:
        put_together(spec)
        if spec.distill:
            put_together(teacher_spec(spec))
    except ValueError:
        raise
    except Exception:  # a part that this device can't hold; building it for real tells
        pass


@torch.no_grad()
def try_parts(model: Any, spec: ModelSpec) -> None:
    """Raise `ValueError` unless fusion and head give what they state, for tokens of zeros."""
    given: tuple[Tensor, ...] = (torch.zeros(1, spec.tokens, model.backbone.out_channels),) * max(len(spec.banks), 1)
    shapes: dict[str, tuple[int, ...]] = {"head": (1, len(spec.labels))}
    if model.fusion:
        shapes = {"fusion": (1, spec.tokens, model.fusion.out_channels)} | shapes
    for kind, shape in shapes.items():
        part = getattr(model, kind)
        out = part.eval()(*given)
        part.train()
        if getattr(out, "shape", None) != shape:
            got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
            raise ValueError(
                f"{kind} {type(part).__name__} must give {shape} for {tuple(given[0].shape)}, it gave {got}"
            )
        given = (out,)


def states(part: nn.Module, kind: str, *sizes: str) -> None:
    """Raise `ValueError` unless a part states all sizes of its contract."""
    if missing := [size for size in sizes if not hasattr(part, size)]:
        raise ValueError(f"{kind} {type(part).__name__} must state {', '.join(missing)} as attributes")


def put_together(spec: ModelSpec) -> MuscleModel:
    """Build the model that a spec describes without trying its parts; see `assemble`."""
    backbone = make_backbone(spec)
    states(backbone, "backbone", "token_dim", "embed_dims", "reduces", "out_channels")
    bank = TokenBank(spec.tokens, backbone.token_dim, spec.banks) if spec.banks else None
    sizes = {"dim": backbone.out_channels, "num_tokens": spec.tokens}
    takes_clips = getattr(backbone, "input_layout", Backbone.input_layout)[-3:] == ("T", "H", "W")
    if takes_clips == (spec.modality == "skeleton"):
        raise ValueError(
            f"the backbone {spec.backbone!r} takes {'clips' if takes_clips else 'skeletons'}, the modality is "
            f"{spec.modality!r}; a teacher's are auxiliary_backbone and auxiliary"
        )
    fusion: Any = make("fusion", spec.fusion, spec.fusion_args, **sizes) if spec.fusion else None
    if fusion:
        states(fusion, "fusion", "out_channels")
    head = make_head(spec, backbone, fusion)
    model = MuscleModel(backbone, bank, fusion, head, spec)
    if spec.distill:
        distillation(model)
    return model


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
    **overrides: Any,
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
        overrides: fields of `ModelSpec` to replace. With `pretrained`, the weights must still fit.

    Raises:
        ValueError: for an unknown name, field or part, or if there are no weights that fit, or they may not be read.
        OSError: if the Hub can't be reached.
    """
    if init is not None:
        one_of("init", init, ("imagenet",))
        if pretrained not in (False, None):
            raise ValueError("init and pretrained exclude each other: one starts from ImageNet, the other is trained")
    if pretrained not in (False, None):
        if not isinstance(pretrained, (bool, str, Path)):
            raise ValueError(f"pretrained is True, a tag, a folder or a repository on the Hub, got {pretrained!r}")
        from amge.hub.load import load, spec_of
        from amge.hub.published import find

        one_of("model", name, list_models())
        hub = {"token": token, "cache_dir": cache_dir, "local_files_only": local_files_only}
        files = find(name, pretrained, revision, **hub)
        saved = spec_of(files)
        if saved.arch != name.split(".")[0]:
            raise ValueError(
                f"{files} holds a {saved.arch!r}, not a {name!r}; amge.from_pretrained loads it as what it is"
            )
        return load(files, saved.replace(**overrides), num_classes, strict, device, dtype)
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
