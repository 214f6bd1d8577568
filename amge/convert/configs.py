"""The configurations of other code bases as the spec of a model."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from amge.backbones.mvit import BlockSetting
from amge.convert.keys import Lacks
from amge.muscles import REGION_IDS
from amge.spec import ModelSpec, class_names

Config = Mapping[str, Any]

PYSLOWFAST_NEEDS: dict[str, tuple[Any, Any]] = {
    "MVIT.MODE": ("conv", "conv"),
    "MVIT.NORM": ("layernorm", "layernorm"),
    "MVIT.REL_POS_SPATIAL": (False, True),
    "MVIT.DIM_MUL_IN_ATT": (False, True),
    "MVIT.RESIDUAL_POOLING": (False, True),
    "MVIT.USE_ABS_POS": (True, False),
    "MVIT.POOL_FIRST": (False, False),
    "MVIT.SEPARATE_QKV": (False, False),
    "MVIT.NORM_STEM": (False, False),
    "MVIT.USE_MEAN_POOLING": (False, False),
    "MVIT.DROPOUT_RATE": (0.0, 0.0),
    "MVIT.LAYER_SCALE_INIT_VALUE": (0.0, 0.0),
    "MVIT.HEAD_INIT_SCALE": (1.0, 1.0),
    "MVIT.REV.ENABLE": (False, False),
}
"""Switches of PySlowFast: its default, and the only value that is MViTv2."""

TORCHVISION_NEEDS: dict[str, tuple[Any, Any]] = {
    "residual_pool": (False, True),
    "rel_pos_embed": (False, True),
    "proj_after_attn": (False, True),
    "attention_dropout": (0.0, 0.0),
}
"""The same for torchvision's `MViT`."""


