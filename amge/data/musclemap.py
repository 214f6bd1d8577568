"""The three data sets of the MuscleMap benchmark: MuscleMap136, Muscle-UCF90 and Muscle-HMDB41.

Source: Peng et al., "MuscleMap: Towards Video-based Activated Muscle Group Estimation", section 3 and appendix D.2. The
videos and labels come from the authors, UCF101 and HMDB51 from theirs, and none of them is part of this project.
"""

import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table as Grid

from amge.data.activities import canonical, closest, same_activity
from amge.data.manifest import MANIFEST, Row, Table, check_ids, read_rows, read_table, to_sample
from amge.data.official_lists import place, read_lists
from amge.data.sample import SPLITS, Sample
from amge.errors import one_of


@dataclass(frozen=True)
class Benchmark:
    """What the paper says of one of its data sets."""

    name: str
    activities: int
    unseen_activities: int
    unseen: tuple[str, ...]
    """Names of the activities that are in no training sample, as far as they are known."""
    samples: tuple[int, ...]
    """How many there are in each of `SPLITS`."""


BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark(
            "musclemap136",
            136,
            20,
            (
                "hollow hold",
                "v-ups",
                "calf raise hold",
                "modified scissors",
                "scissors",
                "reverse crunches",
                "march twists",
                "hops on the spot",
                "up and down planks",
                "diamond push ups",
                "running",
                "plank jacks",
                "archer push ups",
                "front kicks",
                "triceps dip hold",
                "side plank rotation",
                "raised leg push ups",
                "reverse plank kicks",
                "circle push ups",
                "shoulder taps",
            ),
            (8837, 1473, 1611, 1474, 1612),
        ),
        Benchmark(
            "muscle-ucf90",
            90,
            9,
            (
                "hammering",
                "shaving beard",
                "knitting",
                "shot put",
                "diving",
                "bowling",
                "skiing",
                "pole vault",
                "salsa spin",
            ),
            (7151, 509, 1192, 509, 1192),
        ),
        Benchmark("muscle-hmdb41", 41, 6, ("push",), (3311, 422, 552, 423, 552)),
    )
}
"""By name. Of the six unseen activities of Muscle-HMDB41 only `push` is known here: the copy of the paper at hand
breaks off after it."""

SHARES = (0.75, 0.875)
"""Where no split is given: sources whose hash, 0..1, is below the first are `train`, below the second `val_seen`."""

_UCF = re.compile(r"v_(?P<source>\w+_g\d+)_c\d+", re.IGNORECASE)
_HMDB = re.compile(r"(?P<source>.+)_[fhlu]_(?:cm|nm)_np\d+_(?:ba|fr|le|ri)_(?:bad|goo|med)_\d+", re.IGNORECASE)
_NUMBERED = re.compile(r"(?P<source>.+?)[ _-]+\d+")


def benchmark(name: str) -> Benchmark:
    """The benchmark called `name`. Raises `ValueError` with the closest names if there is none."""
    return BENCHMARKS[one_of("MuscleMap data set", name, BENCHMARKS)]


def source_of(name: str, video: Path, activity: str = "") -> str:
    """The recording that a clip was cut from, by the name of its file; clips of one recording belong on one side.

    - UCF101, `v_PoleVault_g03_c02.avi`: class and group, `PoleVault_g03`.
    - HMDB51, `some_film_push_f_cm_np1_ba_bad_3.avi`: what stands before the properties of the clip, `some_film_push`.
    - MuscleMap136, `ID_0012.mp4`: activity and what stands before the number of the clip, unless that is just the name
      of the activity.

    A clip whose name is none of these is a source of its own.
    """
    stem = video.stem
    pattern = {"muscle-ucf90": _UCF, "muscle-hmdb41": _HMDB}.get(name, _NUMBERED)
    match = pattern.fullmatch(stem)
    if match is None or (pattern is _NUMBERED and same_activity(match["source"], activity)):
        return f"{activity}/{stem}"
    return f"{activity}/{match['source']}" if pattern is _NUMBERED else match["source"]


def load(
    name: str,
    root: str | Path,
    manifest: str | Path | None = None,
    table: Table | str | Path | None = None,
    lists: str | Path | None = None,
    unseen: Sequence[str] | None = None,
    allow_pickle: bool = False,
) -> list[Sample]:
    """The samples of one of the data sets, from the official list files or from a table of your own.

    A row of a table without an activity has that of its video's folder. A row without a split goes where its activity
    and its source say: one of an unseen activity to `val_unseen` or `test_unseen`, one half of the sources each, any
    other to `train`, `val_seen` or `test_seen`, 75, 12.5 and 12.5 %. A hash of the source decides, so the same videos
    always go the same way. This is **not** the official split, which only the official lists have.

    Args:
        name: of `BENCHMARKS`.
        root: the folder of the videos.
        manifest: a table as `amge.data.manifest` describes it; by default `manifest.csv` in the folder.
        table: regions of each activity, or a file of them, for a manifest without regions.
        lists: the folder of the official list files, in place of a manifest; see `amge.data.official_lists`.
        unseen: names of unseen activities, in place of those of the benchmark.
        allow_pickle: open list files that are pickles.

    Raises:
        ValueError: for an unknown name, files that don't fit, or unseen activities without a single sample where these
            decide on the split.
        OSError: if a file can't be read.
    """
    known, root = benchmark(name), Path(root)
    if lists is not None:
        if manifest is not None or table is not None:
            raise ValueError("lists hold the labels: give either lists, or a manifest and a table")
        return _from_lists(name, root, Path(lists), allow_pickle)
    path = Path(manifest) if manifest is not None else root / MANIFEST
    if manifest is None and not path.is_file():
        raise ValueError(f"{root} has no manifest.csv; give manifest, or lists, the folder of the official list files")
    regions = read_table(table) if isinstance(table, str | Path) else table
    rows = [Row(row.where, _with_activity(row.values)) for row in read_rows(path, labelled=False)]
    samples = [to_sample(row, root, regions) for row in rows]
    check_ids(rows, samples)
    samples = [
        sample if sample.source else replace(sample, source=source_of(name, sample.files[0], sample.activity))
        for sample in samples
    ]
    if all("split" in row.values for row in rows):
        return samples
    names = _unseen_names(known, unseen, {sample.activity for sample in samples})
    return [
        sample if "split" in row.values else replace(sample, split=_split(sample, names))
        for row, sample in zip(rows, samples, strict=True)
    ]


