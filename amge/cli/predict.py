"""`amge predict`."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from amge.cli.shared import FpsOption, ModelOption, check_model
from amge.errors import VideoError, complain, one_line_errors
from amge.video.path import check_fps, look

out, err = Console(), Console(stderr=True)

BAR = 24
DRAWN = 8
"""Frames of a pose model's clip in its picture."""


@dataclass(frozen=True)
class Result:
    """What was predicted for one video, or for one person in it."""

    video: str
    probabilities: dict[str, float]
    windows: list[Any]
    threshold: float
    person: int | None = None
    others: tuple["Result", ...] = ()
    """The other persons, the most prominent first."""

    def active(self, probabilities: dict[str, float]) -> list[str]:
        return [name for name, p in ranked(probabilities) if p >= self.threshold]

    def as_json(self) -> dict[str, Any]:
        def rounded(values: dict[str, float]) -> dict[str, float]:
            return {name: round(value, 4) for name, value in values.items()}

        persons: dict[str, Any] = {} if self.person is None else {"person": self.person}
        if self.others:
            persons["others"] = [
                {key: value for key, value in other.as_json().items() if key != "video"} for other in self.others
            ]
        return {
            "video": self.video,
            **persons,
            "regions": rounded(self.probabilities),
            "active": self.active(self.probabilities),
            "windows": [
                {"start": round(w.start, 3), "end": round(w.end, 3), "regions": rounded(w.probabilities)}
                for w in self.windows
            ],
        }


def ranked(probabilities: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(probabilities.items(), key=lambda item: -item[1])


def predict(
    videos: Annotated[
        list[str],
        typer.Argument(
            help="Video files, or folders of images; for skeleton models also npz or json files of keypoints. "
            "With --out, files and folders of them.",
            metavar="VIDEO...",
        ),
    ],
    model: ModelOption = "transm3e-lite",
    threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Probability from which a region is active; default: the model's."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, a row per region and window.")] = False,
    save: Annotated[
        Path | None, typer.Option(help="Draw a body map to this picture; for several videos, into this folder.")
    ] = None,
    pose: Annotated[
        str | None,
        typer.Option(help="Pose estimator of skeleton models: mediapipe (default) or rtmlib, which downloads weights."),
    ] = None,
    fps: FpsOption = None,
    device: Annotated[
        str | None, typer.Option(help="Where to compute: cpu, cuda, cuda:1, mps; default: PyTorch's, the CPU.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write a Parquet file, a row per window; run it again to go on where it was cut off."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="With --out, processes (default 1; 0: this one); with --ray, actors (default: CPUs)."),
    ] = None,
    ray: Annotated[bool, typer.Option("--ray", help="With --out, work on a Ray cluster.")] = False,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="Go on with the file of --out: predict what failed or is new.")
    ] = False,
) -> None:
    """Say which muscle regions each video uses."""
    if out:
        with one_line_errors():
            if as_json or as_csv or save:
                raise ValueError("--out excludes --json, --csv and --save")
            check_model(model)
            predict_into(out, videos, model, threshold, pose, fps, device, workers, ray, retry_errors)
        return
    with one_line_errors():
        if as_json and as_csv:
            raise ValueError("--json and --csv exclude each other")
        if workers is not None or ray or retry_errors:
            raise ValueError("--workers, --ray and --retry-errors need --out")
        check_model(model)
        pictures = picture_paths(videos, save) if save else {}
    usable = [video for video in videos if can_be_looked_at(video, fps)]
    failed = len(usable) < len(videos)
    if not usable:
        raise typer.Exit(2)
    with one_line_errors():
        from amge.builder import load
        from amge.devices import usable_device

        network = load(model, usable_device(device) if device is not None else None)
        limit = network.spec.threshold if threshold is None else threshold
    results = []
    for video in usable:
        try:
            with progress_bar(video) as report:
                windows, busiest = watch(network.predict_windows(video, report, pose, fps), keep=video in pictures)
            result = by_person(video, windows, limit)
            results.append(result)
            if video in pictures:
                picture(result, busiest, pictures[video])
        except (ValueError, OSError, ImportError) as error:
            complain(error if video in str(error) else ValueError(f"{video}: {error}"))
            failed = True
    if as_json and results:
        report_json = {"model": network.spec.name, "threshold": limit, "videos": [r.as_json() for r in results]}
        typer.echo(json.dumps(report_json, indent=2))
    elif as_csv and results:
        typer.echo(csv_rows(results))
    else:
        for result in results:
            table(result)
    if failed:
        raise typer.Exit(2)


def can_be_looked_at(video: str, fps: float | None) -> bool:
    """Whether there is something to read, told before anything is imported that could; says in one line why not."""
    try:
        look(video)
        check_fps(video, fps)
    except VideoError as error:
        complain(error if video in str(error) else ValueError(f"{video}: {error}"))
        return False
    return True


