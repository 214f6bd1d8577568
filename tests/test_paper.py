"""The rows of Tables 2 to 14: each design of theirs takes a training step, saves, loads with equal outputs, exports."""

import runpy
import sys
from pathlib import Path

import pytest
import torch

import amge
from amge.paper import ACTIVITIES, REFERENCE_PARAMETERS, ROWS, TABLES
from amge.zoo import STATISTICAL

ROOT = Path(__file__).parents[1]
TABLES_PY = runpy.run_path(str(ROOT / "benchmarks" / "tables.py"))
LAST_BLOCK = ("blocks.3.attn.pool_q.weight", "blocks.3.attn.rel_pos", "norm_k.bias")


def idle(row):
    """Parts of the names of parameters whose gradient is zero by nature.

    Those of the last block's patches, which no one reads, and of what a softmax does not see; queries and keys that a
    subset of MCTF's attentions leaves out; and, until a first step, CTR-GCN's relations and pytorchvideo's residual
    branches, whose last norm starts at zero.
    """
    if row.table == 11:
        return (*LAST_BLOCK, "attention.qkv")
    if row.table == 2:
        return {"CTR-GCN": (".target.", ".source.", ".relation.")}.get(row.label, (*LAST_BLOCK, ".branch2."))
    return LAST_BLOCK


def repeatable(model, clip):
    """What a model gives, also one that guesses."""
    torch.manual_seed(0)
    return model(clip)


def row_id(row):
    return f"table{row.table}-{row.label}".replace(" ", "_")


@pytest.fixture
def keep_every_path(monkeypatch):
    """Stochastic depth could drop a branch of both clips, whose parameters then learn nothing."""
    for module in ("amge.backbones.mvit", "amge.fusion.mctf"):
        monkeypatch.setattr(f"{module}.add_path", lambda x, branch, *_: x + branch)


def design(row):
    """A row's spec at the size for tests, alike for rows whose training runs the same code.

    These are rows of one spec; of Table 4, those that distil over another axis, but for one placement (what each loss
    sees is asked without memory below); of Table 9, more than one token; of Table 10, two heads to four.
    """
    spec = row.spec("tiny")
    changes = {}
    if row.table == 4 and not row.label.startswith("DenseMCTKD"):
        changes["distill"] = spec.distill.rsplit("-", 1)[0] + "-channel"
    if row.table == 9:
        changes["tokens"] = min(spec.tokens, 5)
    if row.table == 10 and row.label in "34":
        changes["fusion_args"] = {**spec.fusion_args, "num_heads": 2}
    return spec.replace(**changes, arch="any").to_json()


TRAINED = {design(row): row for row in reversed(ROWS)}


@pytest.mark.usefixtures("keep_every_path")
@pytest.mark.parametrize("row", [*reversed(TRAINED.values())], ids=row_id)
def test_a_row_trains_one_step(row):
    torch.manual_seed(0)
    model, losses = TABLES_PY["step"](row, size="tiny")
    assert set(losses) == {"classification"} | ({"distillation"} if row.spec("tiny").distill else set())
    assert all(value.isfinite() and value > 0 for value in losses.values())
    gradients = {name: p.grad for name, p in model.named_parameters()}
    assert [name for name, grad in gradients.items() if grad is None] == []
    silent = [name for name, grad in gradients.items() if grad.abs().sum() == 0]
    expected = undone(model) | {name for name in silent if any(part in name for part in idle(row))}
    assert set(silent) <= expected
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    torch.optim.AdamW([{"params": list(model.parameters())}], lr=1e-3, weight_decay=0.0).step()
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved >= set(gradients) - set(silent)
    assert gradients or row.label in ("Random", "All Ones", "All Zeros")


def undone(model):
    """Biases that the batch norm after them takes out again: their gradients are what rounding leaves."""
    rows = [(name, part) for name, part in model.named_modules() if isinstance(part, torch.nn.Sequential)]
    norms = torch.nn.modules.batchnorm._BatchNorm
    return {f"{name}.{i}.bias" for name, part in rows for i in range(len(part) - 1) if isinstance(part[i + 1], norms)}


SHALLOW = {"embed_dim": 16, "depth": 2, "double_at": (1,)}
"""A trunk that is traced in half the time, with a block of each kind."""


def inference_only(spec):
    """A spec as JSON, without what matters in training alone, on a trunk of two blocks."""
    inference = {"distill": None, "pairing": 3} | ({} if spec.streams else {"auxiliary": "rgb_diff"})
    modality = {} if spec.modality == "skeleton" else {"modality": "rgb"}
    trunk = {"backbone_args": {**spec.backbone_args, **SHALLOW}} if spec.backbone == "mvitv2" else {}
    return spec.replace(**inference, **modality, **trunk, arch="any").to_json()


