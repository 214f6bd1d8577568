"""A data set of rendered clips, `amge.synthetic`, made in a folder."""

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from amge.data.manifest import MANIFEST, write_manifest
from amge.data.prepare import families
from amge.data.sample import Sample
from amge.files import whole
from amge.synthetic import EXERCISES, render
from amge.video.write import write_video

UNSEEN = tuple(name for name, exercise in EXERCISES.items() if exercise.family in families.UNSEEN)
"""Exercises that no training clip shows: those of families that are unseen in the open exercise photographs, too."""
REPEATABLE = {"crf": "18", "x264-params": "mbtree=0:threads=1"}
"""With its usual options x264 does not give the same bytes each time."""


@dataclass(frozen=True)
class Clip:
    """What is rendered for a sample."""

    name: str
    exercise: str
    split: str
    seed: int


def plan(clips: int, seed: int = 0) -> Iterator[Clip]:
    """The first `clips` of an endless list.

    As many clips as there are exercises show each once, in an order of their own. Clips of `UNSEEN` go to `val_unseen`
    and `test_unseen` in turn. Of the others, the first of each exercise goes to `train`, then a tenth of all to
    `val_seen` and a tenth to `test_seen`, as soon as these have less; so about 90 clips are needed for every split to
    have some.
    """
    counts = dict.fromkeys(("seen", "unseen", "val_seen", "test_seen"), 0)
    for number in range(clips):
        turn, place = divmod(number, len(EXERCISES))
        exercise = list(EXERCISES)[np.random.default_rng((seed, turn)).permutation(len(EXERCISES))[place]]
        if exercise in UNSEEN:
            split = ("val_unseen", "test_unseen")[counts["unseen"] % 2]
            counts["unseen"] += 1
        else:
            counts["seen"] += 1
            lacking = [name for name in ("val_seen", "test_seen") if turn and counts[name] < counts["seen"] // 10]
            split = lacking[0] if lacking else "train"
            if lacking:
                counts[split] += 1
        yield Clip(f"{number:05}_{exercise}", exercise, split, _seed(seed, number))


def prepare(
    out: str | Path,
    clips: int = 500,
    frames: int = 32,
    size: int = 112,
    fps: float = 16.0,
    seed: int = 0,
    workers: int = 1,
) -> list[Sample]:
    """Render a data set into the folder `out`: `videos/`, `skeletons/` and, when all is there, `manifest.csv`.

    The same arguments give the same clips, and with one version of the encoder the same bytes. Run it again after a cut
    and it goes on; run it with more `clips` and it adds them.

    Args:
        out: the folder.
        clips: how many.
        frames: of each clip.
        size: of the square picture, in pixels; even.
        fps: frames a second.
        seed: decides everything else.
        workers: processes that render.

    Raises:
        ValueError: if `out` holds clips of other arguments, or an argument makes no sense.
        OSError: if a file can't be written.
    """
    out = Path(out)
    if clips < 1 or frames < 2 or size < 16 or size % 2 or not 0 < fps < float("inf") or workers < 1:
        raise ValueError(
            f"expected at least 1 clip, 2 frames, an even size from 16, a positive rate and 1 worker, got {clips=}, "
            f"{frames=}, {size=}, {fps=}, {workers=}"
        )
    options = {"frames": frames, "size": size, "fps": fps, "seed": seed}
    made_with = out / "options.json"
    if made_with.exists() and json.loads(made_with.read_text()) != options:
        raise ValueError(f"{out} holds clips of other options, {made_with.read_text().strip()}; name a new folder")
    with whole(made_with) as part:
        part.write_text(json.dumps(options) + "\n")
    planned = list(plan(clips, seed))
    write = partial(_write, out, frames, size, fps)
    if workers == 1:
        for clip in planned:
            write(clip)
    else:
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            list(pool.map(write, planned, chunksize=4))
    samples = [
        Sample(
            id=clip.name,
            video=out / "videos" / f"{clip.name}.mp4",
            regions=EXERCISES[clip.exercise].regions,
            activity=clip.exercise,
            split=clip.split,
            source=clip.name,
            skeletons=out / "skeletons" / f"{clip.name}.npz",
        )
        for clip in planned
    ]
    write_manifest(samples, out / MANIFEST)
    return samples


def _seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence((seed, number)).generate_state(1)[0])


def _write(out: Path, frames: int, size: int, fps: float, clip: Clip) -> None:
    """Render a clip, unless it is there: the skeletons come last, and each file appears when it is whole."""
    video, skeletons = out / "videos" / f"{clip.name}.mp4", out / "skeletons" / f"{clip.name}.npz"
    if video.exists() and skeletons.exists():
        return
    rendered = render(clip.exercise, frames, size, clip.seed, fps)
    with whole(video) as part:
        write_video(part, rendered.frames, fps, REPEATABLE)
    with whole(skeletons) as part:
        np.savez_compressed(part, keypoints=rendered.keypoints[None], fps=fps)