def dotted(config: Config, prefix: str = "") -> dict[str, Any]:
    """A nested configuration with its keys joined by dots; a flat one stays as it is."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= dotted(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _require(config: Config, needs: Mapping[str, tuple[Any, Any]]) -> None:
    wrong = [
        f"{key}={config.get(key, default)!r} (needed: {needed!r})"
        for key, (default, needed) in needs.items()
        if config.get(key, default) != needed
    ]
    if wrong:
        raise ValueError(f"this configuration is not of an MViTv2: {', '.join(wrong)}")


def _padding(padding: Sequence[int], kernel: Sequence[int]) -> None:
    if list(padding) != [size // 2 for size in kernel]:
        raise ValueError(f"a patch padding of {list(padding)} is not half of the kernel {list(kernel)}")


def labels(count: int) -> tuple[str, ...]:
    """The muscle regions if there are that many classes, else numbered names."""
    return REGION_IDS if count == len(REGION_IDS) else class_names(count)


def pyslowfast(config: Config, tokens: int) -> ModelSpec:
    """The spec of PySlowFast's `MViT` with `tokens` class tokens.

    Raises:
        ValueError: for switches that are not MViTv2's.
    """
    config = dotted(config)
    _require(config, PYSLOWFAST_NEEDS)
    flat = bool(config.get("MVIT.PATCH_2D", False))  # an ImageNet model: the clip gets the video models' time axis
    time = (lambda values, first: (first, *values[-2:])) if flat else (lambda values, first: tuple(values))
    kernel = time(config.get("MVIT.PATCH_KERNEL", (3, 7, 7)), 3)
    _padding(time(config.get("MVIT.PATCH_PADDING", (2, 4, 4)), 1), kernel)
    if not flat and not config.get("MVIT.REL_POS_TEMPORAL", False):
        raise ValueError("this configuration is not of an MViTv2 for video: MVIT.REL_POS_TEMPORAL=False (needed: True)")
    depth = config.get("MVIT.DEPTH", 16)
    widen = {int(block): factor for block, factor in config.get("MVIT.DIM_MUL", ())}
    more_heads = {int(block): factor for block, factor in config.get("MVIT.HEAD_MUL", ())}
    stride_q = {int(block): tuple(stride) for block, *stride in config.get("MVIT.POOL_Q_STRIDE", ())}
    fixed_kv = {int(block): tuple(stride) for block, *stride in config.get("MVIT.POOL_KV_STRIDE") or ()}
    adaptive = config.get("MVIT.POOL_KV_STRIDE_ADAPTIVE")
    dim, heads, blocks = config.get("MVIT.EMBED_DIM", 96), config.get("MVIT.NUM_HEADS", 1), []
    embed_dim, stride_kv = dim, tuple(adaptive or (1, 1, 1))
    for block in range(depth):
        dim, heads = int(dim * widen.get(block, 1)), int(heads * more_heads.get(block, 1))
        q = stride_q.get(block, (1, 1, 1))
        stride_kv = tuple(max(kv // step, 1) for kv, step in zip(stride_kv, q, strict=True))
        blocks.append(BlockSetting(dim, heads, q, stride_kv if adaptive else fixed_kv.get(block, (1, 1, 1))))  # type: ignore[arg-type]
    return _spec(
        blocks,
        tokens,
        config.get("MODEL.NUM_CLASSES", 400),
        backbone={
            "embed_dim": embed_dim,
            "patch_kernel": kernel,
            "patch_stride": time(config.get("MVIT.PATCH_STRIDE", (2, 4, 4)), 2),
            "pool_kernel": time(config.get("MVIT.POOL_KVQ_KERNEL") or (3, 3, 3), 3),
            "mlp_ratio": config.get("MVIT.MLP_RATIO", 4.0),
            "drop_path": config.get("MVIT.DROPPATH_RATE", 0.1),
            "qkv_bias": config.get("MVIT.QKV_BIAS", True),
        },
        frames=(frames := 16 if flat else config.get("DATA.NUM_FRAMES", 8)),
        seconds=frames * (4 if flat else config.get("DATA.SAMPLING_RATE", 8)) / config.get("DATA.TARGET_FPS", 30),
        size=config.get("DATA.TRAIN_CROP_SIZE", 224),
        mean=tuple(config.get("DATA.MEAN", (0.45,) * 3)),
        std=tuple(config.get("DATA.STD", (0.225,) * 3)),
        activation="sigmoid" if config.get("MODEL.HEAD_ACT", "softmax") == "sigmoid" else "softmax",
        head_args={"dropout": config.get("MODEL.DROPOUT_RATE", 0.5)},
    )


def musclemap(config: Config, tokens: int) -> ModelSpec:
    """The spec of the official TransM³E: the official fusion and distillation, and pixels in 0..1 as they are.

    The official sequence has the receiver tokens before the main ones, which only changes rounding: class tokens have
    no position.
    """
    return pyslowfast(config, tokens).replace(
        arch="transm3e",
        banks=("main", "receiver"),
        fusion="mctf",
        fusion_args={"form": "official"},
        distill="dense-token",
        distill_args={"form": "official"},
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        threshold=0.05,
    )


def torchvision(config: Config, tokens: int) -> ModelSpec:
    """The spec of torchvision's `MViT` from its constructor arguments.

    Raises:
        ValueError: for arguments that are not MViTv2's, or missing.
    """
    _require(config, TORCHVISION_NEEDS)
    if missing := [name for name in ("block_setting", "spatial_size", "temporal_size") if name not in config]:
        raise ValueError(f"the constructor arguments of torchvision's MViT lack {', '.join(missing)}")
    kernel = config.get("patch_embed_kernel", (3, 7, 7))
    _padding(config.get("patch_embed_padding", (1, 3, 3)), kernel)
    rows = [row if isinstance(row, Mapping) else vars(row) for row in config["block_setting"]]
    kernels = {tuple(row[name]) for row in rows for name in ("kernel_q", "kernel_kv")}
    if len(kernels) != 1:
        raise ValueError(f"all pooling kernels must be the same, got {sorted(kernels)}")
    size = config["spatial_size"]
    height, width = (size, size) if isinstance(size, int) else size
    if height != width:
        raise ValueError(f"only square clips are supported, got spatial_size={size}")
    blocks = [
        BlockSetting(row["output_channels"], row["num_heads"], tuple(row["stride_q"]), tuple(row["stride_kv"]))  # type: ignore[arg-type]
        for row in rows
    ]
    return _spec(
        blocks,
        tokens,
        config.get("num_classes", 400),
        backbone={
            "embed_dim": rows[0]["input_channels"],
            "patch_kernel": tuple(kernel),
            "patch_stride": tuple(config.get("patch_embed_stride", (2, 4, 4))),
            "pool_kernel": kernels.pop(),
            "drop_path": config.get("stochastic_depth_prob", 0.0),
            "residual_tokens": config.get("residual_with_cls_embed", False),
        },
        frames=config["temporal_size"],
        size=height,
        mean=(0.45,) * 3,
        std=(0.225,) * 3,
        activation="softmax",
        head_args={"dropout": config.get("dropout", 0.5)},
    )


def timm(config: Config, state: Mapping[str, Tensor], tokens: int) -> ModelSpec:
    """The spec of the video model whose blocks have the sizes of timm's `MultiScaleVit`, read off its weights.

    Args:
        config: `frames` and `size` of the clips, and `stride_kv_adaptive` (h, w), by default timm's own 4, 4, with
            which a still clip gives what the picture gives in timm; video models use 8, 8.
        state: the weights under PySlowFast's names, for their sizes.
        tokens: class tokens.
    """
    known: dict[str, Any] = {"frames": 16, "size": 224, "stride_kv_adaptive": (4, 4)}
    if unknown := sorted(set(config) - set(known)):
        raise ValueError(f"timm's weights tell their own sizes; config may hold {', '.join(known)}, got {unknown}")
    settings = known | dict(config)
    backbone, classes = _read_off(state, settings["stride_kv_adaptive"], axes="hw")
    return _spec(
        backbone.pop("blocks"),
        tokens,
        classes,
        backbone={**backbone, "drop_path": 0.0, "residual_tokens": True},
        frames=settings["frames"],
        size=settings["size"],
        activation="softmax",
    )


def mvit_v2_s(state: Mapping[str, Tensor], tokens: int) -> ModelSpec:
    """The spec of torchvision's `mvit_v2_s` or its like, read off its weights under PySlowFast's names."""
    backbone, classes = _read_off(state, (8, 8), axes="thw")
    grid = [(state[f"blocks.0.attn.rel_pos_{axis}"].shape[0] + 1) // 2 for axis in "th"]
    return _spec(
        backbone.pop("blocks"),
        tokens,
        classes,
        backbone=backbone,
        frames=2 * grid[0],
        size=4 * grid[1],
        mean=(0.45,) * 3,
        std=(0.225,) * 3,
        activation="softmax",
        head_args={"dropout": 0.5},
    )


def _read_off(state: Mapping[str, Tensor], stride_kv: Sequence[int], axes: str) -> tuple[dict[str, Any], int]:
    """Arguments of `MViT` and the number of classes, from an MViTv2's weights with positions along these axes."""
    h, w = stride_kv
    blocks: list[BlockSetting] = []
    while (prefix := f"blocks.{len(blocks)}.") + "norm2.weight" in state:
        dim, widens = state[f"{prefix}norm2.weight"].shape[0], f"{prefix}proj.weight" in state
        if widens:
            h, w = max(h // 2, 1), max(w // 2, 1)
        heads = dim // state[f"{prefix}attn.norm_q.weight"].shape[0]
        blocks.append(BlockSetting(dim, heads, (1, 2, 2) if widens else (1, 1, 1), (1, h, w)))
    needed = ["patch_embed.proj.weight", "blocks.0.mlp.fc1.weight", "head.projection.bias"]
    needed += [f"blocks.0.attn.rel_pos_{axis}" for axis in axes]
    if missing := [key for key in needed if key not in state]:
        raise Lacks("the state dict is not of an MViTv2; under PySlowFast's names it lacks", missing)
    backbone = {
        "blocks": blocks,
        "embed_dim": state["patch_embed.proj.weight"].shape[0],
        "mlp_ratio": state["blocks.0.mlp.fc1.weight"].shape[0] / blocks[0].dim,
        "qkv_bias": "blocks.0.attn.qkv.bias" in state,
    }
    return backbone, state["head.projection.bias"].shape[0]


def _spec(blocks: Sequence[BlockSetting], tokens: int, classes: int, backbone: Config, **fields: Any) -> ModelSpec:
    """Blocks that repeat MViTv2's pattern or not, as plain values; unless told otherwise every fourth frame of a video
    of 30 a second, and the middle of the picture."""
    fields = {"crop": "centre", "seconds": fields["frames"] * 4 / 30} | fields
    return ModelSpec(
        arch="mvitv2",
        backbone="mvit",
        backbone_args={**backbone, "blocks": tuple(tuple(block) for block in blocks)},
        banks=("main",) if tokens else (),
        tokens=max(tokens, 1),
        labels=labels(classes),
        **fields,
    )
