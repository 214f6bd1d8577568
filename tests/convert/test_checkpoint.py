"""`amge convert`: every source from file to folder, every key in the report, and what is refused."""

import json
import math
import os
import pickle
import re
from pathlib import Path

import pytest
import timm.models.mvitv2 as timm_mvitv2
import torch
import yaml
from safetensors.torch import load_file, save_file
from torchvision.models.video.mvit import MSBlockConfig, MViT
from torchvision.models.video.swin_transformer import SwinTransformer3d
from typer.testing import CliRunner

import amge
from amge.cli import app
from amge.convert import Refused, configs, convert_checkpoint, from_reference, keys
from amge.convert.reference import translate
from amge.convert.report import trace
from amge.files import digest

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "golden"
ROWS = [(1, 16, 16, 1, 4), (2, 16, 32, 2, 2), (2, 32, 32, 1, 2), (4, 32, 64, 2, 1)]
"""Of each block: heads, channels in and out, strides of query and key."""
ARGUMENTS = {
    "spatial_size": [32, 32],
    "temporal_size": 8,
    "num_classes": 7,
    "residual_pool": True,
    "residual_with_cls_embed": False,
    "rel_pos_embed": True,
    "proj_after_attn": True,
    "block_setting": [
        {
            "num_heads": heads,
            "input_channels": dim,
            "output_channels": out,
            "kernel_q": [3, 3, 3],
            "kernel_kv": [3, 3, 3],
            "stride_q": [1, q, q],
            "stride_kv": [1, kv, kv],
        }
        for heads, dim, out, q, kv in ROWS
    ],
}
YAML = """
MVIT:
  {EMBED_DIM: 16, DEPTH: 4, NUM_HEADS: 1, PATCH_PADDING: [1, 3, 3], USE_ABS_POS: false, RESIDUAL_POOLING: true,
   DIM_MUL: [[1, 2.0], [3, 2.0]], HEAD_MUL: [[1, 2.0], [3, 2.0]], DIM_MUL_IN_ATT: true,
   POOL_Q_STRIDE: [[0, 1, 1, 1], [1, 1, 2, 2], [2, 1, 1, 1], [3, 1, 2, 2]], POOL_KV_STRIDE_ADAPTIVE: [1, 4, 4],
   REL_POS_SPATIAL: true, REL_POS_TEMPORAL: true}
DATA: {NUM_FRAMES: 8, TRAIN_CROP_SIZE: 32}
MODEL: {NUM_CLASSES: 7}
SOLVER: {BASE_LR: 1e-5}
"""
MVIT = yaml.safe_load(YAML)
ST_GCN = (
    (r"^backbone\.encoder\.norm", "data_bn"),
    (r"^backbone\.encoder\.layers\.(\d+)\.importance", r"edge_importance.\1"),
    (r"^backbone\.encoder\.layers\.", "st_gcn_networks."),
    (r"\.graph\.", ".gcn.conv."),
    (r"\.time\.", ".tcn."),
    (r"\.shortcut\.", ".residual."),
    (r"^head\.projection", "fcn"),
)
GCN = (
    (r"^backbone\.encoder\.norm", "data_bn"),
    (r"^backbone\.encoder\.layers\.(\d+)", lambda match: f"l{int(match[1]) + 1}"),
    (r"\.graph\.shared", ".gcn1.PA"),
    (r"\.graph\.norm\.", ".gcn1.bn."),
    (r"\.graph\.shortcut\.", ".gcn1.down."),
    (r"\.graph\.subsets\.(\d)\.target", r".gcn1.convs.\1.conv1"),
    (r"\.graph\.subsets\.(\d)\.source", r".gcn1.convs.\1.conv2"),
    (r"\.graph\.subsets\.(\d)\.value", r".gcn1.convs.\1.conv3"),
    (r"\.graph\.subsets\.(\d)\.relation", r".gcn1.convs.\1.conv4"),
    (r"\.graph\.levels\.(\d)\.reduce\.", r".gcn1.conv_down.\1."),
    (r"\.graph\.levels\.(\d)\.subsets\.", r".gcn1.conv.\1."),
    (r"\.graph\.levels\.(\d)\.edges\.", r".gcn1.conv.\1.3."),
    (r"\.graph\.attention\.reduce\.", ".gcn1.aha.conv_down."),
    (r"\.graph\.attention\.edges\.", ".gcn1.aha.edge_conv."),
    (r"\.graph\.attention\.expand\.", ".gcn1.aha.aggregate."),
    (r"\.graph\.", ".gcn1."),
    (r"\.time\.branches\.([01])\.3\.", r".tcn1.branches.\1.3.conv."),
    (r"\.time\.branches\.([01])\.4\.", r".tcn1.branches.\1.3.bn."),
    (r"\.time\.", ".tcn1."),
    (r"\.shortcut\.0\.", ".residual.conv."),
    (r"\.shortcut\.1\.", ".residual.bn."),
    (r"^head\.projection", "fc"),
)
TRANSM3E = (
    (r"^backbone\.patch_embed\.", "patch_embed.proj."),
    (r"^backbone\.", ""),
    (r"^(blocks\.\d+)\.shortcut\.", r"\1.proj."),
    (r"\.rel_pos\.", ".rel_pos_"),
    (r"^(blocks\.\d+)\.mlp\.0\.", r"\1.mlp.fc1."),
    (r"^(blocks\.\d+)\.mlp\.2\.", r"\1.mlp.fc2."),
    (r"^bank\.tokens\.main$", "cls_token"),
    (r"^bank\.tokens\.receiver$", "cls_token_distill"),
    (r"^head\.", "head_cls."),
    (r"^fusion\.norm_receiver\.", "fuse.norm1_token1."),
    (r"^fusion\.norm_main\.", "fuse.norm1_token2."),
    (r"^fusion\.norm\.", "fuse.norm2_pathway1."),
    (r"^fusion\.mlp\.0\.", "fuse.mlp_pathway1.fc1."),
    (r"^fusion\.mlp\.2\.", "fuse.mlp_pathway1.fc2."),
    (r"^fusion\.attention\.proj_receiver\.rr", "fuse.attn_mixed_cls_tokens.proj_t1t1"),
    (r"^fusion\.attention\.proj_receiver\.rm", "fuse.attn_mixed_cls_tokens.proj_t1t2"),
    (r"^fusion\.attention\.proj_receiver\.mr", "fuse.attn_mixed_cls_tokens.proj_t2t1"),
    (r"^fusion\.attention\.proj_main\.mm", "fuse.attn_mixed_cls_tokens.proj_t2t2"),
    (r"^fusion\.attention\.proj_main\.rm", "fuse.attn_mixed_cls_tokens.proj_t1t2_2"),
    (r"^fusion\.attention\.proj_main\.mr", "fuse.attn_mixed_cls_tokens.proj_t2t1_2"),
    (r"^fusion\.attention\.", "fuse.attn_mixed_cls_tokens."),
)
"""This library's names as those of the references, written without a look at the converters' tables."""