NAMED = {inference_only(amge.spec(name)) for name in (*amge.list_models("*-tiny*"), *STATISTICAL)}
"""`test_every_model.py` exports these, `hub/test_round_trip.py` saves and loads them."""
BUILT = {text: row for row in TRAINED.values() if (text := inference_only(row.spec("tiny"))) not in NAMED}
"""Rows that differ in training alone are one model, under the name of the first."""
ARITHMETIC = ("Sum", "Concatenation", "Multiplication")
"""Fusions of Table 5 that are one operation of torch: nothing that a trace could lose."""


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(text, id=row_id(row), marks=() if row.table == 5 else pytest.mark.slow)
        for text, row in reversed(BUILT.items())
        if row.label not in ARITHMETIC
    ],
)
def test_a_row_exports(text):
    torch.manual_seed(0)
    model = amge.assemble(amge.ModelSpec.from_json(text)).eval()
    clip = TABLES_PY["small_clips"](model, 2, 8, 64)
    with torch.no_grad():
        program = torch.export.export(model, (clip,), strict=False)
        assert not [name for name in program.state_dict if "teacher" in name or "sender" in name]
        assert (repeatable(program.module(), clip) - repeatable(model, clip)).abs().max() < 1e-5


@pytest.mark.parametrize("text", [pytest.param(text, id=row_id(row)) for text, row in reversed(BUILT.items())])
def test_a_row_saves_and_loads(text, tmp_path):
    torch.manual_seed(0)
    model = amge.assemble(amge.ModelSpec.from_json(text)).eval()
    again = amge.from_pretrained(model.save_pretrained(tmp_path))
    clip = TABLES_PY["small_clips"](model, 2, 4, 64)
    with torch.no_grad():
        assert torch.equal(*(repeatable(network, clip) for network in (again, model)))
    assert again.spec == model.spec


@pytest.mark.parametrize("size", [None, "tiny"])
def test_specs_are_the_same_after_json(size):
    for row in ROWS:
        assert amge.ModelSpec.from_json(row.spec(size).to_json()) == row.spec(size), row_id(row)


def test_every_row_of_the_paper_is_here():
    rows = {table: sum(row.table == table for row in ROWS) for table in TABLES}
    assert rows == {2: 16, 3: 4, 4: 24, 5: 7, 6: 11, 7: 3, 8: 3, 9: 7, 10: 5, 11: 7, 12: 3, 13: 4, 14: 3}
    assert len({(row.table, row.label) for row in ROWS}) == len(ROWS)
    for table in (3, 5, 8, 11, 12, 13, 14):
        calls = [row.call() for row in ROWS if row.table == table]
        assert len(set(calls)) == len(calls)


def rows_of(table):
    return {row.label: row for row in ROWS if row.table == table}


def tiny(table, label):
    with torch.device("meta"):
        return rows_of(table)[label].build("tiny")


@pytest.mark.parametrize("label, axis", [("CW", (2,)), ("TW", (1,)), ("FP", (1, 2))])
@pytest.mark.parametrize(
    "kind, blocks",
    [("PatchEmb", ()), ("Sparse", (1, 2, 3)), ("Dense", (0, 1, 2, 3)), ("FinalLayer", (-1,))],
)
@pytest.mark.parametrize("what, target, banks", [("KD", "main", 1), ("MCTKD", "receiver", 2)])
def test_rows_of_table_4(label, axis, kind, blocks, what, target, banks):
    model = tiny(4, f"{kind}{what}, {label}")
    loss = amge.distillation(model)
    assert (loss.loss.axis, loss.blocks, loss.target, loss.patches) == (axis, blocks, target, target == "main")
    assert len(model.bank.banks) == banks and type(model.fusion).__name__ == ("NoneType", "Mean")[banks - 1]


def test_rows_of_tables_5_and_6():
    kinds = {label: type(tiny(5, label).fusion).__name__ for label in rows_of(5)}
    assert kinds == {
        "Sum": "Sum",
        "Concatenation": "Concat",
        "Multiplication": "Product",
        "SelfAttention": "SelfAttention",
        "CrossAttention": "CrossAttention",
        "AttentionBottleNeck": "Bottleneck",
        "TransM³E-Small": "MCTF",
    }
    late = {"LateFusionSum": "Sum", "LateFusionConcat": "Concat", "LateFusionMul": "Product"}
    for label, kind in (late | {"CrossAttention": "CrossAttention"}).items():
        model = tiny(6, label)
        assert (type(model.backbone).__name__, type(model.fusion).__name__) == ("LateFusion", kind)
    early = {"PEFusionSum": "Sum", "PEFusionConcat": "Concat", "PEFusionMul": "Product", "MixedFusion": "Mixed"}
    for label, kind in early.items():
        model = tiny(6, label)
        assert (type(model.backbone).__name__, type(model.backbone.fusion).__name__) == ("PatchFusion", kind)
        assert model.spec.modalities == ("rgb", "rgb_diff")
    deit, hinton = (tiny(6, label) for label in ("DeiT", "ConventionalKD"))
    assert (type(deit.head).__name__, deit.spec.tokens, deit.spec.pairing) == ("DeiT", 1, 1)
    losses = [amge.distillation(model).loss for model in (deit, hinton)]
    assert [(loss.hard, loss.sigmoid) for loss in losses] == [(True, False), (False, False)]
    soft = amge.distillation(amge.build("mvitv2-tiny", **rows_of(6)["DeiT"].overrides | {"distill": "deit-soft"}))
    assert not soft.loss.hard
    sigmoid = amge.build("mvitv2-tiny", distill="logits", activation="sigmoid")
    assert amge.distillation(sigmoid).loss.sigmoid


