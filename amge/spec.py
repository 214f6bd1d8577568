"""The serialisable description of a model: plain values only, JSON both ways."""

import dataclasses
import inspect
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict

from amge.errors import one_of
from amge.evidence import LIMITS
from amge.muscles import REGION_IDS
from amge.prediction import Threshold, check_threshold
from amge.video.modality import MODALITIES
from amge.video.preprocess import CROPS
from amge.video.sampling import SAMPLINGS

if TYPE_CHECKING:
    from typing_extensions import Unpack

THRESHOLDS = {"sigmoid": 0.5, "softmax": 0.05}
"""From which probability a label counts as active, if nothing better is known; 0.05 is that of the official figures."""
ACTIVATIONS = tuple(THRESHOLDS)
ABOUT = ("metrics", "provenance", "imports")
"""Fields that say something of weights, each a mapping."""
MAPPINGS = (*ABOUT, "evidence")
DECIDING = ("threshold", "temperature")
"""Fields that turn logits into what is active."""
UNMEASURED = (*MAPPINGS, *DECIDING, "person_head", "arch", "tag", "licence", "distill", "distill_args", "pairing")
"""Fields on which no metric depends: average precision knows no threshold, and one temperature keeps the order."""
PAIRINGS = (1, 2, 3, 4)
"""Cases of Table 13."""
MOST = 10_000
"""Tokens, frames or pixels: what comes from elsewhere may not ask for all memory that there is."""
PIXELS = 2**26
"""Of a clip: 64 frames of 1024²."""
LARGEST = 1_000_000
"""Whole number among the arguments of a part."""


def is_number(value: object, above: float | None = None) -> bool:
    """Whether `value` is a finite number, and over `above` if that is given."""
    plain = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    return plain and (above is None or value > above)  # type: ignore[operator]


def class_names(num_classes: int) -> tuple[str, ...]:
    """Labels for classes that have no names: `class_0`, `class_1`, ...

    Raises:
        ValueError: unless it is a whole number from 1 up.
    """
    if not isinstance(num_classes, int) or isinstance(num_classes, bool) or num_classes < 1:
        raise ValueError(f"num_classes must be a whole number from 1 up, got {num_classes!r}")
    return tuple(f"class_{i}" for i in range(num_classes))


def check_arguments(function: Callable[..., Any], overrides: Iterable[str]) -> None:
    """Raise `ValueError` for a name that is no field of a spec, with the closest of these and the function's own."""
    own = inspect.signature(function).parameters.values()
    names = [each.name for each in own if each.kind is not each.VAR_KEYWORD]
    for name in overrides:
        one_of("argument", name, (*names, *(f.name for f in dataclasses.fields(ModelSpec))))


def is_module(name: str) -> bool:
    """Whether a module may be called that."""
    return all(word.isidentifier() for word in name.split("."))


