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
    features, blocks = whole_blocks(student, clip[:, :3])
    _, blocks_of_teacher = whole_blocks(teacher.model, clip[:, 3:])
    official = amge.distillation(student)
    assert official.loss.official and student.spec.distill_args == {"form": "official"}
    senders = teacher(clip[:, 3:]).features.block_tokens["sender"]
    receivers = features.block_tokens["receiver"]
    for i, sender in enumerate(senders):
        case.same(f"block{i}/receiver", receivers[i])
        case.same(f"block{i}/cls", features.block_tokens["main"][i])
        case.same(f"block{i}/sender", sender)
        assert list(blocks[i][1]) == case.tensors[f"output/block{i}/thw"].tolist()
        case.unseen.discard(f"block{i}/thw")
    official = torch.tensor([*range(20, 40), *range(20)])  # the official sequence starts with the receivers
    for name, (x, _) in (("rgb_tokens_block0", blocks[0]), ("rgb_tokens_last", blocks[-1])):
        case.same(name, torch.cat([x[:, official], x[:, 40:]], dim=1))
    case.same("diff_tokens_last", blocks_of_teacher[-1][0])
    case.same("norm", torch.cat([features.tokens["receiver"], features.tokens["main"], features.patches], dim=1))
    case.same("mctf/in_receiver", features.tokens["receiver"])
    case.same("mctf/in_cls", features.tokens["main"])
    case.same("mctf/out", features.fused.mean(dim=1))
    logits = student.forward_head(features)
    case.same("logits", logits)
    case.same("probs", logits.softmax(dim=-1))
    loss = TokenDistillation(form="official")
    case.same("kd/official_returned_sum_div_16", loss(receivers, senders))
    per_block = torch.stack([16 * loss([mine], [theirs]) for mine, theirs in zip(receivers, senders, strict=True)])
    case.same("kd/per_block", per_block)
    case.same("kd/sum", per_block.sum())
    case.same("kd/mean_over_blocks", per_block.mean())
    assert case.unseen == set()


def test_an_official_model_is_saved_with_its_quirks(tmp_path):
    case = Case("transm3e")
    student = from_reference("musclemap", case.weights, case.config)
    again = amge.from_pretrained(student.save_pretrained(tmp_path))
    with torch.inference_mode():
        case.same("logits", again(case.tensors["input/video"][:, :3]))


def test_keys_of_the_difference_branch_are_needed_for_a_teacher_only():
    case = Case("transm3e")
    student = from_reference("musclemap", case.weights, case.config)
    without = {key: value for key, value in case.weights.items() if "_diff" not in key}
    for weights in (case.weights, without):
        assert from_reference("musclemap", weights, case.config).state_dict().keys() == student.state_dict().keys()
    with pytest.raises(ValueError, match=r"missing: blocks\.0\.attn\.qkv\.bias of the difference branch"):
        from_reference("musclemap", without, case.config, teacher=True)
    with pytest.raises(ValueError, match=r"left over: blocks\.7\.x of the difference branch"):
        from_reference("musclemap", {**case.weights, "blocks_diff.7.x": torch.zeros(1)}, case.config)


def test_mctf():
    """Whole, and step by step; the official token1 is the receiver, token2 main."""
    case = Case("mctf")
    weights = {f"fuse.{key}": value for key, value in case.weights.items()}
    state = keys.merge_mctf(keys.rename(weights, keys.MCTF))
    fusion = MCTF(case.config["dim"], form="official", num_tokens=case.config["token_length"]).eval()
    fusion.load_state_dict({key.removeprefix("fusion."): value for key, value in state.items()})
    receiver, main = case.tensors["input/token1"], case.tensors["input/token2"]
    steps = {
        "ln_token1": "norm_receiver",
        "ln_token2": "norm_main",
        "clsfusion": "attention",
        "ln_mixed": "norm",
        "mlp_out": "mlp",
    }
    seen = {}
    for name, module in steps.items():
        fusion.get_submodule(module).register_forward_hook(lambda m, args, out, name=name: seen.update({name: out}))
    with torch.inference_mode():
        fused = fusion(main, receiver)
        for name, value in dict(seen).items():
            case.same(name, value)
        case.same("mctf_tokens_before_mean", fused)
        case.same("mctf", fused.mean(dim=1))
        case.same("clsfusion_without_layernorm", fusion.attention(main, receiver))
    assert seen.keys() == steps.keys()


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
