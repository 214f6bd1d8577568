"""From a spec to a model with random weights, to what distils into it, and to the spec of its teacher."""

from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from amge.backbones.contract import Backbone
from amge.devices import default_device
from amge.errors import one_of
from amge.fusion import LateFusion, PatchFusion, SkeletonStream
from amge.heads import PersonHead
from amge.model import MuscleModel
from amge.registry import PARTS, make, make_head
from amge.spec import ModelSpec
from amge.tokens import TokenBank


def make_backbone(spec: ModelSpec) -> Backbone:
    """The backbone, or both streams, of a spec."""
    sizes = {"frames": spec.frames, "size": spec.size, "banks": len(spec.banks), "with_tokens": bool(spec.banks)}
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


def skeleton_stream(spec: ModelSpec, dim: int) -> SkeletonStream:
    """The stream of joints of a spec, whose tokens are fused with those of pictures, of `dim` channels."""
    names: Any = spec.skeleton, spec.skeleton_fusion
    joints = make("backbone", names[0], spec.skeleton_args, frames=spec.frames, size=1, with_tokens=True)
    states(joints, "backbone", "token_dim", "out_channels")
    fusion = make("fusion", names[1], spec.skeleton_fusion_args, dim=dim, num_tokens=spec.tokens)
    states(fusion, "fusion", "out_channels")
    return SkeletonStream(joints, spec.tokens, fusion, dim)


def auxiliary_backbone(spec: ModelSpec) -> dict[str, Any]:
    """Name and arguments of the backbone of the auxiliary modality."""
    if spec.auxiliary_backbone is None:
        return {"backbone": spec.backbone, "backbone_args": spec.backbone_args}
    return {"backbone": spec.auxiliary_backbone, "backbone_args": spec.auxiliary_backbone_args}


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
        skeleton=None,
        skeleton_fusion=None,
        distill=None,
        head="mean",
        person_head=False,
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
    model.remember_random_head()
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
    person = PersonHead(backbone.out_channels) if spec.person_head else None
    skeleton = skeleton_stream(spec, (fusion or backbone).out_channels) if spec.skeleton else None
    model = MuscleModel(backbone, bank, fusion, head, spec, person, skeleton)
    if spec.distill:
        distillation(model)
    return model
