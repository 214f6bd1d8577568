"""Tables 2 to 14 of the paper, row by row: what each row is called there, and the call that builds it here.

Where the paper leaves a choice open or contradicts itself, a remark says what was read and why.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from amge.assemble import teacher_spec
from amge.builder import build
from amge.model import MuscleModel
from amge.spec import ModelSpec
from amge.synthetic import EXERCISES
from amge.zoo import STATISTICAL, spec

ACTIVITIES = {name: exercise.regions for name, exercise in EXERCISES.items()}
"""An example of a look-up table; the paper's has the 136 activities of MuscleMap136."""

REFERENCE_PARAMETERS = {
    "random": 0,
    "all-ones": 0,
    "all-zeros": 0,
    "st-gcn": 3_078_424,
    "ctr-gcn": 1_426_114,
    "hd-gcn": 1_289_346,
    "c2d-r50": 23_549_012,
    "i3d-r50": 27_264_852,
    "slow-r50": 31_675_476,
    "slowfast-r50": 33_690_588,
    "videoswin-small": 49_524_458,
    "videoswin-base": 87_659_484,
    "mvitv2-small": 34_245_524,
    "mvitv2-base": 50_901_044,
    "transm3e-small": 44_376_116,
    "transm3e-base": 61_031_636,
    "two-stream-small": 68_479_316,
}
"""Of the reference implementations, built at 20 outputs; of the two streams, two MViTv2-S with MCTs and one head."""


@dataclass(frozen=True, eq=False)
class Row:
    """One row of a table."""

    table: int
    label: str
    """As printed, or as its columns say."""
    model: str
    """Name of a model."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the spec to replace."""
    parameters: float | None = None
    """In millions, where the paper prints them."""
    remark: str = ""

    def name(self, size: str | None = None) -> str:
        """The model at the paper's size, or another, such as `tiny`; statistical baselines have none."""
        if size is None:
            return self.model
        name = re.sub(r"-(small|base|r50)(?=-|$)|$", f"-{size}", self.model, count=1)
        return self.model if self.model in STATISTICAL else name

    def call(self, size: str | None = None) -> str:
        """The call that builds it, as text."""
        arguments = "".join(f", {key}={value!r}" for key, value in self.changes(size).items())
        return f'amge.build("{self.name(size)}"{arguments})'.replace(repr(ACTIVITIES), "activities").replace("'", '"')

    def changes(self, size: str | None = None) -> dict[str, Any]:
        """The overrides; arguments of the backbone are added to those of the named model."""
        changes = dict(self.overrides)
        if "backbone_args" in changes:
            changes["backbone_args"] = {**spec(self.name(size)).backbone_args, **changes["backbone_args"]}
        return changes

    def spec(self, size: str | None = None) -> ModelSpec:
        return spec(self.name(size)).replace(**self.changes(size))

    def build(self, size: str | None = None) -> MuscleModel:
        """The model, with random weights."""
        return build(self.name(size), **self.changes(size))

    def teacher_spec(self, size: str | None = None) -> ModelSpec | None:
        """The spec of its teacher, if it has one."""
        student = self.spec(size)
        return teacher_spec(student) if student.distill else None


def _table_2() -> Iterator[Row]:
    for label, model in (("Random", "random"), ("All Ones", "all-ones"), ("All Zeros", "all-zeros")):
        yield Row(2, label, model, parameters=0.0)
    for label, model, millions, remark in (
        ("ST-GCN", "st-gcn", 2.6, "3.08 in the reference code, with importance weights"),
        ("CTR-GCN", "ctr-gcn", 1.4, ""),
        ("HD-GCN", "hd-gcn", 0.8, "1.29 in the reference code"),
        ("C2D (R50)", "c2d-r50", 23.5, ""),
        ("I3D (R50)", "i3d-r50", 20.4, "27.26 in pytorchvideo"),
        ("Slow (R50)", "slow-r50", 24.3, "31.68 in pytorchvideo"),
        ("SlowFast (R50)", "slowfast-r50", 25.3, "33.69 in pytorchvideo"),
        ("MViTv2-S", "mvitv2-small", 34.2, ""),
        ("MViTv2-B", "mvitv2-base", 51.2, ""),
        ("VideoSwin-S", "videoswin-small", 50.0, ""),
        ("VideoSwin-B", "videoswin-base", 88.0, ""),
        ("TransM³E-Small", "transm3e-small", 44.4, ""),
        ("TransM³E-Base", "transm3e-base", 60.7, ""),
    ):
        yield Row(2, label, model, parameters=millions, remark=remark)


