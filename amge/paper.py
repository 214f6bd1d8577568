"""Tables 2 to 14 of the paper, row by row: what each row is called there, and the call that builds it here.

Where the paper leaves a choice open or contradicts itself, a remark says what was read and why.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from amge.builder import build, teacher_spec
from amge.data.synthetic import EXERCISES
from amge.model import MuscleModel
from amge.spec import ModelSpec
from amge.zoo import spec

ACTIVITIES = {name: exercise.regions for name, exercise in EXERCISES.items()}
"""An example of a look-up table; the paper's has the 136 activities of MuscleMap136."""


@dataclass(frozen=True, eq=False)
class Row:
    """One row of a table."""

    table: int
    label: str
    """As printed."""
    model: str | None
    """Name of a model; None: the library has no such model yet."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the spec to replace."""
    parameters: float | None = None
    """In millions, where the paper prints them."""
    remark: str = ""

    def name(self, size: str | None = None) -> str:
        """The model at the paper's size, or another, such as `tiny`.

        Raises:
            ValueError: if the library has no such model.
        """
        if self.model is None:
            raise ValueError(f"table {self.table}, {self.label!r}: the library has no such model yet")
        return self.model.replace("-small", f"-{size}").replace("-base", f"-{size}") if size else self.model

    def call(self, size: str | None = None) -> str:
        """The call that builds it, as text."""
        arguments = "".join(f", {key}={value!r}" for key, value in self.overrides.items())
        return f'amge.build("{self.name(size)}"{arguments})'.replace(repr(ACTIVITIES), "activities").replace("'", '"')

    def spec(self, size: str | None = None) -> ModelSpec:
        return spec(self.name(size)).replace(**self.overrides)

    def build(self, size: str | None = None) -> MuscleModel:
        """The model, with random weights."""
        return build(self.name(size), **self.overrides)

    def teacher_spec(self, size: str | None = None) -> ModelSpec | None:
        """The spec of its teacher, if it has one."""
        student = self.spec(size)
        return teacher_spec(student) if student.distill else None


def _table_2() -> Iterator[Row]:
    for label, millions in (
        ("Random", 0.0),
        ("All Ones", 0.0),
        ("All Zeros", 0.0),
        ("ST-GCN", 2.6),
        ("CTR-GCN", 1.4),
        ("HD-GCN", 0.8),
        ("C2D (R50)", 23.5),
        ("I3D (R50)", 20.4),
        ("Slow (R50)", 24.3),
        ("SlowFast (R50)", 25.3),
    ):
        yield Row(2, label, None, parameters=millions)
    yield Row(2, "MViTv2-S", "mvitv2-small", parameters=34.2)
    yield Row(2, "MViTv2-B", "mvitv2-base", parameters=51.2)
    yield Row(2, "VideoSwin-S", None, parameters=50.0)
    yield Row(2, "VideoSwin-B", None, parameters=88.0)
    yield Row(2, "TransM³E-Small", "transm3e-small", parameters=44.4)
    yield Row(2, "TransM³E-Base", "transm3e-base", parameters=60.7)


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
        yield Row(5, label, "transm3e-small", {"fusion": fusion})
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
    deit = {"banks": ("main", "receiver"), "fusion": "concat", "head": "deit", "distill": "deit-hard"}
    yield Row(6, "DeiT", "mvitv2-small", deit, remark="hard decisions, DeiT's best; 'deit-soft' for the other")
    yield Row(6, "ConventionalKD", "mvitv2-small", {"distill": "logits"})
    yield Row(6, "Ours", "transm3e-small")


def _table_7() -> Iterator[Row]:
    for label, modality in (("Optical Flow", "flow"), ("RGB Difference", "rgb_diff"), ("RGB", "rgb")):
        yield Row(7, label, "mvitv2-small-mct", {"modality": modality})


def _table_8() -> Iterator[Row]:
    yield Row(8, "MViTv2-S", "mvitv2-small")
    yield Row(8, "MViTv2-S + MCT", "mvitv2-small-mct", {"head": "class-aligned"})
    yield Row(8, "Ours (With only MCTs)", "mvitv2-small-mct")


def _table_9() -> Iterator[Row]:
    for tokens in (1, 5, 10, 15, 20, 25, 30):
        remark = "no teacher: 1 and 20 are printed with the numbers of tables 2 and 7" if tokens in (1, 20) else ""
        yield Row(9, str(tokens), "mvitv2-small-mct", {"tokens": tokens}, remark=remark)


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
    yield Row(14, "HAR Lookup", "mvitv2-small", look_up, remark="activities: name to regions, of the training set")
    yield Row(14, "MViTv2", "mvitv2-small")
    yield Row(14, "Ours", "transm3e-small")


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