def _with_activity(values: dict) -> dict:
    video = values.get("video")
    folder = Path(video.split("|")[0]).parent.name if isinstance(video, str) else ""
    return {"activity": folder, **values} if folder else values


def _unseen_names(known: Benchmark, unseen: Sequence[str] | None, activities: set[str]) -> set[str]:
    """Unseen activities in `canonical` spelling; each must have samples: a misspelling would put it into training."""
    names = known.unseen if unseen is None else unseen
    if unseen is None and len(names) < known.unseen_activities:
        raise ValueError(
            f"{known.name} has {known.unseen_activities} unseen activities, of which only {', '.join(names)} is known "
            f"here; name them (unseen=, --unseen), or give a manifest with a column split"
        )
    spelled = {canonical(activity) for activity in activities}
    for name in names:
        if canonical(name) not in spelled:
            close = closest(name, activities)
            hint = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
            raise ValueError(
                f"no sample shows the unseen activity {name!r}; {hint}Spell it alike, or name the unseen ones that are "
                f"there (unseen=, --unseen)"
            )
    return {canonical(name) for name in names}


def _split(sample: Sample, unseen: set[str]) -> str:
    value = int(hashlib.sha256(sample.source.encode()).hexdigest()[:8], 16) / 2**32
    if canonical(sample.activity) in unseen:
        return "val_unseen" if value < 0.5 else "test_unseen"
    return "train" if value < SHARES[0] else "val_seen" if value < SHARES[1] else "test_seen"


def _from_lists(name: str, root: Path, folder: Path, allow_pickle: bool) -> list[Sample]:
    listed = read_lists(folder, allow_pickle)
    times: Counter[str] = Counter()
    samples = []
    for entry, video in zip(listed, place(root, [entry.path for entry in listed]), strict=True):
        activity, _, file = entry.path.rpartition("/")
        activity = activity.rpartition("/")[2]
        if not activity:
            raise ValueError(f"{folder} lists {entry.path!r}; a path ends in ACTIVITY/FILE, which says the activity")
        id = f"{activity}/{Path(file).stem}"
        times[id] += 1
        samples.append(
            Sample(
                id=id if times[id] == 1 else f"{id}#{times[id]}",
                video=video,
                regions=entry.regions,
                activity=activity,
                split=entry.split,
                source=source_of(name, video, activity),
            )
        )
    return samples


def count_report(samples: Iterable[Sample], benchmark: Benchmark, unseen: Sequence[str] | None = None) -> str:
    """What is there beside what the paper counts, as text: samples of each split, activities, and unseen activities
    that are missing, in training, or spelled in two ways."""
    samples = list(samples)
    names = benchmark.unseen if unseen is None else tuple(unseen)
    found = Counter(sample.split for sample in samples)
    activities = sorted({sample.activity for sample in samples})
    spelled = {canonical(activity) for activity in activities}
    unseen_there = {canonical(s.activity) for s in samples if s.split.endswith("_unseen")}
    trained = {canonical(sample.activity) for sample in samples if sample.split == "train"}
    rows = [
        (f"samples in {split}", count, found[split]) for split, count in zip(SPLITS, benchmark.samples, strict=True)
    ]
    rows.append(("activities", benchmark.activities, len(spelled)))
    rows.append(("unseen activities", benchmark.unseen_activities, len(unseen_there)))
    grid = Grid(title=benchmark.name, title_justify="left", box=None, pad_edge=False)
    grid.add_column("")
    for column in ("paper", "found", "difference"):
        grid.add_column(column, justify="right")
    for what, expected, there in rows:
        grid.add_row(what, str(expected), str(there), f"{there - expected:+}" if there != expected else "")
    text = io.StringIO()
    Console(file=text, width=100, color_system=None).print(grid)
    notes = []
    if len(names) < benchmark.unseen_activities and unseen is None:
        notes.append(f"only {len(names)} of the {benchmark.unseen_activities} unseen activities is known by name here")
    for name in names:
        if canonical(name) not in spelled:
            close = closest(name, activities)
            notes.append(f"unseen activity {name!r} is missing" + (f"; closest: {', '.join(close)}" if close else ""))
        elif canonical(name) in trained:
            notes.append(f"unseen activity {name!r} is in train")
        spellings = [activity for activity in activities if same_activity(name, activity)]
        if len(spellings) > 1:
            notes.append(f"unseen activity {name!r} is spelled in {len(spellings)} ways: {', '.join(spellings)}")
    notes += [f"seen activity {name!r} is not in train" for name in _not_trained(samples, trained)]
    return "\n".join(line.rstrip() for line in (text.getvalue() + "\n".join(notes)).splitlines())


def _not_trained(samples: Iterable[Sample], trained: set[str]) -> list[str]:
    seen = {sample.activity for sample in samples if sample.split.endswith("_seen")}
    return sorted(activity for activity in seen if canonical(activity) not in trained)