def test_rows_of_the_other_tables():
    assert {label: row.spec().modality for label, row in rows_of(7).items()} == {
        "Optical Flow": "flow",
        "RGB Difference": "rgb_diff",
        "RGB": "rgb",
    }
    heads = {label: tiny(8, label).head for label in rows_of(8)}
    assert [type(head).__name__ for head in heads.values()] == ["MeanTokens", "ClassAligned", "MeanTokens"]
    assert [tiny(9, label).bank.num_tokens for label in rows_of(9)] == [1, 5, 10, 15, 20, 25, 30]
    assert [tiny(10, label).fusion.attention.num_heads for label in rows_of(10)] == [1, 2, 3, 4, 5]
    main = {"self": "mm", "mr": "mr", "rm": "rm"}
    cases = [("self",), ("mr",), ("rm",), ("self", "mr"), ("self", "rm"), ("mr", "rm"), ("self", "mr", "rm")]
    for case, attentions in enumerate(cases, start=1):
        given = tiny(11, str(case)).fusion.attention
        assert set(given.proj_main) == {main[name] for name in attentions}
        assert len(given.proj_receiver) == len(attentions) and ("rr" in given.proj_receiver) == ("self" in attentions)
    seen = {label: (row.spec().modality, row.spec().auxiliary) for label, row in rows_of(12).items()}
    assert list(seen.values()) == [("rgb", "rgb_diff"), ("rgb", "flow"), ("rgb_diff", "flow")]
    assert [row.spec().pairing for row in rows_of(13).values()] == [1, 2, 3, 4]
    look_up = tiny(14, "HAR Lookup").head
    assert (type(look_up).__name__, look_up.hard, look_up.num_classes) == ("LookUp", True, 20)


def test_presets_of_the_paper():
    """Depth, where channels double, stochastic depth, frames (appendix D.3)."""
    for size, depth, doubles, rate in (("small", 16, (1, 3, 14), 0.2), ("base", 24, (2, 5, 21), 0.3)):
        with torch.device("meta"):
            trunk = amge.build(f"transm3e-{size}").backbone
        assert len(trunk.blocks) == depth and trunk.blocks[-1].drop_path == pytest.approx(rate)
        assert [i for i, shrinks in enumerate(trunk.reduces) if shrinks] == list(doubles)


@pytest.mark.parametrize("row", [row for row in ROWS if row.parameters is not None], ids=row_id)
def test_parameters_are_those_that_the_paper_prints(row):
    with torch.device("meta"):
        millions = sum(p.numel() for p in row.build().parameters()) / 1e6
    if row.remark:  # the paper prints another number than the reference code gives
        assert f"{millions:.2f} in " in row.remark
    else:
        assert millions == pytest.approx(row.parameters, rel=0.02)
    assert round(millions * 1e6) == REFERENCE_PARAMETERS[row.model]


@pytest.mark.parametrize("size", [None, "tiny"])
def test_the_printed_call_is_that_of_the_row(size, monkeypatch):
    """The page of tables builds them at full size, `test_a_row_trains_one_step` at that for tests."""
    monkeypatch.setattr("amge.builder.assemble", lambda spec: spec)
    for row in ROWS:
        assert eval(row.call(size), {"amge": amge, "activities": ACTIVITIES}) == row.spec(size), row_id(row)


def run(capsys, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["tables.py", *arguments])
    TABLES_PY["main"]()
    return capsys.readouterr().out


def test_the_script_lists_every_row(capsys, monkeypatch):
    lines = run(capsys, monkeypatch, "--list").splitlines()
    assert len(lines) == len(ROWS)
    assert any(line.startswith("table  4  DenseMCTKD, TW") and 'distill="dense-token"' in line for line in lines)


def test_the_script_lists_unless_told_and_says_what_does_not_fit(capsys, monkeypatch):
    assert run(capsys, monkeypatch, "--table", "5") == run(capsys, monkeypatch, "--table", "5", "--list")
    for wrong, message in ((["--frames", "7"], "frames=7 is not a multiple"), (["--side", "0"], "must be 1 or more")):
        with pytest.raises(SystemExit):
            run(capsys, monkeypatch, "--table", "3", "--dry-run", "--size", "tiny", *wrong)
        assert message in capsys.readouterr().err


def test_the_script_runs_a_table(capsys, monkeypatch):
    lines = run(capsys, monkeypatch, "--table", "3", "14", "--dry-run", "--size", "tiny").splitlines()
    assert len(lines) == 7 and all(" M  classification " in line for line in lines)
    assert "distillation" in lines[3]


@pytest.mark.slow
def test_the_page_of_tables_is_what_the_script_prints(capsys, monkeypatch):
    assert (ROOT / "docs" / "tables.md").read_text() == run(capsys, monkeypatch, "--markdown")
