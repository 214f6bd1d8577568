"""The arguments and options that name a data set, for every command that reads one."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from amge.cli.shared import check_there


@dataclass(frozen=True)
class DataSet:
    """A data set as a user names it."""

    name: str
    root: Path
    options: dict[str, Any]
    """Those that were given, as `load_samples` takes them."""

    def check(self) -> None:
        """Refuse a name or a path that leads nowhere, before anything is imported that reads data.

        Raises:
            ValueError: says what to do.
        """
        from amge.data.datasets import check_root

        check_root(self.name, self.root)
        check_there(*(self.options.get(key) for key in ("manifest", "table", "lists")))

    def samples(self, labels: Sequence[str] | None = None) -> list[Any]:
        """Its samples; with the labels of a model, where the set can have any.

        Raises:
            ValueError: if it can't be used.
        """
        self.check()
        from amge.data.datasets import load_samples, takes

        any_labels = {"labels": labels} if labels and takes(self.name, "labels") else {}
        return load_samples(self.name, self.root, **{**self.options, **any_labels})


def named(
    name: Annotated[
        str,
        typer.Argument(
            help="musclemap136, muscle-ucf90, muscle-hmdb41, open-exercise, synthetic, or folder for your own."
        ),
    ],
    root: Annotated[Path, typer.Argument(help="Its folder; for `folder` also a manifest.")],
    manifest: Annotated[Path | None, typer.Option(help="CSV or JSON file of videos and labels.")] = None,
    table: Annotated[Path | None, typer.Option(help="CSV or JSON file of activities and their regions.")] = None,
    lists: Annotated[Path | None, typer.Option(help="Folder of the official MuscleMap list files.")] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="Of `folder`, if no muscle regions: names separated by commas, or `own` for any that occur."),
    ] = None,
    unseen: Annotated[str | None, typer.Option(help="Unseen activities, separated by commas.")] = None,
    allow_pickle: Annotated[bool, typer.Option("--allow-pickle", help="Open list files that are pickles.")] = False,
) -> DataSet:
    options: dict[str, Any] = {"manifest": manifest, "table": table, "lists": lists, "allow_pickle": allow_pickle}
    if labels is not None:
        names = [word.strip() for word in labels.split(",") if word.strip()]
        options["labels"] = labels if labels == "own" else names
    if unseen is not None:
        options["unseen"] = [word.strip() for word in unseen.split(",") if word.strip()]
    return DataSet(name, root, {key: value for key, value in options.items() if value not in (None, False)})


def names_data(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command, in place of its parameter `data`, the arguments and options of `named`."""
    own, shared = inspect.signature(command, eval_str=True), inspect.signature(named, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for parameter in own.parameters.values():
        taken = shared.parameters.values() if parameter.name == "data" else [parameter]
        parameters += [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in taken]

    @wraps(command)
    def wrapped(**given: Any) -> None:
        data = named(**{key: given.pop(key) for key in shared.parameters})
        command(data=data, **given)

    wrapped.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {each.name: each.annotation for each in parameters}
    return wrapped