def _table_3() -> Iterator[Row]:
    yield Row(3, "MViTv2-S", "mvitv2-small")
    yield Row(3, "MCTs", "mvitv2-small-mct")
    yield Row(3, "MCTs, MCTKD", "transm3e-small", {"fusion": "mean"}, remark="without MCTF the MCTs are averaged, C.1")
    yield Row(3, "MCTs, MCTKD, MCTF", "transm3e-small")


def _table_4() -> Iterator[Row]:
    plain: tuple[str, dict[str, Any]] = ("mvitv2-small-mct", {"distill_args": {"target": "main"}})
    for kind, (model, student) in (("KD", plain), ("MCTKD", ("transm3e-small", {"fusion": "mean"}))):
        for label, placement in (
            ("PatchEmb", "patch_embedding"),
            ("Sparse", "sparse"),
            ("Dense", "dense"),
            ("FinalLayer", "final"),
        ):
            for letters, axis in (("CW", "channel"), ("TW", "token"), ("FP", "full")):
                yield Row(4, f"{label}{kind}, {letters}", model, {"distill": f"{placement}-{axis}", **student})


def _table_5() -> Iterator[Row]:
    for label, fusion in (
        ("Sum", "sum"),
        ("Concatenation", "concat"),
        ("Multiplication", "product"),
        ("SelfAttention", "self-attention"),
        ("CrossAttention", "cross-attention"),
        ("AttentionBottleNeck", "bottleneck"),
    ):
        remark = "printed with the numbers of Table 3 without MCTF, where C.1 says mean" if fusion == "concat" else ""
        yield Row(5, label, "transm3e-small", {"fusion": fusion}, remark=remark)
    yield Row(5, "TransM³E-Small", "transm3e-small")


def _table_6() -> Iterator[Row]:
    for label, fusion, millions in (
        ("LateFusionSum", "sum", 68.5),
        ("LateFusionConcat", "concat", None),
        ("LateFusionMul", "product", None),
        ("CrossAttention", "cross-attention", None),
    ):
        yield Row(6, label, "two-stream-small", {"fusion": fusion}, millions)
    for label, streams in (
        ("PEFusionSum", "patch-sum"),
        ("PEFusionConcat", "patch-concat"),
        ("PEFusionMul", "patch-product"),
        ("MixedFusion", "patch-mixed"),
    ):
        yield Row(6, label, "mvitv2-small-mct", {"streams": streams})
    deit = {"banks": ("main", "receiver"), "fusion": "concat", "head": "deit", "distill": "deit-hard", "pairing": 1}
    yield Row(6, "DeiT", "mvitv2-small", deit, remark="hard decisions, DeiT's best; 'deit-soft' for the other")
    yield Row(6, "ConventionalKD", "mvitv2-small", {"distill": "logits", "pairing": 1})
    yield Row(6, "Ours", "transm3e-small")


def _table_7() -> Iterator[Row]:
    for label, modality in (("Optical Flow", "flow"), ("RGB Difference", "rgb_diff"), ("RGB", "rgb")):
        yield Row(7, label, "mvitv2-small-mct", {"modality": modality})


def _table_8() -> Iterator[Row]:
    yield Row(8, "MViTv2-S", "mvitv2-small")
    aligned = {"head": "class-aligned", "backbone_args": {"norm": False}}
    remark = "without the last layer norm, after which the mean over channels is zero"
    yield Row(8, "MViTv2-S + MCT", "mvitv2-small-mct", aligned, remark=remark)
    yield Row(8, "Ours (With only MCTs)", "mvitv2-small-mct")


