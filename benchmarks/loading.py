"""Whether data loading keeps up with training, and whether its memory stays flat, as JSON.

python benchmarks/loading.py                    on clips that it renders: 224 x 224, 30 frames a second, 4 s
python benchmarks/loading.py videos --photos data/open_exercise --workers 0 1 2 --model transm3e-tiny
python benchmarks/loading.py --memory 10000     memory of all processes while so many samples of --files are drawn

All are measured in turns in one run; rates are medians of the rounds, the least and the largest beside them. `decode`
is what no loader that looks at all of a video can beat: PyAV, every frame as RGB. `naive` decodes all of a video, then
takes the frames of a clip, with torchvision's transforms. Ratios above 1 mean that loading is the faster one.
"""

import argparse
import itertools
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from torch.utils.data import DataLoader
from torchvision.transforms import v2

import amge
from amge.data.augment import appearance, erasing
from amge.data.batch import collate
from amge.data.clips import Augmentation, Clips
from amge.data.prepare.synthetic import prepare
from amge.data.sample import Sample
from amge.spec import ModelSpec
from amge.video.sampling import frame_times, random_starts

SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi")
Pass = Callable[[], int]
"""Goes through its data once, and says how many videos or clips that were."""


def videos_in(folder: Path) -> list[Sample]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    return [Sample(id=str(p), video=p, regions=("gluteus",), activity="any", split="train") for p in paths]