def predict_into(
    path: Path,
    videos: list[str],
    model: str,
    threshold: float | None,
    pose: str | None,
    fps: float | None,
    device: str | None,
    workers: int | None,
    ray: bool,
    retry_errors: bool,
) -> None:
    """Predict into a Parquet file, and say what has come of it."""
    if not any(Path(video).exists() for video in videos):
        raise ValueError(f"{', '.join(videos[:3])}: no such file or folder; check the path")
    for video in videos:
        if not Path(video).is_dir():
            check_fps(video, fps)
    if ray and device is not None:
        raise ValueError("--device is for this machine; on a Ray cluster workers compute on CPUs")
    from amge.bulk import predict_files, predict_files_on_ray

    source = videos[0] if len(videos) == 1 else videos
    settings: dict[str, Any] = {"threshold": threshold, "pose": pose, "fps": fps, "retry_errors": retry_errors}
    if device is not None:
        settings["device"] = device
    if workers is not None:
        settings["workers"] = workers
    with progress_bar(str(path)) as report:
        done = (predict_files_on_ray if ray else predict_files)(source, path, model, progress=report, **settings)
    typer.echo(f"{done.videos} videos in {path}")
    if done.failed:
        raise ValueError(f"{done.failed} of {done.videos} videos could not be used; 'error' in {path} says why")


def watch(predictions: Iterable[Any], keep: bool) -> tuple[list[Any], Any]:
    """All windows without frames, so that memory does not grow with them, and if asked for the busiest one of the main
    person with its own."""
    from amge.results import by_prominence

    windows: list[Any] = []
    busiest: Any = None
    for window in predictions:
        windows.append(replace(window, frames=None, keypoints=None))
        if keep and by_prominence(windows)[0] == window.person:
            other = busiest is None or busiest.person != window.person
            if other or sum(window.probabilities.values()) > sum(busiest.probabilities.values()):
                busiest = window
    return windows, busiest


def by_person(video: str, windows: list[Any], threshold: float) -> Result:
    """The means over the windows of the main person, with those of the others."""
    from amge.results import by_prominence

    results = []
    for person in by_prominence(windows):
        own = [window for window in windows if window.person == person]
        means = {name: sum(w.probabilities[name] for w in own) / len(own) for name in own[0].probabilities}
        results.append(Result(video, means, own, threshold, person))
    return replace(results[0], others=tuple(results[1:]))


@contextmanager
def progress_bar(video: str) -> Iterator[Callable[[float, float | None], None]]:
    """A bar on standard error, on a terminal only, that leaves nothing behind."""
    columns = TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task(Path(video).name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def picture_paths(videos: list[str], save: Path) -> dict[str, Path]:
    """Where the picture of each video goes: to the file `save`, or for several videos into the folder `save`.

    Raises:
        ValueError: before anything is predicted, if that can't be drawn or written.
    """
    from amge.errors import one_of
    from amge.viz.page import FORMATS

    if len(videos) == 1:
        one_of("picture format", save.suffix.lower(), FORMATS)
        if save.is_dir():
            raise ValueError(f"--save {save} is a folder; name the picture")
        return {videos[0]: save}
    if save.suffix:
        raise ValueError(f"--save {save} names one picture for {len(videos)} videos; give a folder")
    paths: dict[str, Path] = {}
    for video in videos:
        if (path := save / f"{Path(video).stem}.png") in paths.values():
            raise ValueError(f"two videos would be drawn to {path}; rename one of them")
        paths[video] = path
    return paths


def picture(result: Result, window: Any, path: Path) -> None:
    from amge.muscles import REGION_IDS
    from amge.viz.bars import bars
    from amge.viz.body_map import draw
    from amge.viz.page import save

    title, frames = Path(result.video).stem.replace("_", " "), window.frames
    if frames is not None and window.keypoints is not None:
        from amge.skeleton.layouts import layout_of
        from amge.viz.overlay import overlay

        graph = layout_of(window.keypoints.shape[1])
        some = range(0, len(frames), -(-len(frames) // DRAWN))
        frames = overlay(frames[some], window.keypoints[some], graph) if graph else frames[some]
    if result.others:
        title += f", person {result.person}"
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = draw if set(result.probabilities) <= set(REGION_IDS) else bars
    save(path, drawn(result.probabilities, frames, title, result.threshold))


def csv_rows(results: list[Result]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("video", "start", "end", "region", "probability", "active", "person"))
    for result in (each for main in results for each in (main, *main.others)):
        for w in result.windows:
            for name, p in w.probabilities.items():
                active = int(p >= result.threshold)
                writer.writerow(
                    (result.video, f"{w.start:.3f}", f"{w.end:.3f}", name, f"{p:.4f}", active, result.person)
                )
    return text.getvalue().rstrip("\n")


def table(result: Result) -> None:
    """Print bars for one video and, if it has several windows, its timeline."""
    from amge.muscles import REGIONS

    names = {region.id: region.name for region in REGIONS}
    title = result.video if result.person is None else f"{result.video}, person {result.person}"
    out.print(Text(title, style="italic"), soft_wrap=True)
    rows = Table(box=None, show_header=False, pad_edge=False)
    for name, p in ranked(result.probabilities):
        style = "bold green" if p >= result.threshold else "dim"
        filled = round(p * BAR)
        bar = Text("█" * filled + "░" * (BAR - filled), style=style)
        percent = Text(f"{100 * p:.0f} %", style=style, justify="right")
        rows.add_row(Text(name, style=style), Text(names.get(name, ""), style=style), bar, percent)
    out.print(rows)
    if len(result.windows) > 1:
        timeline = Table(title="Timeline", title_justify="left", box=None, pad_edge=False)
        for column in ("from", "to", "active"):
            timeline.add_column(column)
        for w in result.windows:
            timeline.add_row(f"{w.start:.1f} s", f"{w.end:.1f} s", ", ".join(result.active(w.probabilities)) or "–")
        out.print(timeline)
    for other in result.others:
        table(other)
