import re

import pytest
import timm.models.mvitv2 as timm_mvitv2
import torch
from torchvision.models.video.mvit import MSBlockConfig, MViT

import amge
from amge.convert import from_reference, keys

ROWS = [
    # heads, in, out, query stride, key stride
    (1, 16, 16, 1, 4),
    (2, 16, 32, 2, 2),
    (2, 32, 32, 1, 2),
    (4, 32, 64, 2, 1),
]
BLOCKS = [
    {
        "num_heads": heads,
        "input_channels": dim,
        "output_channels": out,
        "kernel_q": [3] * 3,
        "kernel_kv": [3] * 3,
        "stride_q": [1, q, q],
        "stride_kv": [1, kv, kv],
    }
    for heads, dim, out, q, kv in ROWS
]
CONFIG = {
    "spatial_size": (32, 32),
    "temporal_size": 8,
    "block_setting": BLOCKS,
    "num_classes": 7,
    "residual_pool": True,
    "residual_with_cls_embed": False,
    "rel_pos_embed": True,
    "proj_after_attn": True,
    "stochastic_depth_prob": 0.1,
}
YAML = {
    "MVIT.EMBED_DIM": 16,
    "MVIT.DEPTH": 4,
    "MVIT.NUM_HEADS": 1,
    "MVIT.PATCH_PADDING": [1, 3, 3],
    "MVIT.DIM_MUL": [[1, 2.0], [3, 2.0]],
    "MVIT.HEAD_MUL": [[1, 2.0], [3, 2.0]],
    "MVIT.POOL_Q_STRIDE": [[0, 1, 1, 1], [1, 1, 2, 2], [2, 1, 1, 1], [3, 1, 2, 2]],
    "MVIT.POOL_KV_STRIDE_ADAPTIVE": [1, 4, 4],
    "MVIT.REL_POS_SPATIAL": True,
    "MVIT.REL_POS_TEMPORAL": True,
    "MVIT.DIM_MUL_IN_ATT": True,
    "MVIT.RESIDUAL_POOLING": True,
    "MVIT.USE_ABS_POS": False,
    "DATA.NUM_FRAMES": 8,
    "DATA.TRAIN_CROP_SIZE": 32,
    "MODEL.NUM_CLASSES": 7,
}