def randomise(model):
    """Fresh norms are ones and zeros, which would hide mistakes."""
    torch.manual_seed(0)
    for value in model.state_dict().values():
        if value.is_floating_point():
            value += 0.1 * torch.rand_like(value)
    return model.eval()


def renamed(model, patterns):
    state = {}
    for key, value in model.state_dict().items():
        for pattern, replacement in patterns:
            key = re.sub(pattern, replacement, key)
        assert key not in state
        state[key] = value
    return state


def cut(state, key, names):
    """Replace a tensor by its parts along axis 0."""
    return dict(zip(names, state.pop(key).clone().chunk(len(names)), strict=True))


class Case:
    """A reference's state dict and configuration, a clip, and perhaps the model that was renamed to it."""

    def __init__(self, source, state, config, clip, model=None):
        self.source, self.config, self.clip, self.model = source, config, clip, model
        self.state = {key: value.clone() for key, value in state.items()}


def skeletons():
    return torch.rand(2, 1, 16, 17, 3, generator=torch.Generator().manual_seed(1))


def video(frames=8, size=32):
    return torch.randn(2, 3, frames, size, size, generator=torch.Generator().manual_seed(1))


def gcn(arch, **more):
    return randomise(amge.build(arch, backbone_args={"graph": "coco-17", "width": 8, "masking": False, **more}))


def st_gcn():
    model = gcn("st-gcn")
    state = renamed(model, ST_GCN) | {"A": model.backbone.encoder.layers[0].adjacency}
    state["fcn.weight"] = state["fcn.weight"][:, :, None, None]
    return Case("st-gcn", state, None, skeletons(), model)


def ctr_gcn():
    model = gcn("ctr-gcn")
    return Case("ctr-gcn", renamed(model, GCN), {"graph": "coco-17"}, skeletons(), model)


def hd_gcn():
    """With three levels, for half of the tensors."""
    levels = [[0], [1, 2, 5, 6], [3, 4, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]]
    model = gcn("hd-gcn", levels=levels)
    state = renamed(model, GCN)
    last = max(int(key.split(".")[3]) for key in state if key.startswith("l1.gcn1.conv."))
    for key in list(state):
        if f".gcn1.conv.{last}." in key:
            state[key.replace(f".conv.{last}.", ".conv_d.")] = state[key]
        elif key.endswith((".branches.0.3.bias", ".branches.1.3.bias")):
            state[key] = state[key][None, :, None, None]
    return Case("hd-gcn", state, {"levels": levels}, skeletons(), model)


def musclemap():
    model = randomise(amge.assemble(configs.musclemap(MVIT, 3)))
    state = renamed(model, TRANSM3E)
    for token in ("cls_token", "cls_token_distill"):
        state[token] = state[token][None]
    fuse = "fuse.attn_mixed_cls_tokens"
    for name, short in (("receiver", "t1"), ("main", "t2")):
        state |= cut(state, f"{fuse}.qkv_{name}.weight", [f"{fuse}.w{letter}_{short}.weight" for letter in "qkv"])
    state[f"{fuse}.proj.0.weight"] = state[f"{fuse}.proj.0.weight"].roll(64, dims=1)
    for key in list(state):
        if (head := key.split(".")[0]) in ("patch_embed", "cls_token", "blocks", "norm"):
            state[f"{head}_diff{key[len(head) :]}"] = torch.randn_like(state[key])
    return Case("musclemap", state, MVIT, video(), model)