def whole(path: Path) -> np.ndarray:
    """All frames of a video at its size, uint8 `(n, H, W, 3)`."""
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def naive(path: Path, spec: ModelSpec, rng: np.random.Generator) -> torch.Tensor:
    """A training clip as one writes it at first."""
    frames = whole(path)
    with av.open(str(path)) as container:
        fps = float(container.streams.video[0].average_rate or 30)
    (start,) = random_starts(len(frames) / fps, spec.seconds, 1, rng)
    chosen = (frame_times(start, min(spec.seconds, len(frames) / fps), spec.frames) * fps).astype(int)
    clip = torch.from_numpy(frames[chosen.clip(max=len(frames) - 1)]).permute(0, 3, 1, 2)
    change = v2.Compose(
        [
            v2.RandomResizedCrop(spec.size, antialias=True),
            v2.RandomHorizontalFlip(),
            appearance(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(spec.mean, spec.std),
            erasing(),
        ]
    )
    return change(clip)


def model_pass(name: str, frames: int, size: int, batch: int) -> Pass:
    """Forward and backward passes of a model on a batch that is there already."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = amge.build(name, frames=frames, size=size).train().to(device)
    clip = torch.randn(batch, 3, frames, size, size, device=device)

    def run() -> int:
        model.zero_grad(set_to_none=True)
        logits = model(clip)
        torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.zeros_like(logits)).backward()
        if device == "cuda":
            torch.cuda.synchronize()
        return batch

    return run


def loading_pass(clips: Clips, workers: int, batch: int) -> Pass:
    """All clips of a data set; workers stay from round to round."""
    options: dict[str, Any] = {"batch_size": batch, "num_workers": workers, "collate_fn": collate}
    loader = DataLoader(clips, persistent_workers=workers > 0, **options)

    def run() -> int:
        count = 0
        for items in loader:
            if items["broken"]:
                raise SystemExit(f"{items['broken'][0][0]} can't be read: {items['broken'][0][1]}")
            count += len(items["sample"])
        return count

    return run


def rates(passes: dict[str, Pass], rounds: int) -> dict[str, list[float]]:
    """Of each, how many a second in each round; the round before the first warms up."""
    found: dict[str, list[float]] = {name: [] for name in passes}
    for round_ in range(rounds + 1):
        for name, run in passes.items():
            start = time.perf_counter()
            count = run()
            if round_:
                found[name].append(count / (time.perf_counter() - start))
    return found


def speed(options: argparse.Namespace, samples: list[Sample]) -> dict[str, Any]:
    """Rates and their ratios."""
    frames, size, batch = options.frames, options.size, options.batch
    spec = amge.spec(options.model[0]).replace(frames=frames, size=size, seconds=frames * 4 / 30)
    films = [whole(sample.video) for sample in samples]  # type: ignore[arg-type]
    shown = sum(map(len, films)) / len(films)
    shape = films[0].shape[1:3]
    del films
    rng = np.random.default_rng(0)
    train = Clips(samples, spec, train=Augmentation())

    passes: dict[str, Pass] = {
        "decode": lambda: len([whole(sample.video) for sample in samples]),  # type: ignore[arg-type]
        "naive": lambda: len([naive(sample.video, spec, rng) for sample in samples]),  # type: ignore[arg-type]
    }
    passes |= {f"train, {n} workers": loading_pass(train, n, batch) for n in options.workers}
    passes["test, 1 view"] = loading_pass(Clips(samples, spec), 0, batch)
    passes["test, 5 views"] = loading_pass(Clips(samples, spec, clips=5), 0, batch)
    if options.photos:
        from amge.data.open_exercise import samples as photographs

        photos = photographs(options.photos)[: len(samples)]
        passes |= {
            f"photographs, {n} workers": loading_pass(Clips(photos, spec, train=Augmentation()), n, batch)
            for n in options.workers
        }
    passes |= {f"model {name}": model_pass(name, frames, size, batch) for name in options.model}
    found = rates(passes, options.rounds)
    middle = {name: statistics.median(values) for name, values in found.items()}
    loaders = [name for name in middle if name.startswith(("train", "photographs"))]
    return {
        "videos": {"count": len(samples), "frames": round(shown, 1), "height and width": shape},
        "clip": {"frames": frames, "size": size, "augmentation": "of the paper"},
        "per second": {name: [round(x, 2) for x in (middle[name], min(v), max(v))] for name, v in found.items()},
        "frames per second of decode": round(middle["decode"] * shown, 1),
        "loading / decode": {n: round(middle[n] / middle["decode"], 3) for n in ("naive", *loaders, "test, 1 view")},
        "loading / model": {
            model: {name: round(middle[name] / middle[f"model {model}"], 2) for name in loaders}
            for model in options.model
        },
    }


def processes() -> list[int]:
    """This process and those that it started."""
    tasks = Path("/proc/self/task").iterdir()
    return [os.getpid(), *(int(child) for task in tasks for child in (task / "children").read_text().split())]


def megabytes(key: str) -> float:
    """Memory of all processes: `Rss` counts what they share for each of them, `Private_Dirty` leaves it out."""
    total = 0
    for process in processes():
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        total += sum(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))
    return total / 1024


def drawn(clips: Clips, samples: int, workers: int) -> Iterator[int]:
    """How many samples have been drawn, batch after batch; workers stay, epoch after epoch."""
    count = 0
    keys = [divmod(number, len(clips)) for number in range(samples)]
    for batch in DataLoader(clips, 16, sampler=keys, num_workers=workers, collate_fn=collate):
        count += len(batch["target"])
        yield count


def memory(options: argparse.Namespace, samples: list[Sample], folder: Path) -> dict[str, Any]:
    """Memory at each step, and its slope after the first; files have names of their own, as in a large set."""
    spec = amge.spec(options.model[0]).replace(frames=options.frames, size=options.size)
    links = []
    for number, sample in zip(range(min(options.files, options.memory)), itertools.cycle(samples), strict=False):
        link = folder / f"{number}{sample.files[0].suffix}"
        link.symlink_to(sample.files[0].resolve())
        links.append(replace(sample, id=link.stem, video=link))
    step = max(options.memory // 10, 1)
    table: list[tuple[int, float, float]] = []
    start, due = time.perf_counter(), step
    for count in drawn(Clips(links, spec, train=Augmentation()), options.memory, max(options.workers)):
        if count >= due:
            table.append((count, megabytes("Rss"), megabytes("Private_Dirty")))
            due += step
    seconds = time.perf_counter() - start
    counts, *kinds = np.array(table).T
    slopes = [round(1000 * float(np.polyfit(counts[1:], values[1:], 1)[0]), 3) for values in kinds]
    return {
        "samples": options.memory,
        "files": len(links),
        "workers": max(options.workers),
        "samples per second": round(options.memory / seconds, 1),
        "drawn": [count for count, *_ in table],
        "MB": {name: [round(row[i], 1) for row in table] for i, name in ((1, "Rss"), (2, "Private_Dirty"))},
        "MB per 1,000 samples after the first tenth": dict(zip(("Rss", "Private_Dirty"), slopes, strict=True)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="of videos; default: some are rendered")
    parser.add_argument("--photos", type=Path, help="prepared open exercise photographs")
    parser.add_argument("--model", nargs="+", default=["transm3e-tiny", "transm3e-lite"])
    parser.add_argument("--workers", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--videos", type=int, default=16, help="how many to render, or to take of the folder")
    parser.add_argument("--seconds", type=float, default=4.0, help="of rendered videos")
    parser.add_argument("--frames", type=int, help="of a clip; default: 16, and 4 for --memory")
    parser.add_argument("--size", type=int, help="of a clip and of rendered videos; default: 224, and 64 for --memory")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", type=int, nargs="?", const=10_000, help="samples to draw")
    parser.add_argument("--files", type=int, default=1000, help="for --memory: how many, drawn again and again")
    parser.add_argument("--out", type=Path, help="file for the result, besides the output")
    options = parser.parse_args()
    options.frames = options.frames or (4 if options.memory else 16)
    options.size = options.size or (64 if options.memory else 224)
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as temporary:
        if options.folder:
            samples = videos_in(options.folder)[: options.videos]
        else:
            count, fps = options.videos, 30.0
            samples = prepare(Path(temporary, "made"), count, round(options.seconds * fps), options.size, fps)
            samples = [replace(sample, split="train") for sample in samples]
        if not samples:
            raise SystemExit(f"{options.folder} holds no videos ({', '.join(SUFFIXES)})")
        measured = memory(options, samples, Path(temporary)) if options.memory else speed(options, samples)
    about = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load at the end": round(os.getloadavg()[0], 1),
        "threads": options.threads,
        "torch": torch.__version__,
        "av": av.__version__,
    }
    result = json.dumps(about | measured, indent=2)
    print(result)
    if options.out:
        options.out.write_text(result + "\n")


if __name__ == "__main__":
    main()
