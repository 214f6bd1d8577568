"""`amge data`: what is in a data set, whether all of it can be read, and preparing those that come from elsewhere."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from amge.cli.data_set import DataSet, names_data
from amge.cli.shared import check_there
from amge.errors import one_line_errors

app = typer.Typer(no_args_is_help=True, help="Check, count and prepare data sets.")
prepare = typer.Typer(no_args_is_help=True, help="Make a data set ready, in a folder.")
app.add_typer(prepare, name="prepare")
out, err = Console(), Console(stderr=True)
LISTED = 20
"""Broken samples, leaks and warnings that are printed; `--json` has all."""

JsonOption = Annotated[Path | None, typer.Option("--json", help="Write all of it to this file.")]


@app.command()
@names_data
def info(
    data: DataSet,
) -> None:
    """Count the samples of each split and region, and compare them with the paper's."""
    with one_line_errors():
        from amge.data.sample import fingerprint, leaks

        samples = data.samples()
        print_counts(samples)
        from amge.data.musclemap import BENCHMARKS, count_report

        if data.name in BENCHMARKS:
            typer.echo(f"\n{count_report(samples, BENCHMARKS[data.name], data.options.get('unseen'))}")
        print_lines("leak", leaks(samples))
        typer.echo(f"\nfingerprint {fingerprint(samples)}")


@app.command()
@names_data
def check(
    data: DataSet,
    workers: Annotated[int, typer.Option(min=1, help="Threads that read.")] = 2,
    as_json: JsonOption = None,
) -> None:
    """Read every video and every file of skeletons once; exit code 2 if one can't be used."""
    with one_line_errors():
        from amge.data.check import check as check_samples

        samples = data.samples()
        with progress_bar("reading") as progress:
            report = check_samples(samples, workers, progress)
        if as_json:
            as_json.parent.mkdir(parents=True, exist_ok=True)
            as_json.write_text(json.dumps(report.as_json(), indent=1) + "\n", encoding="utf-8")
    print_counts(samples)
    found = report.contents.values()
    if lengths := sorted(video.seconds for video in found if video.seconds is not None):
        middle = lengths[len(lengths) // 2]
        typer.echo(f"\nlength {lengths[0]:.1f} to {lengths[-1]:.1f} s, median {middle:.1f} s")
    if found:
        small, large = (choose(found, key=lambda v: v.width * v.height) for choose in (min, max))
        frames = [video.frames for video in found]
        typer.echo(
            f"{min(frames)} to {max(frames)} frames of {small.width}x{small.height} to {large.width}x{large.height}"
        )
    typer.echo(f"fingerprint {report.fingerprint}")
    print_lines("warning", report.warnings)
    print_lines("leak", report.leaks)
    print_lines("broken", [f"{sample.id} ({sample.split}): {sample.reason}" for sample in report.broken])
    typer.echo(f"{len(samples) - len(report.broken)} of {len(samples)} samples can be used")
    if not report.ok:
        raise typer.Exit(2)


@prepare.command("open-exercise")
def prepare_open_exercise(
    source: Annotated[Path, typer.Argument(help="A checkout of github.com/yuhonas/free-exercise-db.")],
    out: Annotated[Path, typer.Argument(help="The folder to make.")],
    splits: Annotated[
        Path | None,
        typer.Option(help="JSON of family and split by id, or a labels.json; derived if left out."),
    ] = None,
    pose: Annotated[str, typer.Option(help="Pose estimator: mediapipe, rtmlib, or none.")] = "mediapipe",
) -> None:
    """Prepare the open exercise photographs from their public source."""
    with one_line_errors():
        check_there(source, splits)
        from amge.data.prepare.open_exercise import prepare as make

        with progress_bar("exercises") as progress:
            samples = make(source, out, splits, pose, progress)
        typer.echo(f"{len(samples)} exercises in {out}")


@prepare.command("synthetic")
def prepare_synthetic(
    out: Annotated[Path, typer.Argument(help="The folder to make.")],
    clips: Annotated[int, typer.Option(min=1, help="How many.")] = 500,
    frames: Annotated[int, typer.Option(min=2, help="Of each clip.")] = 32,
    size: Annotated[int, typer.Option(min=16, help="Of the square picture, in pixels; even.")] = 112,
    fps: Annotated[float, typer.Option(help="Frames a second.")] = 16.0,
    seed: Annotated[int, typer.Option(min=0, help="Decides everything else.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes that render.")] = 1,
) -> None:
    """Render a data set of a figure that exercises."""
    with one_line_errors():
        from amge.data.prepare.synthetic import prepare as make

        samples = make(out, clips, frames, size, fps, seed, workers)
        typer.echo(f"{len(samples)} clips in {out}")


@prepare.command("skeletons")
@names_data
def prepare_skeletons(
    data: DataSet,
    out: Annotated[Path, typer.Argument(help="The folder to make, a data set `folder`.")],
    pose: Annotated[str, typer.Option(help="Pose estimator: mediapipe or rtmlib.")] = "mediapipe",
    fps: Annotated[float, typer.Option(min=0.1, help="Frames a second that are looked at, at most.")] = 10.0,
) -> None:
    """Estimate the skeletons of a data set's videos, for skeleton models to train on."""
    with one_line_errors():
        from amge.data.prepare.skeletons import prepare as make

        samples = data.samples()
        with progress_bar("videos") as progress:
            made, left_out = make(samples, out, pose, fps, progress)
        print_lines("left out", [f"{sample}: {reason}" for sample, reason in left_out.items()])
        typer.echo(f"{len(made)} of {len(samples)} samples with skeletons in {out}")
    if left_out:
        raise typer.Exit(2)


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, on a terminal only, that leaves nothing behind."""
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def print_counts(samples: list[Any]) -> None:
    """A table of samples, activities and regions in each split that has any."""
    from amge.data.check import counts

    number, activities, regions = counts(samples)
    splits = [split for split, count in number.items() if count]
    grid = Table(box=None, pad_edge=False)
    grid.add_column("")
    for split in splits:
        grid.add_column(split, justify="right")
    for title, row in (("samples", number), ("activities", activities), *regions.items()):
        grid.add_row(Text(title), *(str(row[split]) for split in splits))
    out.print(grid)


def print_lines(kind: str, lines: Any) -> None:
    for line in lines[:LISTED]:
        typer.echo(f"{kind}: {line}")
    if len(lines) > LISTED:
        typer.echo(f"{kind}: {len(lines) - LISTED} more")