def torchvision_mvit():
    rows = [MSBlockConfig(**row) for row in ARGUMENTS["block_setting"]]
    theirs = randomise(MViT(**ARGUMENTS | {"block_setting": rows, "spatial_size": (32, 32)}))
    return Case("torchvision-mvit", theirs.state_dict(), ARGUMENTS, video())


def pyslowfast():
    state = keys.rename(torchvision_mvit().state, keys.TORCHVISION)
    return Case("pyslowfast", state | {"cls_token": state["cls_token"].reshape(1, 1, -1)}, MVIT, video())


def picture():
    """ImageNet weights of PySlowFast, for another size."""
    case = pyslowfast()
    state = {key: value for key, value in case.state.items() if not key.endswith("rel_pos_t")}
    for key in state:
        if "pool_" in key or key == "patch_embed.proj.weight":
            state[key] = state[key][:, :, 1]
    data = {"NUM_FRAMES": 8, "TRAIN_CROP_SIZE": 64}
    return Case("pyslowfast", state, MVIT | {"DATA": data}, video(size=64))


def timm():
    sizes = {"depths": (1, 1, 2, 1), "embed_dim": (16, 32, 64, 128), "num_heads": (1, 2, 4, 8)}
    theirs = timm_mvitv2.MultiScaleVit(timm_mvitv2.MultiScaleVitCfg(**sizes), img_size=64, num_classes=7)
    config = {"frames": 4, "size": 64, "stride_kv_adaptive": [4, 4]}
    return Case("timm-mvitv2", randomise(theirs).state_dict(), config, video(4, 64))


def swin():
    theirs = SwinTransformer3d([2, 4, 4], 8, [1, 1, 2, 1], [1, 2, 2, 4], [2, 4, 4], num_classes=6)
    config = {"window_size": [2, 4, 4]}
    return Case("torchvision-swin3d", randomise(theirs).state_dict(), config, video(4, 48))


def pytorchvideo():
    hub = pytest.importorskip("pytorchvideo.models.hub")
    theirs = hub.c2d_r50(pretrained=False, model_num_class=6, stem_dim_out=8)
    return Case("pytorchvideo", randomise(theirs).state_dict(), None, video(8, 224))


CASES = {
    make.__name__: make
    for make in (st_gcn, ctr_gcn, hd_gcn, musclemap, torchvision_mvit, pyslowfast, picture, timm, swin, pytorchvideo)
}
PAIRS = {
    "st_gcn": {
        "backbone.encoder.layers.4.shortcut.1.running_var": (["st_gcn_networks.4.residual.1.running_var"], ""),
        "backbone.encoder.layers.3.importance": (["edge_importance.3"], ""),
        "head.projection.weight": (["fcn.weight"], "reshaped from (20, 32, 1, 1)"),
    },
    "ctr_gcn": {
        "backbone.encoder.layers.0.graph.subsets.1.target.bias": (["l1.gcn1.convs.1.conv1.bias"], ""),
        "backbone.encoder.layers.0.graph.subsets.1.source.bias": (["l1.gcn1.convs.1.conv2.bias"], ""),
        "backbone.encoder.layers.8.time.branches.1.4.weight": (["l9.tcn1.branches.1.3.bn.weight"], ""),
        "backbone.encoder.layers.2.graph.alpha": (["l3.gcn1.alpha"], ""),
    },
    "hd_gcn": {
        "backbone.encoder.layers.9.graph.levels.1.subsets.1.0.weight": (["l10.gcn1.conv.1.1.0.weight"], ""),
        "backbone.encoder.layers.1.graph.attention.expand.weight": (["l2.gcn1.aha.aggregate.weight"], ""),
        "backbone.encoder.layers.0.time.branches.0.3.bias": (
            ["l1.tcn1.branches.0.3.conv.bias"],
            "",
        ),
    },
    "musclemap": {
        "bank.tokens.main": (["cls_token"], "reshaped from (1, 3, 16)"),
        "bank.tokens.receiver": (["cls_token_distill"], "reshaped from (1, 3, 16)"),
        "fusion.attention.qkv_main.weight": (
            [f"fuse.attn_mixed_cls_tokens.w{letter}_t2.weight" for letter in "qkv"],
            "joined along axis 0",
        ),
        "fusion.attention.qkv_receiver.weight": (
            [f"fuse.attn_mixed_cls_tokens.w{letter}_t1.weight" for letter in "qkv"],
            "joined along axis 0",
        ),
        "fusion.attention.proj.0.weight": (
            ["fuse.attn_mixed_cls_tokens.proj.0.weight"],
            "parts along axis 1 in the order 64:128, 0:64",
        ),
        "fusion.attention.proj_receiver.mr.bias": (["fuse.attn_mixed_cls_tokens.proj_t2t1.bias"], ""),
        "backbone.blocks.1.shortcut.weight": (["blocks.1.proj.weight"], ""),
        "backbone.blocks.1.attn.proj.weight": (["blocks.1.attn.proj.weight"], ""),
    },
    "torchvision_mvit": {
        "bank.tokens.main": (["pos_encoding.class_token"], "reshaped from (16,)"),
        "backbone.blocks.3.attn.norm_k.weight": (["blocks.3.attn.pool_k.norm_act.0.weight"], ""),
        "backbone.blocks.0.mlp.2.bias": (["blocks.0.mlp.3.bias"], ""),
    },
    "pyslowfast": {
        "backbone.blocks.2.attn.rel_pos.h": (["blocks.2.attn.rel_pos_h"], ""),
        "backbone.blocks.0.mlp.2.bias": (["blocks.0.mlp.fc2.bias"], ""),
    },
    "picture": {
        "backbone.patch_embed.weight": (
            ["patch_embed.proj.weight"],
            "inflated from (16, 3, 7, 7): at 1 of axis 2, zero elsewhere",
        ),
        "backbone.blocks.0.attn.rel_pos.w": (["blocks.0.attn.rel_pos_w"], "resized from (15, 16)"),
    },
    "timm": {
        "backbone.blocks.3.attn.qkv.weight": (["stages.2.blocks.1.attn.qkv.weight"], ""),
        "backbone.blocks.2.shortcut.bias": (["stages.2.blocks.0.shortcut_proj_attn.bias"], ""),
        "head.projection.weight": (["head.fc.weight"], ""),
    },
    "swin": {
        "backbone.encoder.stages.4.1.attn.relative_position_bias_table": (
            ["features.4.1.attn.relative_position_bias_table"],
            "",
        )
    },
    "pytorchvideo": {"head.projection.bias": (["blocks.6.proj.bias"], "")},
}
"""Some tensors of the model, and where each must come from."""


