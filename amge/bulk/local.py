"""Videos to rows in worker processes of this machine. A worker that dies takes nothing with it.

Each worker has a pipe of its own and one video at a time, so that it is known which video it died over.
"""

import os
import pickle
import signal
from collections import Counter, deque
from collections.abc import Generator, Sequence
from contextlib import suppress
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from threading import Thread

import pyarrow as pa
import torch

from amge.bulk.files import Video
from amge.bulk.predictor import Predictor
from amge.bulk.table import failure

DEATHS = 2
"""So many workers may die over a video before it is given up."""


def in_workers(predictor: Predictor, videos: Sequence[Video], workers: int) -> Generator[pa.Table, None, None]:
    """The rows of each video, as they are ready.

    Raises:
        ValueError: if the model can't be sent to a process.
        ChildProcessError: (an `OSError`) if a worker dies before it has the model.
    """
    try:
        sent = pickle.dumps(predictor)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(f"the model can't be sent to worker processes ({error}); take workers=0") from None
    waiting, deaths = deque(videos), Counter[str]()
    threads = max(1, cpus() // workers)
    pool = [Worker(sent, threads) for _ in range(min(workers, len(videos)))]
    try:
        while pool:
            ready = wait([worker.pipe for worker in pool])
            for worker in [each for each in pool if each.pipe in ready]:
                try:
                    table = worker.pipe.recv()
                except (EOFError, OSError):
                    pool.remove(worker)
                    ending = worker.end()
                    if worker.video is None:
                        raise ChildProcessError(
                            f"a worker process {ending} before it had the model; if memory was short, take "
                            "fewer workers; in a script of yours, call this under `if __name__ == '__main__':`"
                        ) from None
                    video = worker.video
                    deaths[video.id] += 1
                    if deaths[video.id] < DEATHS:
                        waiting.appendleft(video)
                    else:
                        yield failure(predictor.schema, video.id, f"its worker process {ending}, {DEATHS} times")
                    if waiting:
                        pool.append(Worker(sent, threads))
                    continue
                if table is not None:
                    yield table
                if waiting:
                    worker.give(waiting.popleft())
                else:
                    pool.remove(worker)
                    worker.end()
    finally:
        for worker in pool:
            worker.end()


def cpus() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Worker:
    """A process that has the model, or is about to."""

    def __init__(self, predictor: bytes, threads: int) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(predictor, threads, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.video: Video | None = None
        """What it is at; None until it has the model."""

    def give(self, video: Video) -> None:
        self.video = video
        with suppress(OSError):  # it died just now, as the next `recv` tells
            self.pipe.send(video)

    def end(self) -> str:
        """End it, if it has not ended yet; says how it did."""
        self.pipe.close()
        self.process.join(0.2)
        self.process.kill()
        self.process.join()
        code = self.process.exitcode or 0
        self.process.close()
        return f"was killed ({signal.Signals(-code).name})" if code < 0 else f"ended with code {code}"


def serve(sent: bytes, threads: int, pipe: Connection) -> None:
    """The life of a worker: say that it is ready, then answer each video with its rows, until nobody asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends its workers
    Thread(target=leave_with_parent, daemon=True).start()
    torch.set_num_threads(min(threads, torch.get_num_threads()))
    predictor = pickle.loads(sent)
    with suppress(EOFError, OSError):
        pipe.send(None)
        while True:
            pipe.send(predictor(pipe.recv()))


def leave_with_parent() -> None:
    """End this process when its parent does, even one that was killed."""
    if parent := parent_process():
        parent.join()
        os._exit(1)
