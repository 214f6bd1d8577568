"""Data sets by name: `load_samples("open-exercise", "data/open_exercise")`."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from amge.data.sample import Sample
from amge.errors import one_of
from amge.muscles import REGION_IDS

Loader = Callable[..., list[Sample]]
"""Takes the place of the data and options, returns the samples."""

DATASETS: dict[str, Loader] = {}
MADE_BY = {
    "open-exercise": "amge data prepare open-exercise CHECKOUT {}",
    "synthetic": "amge data prepare synthetic {}",
}
"""The commands that make data sets; `CHECKOUT` is one of github.com/yuhonas/free-exercise-db."""
LICENCES: dict[str, str] = {}
"""Of data sets, as far as known: what the cards of models trained on them say."""


def register_dataset(name: str, licence: str | None = None) -> Callable[[Loader], Loader]:
    """Make a function that takes a path and returns `list[Sample]` known to `load_samples` and `amge data`.

    Args:
        name: of the data set.
        licence: of the data; None if it is not known, or differs from user to user.

    Raises:
        ValueError: if the name is taken.
    """

    def register(loader: Loader) -> Loader:
        if name in DATASETS:
            raise ValueError(f"there is a data set {name!r} already; choose another name")
        DATASETS[name] = loader
        if licence:
            LICENCES[name] = licence
        return loader

    return register


def load_samples(name: str, root: str | Path, **options: Any) -> list[Sample]:
    """All samples of a data set, of all splits, undecoded.

    Args:
        name: one of `DATASETS`.
        root: where it lies.
        options: of the data set; see the functions in this file.

    Raises:
        ValueError: for an unknown name or option, or data that can't be used.
        OSError: if a file can't be read.
    """
    check_root(name, Path(root))
    loader = DATASETS[name]
    parameters = list(inspect.signature(loader).parameters.values())[1:]
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        for option in options:
            one_of(f"option of {name}", option, [parameter.name for parameter in parameters])
    return loader(Path(root), **options)


def check_root(name: str, root: Path) -> None:
    """Refuse a name that is not known, and a place that is not there.

    Raises:
        ValueError: says what makes it, where a command does.
    """
    one_of("data set", name, DATASETS)
    if not root.exists():
        made = f", or make it: {MADE_BY[name].format(root)}" if name in MADE_BY else ""
        raise ValueError(f"{root} does not exist; check the path{made}")


def takes(name: str, option: str) -> bool:
    """Whether a data set has an option.

    Raises:
        ValueError: for an unknown name.
    """
    return option in inspect.signature(DATASETS[one_of("data set", name, DATASETS)]).parameters


@register_dataset("open-exercise", licence="Unlicense (public domain)")
def open_exercise(root: Path) -> list[Sample]:
    """The open exercise photographs, from a prepared folder."""
    from amge.data.open_exercise import samples

    return samples(root)


@register_dataset("synthetic", licence="Apache-2.0, rendered by amge")
def synthetic(root: Path) -> list[Sample]:
    """Rendered clips, from a prepared folder."""
    from amge.data.synthetic_set import samples

    return samples(root)


@register_dataset("folder")
def folder(
    root: Path, manifest: str | Path | None = None, table: Any = None, labels: Sequence[str] | str = REGION_IDS
) -> list[Sample]:
    """Videos of your own: a folder with a manifest in it, or the manifest itself; see `amge.data.manifest`. `labels`
    are the names there are, or `own`, any."""
    from amge.data.manifest import read_folder, read_manifest

    if root.is_file():
        return read_manifest(root, table, labels=labels)
    return read_folder(root, manifest, table, labels)


def _musclemap(name: str) -> Loader:
    def load(
        root: Path,
        manifest: str | Path | None = None,
        table: Any = None,
        lists: str | Path | None = None,
        unseen: Any = None,
        allow_pickle: bool = False,
    ) -> list[Sample]:
        from amge.data.musclemap import load

        return load(name, root, manifest, table, lists, unseen, allow_pickle)

    return load


for _name in ("musclemap136", "muscle-ucf90", "muscle-hmdb41"):
    register_dataset(_name, licence="the signed agreement of its authors")(_musclemap(_name))