@pytest.fixture(scope="module")
def made():
    """Cases by name, each made once."""
    cases = {}

    def make(name):
        if name not in cases:
            cases[name] = CASES[name]()
        return cases[name]

    return make


def amge_convert(*arguments):
    return CliRunner().invoke(app, ["convert", *map(str, arguments)])


def files(folder, case, container="pth", config="yaml"):
    """A checkpoint file, and a configuration file or `-`."""
    checkpoint = folder / f"best.{container}"
    if container == "safetensors":
        save_file(case.state, checkpoint)
    else:
        torch.save(case.state, checkpoint)
    if case.config is None:
        return checkpoint, "-"
    path = folder / f"model.{config}"
    path.write_text(json.dumps(case.config) if config == "json" else yaml.safe_dump(case.config))
    return checkpoint, path


def accounted(report, state, model):
    """Whether every key and every tensor is in the report, once."""
    used = [key for origin in report["mapped"].values() for key in origin["keys"]]
    assert sorted([*used, *report["skipped"]]) == sorted(state)
    assert sorted([*report["mapped"], *report["filled"]]) == sorted(model.state_dict())
    assert not report["left_over"] and not report["missing"] and not report["unfit"] and not report["error"]


# What is converted


@pytest.mark.parametrize("name", [*sorted(CASES.keys() - {"hd_gcn"}), pytest.param("hd_gcn", marks=pytest.mark.slow)])
@torch.inference_mode()
def test_every_source(name, made, tmp_path):
    case = made(name)
    container = "safetensors" if name in ("st_gcn", "timm", "swin") else "pyth"
    checkpoint, config = files(tmp_path, case, container, "json" if name in ("timm", "torchvision_mvit") else "yaml")
    out, told = tmp_path / "new" / "out", tmp_path / "report.json"
    result = amge_convert(
        case.source, checkpoint, config, out, "--licence", "CC-BY-4.0", "--tag", "toy", "--report", told
    )
    assert (result.exit_code, result.stderr) == (0, "")
    ours = amge.from_pretrained(out)
    expected = from_reference(case.source, case.state, case.config)
    logits = ours(case.clip)
    assert logits.dtype == torch.float32 and torch.equal(logits, expected(case.clip))
    if case.model is not None:
        assert torch.equal(logits, case.model(case.clip))
    assert ours.spec.licence == "CC-BY-4.0" and ours.spec.tag == "toy"
    assert ours.spec.provenance == {
        "source": f"{case.source} checkpoint {checkpoint.name}",
        "source_sha256": digest(checkpoint),
    }
    assert ours.spec.replace(licence=None, tag=None, provenance={}) == expected.spec
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert [path.name for path in out.parent.iterdir()] == ["out"]

    report = json.loads(told.read_text())
    accounted(report, case.state, ours)
    for tensor, (origin, how) in PAIRS[name].items():
        assert report["mapped"][tensor] == {"keys": origin, "how": how}
    for tensor, origin in report["mapped"].items():
        line = f"  {tensor} <- {', '.join(origin['keys'])}" + (f" ({origin['how']})" if origin["how"] else "")
        assert f"{line}\n" in result.stdout
    for key, why in [*report["skipped"].items(), *report["filled"].items()]:
        assert f"  {key}: {why}\n" in result.stdout
    skipped, filled = len(report["skipped"]), len(report["filled"])
    used = len(case.state) - skipped
    assert result.stdout.startswith(
        f"{case.source} {checkpoint.name} as {ours.spec.arch}: {len(report['mapped'])} mapped from {used} keys, "
        f"{filled} filled in, {skipped} keys skipped, 0 left over, 0 missing, 0 of another shape or kind\n"
    )
    assert result.stdout.endswith(f"\nwritten to {out}\n")


