"""From videos to a file of results: what is called."""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import pyarrow as pa
import torch

from amge.bulk.files import Video, find_videos, root_of
from amge.bulk.local import in_workers
from amge.bulk.predictor import Predictor
from amge.bulk.store import Store
from amge.model import MuscleModel
from amge.prediction import Threshold
from amge.skeleton.files import is_skeletons
from amge.video.path import check_fps

Progress = Callable[[float, float | None], None]
Rows = Generator[pa.Table, None, None]
"""Of one video after another."""


class Summary(NamedTuple):
    """What a run has come to."""

    out: Path
    """The file of results."""
    videos: int
    """In the results."""
    failed: int
    """Of them, those with an error."""


def predict_files(
    source: str | Path | Sequence[str | Path],
    out: str | Path,
    model: str | Path | MuscleModel = "transm3e-lite",
    *,
    workers: int = 1,
    threshold: Threshold | None = None,
    pose: str | None = None,
    fps: float | None = None,
    device: str | torch.device | None = None,
    retry_errors: bool = False,
    save_every: float = 10.0,
    progress: Progress | None = None,
) -> Summary:
    """Predict many videos with worker processes, into a Parquet file with a row a window, or a window and person.

    A video that can't be used is a row with an error. A run that was cut off goes on when called again: what is
    finished lies in the folder `out.parts`, which goes when all is done.

    Args:
        source: a folder, searched with the folders in it; or files and folders.
        out: the file to write, `.parquet`.
        model: a name of `amge.list_models()` with published weights, the folder or Hub repository of a checkpoint,
            or a model.
        workers: processes, each with a model of its own; 0: this process alone, which a broken video may end.
        threshold: probability from which a region is active, one for all or by name one for each; default: the model's.
        pose: name of the pose estimator of a skeleton model.
        fps: frames a second of files of keypoints, whatever they say; videos have their own.
        device: where each worker computes, such as `cuda`; default: where the model is, or torch's default device.
            With `workers=0` a model that you hold is moved there.
        retry_errors: predict failed videos again; `out` may be there already, and keeps what it has.
        save_every: seconds after which finished videos are written to disk.
        progress: called with the number of videos done and in all.

    Raises:
        ValueError: before anything is predicted, if model, videos or `out` can't be used; says why.
        OSError: if results can't be written, or no worker can start.
        ImportError: if the library of the pose estimator is not installed.
    """
    if not isinstance(workers, int) or workers < 0:
        raise ValueError(f"workers must be a whole number from 0 up, got {workers!r}")

    def answers(predictor: Predictor, videos: list[Video]) -> Rows:
        if workers == 0:
            yield from map(predictor, videos)
        else:
            yield from in_workers(predictor, videos, workers)

    return _predict(source, Path(out), model, threshold, pose, fps, device, retry_errors, save_every, progress, answers)


def predict_files_on_ray(
    source: str | Path | Sequence[str | Path],
    out: str | Path,
    model: str | Path | MuscleModel = "transm3e-lite",
    *,
    workers: int | None = None,
    threshold: Threshold | None = None,
    pose: str | None = None,
    fps: float | None = None,
    retry_errors: bool = False,
    save_every: float = 10.0,
    progress: Progress | None = None,
) -> Summary:
    """The same as `predict_files`, on a Ray cluster: the one that is connected, that Ray finds, or a new one here.

    All its machines read the videos by the same paths; the model is sent to them, and `out` is written here.

    Args:
        workers: at most so many, a CPU each; default: all CPUs of the cluster.

    Raises:
        ValueError: as `predict_files`, or if the cluster can't do it.
        OSError: if results can't be written.
        ImportError: if Ray or the library of the pose estimator is not installed.
    """
    from amge.bulk.on_ray import on_ray

    if workers is not None and (not isinstance(workers, int) or workers < 1):
        raise ValueError(f"on Ray, workers must be a whole number from 1 up, got {workers!r}")

    def answers(predictor: Predictor, videos: list[Video]) -> Rows:
        return on_ray(predictor, videos, workers)

    return _predict(source, Path(out), model, threshold, pose, fps, None, retry_errors, save_every, progress, answers)


def _predict(
    source: str | Path | Sequence[str | Path],
    out: Path,
    model: str | Path | MuscleModel,
    threshold: Threshold | None,
    pose: str | None,
    fps: float | None,
    device: str | torch.device | None,
    retry_errors: bool,
    save_every: float,
    progress: Progress | None,
    answers: Callable[[Predictor, list[Video]], Rows],
) -> Summary:
    if out.suffix.lower() != ".parquet":
        raise ValueError(f"results are written as Parquet; name them {out.with_suffix('.parquet')}, not {out}")
    predictor = Predictor(model, threshold, pose, fps, device)
    videos = find_videos(source, predictor.modality)
    for video in videos:
        check_fps(video.path, fps)
    if predictor.pose and not all(is_skeletons(video.path) for video in videos):
        from amge.skeleton.pose.estimators import estimator

        estimator(predictor.pose)
    with closing(Store(out, predictor.schema, root_of(source), retry_errors)) as store:
        todo = [v for v in videos if v.id not in store.where or (retry_errors and v.id in store.failed)]
        if todo:
            with closing(answers(predictor, todo)) as tables:
                keep(store, tables, len(videos) - len(todo), len(videos), save_every, progress)
        store.merge()
        return Summary(out, len(store.where), len(store.failed))


def keep(
    store: Store, tables: Iterable[pa.Table], done: int, total: int, save_every: float, progress: Progress | None
) -> None:
    """Put rows into parts, every `save_every` seconds and when they end, even if by an error or Ctrl-C."""
    held: list[pa.Table] = []
    saved = monotonic()
    try:
        if progress:
            progress(done, total)
        for table in tables:
            held.append(table)
            if monotonic() - saved >= save_every:
                ready, held = held, []
                store.add(ready)
                saved = monotonic()
            if progress:
                done += len(set(table["video"].to_pylist()))
                progress(done, total)
    finally:
        if held:
            store.add(held)
