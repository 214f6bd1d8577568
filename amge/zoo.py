"""The named models: a function each that returns a spec."""

from fnmatch import fnmatch
from functools import partial
from typing import Any

from amge.backbones.streams import THREE_D
from amge.errors import one_of
from amge.hub.load import spec_of
from amge.hub.published import PUBLISHED
from amge.muscles import REGION_IDS
from amge.registry import MODELS, register_model
from amge.spec import ModelSpec


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
        distill="dense-token",
        head_args={"dropout": 0.2},
        frames=12,
        sampling="spread",
        mean=(127 / 255,) * 3,
        std=(128 / 255,) * 3,
    )


@register_model
def pose_mlp() -> ModelSpec:
    """Muscle tokens that read an MLP on the mean and the extremes over time of joints. 1.7 M parameters."""
    return ModelSpec(
        arch="pose-mlp",
        backbone="pose-mlp",
        backbone_args={
            "graph": "body-19",
            "streams": THREE_D,
            "width": 24,
            "parts": 24,
            "levels": (0.05, 0.95),
            "dim": 96,
            "depth": 3,
            "num_heads": 4,
        },
        modality="skeleton",
        frames=16,
        seconds=5.0,
    )


@register_model
def transm3e_lite_pose() -> ModelSpec:
    """TransM³E-lite that sees joints besides, as `pose-mlp`, the tokens of both fused by MCTF. 7.0 M parameters.

    The weights that ship have two decoders for each bank, as those of `transm3e-lite`.
    """
    return transm3e_lite().replace(
        arch="transm3e-lite-pose",
        skeleton="pose-mlp",
        skeleton_args=pose_mlp().backbone_args,
        skeleton_fusion="mctf",
        skeleton_fusion_args={"scale": None, "num_heads": 5, "drop_path": 0.1},
    )


PAPER: dict[str, Any] = {
    "backbone": "mvitv2",
    "frames": 16,
    "seconds": 16 * 4 / 30,
    "crop": "centre",
    "activation": "softmax",
    "threshold": 0.05,
}
"""What the paper's models share: every fourth of 64 frames, the middle of the picture, a softmax over the regions, and
the threshold of the official figures."""
BASE: dict[str, Any] = {"backbone_args": {"depth": 24, "double_at": (2, 5, 21), "drop_path": 0.3}}
TINY: dict[str, Any] = {
    "backbone_args": {"embed_dim": 16, "depth": 4, "double_at": (1, 2, 3), "drop_path": 0.1},
    "frames": 8,
    "size": 64,
}
"""For tests and experiments on a CPU: 4 blocks of 16 to 128 channels, clips of 8 frames of 64²."""


@register_model
def mvitv2_small() -> ModelSpec:
    """MViTv2-S as in the tables of the paper: one class token and a linear head. 34.2 M parameters."""
    return ModelSpec(arch="mvitv2-small", tokens=1, head_args={"dropout": 0.5}, **PAPER)


@register_model
def mvitv2_base() -> ModelSpec:
    """MViTv2-B: 24 blocks. 50.9 M parameters."""
    return mvitv2_small().replace(arch="mvitv2-base", **BASE)


@register_model
def mvitv2_tiny() -> ModelSpec:
    """MViTv2 with one class token, for tests. 0.3 M parameters."""
    return mvitv2_small().replace(arch="mvitv2-tiny", **TINY)


@register_model
def mvitv2_small_mct() -> ModelSpec:
    """MViTv2-S with a bank of class tokens (MCTs), their mean before the head; on differences, the teacher."""
    return mvitv2_small().replace(arch="mvitv2-small-mct", tokens=len(REGION_IDS))


@register_model
def mvitv2_base_mct() -> ModelSpec:
    """MViTv2-B with a bank of class tokens (MCTs)."""
    return mvitv2_small_mct().replace(arch="mvitv2-base-mct", **BASE)


@register_model
def mvitv2_tiny_mct() -> ModelSpec:
    """MViTv2 with a bank of class tokens (MCTs), for tests. 0.3 M parameters."""
    return mvitv2_small_mct().replace(arch="mvitv2-tiny-mct", **TINY)