def test_what_is_skipped_and_filled_in(made):
    reports = {name: trace(case.source, case.state, case.config or {}) for name in CASES if (case := made(name))}
    assert {name: len(report.filled) for name, report in reports.items() if report.filled} == {"picture": 4, "timm": 5}
    assert set(reports["picture"].filled) == {f"backbone.blocks.{i}.attn.rel_pos.t" for i in range(4)}
    assert {name for name, report in reports.items() if report.skipped} == {"st_gcn", "hd_gcn", "musclemap"}
    assert set(reports["st_gcn"].skipped) == {"A"}
    assert all(".conv_d." in key for key in reports["hd_gcn"].skipped)
    difference = reports["musclemap"].skipped
    assert {key for key in made("musclemap").state if "_diff" in key} == set(difference)
    assert set(difference.values()) == {"the difference branch, the teacher: only training needs it"}


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="no golden numbers beside the project")
@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("transm3e", "musclemap"),
        ("mvitv2_20cls", "pyslowfast"),
        ("mvit_tv", "torchvision-mvit"),
        ("swin3d", "torchvision-swin3d"),
        ("st_gcn", "st-gcn"),
        ("ctr_gcn_2p", "ctr-gcn"),
        pytest.param("hd_gcn_1p_ntu", "hd-gcn", marks=pytest.mark.slow),
    ],
)
@torch.inference_mode()
def test_weights_of_the_references_themselves(name, source, tmp_path):
    tensors = load_file(GOLDEN / f"{name}.safetensors")
    state = {key.removeprefix("weights/"): value for key, value in tensors.items() if key.startswith("weights/")}
    config = json.loads((GOLDEN / f"{name}.json").read_text())["config"]
    checkpoint, path = files(tmp_path, Case(source, state, config, None), config="json")
    result = amge_convert(source, checkpoint, path, tmp_path / "out", "--report", tmp_path / "report.json")
    assert (result.exit_code, result.stderr) == (0, "")
    ours = amge.from_pretrained(tmp_path / "out")
    accounted(json.loads((tmp_path / "report.json").read_text()), state, ours)
    (clip,) = (tensors[key] for key in ("input/video", "input/skeleton", "input/skeleton_m2") if key in tensors)
    clip = clip.permute(0, 4, 2, 3, 1) if source.endswith("gcn") else clip[:, :3]
    assert torch.equal(ours(clip), from_reference(source, state, config)(clip))


@pytest.mark.parametrize(
    ("wrap", "prefix"),
    [
        (
            lambda state: {"epoch": 3, "model_state": state, "optimizer_state": {"lr": [0.1]}, "cfg": "A: 1"},
            "model_state.",
        ),
        (lambda state: {"state_dict": {f"module.{key}": value for key, value in state.items()}}, "state_dict.module."),
        (lambda state: {"model": {"net": state, "step": 1}}, "model.net."),
        (lambda state: {f"module.{key}": torch.nn.Parameter(value.clone()) for key, value in state.items()}, "module."),
    ],
)
def test_wrappers_come_off(wrap, prefix, made, tmp_path):
    case = made("pyslowfast")
    torch.save(wrap(case.state), tmp_path / "last.ckpt")
    report = convert_checkpoint("pyslowfast", tmp_path / "last.ckpt", case.config, tmp_path / "out")
    assert report.prefix == prefix and f"every key is in the file as {prefix}KEY\n" in str(report)
    assert report.mapped["backbone.norm.weight"].keys == ("norm.weight",)
    assert torch.equal(amge.from_pretrained(tmp_path / "out").backbone.norm.weight, case.state["norm.weight"])


def test_half_precision_and_the_old_format_of_pickles(made, tmp_path):
    case = made("st_gcn")
    half = {key: value.half() if value.is_floating_point() else value for key, value in case.state.items()}
    torch.save(half, tmp_path / "old.tar", _use_new_zipfile_serialization=False)
    (tmp_path / "out").mkdir()  # an empty folder will do
    convert_checkpoint("st-gcn", tmp_path / "old.tar", None, tmp_path / "out")
    ours = amge.from_pretrained(tmp_path / "out").head.projection.weight
    assert ours.dtype == torch.float32 and torch.equal(ours, half["fcn.weight"][:, :, 0, 0].float())


