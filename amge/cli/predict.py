"""`amge predict`."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from amge.cli.extras import Extras, counted, extras, marks, plain
from amge.cli.shared import MODEL_HELP, FpsOption, check_model
from amge.errors import VideoError, complain, one_line_errors, reason
from amge.skeleton.keypoint_paths import is_keypoints
from amge.video.path import WRITTEN, check_fps, look

if TYPE_CHECKING:
    import numpy as np

    from amge.prediction import Prediction, WindowPrediction

out, err = Console(), Console(stderr=True)

NOTHING = Extras()

WITH_POSE, WITHOUT_POSE = "transm3e-lite-pose", "transm3e-lite"
BAR = 24
DRAWN = 8
"""Frames of a pose model's clip in its picture."""
MOST_SHOWN = 48
"""Windows whose frames are kept for a picture; of a longer video every second goes, again and again."""


def predict(
    videos: Annotated[
        list[str],
        typer.Argument(
            help="Video files, or folders of images; for skeleton models also npz or json files of keypoints, "
            "or folders of OpenPose's. With --out, files and folders of them.",
            metavar="VIDEO...",
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(help=f"{MODEL_HELP} Default: {WITH_POSE} where MediaPipe is installed, else {WITHOUT_POSE}."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Probability from which a region is active; default: the model's."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, a row per region and window.")] = False,
    save: Annotated[
        Path | None,
        typer.Option(
            help="Draw a body map to this picture (png, jpg, webp, svg), or beside the video in a new one (mp4, mov, "
            "mkv); for several videos, pictures into this folder."
        ),
    ] = None,
    expect: Annotated[
        str | None,
        typer.Option(help="Mark what differs from this exercise, such as 'barbell squat'.", metavar="EXERCISE"),
    ] = None,
    like: Annotated[
        str | None, typer.Option(help="Mark what differs from this video of the same movement.", metavar="VIDEO")
    ] = None,
    repetitions: Annotated[
        bool, typer.Option("--repetitions", help="Count repetitions, and say of each how long it takes and what works.")
    ] = False,
    theme: Annotated[str, typer.Option(help="Colours of --save: light, dark or colour-blind.")] = "light",
    pose: Annotated[
        str | None,
        typer.Option(
            help="Pose estimator of models that see joints: mediapipe (default) or rtmlib, which downloads weights."
        ),
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
    model = model or default_model()
    if out:
        with one_line_errors():
            if as_json or as_csv or save or expect or like or repetitions:
                raise ValueError("--out excludes --json, --csv, --save, --expect, --like and --repetitions")
            check_model(model)
            predict_into(out, videos, model, threshold, pose, fps, device, workers, ray, retry_errors)
        return
    with one_line_errors():
        if as_json and as_csv:
            raise ValueError("--json and --csv exclude each other")
        if workers is not None or ray or retry_errors:
            raise ValueError("--workers, --ray and --retry-errors need --out")
        if expect and like:
            raise ValueError("--expect and --like exclude each other")
        if as_csv and repetitions:
            raise ValueError("--csv has a row per window, not per repetition; take --json with --repetitions")
        check_model(model)
        pictures = picture_paths(videos, save, theme) if save else {}
    usable = [video for video in videos if can_be_looked_at(video, fps)]
    failed = len(usable) < len(videos)
    if not usable or (like and not can_be_looked_at(like, fps)):
        raise typer.Exit(2)
    with one_line_errors():
        from amge.builder import load
        from amge.devices import usable_device
        from amge.exercises import check_labels
        from amge.exercises import expect as expected_of
        from amge.prediction import of_windows

        wanted = expected_of(expect) if expect else None
        network = load(model, usable_device(device) if device is not None else None)
        limit = network.spec.threshold if threshold is None else threshold
        if like:
            wanted = expected_of(network.predict(like, pose, fps, limit))
        if wanted:
            check_labels(wanted, network.spec.labels)
    stills = {video: path for video, path in pictures.items() if path.suffix.lower() not in WRITTEN}
    results = []
    for video in usable:
        try:
            with progress_bar(video) as report:
                windows, shown = watch(network.predict_windows(video, report, pose, fps), keep=video in stills)
            result = of_windows(windows, network.spec.labels, limit, network.spec.name, video)
            more = extras(result, network, wanted, repetitions, pose, fps)
            results.append((result, more))
            if video in stills:
                picture(result, shown, stills[video], theme, more)
            elif video in pictures:
                with progress_bar(pictures[video].name) as report:
                    regions = wanted.regions if wanted else None
                    result.save(pictures[video], theme=theme, fps=fps, progress=report, expected=regions)
        except (ValueError, OSError, ImportError) as error:
            complain(error if video in str(error) else ValueError(f"{video}: {reason(error)}"))
            failed = True
    if as_json and results:
        found = [plain(result, more) for result, more in results]
        typer.echo(json.dumps({"model": network.spec.name, "threshold": limit, "videos": found}, indent=2))
    elif as_csv and results:
        typer.echo(csv_rows([result for result, _ in results], wanted.regions if wanted else None))
    else:
        for result, more in results:
            table(result, more)
    if failed:
        raise typer.Exit(2)


def default_model() -> str:
    """The most accurate model that works with what is installed."""
    return WITH_POSE if find_spec("mediapipe") else WITHOUT_POSE


def can_be_looked_at(video: str, fps: float | None) -> bool:
    """Whether there is something to read, told before anything is imported that could; says in one line why not."""
    try:
        if not (Path(video).is_dir() and is_keypoints(video)):
            look(video)
        check_fps(video, fps)
    except VideoError as error:
        complain(error if video in str(error) else ValueError(f"{video}: {reason(error)}"))
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


def watch(predictions: "Iterable[WindowPrediction]", keep: bool) -> "tuple[list[WindowPrediction], Shown]":
    """All windows without frames, so that memory does not grow with them; and if asked for, what a picture shows: a few
    small frames of each, and the busiest window of each person with its own."""
    from amge.prediction import light

    windows, shown = [], Shown({}, {})
    for window in predictions:
        windows.append(light(window))
        if not keep:
            continue
        if window.frames is not None:
            if len(shown.few) > MOST_SHOWN:
                for start in list(shown.few)[1::2]:
                    del shown.few[start]
            shown.few[window.start] = window.frames[:: max(1, len(window.frames) // 4), ::2, ::2].copy()
        busiest = shown.busiest.get(window.person)
        if busiest is None or busyness(window) > busyness(busiest):
            shown.busiest[window.person] = window
    return windows, shown


class Shown(NamedTuple):
    """What a picture of a prediction shows besides numbers."""

    few: "dict[float, np.ndarray]"
    """Start of a window to some of its frames."""
    busiest: "dict[int | None, WindowPrediction]"
    """Person to the window in which most is active."""


def busyness(window: "WindowPrediction") -> float:
    return sum(p or 0.0 for p in window.probabilities.values())


@contextmanager
def progress_bar(video: str) -> Iterator[Callable[[float, float | None], None]]:
    """A bar on standard error, on a terminal only, that leaves nothing behind."""
    columns = TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task(Path(video).name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def picture_paths(videos: list[str], save: Path, theme: str) -> dict[str, Path]:
    """Where the picture of each video goes: to the file `save`, or for several videos into the folder `save`.

    Raises:
        ValueError: before anything is predicted, if that can't be drawn or written.
    """
    from amge.viz.formats import check_saved
    from amge.viz.theme import theme_of

    theme_of(theme)
    if len(videos) == 1:
        check_saved(save, videos[0])
        return {videos[0]: save}
    if save.suffix:
        raise ValueError(f"--save {save} names one file for {len(videos)} videos; give a folder, or one video")
    paths: dict[str, Path] = {}
    for video in videos:
        if (path := save / f"{Path(video).stem}.png") in paths.values():
            raise ValueError(f"two videos would be drawn to {path}; rename one of them")
        check_saved(path, video)
        paths[video] = path
    return paths


def picture(result: "Prediction", shown: Shown, path: Path, theme: str, more: Extras = NOTHING) -> None:
    """Draw each person, over a timeline if there is one."""
    import numpy as np

    from amge.prediction import ranked
    from amge.viz.page import save_page
    from amge.viz.timeline import Span

    pages = []
    for number, each in enumerate(result.persons):
        title = Path(result.source or "").stem.replace("_", " ")
        if result.others:
            title += f", person {each.person}"
        spans = [
            Span(w.start, w.end, dict(ranked(w.probabilities)) or None, shown.few.get(w.start)) for w in each.windows
        ]
        several = spans if len(spans) > 1 and any(span.probabilities for span in spans) else ()
        frames = pictured(shown.busiest[each.person])
        if several and shown.busiest[each.person].keypoints is None and shown.few:
            some = list(shown.few.values())[:: -(-len(shown.few) // DRAWN)]
            frames = np.stack([few[len(few) // 2] for few in some])  # of the whole video
        remark = str(more.compared[number]) if more.compared else ""
        expected = more.compared[number].expected if more.compared else None
        pages.append(each.page(title, frames, several, theme=theme, remark=remark, expected=expected))
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *others = pages
    first.below += others
    save_page(path, first)


def pictured(window: "WindowPrediction") -> "np.ndarray | None":
    """The frames of a window, with the bones of its person."""
    from amge.skeleton.layouts import layout_of
    from amge.viz.overlay import overlay

    frames = window.frames
    if frames is None:
        return None
    some = range(0, len(frames), -(-len(frames) // DRAWN))
    graph = layout_of(window.keypoints.shape[1]) if window.keypoints is not None else None
    return overlay(frames[some], window.keypoints[some], graph) if graph else frames[some]  # type: ignore[index]


def csv_rows(results: "list[Prediction]", expected: tuple[str, ...] | None = None) -> str:
    text = io.StringIO()
    columns = ["video", "start", "end", "region", "probability", "active", "person", "verdict"]
    if expected is not None:
        columns.append("expected")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for result in results:
        for row in result.rows():
            exact = {name: f"{row[name]:.3f}" for name in ("start", "end")}
            p = row["probability"]
            if expected is not None:
                row["expected"] = int(row["region"] in expected)
            writer.writerow(row | exact | {"probability": "" if p is None else f"{p:.4f}"})
    return text.getvalue().rstrip("\n")


def table(result: "Prediction", more: Extras = NOTHING) -> None:
    """Print bars for one video and, if it has several windows, its timeline."""
    from amge.muscles import REGION_NAMES
    from amge.prediction import ranked, threshold_of

    full, empty = "█░" if "█░".encode(out.encoding, "ignore") else "#-"
    for number, each in enumerate(result.persons):
        out.print(Text(each.title, style="italic"), soft_wrap=True)
        if each.verdict == "nobody":
            out.print(Text("; ".join(each.reasons), style="bold yellow"), soft_wrap=True)
            continue
        if each.verdict == "doubtful":
            out.print(Text(f"doubtful: {'; '.join(each.reasons)}", style="bold yellow"), soft_wrap=True)
        if more.compared:
            out.print(Text(str(more.compared[number])), soft_wrap=True)
        rows = Table(box=None, show_header=False, pad_edge=False)
        for name, p in ranked(each.probabilities):
            over = p >= threshold_of(each.threshold, name)
            style = "bold green" if over else "dim"
            filled = round(p * BAR)
            bar = Text(full * filled + empty * (BAR - filled), style=style)
            percent = Text(f"{100 * p:.0f} %", style=style, justify="right")
            names = Text(name, style=style), Text(REGION_NAMES.get(name, ""), style=style)
            rows.add_row(*names, bar, percent, Text("active" * over, style=style), *marks(more, number, name))
        out.print(rows)
        if len(each.windows) > 1:
            timeline = Table(title="Timeline", title_justify="left", box=None, pad_edge=False)
            for column in ("from", "to", "active"):
                timeline.add_column(column)
            for w in each.windows:
                said = "nobody" if w.verdict == "nobody" else ", ".join(w.active(each.threshold)) or "–"
                timeline.add_row(f"{w.start:.1f} s", f"{w.end:.1f} s", said)
            out.print(timeline)
    for line in counted(more):
        out.print(line)