@register_model
def transm3e_small() -> ModelSpec:
    """TransM³E-small: MViTv2-S with a main and a receiver bank, MCTKD and MCTF. 44.4 M parameters."""
    return mvitv2_small_mct().replace(
        arch="transm3e-small",
        banks=("main", "receiver"),
        fusion="mctf",
        fusion_args={"token_affine": True},
        distill="dense-token",
    )


@register_model
def transm3e_base() -> ModelSpec:
    """TransM³E-base: the same on MViTv2-B. 61.0 M parameters."""
    return transm3e_small().replace(arch="transm3e-base", **BASE)


@register_model
def transm3e_tiny() -> ModelSpec:
    """TransM³E for tests. 0.6 M parameters."""
    return transm3e_small().replace(arch="transm3e-tiny", **TINY)


@register_model
def two_stream_small() -> ModelSpec:
    """Two MViTv2-S with MCTs, on RGB and its differences, merged at the end by a token fusion. 68.5 M parameters."""
    return mvitv2_small_mct().replace(
        arch="two-stream-small", streams="late", banks=("main", "auxiliary"), fusion="sum"
    )


@register_model
def two_stream_tiny() -> ModelSpec:
    """Two streams for tests. 0.5 M parameters."""
    return two_stream_small().replace(arch="two-stream-tiny", **TINY)


BASELINES: dict[str, tuple[str, dict[str, Any]]] = {
    "c2d-r50": ("c2d", {}),
    "i3d-r50": ("i3d", {}),
    "slow-r50": ("slow", {}),
    "slowfast-r50": ("slowfast", {}),
    "videoswin-small": ("video-swin", {}),
    "videoswin-base": ("video-swin", {"embed_dim": 128, "heads": (4, 8, 16, 32)}),
    "st-gcn": ("st-gcn", {}),
    "ctr-gcn": ("ctr-gcn", {}),
    "hd-gcn": ("hd-gcn", {}),
}
SMALL_SWIN = {"embed_dim": 16, "depths": (1, 1, 2, 1), "heads": (1, 2, 2, 4), "window": (2, 4, 4)}
TINY_BASELINES: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"{kind}-tiny": (kind, {"width": 8}) for kind in ("c2d", "i3d", "slow", "slowfast")},
    "videoswin-tiny": ("video-swin", SMALL_SWIN),
    **{f"{kind}-tiny": (kind, {"width": 16}) for kind in ("st-gcn", "ctr-gcn", "hd-gcn")},
}


def baseline(arch: str, backbone: str, arguments: dict[str, Any], **fields: Any) -> ModelSpec:
    """A network of Table 2: no tokens, a linear head on the mean of its features. `tokens=20` gives it a bank."""
    if backbone.endswith("-gcn"):
        fields = {"modality": "skeleton", "frames": 32} | fields
    spec = mvitv2_small().replace(arch=arch, backbone=backbone, backbone_args=arguments, banks=())
    return spec.replace(**fields)


for _name, (_backbone, _arguments) in BASELINES.items():
    register_model(partial(baseline, _name, _backbone, _arguments))
for _name, (_backbone, _arguments) in TINY_BASELINES.items():
    register_model(partial(baseline, _name, _backbone, _arguments, frames=8, size=64))


STATISTICAL: dict[str, float | None] = {"random": None, "all-ones": 1.0, "all-zeros": 0.0}
"""The probability that they give every label; None: a random one."""


def statistical(arch: str, probability: float | None) -> ModelSpec:
    """A statistical baseline of Table 2, which looks at nothing."""
    return ModelSpec(
        arch=arch,
        backbone="blind",
        banks=(),
        head="constant",
        head_args={"probability": probability},
        evidence={"sure": 0.0, "detail": 0.0},
        frames=2,
        size=16,
    )


for _name, _probability in STATISTICAL.items():
    register_model(partial(statistical, _name, _probability))


def list_models(pattern: str = "*") -> list[str]:
    """Names of all models that match a shell-style pattern, those with published weights also as `arch.tag`."""
    return sorted(name for name in {*MODELS, *PUBLISHED} if fnmatch(name, pattern))


def spec(name: str) -> ModelSpec:
    """The spec of a named model; for `arch.tag`, that of the published checkpoint.

    Raises:
        ValueError: for an unknown name, with the closest ones.
    """
    if name in PUBLISHED:
        return spec_of(PUBLISHED[name].files())
    return MODELS[one_of("model", name, list_models())]()