def test_the_yaml_of_pyslowfast_has_tuples_as_text(made, tmp_path):
    case = made("musclemap")
    written = {"PATCH_PADDING": "(1, 3, 3)", "PATCH_KERNEL": "(3, 7, 7)", "DROPPATH_RATE": "1e-1"}
    text = yaml.safe_dump(MVIT | {"MVIT": MVIT["MVIT"] | written})
    assert "  PATCH_KERNEL: (3, 7, 7)\n" in text and "  DROPPATH_RATE: 1e-1\n" in text
    (tmp_path / "model.yaml").write_text(text)
    checkpoint, _ = files(tmp_path, Case("musclemap", case.state, None, None))
    result = amge_convert("musclemap", checkpoint, tmp_path / "model.yaml", tmp_path / "out")
    assert (result.exit_code, result.stderr) == (0, "")
    assert amge.from_pretrained(tmp_path / "out").spec.backbone_args["patch_kernel"] == (3, 7, 7)
    spec = from_reference("musclemap", case.state, yaml.safe_load(text)).spec
    assert spec == from_reference("musclemap", case.state, MVIT).spec


def test_gcns_take_the_yaml_of_their_training():
    """In which the graph is a Python class, and HD-GCN's centre of mass an argument of it, which no weight tells."""
    model = randomise(amge.build("hd-gcn", backbone_args={"graph": "ntu-25", "width": 8, "masking": False}))
    official = yaml.safe_load(
        "work_dir: ./work\nmodel: model.HDGCN.Model\nmodel_args:\n  num_class: 20\n  num_point: 25\n"
        "  graph: graph.ntu_rgb_d_hierarchy.Graph\n  graph_args: {labeling_mode: spatial, CoM: 1}\n"
    )
    state = renamed(model, GCN)
    spec, told, silent = (translate("hd-gcn", state, config)[0] for config in (official, {"CoM": 1}, {}))
    assert spec == told != silent
    assert spec.backbone_args["graph"] == "ntu-25" and spec.backbone_args["levels"][0] == (0,)


@pytest.mark.slow
def test_a_graph_and_levels_of_ones_own_as_lists(tmp_path):
    graph = {"joints": 5, "bones": [[1, 0], [2, 1], [3, 0], [4, 3]], "centre": 0}
    levels = [[0], [1, 3], [2, 4]]
    arguments = {"graph": graph, "width": 8, "masking": False}
    for arch, patterns, more in (("ctr-gcn", GCN, {}), ("hd-gcn", GCN, {"levels": levels})):
        model = randomise(amge.build(arch, backbone_args=arguments | more))
        checkpoint, path = files(tmp_path, Case(arch, renamed(model, patterns), {"graph": graph} | more, None))
        assert amge_convert(arch, checkpoint, path, tmp_path / arch).exit_code == 0
        clip = skeletons()[:, :, :, :5]
        with torch.inference_mode():
            assert torch.equal(amge.from_pretrained(tmp_path / arch)(clip), model(clip))


# What the report would see


def test_a_permutation_is_seen(made, monkeypatch):
    """Two names swapped, an order of parts, a transpose: the shapes would not show it, the report does."""
    case = made("musclemap")
    swapped = tuple(
        (
            pattern,
            {"fusion.norm_receiver.": "fusion.norm_main.", "fusion.norm_main.": "fusion.norm_receiver."}.get(to, to),
        )
        for pattern, to in keys.MCTF
    )
    before = keys.merge_mctf

    def merge(state):
        state, name = before(state), "fusion.attention.qkv_main.weight"
        query, key, value = state[name].chunk(3)
        turned = {"fusion.attention.proj.2.weight": state["fusion.attention.proj.2.weight"].T}
        return state | {name: torch.cat([key, query[8:], query[:8], value])} | turned

    monkeypatch.setattr(keys, "MCTF", swapped)
    monkeypatch.setattr(keys, "merge_mctf", merge)
    report = trace("musclemap", case.state, case.config)
    assert not report.problems()
    assert report.mapped["fusion.norm_main.weight"].keys == ("fuse.norm1_token1.weight",)
    fuse = "fuse.attn_mixed_cls_tokens"
    assert report.mapped["fusion.attention.proj.2.weight"].how == "rearranged from (64, 64)"
    origin = report.mapped["fusion.attention.qkv_main.weight"]
    assert origin.keys == (f"{fuse}.wk_t2.weight", f"{fuse}.wq_t2.weight", f"{fuse}.wv_t2.weight")
    assert origin.how == (
        f"parts along axis 0 in the order 0:64 of {fuse}.wk_t2.weight, 8:64 of {fuse}.wq_t2.weight, "
        f"0:8 of {fuse}.wq_t2.weight, 0:64 of {fuse}.wv_t2.weight"
    )


def test_keys_that_a_converter_drops_or_overwrites_are_left_over(made, monkeypatch):
    case = made("pyslowfast")
    state = case.state | {"head_cls.projection.bias": torch.zeros(7), "norm.scale": torch.zeros(2)}
    before = keys.rename
    monkeypatch.setattr(
        keys, "rename", lambda given, patterns: {k: v for k, v in before(given, patterns).items() if "scale" not in k}
    )
    report = trace("pyslowfast", state, case.config)
    assert set(report.left_over) == {"head.projection.bias", "norm.scale"}
    assert report.mapped["head.projection.bias"].keys == ("head_cls.projection.bias",)


# What is refused


def refused(result, out, text, told=None):
    """Whether a conversion ended in one line, exit code 2 and nothing written but the report, which is returned."""
    assert result.exit_code == 2 and not out.exists()
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert text in result.stderr, result.stderr
    if told is None:
        return None
    report = json.loads(told.read_text())
    assert " ".join(report["error"].split()) == result.stderr.removeprefix("error: ").strip()
    return report


