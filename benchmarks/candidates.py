"""Models, and what one would pick in their place: the library that each backbone is known from."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import amge
from amge.spec import ModelSpec

Maker = Callable[[], nn.Module]


def candidates(name: str, frames: int, size: int) -> tuple[dict[str, Maker], str]:
    """How to build the model, first, and what a user would pick instead; or why there is nothing of that kind."""
    spec = amge.spec(name).replace(frames=frames, size=size)
    models: dict[str, Maker] = {name: lambda: amge.build(name, frames=frames, size=size)}
    if spec.backbone not in REFERENCES:
        return models, f"no package has {name} to compare with"
    try:
        return models | REFERENCES[spec.backbone](spec), ""
    except ImportError as error:
        return models, f"nothing to compare {name} with: {error}"


def encoders(spec: ModelSpec) -> dict[str, Maker]:
    """The bare timm encoder on all frames, in both layouts."""
    import timm

    def encoder(layout: torch.memory_format) -> nn.Module:
        return Images(timm.create_model(spec.backbone_args["encoder"], num_classes=0), layout)

    return {
        "encoder": lambda: encoder(torch.contiguous_format),
        "encoder, channels last": lambda: encoder(torch.channels_last),
    }


class Images(nn.Module):
    """An image model on the frames of a clip."""

    def __init__(self, model: nn.Module, layout: torch.memory_format) -> None:
        super().__init__()
        self.model, self.layout = model.to(memory_format=layout), layout

    def forward(self, clip: Tensor) -> Tensor:
        return self.model(clip.transpose(1, 2).flatten(0, 1).contiguous(memory_format=self.layout))


def torchvision_mvit(spec: ModelSpec) -> dict[str, Maker]:
    """torchvision's MViT with the blocks of our backbone; as `mvit_v2_s` itself where that is what it has."""
    from torchvision.models.video import MViT, mvit_v2_s
    from torchvision.models.video.mvit import MSBlockConfig

    classes, small = len(spec.labels), not spec.backbone_args
    if small and (spec.frames, spec.size) == (16, 224):
        return {"torchvision mvit_v2_s": lambda: mvit_v2_s(num_classes=classes)}

    def spelled_out() -> nn.Module:
        with torch.device("meta"):
            backbone: Any = amge.assemble(spec).backbone
        blocks = []
        for block in backbone.blocks:
            attn = block.attn
            sizes = (attn.num_heads, attn.qkv.in_features, attn.num_heads * attn.head_dim)
            strides = (list(attn.stride_q), list(attn.stride_kv))
            blocks.append(MSBlockConfig(*sizes, [3] * 3, [3] * 3, *strides))
        options: dict[str, Any] = {"residual_pool": True, "residual_with_cls_embed": False, "rel_pos_embed": True}
        options |= {"stochastic_depth_prob": spec.backbone_args.get("drop_path", 0.2), "proj_after_attn": True}
        return MViT((spec.size, spec.size), spec.frames, blocks, num_classes=classes, **options)

    return {f"torchvision {'mvit_v2_s' if small else 'MViT'}": spelled_out}


def torchvision_swin(spec: ModelSpec) -> dict[str, Maker]:
    """torchvision's Video Swin of the same sizes."""
    from torchvision.models.video.swin_transformer import SwinTransformer3d

    given = {"embed_dim": 96, "depths": (2, 2, 18, 2), "heads": (3, 6, 12, 24), "window": (8, 7, 7)}
    width, *sizes = (given | spec.backbone_args).values()
    lists = [list(size) for size in sizes]
    classes = len(spec.labels)
    return {
        "torchvision SwinTransformer3d": lambda: SwinTransformer3d(
            [2, 4, 4], width, *lists, stochastic_depth_prob=0.1, num_classes=classes
        )
    }


def pytorchvideo_cnn(spec: ModelSpec) -> dict[str, Maker]:
    """pytorchvideo's network with a head for any length and size."""
    from pytorchvideo.models import hub

    kind, width = spec.backbone, spec.backbone_args.get("width", 64)
    widths = {"stem_dim_outs": (width, width // 8)} if kind == "slowfast" else {"stem_dim_out": width}

    def make() -> nn.Module:
        net = getattr(hub, f"{kind}_r50")(pretrained=False, model_num_class=len(spec.labels), **widths)
        if kind != "slowfast":
            net.blocks[-1].pool = nn.AdaptiveAvgPool3d(1)
            return net
        net.blocks[-2].pool = nn.ModuleList(nn.AdaptiveAvgPool3d(1) for _ in range(2))
        return Pathways(net)

    return {f"pytorchvideo {kind}_r50": make}


class Pathways(nn.Module):
    """SlowFast on a clip: every fourth frame goes the slow way."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, clip: Tensor) -> Tensor:
        return self.model([clip[:, :, ::4], clip])


REFERENCES: dict[str, Callable[[ModelSpec], dict[str, Maker]]] = {
    "timm-frames": encoders,
    "mvitv2": torchvision_mvit,
    "video-swin": torchvision_swin,
    **dict.fromkeys(("c2d", "i3d", "slow", "slowfast"), pytorchvideo_cnn),
}
