"""The table of trained weights that a name can stand for, and how a request for weights becomes files."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from amge.files import digest
from amge.hub.files import Files, Folder, locate
from amge.hub.load import outline
from amge.hub.names import COMMIT, INDEX, REPO, WEIGHTS
from amge.registry import MODELS

SHIPPED = Path(__file__).parent.parent / "weights"
NAME = re.compile(r"[\w-]+(\.[\w-]+)+", re.ASCII)
"""`arch.tag`."""


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """A row of the table."""

    name: str
    """The architecture."""
    tag: str
    """What it was trained on and how."""
    repo: str | None = None
    """`owner/name` on the Hugging Face Hub; None: the weights come with the package."""
    revision: str | None = None
    """The commit of the repository that is loaded, whatever its branches say."""
    sha256: str
    """Of `model.safetensors`; of the index, where there are several files."""
    licence: str
    """Of the weights."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """As in the spec."""

    @property
    def full_name(self) -> str:
        """`arch.tag`."""
        return f"{self.name}.{self.tag}"

    def files(self, **hub: Any) -> Files:
        """Where its files are; arguments as `amge.hub.files.locate`."""
        where = Folder(SHIPPED / self.full_name) if self.repo is None else locate(self.repo, self.revision, **hub)
        return Pinned(where, self.sha256)


class Pinned:
    """A checkpoint whose weights have to be the published ones.

    Args:
        files: of the checkpoint.
        sha256: as in `Pretrained`.
    """

    def __init__(self, files: Files, sha256: str) -> None:
        self.files, self.sha256 = files, sha256

    def __str__(self) -> str:
        return str(self.files)

    def get(self, name: str) -> Path | None:
        path = self.files.get(name)
        if path and name in (WEIGHTS, INDEX) and (found := digest(path)) != self.sha256:
            raise ValueError(
                f"{self}: {path.name} is not what was published: its sha256 is {found[:12]}…, not "
                f"{self.sha256[:12]}…; get it again, or load it as what it is with amge.from_pretrained"
            )
        return path

    def names(self) -> list[str]:
        return self.files.names()


PUBLISHED: dict[str, Pretrained] = {}
"""By `arch.tag`; the first of an arch is what its bare name means."""


def register_pretrained(entry: Pretrained) -> Pretrained:
    """Add weights to the table, so that `amge.build(name, pretrained=tag)` finds them.

    Raises:
        ValueError: if other weights have this name, or a repository is not pinned to a commit, or a name or hash is
            none.
    """
    if "." in entry.name or not NAME.fullmatch(entry.full_name):
        raise ValueError(f"{entry.full_name!r} is no arch.tag, words of letters, digits, - and _ with dots between")
    if not re.fullmatch(r"[0-9a-f]{64}", entry.sha256):
        raise ValueError(f"{entry.full_name!r} needs a sha256 of 64 hexadecimal digits, got {entry.sha256!r}")
    if PUBLISHED.get(entry.full_name, entry) != entry:
        raise ValueError(f"there are weights {entry.full_name!r} already; choose another tag")
    if entry.repo is not None and not REPO.fullmatch(entry.repo):
        raise ValueError(f"{entry.full_name!r} needs a repository as owner/name, got {entry.repo!r}")
    if entry.repo and not COMMIT.fullmatch(entry.revision or ""):
        raise ValueError(f"{entry.full_name!r} needs a revision, the commit of {entry.repo} that is meant, 40 digits")
    PUBLISHED[entry.full_name] = entry
    return entry


register_pretrained(
    Pretrained(
        name="st-gcn",
        tag="open-exercise",
        sha256="8e0616083b95b9edc1101d555bff2e13aa4b2ecd73bf3eedc4e4b3537d32d697",
        licence="Apache-2.0",
        metrics={"val_seen_mAP": 66.17, "val_unseen_mAP": 49.46},
    )
)
register_pretrained(
    Pretrained(
        name="st-gcn",
        tag="open-exercise-2d",
        sha256="eb2f8847f759943154d389101a189c15f833b3478e7b9e60ebe7c4608dfa819a",
        licence="Apache-2.0",
        metrics={"val_seen_mAP": 68.69, "val_unseen_mAP": 51.61},
    )
)
register_pretrained(
    Pretrained(
        name="pose-mlp",
        tag="open-exercise",
        sha256="347a8131e312f3955a5d7d566342c7074a8999c8cbbeec022b16e9e2920d348b",
        licence="Apache-2.0",
        metrics={"val_seen_mAP": 69.05, "val_unseen_mAP": 51.9},
    )
)
register_pretrained(
    Pretrained(
        name="transm3e-lite",
        tag="open-exercise",
        sha256="088439209476863e98fa7810842a9fe5e11b3bedc4d4dca53800b66302a36657",
        licence="Apache-2.0",
        metrics={"val_seen_mAP": 67.85, "val_unseen_mAP": 55.19},
    )
)
register_pretrained(
    Pretrained(
        name="transm3e-lite-pose",
        tag="open-exercise",
        sha256="b9e68ecde5231be71aff687d7a4e6272d60c6e3fa5f03b0a3f3d64abc8032b15",
        licence="Apache-2.0",
        metrics={"val_seen_mAP": 75.05, "val_unseen_mAP": 57.66},
    )
)


def list_pretrained(pattern: str = "*") -> list[Pretrained]:
    """The weights that can be had by name, `amge.build(row.name, pretrained=row.tag)`.

    Args:
        pattern: shell-style, of `arch.tag`.
    """
    return [entry for name, entry in sorted(PUBLISHED.items()) if fnmatch(name, pattern)]


def find(name: str, pretrained: bool | str | Path, revision: str | None = None, **hub: Any) -> Files:
    """The files of the weights of model `name`.

    Args:
        name: `arch` or `arch.tag`; the bare arch means its first published tag.
        pretrained: True, a tag of the arch, a folder, or a repository on the Hub.
        revision: of the repository; published weights have their own.
        hub: as `amge.hub.files.locate` takes them.

    Raises:
        ValueError: if there is no such checkpoint; says which exist, and how to come by others.
    """
    arch = name.split(".")[0]
    entry = None
    if pretrained is True:
        entry = next((entry for full, entry in PUBLISHED.items() if name in (full, entry.name)), None)
        if entry is None:
            raise ValueError(no_weights(name))
    elif isinstance(pretrained, str):
        entry = PUBLISHED.get(f"{arch}.{pretrained}")
    if entry is not None:
        if revision is not None:
            raise ValueError(
                f"{entry.full_name} is published as one revision; for another give pretrained={entry.repo!r}"
            )
        return entry.files(**hub)
    place: str | Path = pretrained  # type: ignore[assignment]
    if isinstance(place, str) and not os.path.exists(place) and not REPO.fullmatch(place) and os.sep not in place:
        tags = [entry.tag for entry in PUBLISHED.values() if entry.name == arch]
        raise ValueError(
            f"{place!r} is neither a tag of {arch!r} ({', '.join(tags) or 'it has none'}), nor a folder, nor a "
            f"repository on the Hub as owner/name; published weights: {', '.join(PUBLISHED)}"
        )
    return locate(place, revision, **hub)


def no_weights(name: str) -> str:
    """What to say of a model without published weights."""
    if not outline(MODELS[name.split(".")[0]]())[0]:
        return f"{name!r} learns nothing, so there are no weights of it; amge.build({name!r}) is all of it"
    return (
        f"no trained weights are published for {name!r}; there are {', '.join(PUBLISHED) or 'none'} "
        f"(amge.list_pretrained()). Train it: {recipe(name.split('.')[0])} (docs/training.md). Or convert a checkpoint "
        f"of another code base: amge convert SOURCE CHECKPOINT CONFIG OUT, then amge.from_pretrained('OUT') "
        f"(docs/checkpoints.md). Or pass pretrained='FOLDER' or 'owner/name' of a checkpoint on the Hub. "
        f"amge.build({name!r}) alone builds it untrained"
    )


def recipe(arch: str) -> str:
    """How to train a model: the command of a preset that is fit for it, and what it needs."""
    spec = MODELS[arch]()
    preset, data, needs = "paper", "MUSCLEMAP136", "from real videos, on GPUs"
    if "tiny" in arch.split("-"):
        preset, data, needs = "tiny", "CLIPS", "minutes on a CPU, from rendered clips"
    elif spec.modality == "skeleton":
        preset, data, needs = "open-exercise", "OPEN_EXERCISE", "from the poses of photographs, on a CPU"
    elif spec.backbone == "timm-frames":
        preset, data, needs = "open-exercise", "OPEN_EXERCISE", "from photographs, on a GPU"
    fits = preset == "tiny" or spec.backbone == {"paper": "mvitv2", "open-exercise": "timm-frames"}[preset]
    start = "" if fits else " --set init=null"
    return f"amge train --preset {preset} --set model={arch}{start} --data {data} --out RUN, {needs}"


def is_name(model: str) -> bool:
    """Whether a model is meant by its name; a known name is, even where a file is called the same."""
    return model in {*MODELS, *PUBLISHED} or not (os.path.exists(model) or os.sep in model or "/" in model)