def test_missing_left_over_and_wrong_keys(made, tmp_path):
    case, out, told = made("musclemap"), tmp_path / "out", tmp_path / "report.json"
    state = case.state | {"norm.weight": torch.zeros(3), "extra.weight": torch.zeros(2)}
    state["head_cls.projection.bias"] = torch.zeros(7, dtype=torch.int64)
    del state["fuse.attn_mixed_cls_tokens.wk_t2.weight"], state["norm_diff.bias"], state["blocks.2.norm1.bias"]
    checkpoint, config = files(tmp_path, Case(case.source, state, case.config, None))
    result = amge_convert("musclemap", checkpoint, config, out, "--report", told)
    report = refused(result, out, "4 left over (fuse.attn_mixed_cls_tokens.wq_t2.weight, ", told)
    fuse = "fuse.attn_mixed_cls_tokens"
    lost = {f"{fuse}.wq_t2.weight", f"{fuse}.wv_t2.weight", "blocks_diff.2.norm1.bias", "extra.weight"}
    assert set(report["left_over"]) == lost
    missing = {"fusion.attention.qkv_main.weight", "backbone.blocks.2.norm1.bias", "norm_diff.bias"}
    assert set(report["missing"]) == missing
    assert report["unfit"] == {
        "backbone.norm.weight": "(3,) from norm.weight, the model needs (64,)",
        "head.projection.bias": "whole numbers from head_cls.projection.bias, the model's are not",
    }
    assert "3 missing (backbone.blocks.2.norm1.bias, " in result.stderr
    assert "2 of another shape or kind (backbone.norm.weight, head.projection.bias)" in result.stderr
    assert "4 left over, 3 missing, 2 of another shape or kind\n" in result.stdout
    for title in ("left over", "missing", "of another shape or kind"):
        assert f"\n{title}:\n  " in result.stdout
    used = [key for origin in report["mapped"].values() for key in origin["keys"]]
    everything = [*used, *report["skipped"], *lost, "norm.weight", "head_cls.projection.bias"]
    assert sorted(everything) == sorted(state)


def test_a_checkpoint_of_something_else(made, tmp_path):
    """Sizes that can't be read off it at all."""
    checkpoint, _ = files(tmp_path, made("swin"))
    for source in ("st-gcn", "timm-mvitv2", "torchvision-mvit", "pytorchvideo"):
        result = amge_convert(source, checkpoint, "-", tmp_path / "out", "--report", tmp_path / "report.json")
        report = refused(result, tmp_path / "out", "it lacks ", tmp_path / "report.json")
        assert report["sha256"] == digest(checkpoint) and result.stdout == "" and not report["mapped"]


class Payload:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("write", ["zip", "legacy", "pickle"])
def test_a_pickle_with_code_is_refused_and_not_run(write, made, tmp_path):
    mark, content = tmp_path / "ran", made("st_gcn").state | {"a": Payload(tmp_path / "ran")}
    path = tmp_path / "best.pth"
    if write == "pickle":
        path.write_bytes(pickle.dumps({"a": Payload(mark)}, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=write == "zip")
    result = amge_convert("st-gcn", path, "-", tmp_path / "out", "--report", tmp_path / "report.json")
    message = (
        f"{path} holds more than tensors: it asks for {os.mkdir.__module__}.mkdir, which can be code, so it is refused"
    )
    refused(result, tmp_path / "out", message, tmp_path / "report.json")
    assert "weights_only" not in result.stderr and not mark.exists()
    pickle.loads(pickle.dumps(Payload(mark)))
    assert mark.exists()  # so the payload works


def test_a_whole_model_is_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "best.pt")
    result = amge_convert("st-gcn", tmp_path / "best.pt", "-", tmp_path / "out")
    refused(result, tmp_path / "out", "it asks for torch.nn.modules.linear.Linear")


@pytest.mark.parametrize("container", ["pth", "safetensors"])
@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.999])
def test_a_file_that_is_not_whole(container, share, made, tmp_path):
    checkpoint, _ = files(tmp_path, made("st_gcn"), container)
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: math.floor(share * len(whole))])
    result = amge_convert("st-gcn", checkpoint, "-", tmp_path / "out", "--report", tmp_path / "report.json")
    refused(result, tmp_path / "out", str(checkpoint), tmp_path / "report.json")
    assert "weights_only" not in result.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "holds nothing, not names"),
        ([torch.zeros(2)], "holds list, not names of weights to tensors"),
        (torch.zeros(2), "holds torch.float32 torch.strided, not names"),
        (
            {"model": {"a": torch.zeros(2), "b": 1}},
            "holds besides b (int) in model, not names of weights to tensors alone",
        ),
        ({"weights": {"a": torch.zeros(2)}, "epoch": 3}, "holds besides weights (dict), epoch (int), not names"),
        ({0: torch.zeros(2)}, "holds besides 0 (torch.float32 torch.strided), not names"),
        ({"a": torch.zeros(2, dtype=torch.complex64)}, "holds besides a (torch.complex64 torch.strided), not names"),
        ({"a": torch.eye(2).to_sparse()}, "holds besides a (torch.float32 torch.sparse_coo), not names"),
    ],
)
def test_anything_but_names_to_tensors(content, message, tmp_path):
    torch.save(content, tmp_path / "best.pth")
    result = amge_convert("st-gcn", tmp_path / "best.pth", "-", tmp_path / "out")
    refused(result, tmp_path / "out", message)