def _table_9() -> Iterator[Row]:
    for tokens in (1, 5, 10, 15, 20, 25, 30):
        yield Row(9, str(tokens), "mvitv2-small-mct", {"tokens": tokens})


def _table_10() -> Iterator[Row]:
    for heads in range(1, 6):
        remark = "768 is not divisible by 5: heads of 154" if heads == 5 else ""
        yield Row(
            10,
            str(heads),
            "transm3e-small",
            {"fusion_args": {"num_heads": heads, "token_affine": True}},
            remark=remark,
        )


def _table_11() -> Iterator[Row]:
    cases = (("self",), ("mr",), ("rm",), ("self", "mr"), ("self", "rm"), ("mr", "rm"), ("self", "mr", "rm"))
    for case, attentions in enumerate(cases, start=1):
        arguments = {"attentions": attentions, "token_affine": True}
        yield Row(11, str(case), "transm3e-small", {"fusion_args": arguments})


def _table_12() -> Iterator[Row]:
    for label, major, auxiliary in (
        ("RGB+RGB DIFF", "rgb", "rgb_diff"),
        ("RGB+OPT", "rgb", "flow"),
        ("RGB DIFF+OPT", "rgb_diff", "flow"),
    ):
        yield Row(12, label, "transm3e-small", {"modality": major, "auxiliary": auxiliary})


def _table_13() -> Iterator[Row]:
    for case in range(1, 5):
        remark = "worded like case 1; read as crosswise, of which case 3 is half" if case == 2 else ""
        yield Row(13, f"case {case}", "transm3e-small", {"pairing": case}, remark=remark)


def _table_14() -> Iterator[Row]:
    look_up = {"head": "look-up", "head_args": {"activities": ACTIVITIES}, "activation": "sigmoid"}
    yield Row(14, "HAR Lookup", "mvitv2-small", look_up)
    yield Row(14, "MViTv2", "mvitv2-small")
    yield Row(14, "Ours", "transm3e-small")


TITLES = {
    2: "the benchmark",
    3: "the parts of TransM³E, one by one",
    4: "where and over what MCTKD distils",
    5: "token fusions",
    6: "fusion of two modalities, and other distillation",
    7: "one modality alone",
    8: "class-aligned tokens (Xu et al.) against MCTs",
    9: "tokens per bank",
    10: "heads of MCTF",
    11: "attentions of MCTF",
    12: "major and auxiliary modality",
    13: "pairing of two clips with their auxiliary clips",
    14: "action recognition and a look-up table",
}
NOTES = {
    3: "Two printed rows carry the same tick marks; the labels here follow the text.",
    4: "Plain KD has no receiver (figure 6 c). Without MCTF the tokens are averaged (C.1).",
    6: "The second modality, of the stream or the teacher, is the default of `auxiliary`: RGB differences. Two-stream "
    "models have 20 tokens in each stream, so that attention has something to choose from; DeiT and ConventionalKD "
    "have MViTv2-S's one, and pair each clip with its own auxiliary clip, as C.7 speaks of MCTKD alone.",
    9: "C.3 says without MCTF, which would leave MCTKD. But the row of 1 has the numbers of MViTv2-S in Table 2, and "
    "that of 20 those of RGB in Table 7, where there is no second modality: so no teacher here.",
    10: "Arguments replace those of the named model as a whole, hence `token_affine`.",
    11: "`self` are the attentions mm and rr, `mr` main on receiver, `rm` receiver on main, each for both results.",
    14: "`activities` maps the name of each training activity to its regions.",
}
TABLES = {
    2: _table_2,
    3: _table_3,
    4: _table_4,
    5: _table_5,
    6: _table_6,
    7: _table_7,
    8: _table_8,
    9: _table_9,
    10: _table_10,
    11: _table_11,
    12: _table_12,
    13: _table_13,
    14: _table_14,
}
ROWS: tuple[Row, ...] = tuple(row for table in TABLES.values() for row in table())