def plain(text: str) -> Any:
    """What JSON says, if it can mean one thing alone.

    Raises:
        ValueError: if it is not JSON, holds NaN or infinity, or a name twice in one object.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(values := dict(pairs)) < len(pairs):
            raise ValueError("a name is there twice")
        return values

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no number of JSON")

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None


class SpecFields(TypedDict, total=False):
    """The fields of a `ModelSpec` by name, each as that takes it: for type checkers, which then know misspelt ones."""

    arch: str
    backbone: str
    backbone_args: Mapping[str, Any]
    banks: tuple[str, ...] | list[str]
    tokens: int
    fusion: str | None
    fusion_args: Mapping[str, Any]
    head: str
    head_args: Mapping[str, Any]
    streams: str | None
    streams_args: Mapping[str, Any]
    skeleton: str | None
    skeleton_args: Mapping[str, Any]
    skeleton_fusion: str | None
    skeleton_fusion_args: Mapping[str, Any]
    auxiliary: str
    auxiliary_backbone: str | None
    auxiliary_backbone_args: Mapping[str, Any]
    distill: str | None
    distill_args: Mapping[str, Any]
    pairing: int
    labels: tuple[str, ...] | list[str]
    activation: str
    threshold: Threshold
    temperature: float
    modality: str
    frames: int
    size: int
    seconds: float
    crop: str
    sampling: str
    mean: tuple[float, ...] | list[float]
    std: tuple[float, ...] | list[float]
    evidence: Mapping[str, float]
    person_head: bool
    tag: str | None
    licence: str | None
    metrics: Mapping[str, float]
    provenance: Mapping[str, Any]
    imports: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """What a builder needs to rebuild a model, and what a checkpoint must say so that `predict` obeys it.

    Raises:
        ValueError: for values that contradict one another, when made.
    """

    arch: str
    """Name of the architecture, such as `transm3e-lite`."""
    backbone: str
    """Registered name; its constructor takes `backbone_args`, `frames` and `size`."""
    backbone_args: Mapping[str, Any] = field(default_factory=dict)
    banks: tuple[str, ...] = ("main",)
    """Token banks in the order of the sequence; two of them are fused, the first as `main`. None, `()`: the head takes
    the patches."""
    tokens: int = len(REGION_IDS)
    """Muscle tokens per bank, `M`."""
    fusion: str | None = None
    """Registered name, or None for a model of one bank."""
    fusion_args: Mapping[str, Any] = field(default_factory=dict)
    head: str = "mean"
    head_args: Mapping[str, Any] = field(default_factory=dict)

    streams: str | None = None
    """Of a model that sees two modalities: `late` (a backbone for each, whose banks the fusion merges) or `patch-` and
    a registered fusion (a patch embedding for each, before one trunk)."""
    streams_args: Mapping[str, Any] = field(default_factory=dict)
    """Of the fusion of patch embeddings."""
    skeleton: str | None = None
    """Registered backbone of the joints that a model of pictures sees besides, where somebody's are known; its muscle
    tokens are fused with those of the pictures."""
    skeleton_args: Mapping[str, Any] = field(default_factory=dict)
    skeleton_fusion: str | None = None
    """Registered name of the fusion of both; with `skeleton` alone."""
    skeleton_fusion_args: Mapping[str, Any] = field(default_factory=dict)
    auxiliary: str = "rgb_diff"
    """The second modality: of the teacher, at training time only, or of the second stream."""
    auxiliary_backbone: str | None = None
    """Registered name of the backbone of the teacher or the second stream; None: the same as `backbone`."""
    auxiliary_backbone_args: Mapping[str, Any] = field(default_factory=dict)
    distill: str | None = None
    """Registered name of how a teacher teaches, such as `dense-token`; None: there is no teacher."""
    distill_args: Mapping[str, Any] = field(default_factory=dict)
    pairing: int = 3
    """Case of Table 13: which auxiliary clip goes with which of the two clips of a training video."""

    labels: tuple[str, ...] = REGION_IDS
    """What each logit stands for, in order."""
    activation: str = "sigmoid"
    threshold: Threshold = 0.5
    """Probability from which a label counts as active: one for all, or by name a label's own; those that are left out
    have that of `THRESHOLDS`."""
    temperature: float = 1.0
    """What logits are divided by before the sigmoid, so that probabilities are as often right as they say;
    `amge.calibrate` finds it."""
    modality: str = "rgb"
    """What the model sees, the major modality: `rgb`, `rgb_diff`, `flow` or `skeleton`."""
    frames: int = 8
    """Frames per clip, `T`."""
    size: int = 224
    """Height and width of a clip in pixels."""
    seconds: float = 10.0
    """Length of the window of a long video that one clip is sampled from: `frames * stride / 30` for a clip of every
    `stride`-th frame of a video of 30 a second."""
    crop: str = "movement"
    """Which square of the picture it sees: `movement`, that which holds the movement, or `centre`, the largest."""
    sampling: str = "even"
    """Which frames of a window it sees: `even`, at equal distances (paper), or `spread`, those that differ most, so
    that length, cut and tempo of a movement matter less."""
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    """Per channel, of pixels in 0..1."""

    evidence: Mapping[str, float] = field(default_factory=dict)
    """From which value on what an answer rests on is enough, by the names of `amge.evidence.LIMITS`, where it is not
    as there."""
    person_head: bool = False
    """Whether the model reads in its patches if somebody is there; `amge.recipes.person` trains that."""

    tag: str | None = None
    """Of a trained checkpoint: what it was trained on and how, as in `transm3e-lite.open-exercise`."""
    licence: str | None = None
    """Of the weights."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Measured ones by name: the split, then the metric, such as `val_seen_mAP` in percent."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """How the weights came about; what the model card says. `data` is a list of objects with `name` and `licence`; by
    convention there are `seed`, `commit`, `command`, `teacher`, `init` and `source` as well."""
    imports: Mapping[str, str] = field(default_factory=dict)
    """Parts that do not come with this library, `kind name` to the module that registers each: for those who load."""

    def __post_init__(self) -> None:
        for field_ in dataclasses.fields(self):  # as JSON would give them back
            object.__setattr__(self, field_.name, _tuples(getattr(self, field_.name)))
        one_of("activation", self.activation, ACTIVATIONS)
        one_of("modality", self.modality, MODALITIES)
        one_of("auxiliary modality", self.auxiliary, MODALITIES)
        one_of("crop", self.crop, CROPS)
        one_of("sampling", self.sampling, SAMPLINGS)
        for name in ("arch", "backbone", "head"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise ValueError(f"{name} must be a name, got {getattr(self, name)!r}")
        for part in ("fusion", "streams", "skeleton", "skeleton_fusion", "auxiliary_backbone", "distill"):
            if not isinstance(getattr(self, part), str | None):
                raise ValueError(f"{part} must be a name or None, got {getattr(self, part)!r}")
            if getattr(self, part) is None and getattr(self, f"{part}_args"):
                raise ValueError(f"{part}_args={getattr(self, f'{part}_args')!r} have no {part} to go to")
        if (self.skeleton is None) != (self.skeleton_fusion is None):
            raise ValueError(
                f"skeleton and skeleton_fusion go together; got {self.skeleton!r} and {self.skeleton_fusion!r}"
            )
        if self.skeleton and (self.modality == "skeleton" or not self.banks):
            raise ValueError("a second stream of joints is for models of pictures with muscle tokens")
        if self.streams and (self.modality == self.auxiliary or "skeleton" in self.modalities):
            raise ValueError(f"two streams see two different kinds of clips, got {' and '.join(self.modalities)}")
        if self.streams == "late" and self.streams_args:
            raise ValueError("late streams take no streams_args; the fusion's are fusion_args")
        if self.pairing not in PAIRINGS or not isinstance(self.pairing, int) or isinstance(self.pairing, bool):
            raise ValueError(f"pairing is a case of Table 13, one of {PAIRINGS}; got {self.pairing!r}")
        for name in ("tokens", "frames", "size"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST:
                raise ValueError(f"{name} must be a whole number from 1 to {MOST:,}, got {value!r}")
        if self.modality != "skeleton" and self.frames * self.size**2 > PIXELS:
            raise ValueError(
                f"a clip of {self.frames} frames of {self.size} x {self.size} pixels is too large, {PIXELS:,} pixels go"
            )
        for name in ("labels", "banks"):
            names = getattr(self, name)
            if not isinstance(names, tuple) or not all(isinstance(n, str) and n for n in names):
                raise ValueError(f"{name} must be a tuple of names, got {names!r}")
        if not self.labels or len(set(self.labels)) != len(self.labels):
            raise ValueError("labels must be distinct names, at least one")
        given = self.threshold
        if isinstance(given, Mapping):
            given = {**dict.fromkeys(self.labels, THRESHOLDS[self.activation]), **given}
        object.__setattr__(self, "threshold", check_threshold(given, self.labels))
        if not is_number(self.temperature, 0):
            raise ValueError(f"temperature must be a number over 0, got {self.temperature!r}")
        if self.activation != "sigmoid" and self.temperature != 1:
            raise ValueError(f"a temperature is of sigmoids, got {self.temperature} for {self.activation!r}")
        for name in (f.name for f in dataclasses.fields(self) if f.name.endswith("_args") or f.name in MAPPINGS):
            if not isinstance(getattr(self, name), Mapping):
                raise ValueError(f"{name} must map names to values, got {getattr(self, name)!r}")
            try:
                text = json.dumps(getattr(self, name), allow_nan=False)
                json.loads(text, parse_int=_argument if name.endswith("_args") else None)
            except (TypeError, ValueError) as error:
                raise ValueError(f"{name} must hold plain values, which a config can keep: {error}") from None
        for name in ("tag", "licence"):
            if not isinstance(getattr(self, name), str | None):
                raise ValueError(f"{name} must be text or None, got {getattr(self, name)!r}")
        for name, value in self.evidence.items():
            one_of("limit of evidence", name, LIMITS)
            if not is_number(value):
                raise ValueError(f"evidence must hold numbers, got {name}={value!r}")
        if not isinstance(self.person_head, bool):
            raise ValueError(f"person_head must be True or False, got {self.person_head!r}")
        if self.person_head and self.modality == "skeleton":
            raise ValueError("a skeleton model has no person_head; a pose estimator finds its persons")
        if not all(map(is_number, self.metrics.values())):
            raise ValueError(f"metrics must be numbers, got {self.metrics!r}")
        if not all(isinstance(home, str) and is_module(home) for home in self.imports.values()):
            raise ValueError("imports must map parts to names of modules")
        for name, least in (("mean", None), ("std", 0)):
            values = getattr(self, name)
            if not isinstance(values, tuple) or len(values) != 3 or not all(is_number(v, least) for v in values):
                raise ValueError(f"{name} must hold three numbers{' over 0' if least == 0 else ''}, got {values!r}")
        if not is_number(self.seconds, 0):
            raise ValueError(f"seconds must be a number over 0, got {self.seconds!r}")
        if len(self.banks) not in ((0, 1) if self.fusion is None else (2,)):
            raise ValueError(
                f"a model has at most one bank of tokens and no fusion, or two banks and a fusion; "
                f"got banks={self.banks} and fusion={self.fusion!r}"
            )

    @property
    def name(self) -> str:
        """`arch.tag`, or the arch alone."""
        return f"{self.arch}.{self.tag}" if self.tag else self.arch

    def untrained(self) -> "ModelSpec":
        """A copy without what is true of trained weights alone."""
        return dataclasses.replace(
            self, tag=None, licence=None, metrics={}, provenance={}, person_head=False, temperature=1.0
        )

    @property
    def modalities(self) -> tuple[str, ...]:
        """What the model sees at inference, in the order of its input's channels."""
        return (self.modality, self.auxiliary) if self.streams else (self.modality,)

    def replace(self, **overrides: "Unpack[SpecFields]") -> "ModelSpec":
        """A copy with other values. Arguments go with their part: another part starts from none unless they are given,
        and another activation from a threshold of its own and no temperature. Limits of `evidence` and thresholds by
        name are added to those that are there. Thresholds go with their labels, new labels have that of `THRESHOLDS`.
        Tokens for a model without a bank give it one. Metrics go, unless they are given too, where something else
        changes than what is said of the model or how it learns.

        Raises:
            ValueError: for an unknown field, with the closest names.
        """
        fields = [f.name for f in dataclasses.fields(self)]
        for name in overrides:
            one_of("spec field", name, fields)
        fresh: dict[str, Any] = {
            f"{part}_args": {}
            for part, value in overrides.items()
            if f"{part}_args" in fields and value != getattr(self, part)
        }
        if overrides.get("activation", self.activation) != self.activation:
            fresh["temperature"] = 1.0
        if any(name not in UNMEASURED and value != getattr(self, name) for name, value in overrides.items()):
            fresh["metrics"] = {}
        if isinstance(overrides.get("evidence"), Mapping):
            fresh["evidence"] = {**self.evidence, **overrides.pop("evidence")}
        if "tokens" in overrides and not self.banks:
            fresh["banks"] = ("main",)
        return dataclasses.replace(self, **{**fresh, **overrides, "threshold": self._threshold(overrides)})

    def _threshold(self, changes: Mapping[str, Any]) -> Any:
        """The threshold after changes: each label's own goes with it, those that are given by name are added."""
        activation, labels = changes.get("activation", self.activation), changes.get("labels", self.labels)
        there = self.threshold if activation == self.activation else THRESHOLDS.get(activation, self.threshold)
        given = changes.get("threshold", there)
        if not isinstance(given, Mapping):
            return given
        known = dict.fromkeys(n for n in labels if isinstance(n, str)) if isinstance(labels, (list, tuple)) else {}
        before = there if isinstance(there, Mapping) else dict.fromkeys(known, there)
        kept = {name: value for name, value in before.items() if name in known}
        return kept if given is there else {**kept, **given}

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "ModelSpec":
        """The spec that `to_json` wrote.

        Raises:
            ValueError: for anything that is not such a spec: broken JSON, unknown, missing or wrong fields.
        """
        values = plain(text)
        if not isinstance(values, dict):
            raise ValueError(f"a spec is a JSON object, got {type(values).__name__}")
        fields = {f.name: f for f in dataclasses.fields(cls)}
        for name in values:
            one_of("spec field", name, fields)
        try:
            return cls(**values)
        except (TypeError, RecursionError) as error:
            raise ValueError(f"not a model spec: {error}") from None


def _argument(text: str) -> int:
    if len(text) > 20 or abs(int(text)) > LARGEST:
        raise ValueError(f"{text:.20} is beyond {LARGEST:,}")
    return int(text)


def _tuples(value: Any) -> Any:
    """Lists as tuples, at any depth."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, (list, tuple)) else value