def test_a_dictionary_that_holds_itself(tmp_path):
    content = {}
    content["model"] = content
    torch.save(content, tmp_path / "best.pth")
    refused(amge_convert("st-gcn", tmp_path / "best.pth", "-", tmp_path / "out"), tmp_path / "out", "model (dict)")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.yaml", "MVIT: [1, 2", "c.yaml is not a readable configuration: "),
        ("c.json", "{'MVIT': 1}", "c.json is not a readable configuration: "),
        ("c.yaml", "!!python/object/apply:os.mkdir ['ran']", "could not determine a constructor"),
        ("c.yaml", "\x00\x01", "c.yaml is not a readable configuration: "),
        ("c.yaml", "- 1\n- 2\n", "c.yaml holds list, a configuration maps names to values"),
        ("c.yaml", "", "c.yaml holds NoneType, a configuration maps names to values"),
        ("c.yaml", "MVIT: {REL_POS_SPATIAL: false}", "this configuration is not of an MViTv2"),
        ("c.yaml", "{}", "'musclemap' needs a configuration: the YAML file that it was trained with"),
        (
            "c.yaml",
            yaml.safe_dump(MVIT | {"MVIT": MVIT["MVIT"] | {"DIM_MUL": 3}}),
            "has not the form that 'musclemap' needs",
        ),
    ],
)
def test_a_configuration_that_can_not_be_used(name, text, message, made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoint, _ = files(tmp_path, made("musclemap"))
    (tmp_path / name).write_text(text)
    result = amge_convert("musclemap", checkpoint, name, tmp_path / "out", "--report", tmp_path / "report.json")
    refused(result, tmp_path / "out", message, tmp_path / "report.json")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("source", ["musclemap", "pyslowfast"])
def test_sources_that_need_a_configuration(source, made, tmp_path):
    checkpoint, _ = files(tmp_path, made(source))
    refused(
        amge_convert(source, checkpoint, "-", tmp_path / "out"), tmp_path / "out", f"'{source}' needs a configuration"
    )


def test_other_arguments(made, tmp_path):
    checkpoint, _ = files(tmp_path, made("st_gcn"))
    out = tmp_path / "out"
    text = "unknown source 'st_gcn'; did you mean 'st-gcn' or 'ctr-gcn' or 'hd-gcn'? valid: musclemap, pyslowfast, "
    refused(amge_convert("st_gcn", checkpoint, "-", out), out, text)
    refused(amge_convert("st-gcn", tmp_path / "none.pth", "-", out), out, "none.pth")
    refused(amge_convert("st-gcn", tmp_path / "none.safetensors", "-", out), out, "none.safetensors")
    refused(amge_convert("st-gcn", tmp_path, "-", out), out, str(tmp_path))
    refused(amge_convert("st-gcn", checkpoint, tmp_path / "none.yaml", out), out, "none.yaml")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    for taken in (tmp_path / "full", checkpoint):
        result = amge_convert("st-gcn", checkpoint, "-", taken)
        assert result.exit_code == 2 and f"{taken} exists already; name a new folder" in result.stderr
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["notes.txt"]
    result = amge_convert("st-gcn", checkpoint, "-", checkpoint / "below")
    assert result.exit_code == 2 and result.stderr.count("\n") == 1


def test_weights_that_no_model_works_with(made, tmp_path):
    case = made("ctr_gcn")
    broken = case.state["l2.gcn1.PA"].clone()
    broken[0, 0, 0] = float("nan")
    torch.save(case.state | {"l2.gcn1.PA": broken}, tmp_path / "best.pth")
    with pytest.raises(Refused, match=r"holds NaN or infinity in l2\.gcn1\.PA") as error:
        convert_checkpoint("ctr-gcn", tmp_path / "best.pth", None, tmp_path / "out")
    assert error.value.report.mapped and not (tmp_path / "out").exists()


def test_what_is_skipped_must_be_what_stands_for_it(made, tmp_path):
    case = made("st_gcn")
    torch.save(case.state | {"A": case.state["A"].flip(0)}, tmp_path / "best.pth")
    with pytest.raises(Refused, match="A, the graph of the checkpoint, is not that of the model; give it as 'graph'"):
        convert_checkpoint("st-gcn", tmp_path / "best.pth", None, tmp_path / "out")
    case = made("hd_gcn")
    key = next(key for key in case.state if ".conv_d." in key and key.endswith(".weight"))
    torch.save(case.state | {key: case.state[key] + 1}, tmp_path / "best.pth")
    with pytest.raises(Refused, match=rf"{re.escape(key)} is not the same as "):
        convert_checkpoint("hd-gcn", tmp_path / "best.pth", case.config, tmp_path / "out")