def randomise(model):
    """Fresh norms are ones and zeros, which would hide mistakes."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model.eval()


@pytest.fixture(scope="module")
def theirs():
    return randomise(MViT(**{**CONFIG, "block_setting": [MSBlockConfig(**row) for row in BLOCKS]}))


@pytest.fixture
def clip():
    return torch.randn(2, 3, 8, 32, 32, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def test_torchvision_gives_the_same_logits(theirs, clip, tmp_path):
    ours = from_reference("torchvision-mvit", theirs.state_dict(), CONFIG)
    torch.testing.assert_close(ours(clip), theirs(clip), atol=1e-5, rtol=1e-4)
    again = amge.from_pretrained(ours.save_pretrained(tmp_path))
    assert torch.equal(again(clip), ours(clip)) and again.spec == ours.spec


@torch.inference_mode()
def test_the_same_weights_under_pyslowfast_names(theirs, clip):
    state = keys.rename(theirs.state_dict(), keys.TORCHVISION)
    state["cls_token"] = state["cls_token"].reshape(1, 1, -1)
    nested = {}
    for key, value in YAML.items():
        group, name = key.split(".")
        nested.setdefault(group, {})[name] = value
    flat = from_reference("pyslowfast", {"model_state": state}, YAML)
    assert torch.equal(flat(clip), from_reference("pyslowfast", state, nested)(clip))
    torch.testing.assert_close(flat(clip), theirs(clip), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("tokens", "frames"), [(False, 8), (True, 2)])
@torch.inference_mode()
def test_a_still_clip_gives_what_timm_gives_for_the_picture(tokens, frames):
    """With a class token at one step of time only: else that one token is weighed against more patches."""
    sizes = {"depths": (1, 1, 2, 1), "embed_dim": (16, 32, 64, 128), "num_heads": (1, 2, 4, 8), "use_cls_token": tokens}
    cfg = timm_mvitv2.MultiScaleVitCfg(**sizes)
    theirs = randomise(timm_mvitv2.MultiScaleVit(cfg, img_size=64, num_classes=7))
    ours = from_reference(
        "timm-mvitv2", theirs.state_dict(), {"frames": frames, "size": 64, "stride_kv_adaptive": (4, 4)}
    )
    picture = torch.randn(2, 3, 64, 64)
    still = picture[:, :, None].expand(-1, -1, frames, -1, -1)
    torch.testing.assert_close(ours(still), theirs(picture), atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_picture_weights_of_pyslowfast_are_inflated(theirs):
    """The picture's kernels and no table of time: the clip's logits do not depend on the order of its frames."""
    state = keys.rename(theirs.state_dict(), keys.TORCHVISION)
    state["cls_token"] = state["cls_token"].reshape(1, 1, -1)
    for key in list(state):
        if key.endswith("rel_pos_t"):
            del state[key]
        elif "pool_" in key:
            state[key] = state[key][:, :, 1:2]
    state["patch_embed.proj.weight"] = state["patch_embed.proj.weight"][:, :, 1]
    ours = from_reference("pyslowfast", state, YAML)
    clip = torch.randn(1, 3, 8, 32, 32)
    swapped = clip.unflatten(2, (4, 2)).flip(2).flatten(2, 3)
    torch.testing.assert_close(ours(clip), ours(swapped), atol=1e-5, rtol=1e-4)
    assert ours.backbone.patch_embed.weight.shape[2] == 3


def test_every_key_is_accounted_for(theirs):
    state = theirs.state_dict()
    for change, message in (
        ({"blocks.9.norm1.weight": torch.zeros(2)}, "left over: backbone.blocks.9.norm1.weight"),
        ({"conv_proj.bias": torch.zeros(3)}, r"patch_embed.bias is (3,), the configuration needs (16,)"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            from_reference("torchvision-mvit", {**state, **change}, CONFIG)
    del state["norm.bias"]
    with pytest.raises(ValueError, match=r"missing: backbone\.norm\.bias"):
        from_reference("torchvision-mvit", state, CONFIG)


@pytest.mark.parametrize(
    ("source", "config", "message"),
    [
        (
            "torchvision",
            {},
            "unknown source 'torchvision'; did you mean 'torchvision-mvit' or 'torchvision-swin3d' or 'pytorchvideo'? "
            "valid: musclemap, pyslowfast, torchvision-mvit, timm-mvitv2, st-gcn, ctr-gcn, hd-gcn, torchvision-swin3d",
        ),
        ("torchvision-mvit", {**CONFIG, "residual_pool": False}, "residual_pool=False (needed: True)"),
        ("torchvision-mvit", {"residual_pool": True, "rel_pos_embed": True, "proj_after_attn": True}, "block_setting"),
        ("torchvision-mvit", {**CONFIG, "patch_embed_padding": (0, 0, 0)}, "padding"),
        ("pyslowfast", {**YAML, "MVIT.USE_ABS_POS": True}, "MVIT.USE_ABS_POS=True (needed: False)"),
        ("pyslowfast", {**YAML, "MVIT.REL_POS_TEMPORAL": False}, "MVIT.REL_POS_TEMPORAL=False (needed: True)"),
        ("pyslowfast", {**YAML, "MVIT.PATCH_PADDING": [0, 3, 3]}, "padding of [0, 3, 3] is not half of the kernel"),
        ("pyslowfast", {}, "MVIT.REL_POS_SPATIAL=False"),
        ("musclemap", {**YAML, "MVIT.DIM_MUL_IN_ATT": False}, "MVIT.DIM_MUL_IN_ATT=False (needed: True)"),
        ("torchvision-mvit", {**CONFIG, "spatial_size": (32, 64)}, "only square clips"),
        ("timm-mvitv2", {"depth": 3}, "config may hold frames, size"),
        ("timm-mvitv2", {}, "not of an MViTv2"),
    ],
)
def test_what_does_not_fit_says_why(source, config, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        from_reference(source, {}, config)


@pytest.mark.parametrize("source", ["torchvision-mvit", "pyslowfast", "timm-mvitv2"])
def test_only_the_official_model_has_a_teacher(source):
    with pytest.raises(ValueError, match=f"only 'musclemap' has a teacher, '{source}' has none"):
        from_reference(source, {}, CONFIG, teacher=True)
