"""Videos to rows on a Ray cluster, by Ray Data."""

import logging
import os
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import torch

try:
    import ray
    import ray.data
    from ray.exceptions import RayError
except ImportError as error:
    raise ImportError(f"bulk prediction on Ray needs it: pip install 'amge[ray]' ({error})") from None

from amge.bulk.files import Video
from amge.bulk.local import DEATHS
from amge.bulk.predictor import Predictor
from amge.bulk.table import failure

CHUNK = 16
"""Videos that a worker gets at once; they are done again if it dies."""
MOST_CHUNKS = 10_000


def on_ray(predictor: Predictor, videos: Sequence[Video], workers: int | None) -> Generator[pa.Table, None, None]:
    """The rows of the videos, some at a time, as they are ready.

    Args:
        predictor: is sent to each worker.
        videos: whose paths all machines of the cluster can read.
        workers: at most so many, a CPU each; None: as many as the cluster has CPUs now.

    Raises:
        ValueError: if the cluster can't do the job.
    """
    with quiet_ray():
        workers = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        ledger = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Ledger).remote()
        chunks = min(len(videos), max(-(-len(videos) // CHUNK), 4 * workers), MOST_CHUNKS)
        items = ray.data.from_items([video._asdict() for video in videos], override_num_blocks=chunks)
        tables = items.map_batches(
            RayWorker,
            fn_constructor_args=(predictor, ledger),
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers),
            num_cpus=1,
            batch_size=None,
            batch_format="pyarrow",
        )
        try:
            batches: Any = tables.iter_batches(batch_size=None, batch_format="pyarrow")
            for table in batches:
                yield table.cast(predictor.schema)
        except RayError as error:
            raise ValueError(f"Ray could not go on: {str(error).strip().splitlines()[-1]}") from error


@contextmanager
def quiet_ray() -> Iterator[None]:
    """Ray at work, started and ended here unless it runs already, that shows no progress of its own."""
    mine = not ray.is_initialized()
    if mine:
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
    logger = logging.getLogger("ray.data")
    level = logger.level
    context = ray.data.DataContext.get_current()
    names = ("enable_progress_bars", "print_on_execution_start")
    before = {name: getattr(context, name) for name in names if hasattr(context, name)}
    try:
        logger.setLevel(logging.CRITICAL)
        for name in before:
            setattr(context, name, False)
        yield
    finally:
        for name, value in before.items():
            setattr(context, name, value)
        logger.setLevel(level)
        if mine:
            ray.shutdown()


class Ledger:
    """Knows which videos were begun and not ended, for workers that die can't tell. An actor."""

    def __init__(self) -> None:
        self.begun: Counter[str] = Counter()

    def begin(self, video: str) -> int:
        """How often it was begun before, and not ended."""
        self.begun[video] += 1
        return self.begun[video] - 1

    def end(self, video: str) -> None:
        del self.begun[video]


class RayWorker:
    """An actor that has the model."""

    def __init__(self, predictor: Predictor, ledger: Any) -> None:
        torch.set_num_threads(1)
        self.predictor, self.ledger = predictor, ledger

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        for row in batch.to_pylist():
            video = Video(**row)
            if ray.get(self.ledger.begin.remote(video.id)) < DEATHS:
                yield self.predictor(video)
            else:
                yield failure(self.predictor.schema, video.id, f"its worker process died, {DEATHS} times")
            ray.get(self.ledger.end.remote(video.id))
