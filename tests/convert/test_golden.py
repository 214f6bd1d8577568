"""Parity with numbers of the reference implementations, where they are at hand."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import amge
from amge.convert import from_reference, keys
from amge.distill import TokenDistillation
from amge.fusion import MCTF

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "golden"
pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="no golden numbers beside the project")


class Case:
    """Weights, inputs and outputs of one reference run."""

    def __init__(self, name):
        self.tensors = load_file(GOLDEN / f"{name}.safetensors")
        self.about = json.loads((GOLDEN / f"{name}.json").read_text())
        self.config = self.about["config"]
        self.weights = {k[8:]: v for k, v in self.tensors.items() if k.startswith("weights/")}
        self.unseen = {k[7:] for k in self.tensors if k.startswith("output/")}

    def same(self, name, ours):
        self.unseen.discard(name)
        torch.testing.assert_close(
            ours, self.tensors[f"output/{name}"], atol=self.about["outputs"][name]["atol"], rtol=1e-4
        )

    def has(self, name):
        return f"output/{name}" in self.tensors


def whole_blocks(model, clip):
    """All tokens and the grid after each block, by hooks: the library itself keeps the class tokens only."""
    seen = []
    hooks = [b.register_forward_hook(lambda m, args, out: seen.append(out)) for b in model.backbone.blocks]
    with torch.inference_mode():
        features = model.forward_features(clip)
    for hook in hooks:
        hook.remove()
    return features, seen


@pytest.mark.parametrize(
    ("name", "source", "tokens"),
    [("mvitv2_1cls", "pyslowfast", 1), ("mvitv2_20cls", "pyslowfast", 20), ("mvit_tv", "torchvision-mvit", 1)],
)
def test_mvitv2(name, source, tokens):
    case = Case(name)
    model = from_reference(source, case.weights, case.config)
    features, blocks = whole_blocks(model, case.tensors["input/video"])
    for i, (x, grid) in enumerate(blocks):
        for key, ours in ((f"block{i}/tokens", x), (f"block{i}/cls_tokens", x[:, :tokens])):
            if case.has(key):
                case.same(key, ours)
        assert list(grid) == case.tensors[f"output/block{i}/thw"].tolist()
        assert torch.equal(features.block_tokens["main"][i], x[:, :tokens])
        case.unseen.discard(f"block{i}/thw")
    case.same("norm", torch.cat([features.tokens["main"], features.patches], dim=1))
    logits = model.forward_head(features)
    case.same("logits", logits)
    if case.has("probs"):
        case.same("probs", logits.softmax(dim=-1))
    if case.has("pooled"):
        case.same("pooled", features.fused.mean(dim=1))
    assert case.unseen <= {"patch_embed", "pos_encoding"}  # what enters block 0 is covered by what leaves it


def test_official_transm3e():
    case = Case("transm3e")
    student, teacher = from_reference("musclemap", case.weights, case.config, teacher=True)
    clip = case.tensors["input/video"]
    with torch.inference_mode():
        features, senders = student.forward_features(clip[:, :3]), teacher(clip[:, 3:])
    receivers = features.block_tokens["receiver"]
    for i, sender in enumerate(senders):
        case.same(f"block{i}/receiver", receivers[i])
        case.same(f"block{i}/cls", features.block_tokens["main"][i])
        case.same(f"block{i}/sender", sender)
    case.same("norm", torch.cat([features.tokens["receiver"], features.tokens["main"], features.patches], dim=1))
    case.same("mctf/out", features.fused.mean(dim=1))
    case.same("logits", student.forward_head(features))
    case.same("probs", student.forward_head(features).softmax(dim=-1))
    case.same("kd/official_returned_sum_div_16", TokenDistillation(form="official")(receivers, senders))
    without = {key: value for key, value in case.weights.items() if "_diff" not in key}
    for weights in (case.weights, without):
        assert from_reference("musclemap", weights, case.config).state_dict().keys() == student.state_dict().keys()
    with pytest.raises(ValueError, match=r"missing: blocks\.0\.attn\.qkv\.bias of the difference branch"):
        from_reference("musclemap", without, case.config, teacher=True)
    with pytest.raises(ValueError, match=r"left over: blocks\.7\.x of the difference branch"):
        from_reference("musclemap", {**case.weights, "blocks_diff.7.x": torch.zeros(1)}, case.config)


def test_mctf():
    case = Case("mctf")
    weights = {f"fuse.{key}": value for key, value in case.weights.items()}
    state = keys.merge_mctf(keys.rename(weights, keys.MCTF))
    fusion = MCTF(case.config["dim"], form="official", num_tokens=case.config["token_length"]).eval()
    fusion.load_state_dict({key.removeprefix("fusion."): value for key, value in state.items()})
    receiver, main = case.tensors["input/token1"], case.tensors["input/token2"]
    with torch.inference_mode():
        fused = fusion(main, receiver)
        case.same("mctf_tokens_before_mean", fused)
        case.same("mctf", fused.mean(dim=1))
        case.same("clsfusion_without_layernorm", fusion.attention(main, receiver))


SMALL = {
    "MVIT": {
        "EMBED_DIM": 96,
        "DEPTH": 16,
        "PATCH_PADDING": [1, 3, 3],
        "USE_ABS_POS": False,
        "DIM_MUL_IN_ATT": True,
        "REL_POS_SPATIAL": True,
        "REL_POS_TEMPORAL": True,
        "RESIDUAL_POOLING": True,
        "DIM_MUL": [[1, 2.0], [3, 2.0], [14, 2.0]],
        "HEAD_MUL": [[1, 2.0], [3, 2.0], [14, 2.0]],
        "POOL_Q_STRIDE": [[i, 1, *([2, 2] if i in (1, 3, 14) else [1, 1])] for i in range(16)],
        "POOL_KV_STRIDE_ADAPTIVE": [1, 8, 8],
    },
    "DATA": {"NUM_FRAMES": 16, "TRAIN_CROP_SIZE": 224},
}


@pytest.mark.parametrize(
    ("table", "source", "config", "labels"),
    [
        ("pyslowfast_mvitv2_s", "pyslowfast", SMALL, 400),
        ("official_transm3e_small", "musclemap", {**SMALL, "MODEL": {"NUM_CLASSES": 20}}, 20),
        ("torchvision_mvit_v2_s", "torchvision-mvit", None, 400),
        ("timm_mvitv2_small_cls", "timm-mvitv2", None, 1000),
        ("timm_mvitv2_small", "timm-mvitv2", SMALL | {"MODEL": {"NUM_CLASSES": 1000}}, 1000),
    ],
)
def test_every_key_of_the_full_size_models_finds_its_place(table, source, config, labels):
    shapes = json.loads((GOLDEN / "key_tables.json").read_text())["tables"][table]["keys"]
    model = from_reference(source, {key: torch.zeros(shape) for key, shape in shapes.items()}, config)
    assert len(model.spec.labels) == labels
    assert all(not p.any() for p in model.backbone.parameters())


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("mvitv2-small", "mvitv2_s_16x224 (PySlowFast MVITv2_S_16x4.yaml)"),
        ("mvitv2-base", "mvitv2_b_16x224 (same YAML, NUM_FRAMES 16)"),
        ("transm3e-small", "transm3e_small trainable (requires_grad)"),
        ("transm3e-base", "transm3e_base trainable (requires_grad)"),
    ],
)
def test_parameter_counts(name, reference):
    counts = json.loads((GOLDEN / "full_param_counts.json").read_text())["counts"]
    with torch.device("meta"):
        assert sum(p.numel() for p in amge.build(name).parameters()) == counts[reference]
