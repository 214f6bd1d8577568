"""A data set of your own as a table: a row for each video, in CSV or JSON.

Columns: `video`, or pictures separated by `|`; `regions` separated by `;`, or `activity` together with a table of the
regions of each. If you like, `id`, `split`, `source`, `start` and `end` in seconds, and `skeletons`, a file, or
`file.npz#row` of one that holds the poses of many.
"""

import csv
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from amge.data.activities import canonical, match_activity
from amge.data.sample import Sample
from amge.errors import one_of
from amge.files import whole
from amge.muscles import REGION_IDS

COLUMNS = ("id", "video", "split", "activity", "regions", "source", "start", "end", "skeletons")
MANIFEST = "manifest.csv"
"""What this library calls those that it writes."""
NAMES = ("labels.csv", "labels.json", MANIFEST, "manifest.json")
"""What `read_folder` looks for, in this order."""

OWN = "own"
"""In place of labels: whatever names there are."""

Table = Mapping[str, Sequence[str]]
"""Names of activities to their regions."""


@dataclass(frozen=True)
class Row:
    """What one row says; cells that are empty are left out."""

    where: str
    """File and line, for messages."""
    values: dict[str, Any]


def read_manifest(
    path: str | Path,
    table: Table | str | Path | None = None,
    root: str | Path | None = None,
    labels: Sequence[str] | str = REGION_IDS,
) -> list[Sample]:
    """The samples that a CSV or JSON file lists. Whether their videos exist is left to `amge.data.check`.

    Args:
        path: a CSV file with a header, or JSON: a list of objects.
        table: regions of each activity, or a file that `read_table` takes.
        root: the folder that paths in the file start from; its own folder if left out.
        labels: the regions there are; or `own`: names of your own, any.

    Returns:
        the samples in the order of the file. A row without `split` is of `train`, one without `id` is called like its
        video without the suffix, with its times if it has any, one without `activity` like its id.

    Raises:
        ValueError: names file and line and says what would fit.
        OSError: if the file can't be read.
    """
    path = Path(path)
    regions = read_table(table, labels) if isinstance(table, str | Path) else table
    rows = read_rows(path)
    samples = [to_sample(row, Path(path.parent if root is None else root), regions, labels) for row in rows]
    check_ids(rows, samples)
    return samples


def read_folder(
    folder: str | Path,
    labels_csv: str | Path | None = None,
    table: Table | str | Path | None = None,
    labels: Sequence[str] | str = REGION_IDS,
) -> list[Sample]:
    """A folder of videos with a manifest in it: `labels_csv`, or the first of `NAMES` that is there.

    Raises:
        ValueError: as `read_manifest`, or if there is no manifest.
        OSError: if it can't be read.
    """
    folder = Path(folder)
    if labels_csv is None:
        found = next((folder / name for name in NAMES if (folder / name).is_file()), None)
        if found is None:
            raise ValueError(f"{folder} has none of {', '.join(NAMES)}; write one, with the columns video and regions")
        labels_csv = found
    return read_manifest(labels_csv, table, folder, labels)


def read_rows(path: Path, labelled: bool = True) -> list[Row]:
    """The rows of a manifest as they are written; if not `labelled`, regions and activities may be missing.

    Raises:
        ValueError: for another format, or columns that are missing or mistyped.
        OSError: if it can't be read.
    """
    one_of("manifest format", path.suffix.lower(), (".csv", ".json"))
    rows = (_json_rows if path.suffix.lower() == ".json" else _csv_rows)(path, labelled)
    if not rows:
        raise ValueError(f"{path} lists no video")
    return rows


def _csv_rows(path: Path, labelled: bool) -> list[Row]:
    with _opened(path) as file:
        reader = csv.DictReader(file)
        try:
            reader.fieldnames = [(name or "").strip().lower() for name in reader.fieldnames or ()]
            _check_columns(f"{path}, line 1", reader.fieldnames, labelled)
            rows = []
            for cells in reader:
                where = f"{path}, line {reader.line_num}"
                if None in cells:
                    raise ValueError(f"{where}: more cells than columns; put one that holds a comma in quotes")
                rows.append(Row(where, {k: v.strip() for k, v in cells.items() if v and v.strip()}))
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is not a CSV file in UTF-8 ({error})") from None
    return rows


def _json_rows(path: Path, labelled: bool) -> list[Row]:
    content = read_json(path)
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise ValueError(f"{path}: expected a list of objects, each with 'video' and 'regions'")
    rows = []
    for number, entry in enumerate(content, 1):
        where = f"{path}, entry {number}"
        _check_columns(where, entry, labelled)
        rows.append(Row(where, {k: v for k, v in entry.items() if v is not None and v != ""}))
    return rows


def read_json(path: Path) -> Any:
    """What a JSON file holds; `ValueError` if it is none."""
    try:
        with _opened(path) as file:
            return json.load(file)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON in UTF-8 ({error})") from None


def _opened(path: Path) -> Any:
    return path.open(encoding="utf-8-sig", newline="")


def _check_columns(where: str, names: Iterable[str], labelled: bool) -> None:
    names = list(names)
    for name in set(names) - set(COLUMNS):
        if close := get_close_matches(name, COLUMNS, n=1, cutoff=0.8):
            raise ValueError(f"{where}: unknown column {name!r}; did you mean {close[0]!r}?")
    there = ", ".join(map(repr, names)) or "nothing"
    if "video" not in names:
        raise ValueError(f"{where}: column 'video' is missing; there is {there}")
    if labelled and not {"regions", "activity"} & set(names):
        raise ValueError(f"{where}: column 'regions' is missing, or 'activity' with a table; there is {there}")


def to_sample(row: Row, root: Path, table: Table | None, labels: Sequence[str] | str = REGION_IDS) -> Sample:
    """What a row means.

    Raises:
        ValueError: names the row and says what would fit.
    """
    values = row.values
    try:
        if "video" not in values:
            raise ValueError("it has no video")
        video = values["video"]
        pictures = [str(part) for part in (video if isinstance(video, list) else str(video).split("|"))]
        start, end = (_seconds(values, name) for name in ("start", "end"))
        times = "" if start is None and end is None else f"@{start or 0:g}-{'' if end is None else f'{end:g}'}"
        id = str(values.get("id", f"{Path(pictures[0]).with_suffix('').as_posix()}{times}"))
        return Sample(
            id=id,
            video=root / pictures[0] if len(pictures) == 1 else tuple(root / picture for picture in pictures),
            regions=_regions(values, table, labels),
            activity=str(values.get("activity", id)),
            split=str(values.get("split", "train")),
            source=str(values.get("source", "")),
            start=start,
            end=end,
            skeletons=_skeletons(root, str(values["skeletons"])) if "skeletons" in values else None,
        )
    except ValueError as error:
        raise ValueError(f"{row.where}: {error}") from None


def _seconds(values: dict[str, Any], name: str) -> float | None:
    if name not in values:
        return None
    try:
        seconds = float(values[name])
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{name} is a number of seconds, not {values[name]!r}")
    return seconds


def _regions(values: dict[str, Any], table: Table | None, labels: Sequence[str] | str) -> tuple[str, ...]:
    if "regions" in values:
        given = values["regions"]
        if isinstance(given, str) and given.startswith("["):
            given = json.loads(given)
        names = [name.strip() for name in given.split(";") if name.strip()] if isinstance(given, str) else given
        if not isinstance(names, list):
            raise ValueError(f"regions are names separated by ';' or a list of them, not {given!r}")
        return checked_regions(names, labels)
    if "activity" not in values:
        raise ValueError("it has neither regions nor an activity; a video without active regions has regions '[]'")
    if table is None:
        raise ValueError(f"it has no regions, and there is no table that says those of {values['activity']!r}")
    return tuple(table[match_activity(str(values["activity"]), table)])


def checked_regions(names: Iterable[str], labels: Sequence[str] | str = REGION_IDS) -> tuple[str, ...]:
    """The names, if all are among `labels`, or these are `own`, and none is there twice; otherwise a `ValueError`."""
    regions = tuple(names)
    if isinstance(labels, str):
        one_of("kind of labels", labels, (OWN,))
        if wrong := [name for name in regions if not isinstance(name, str) or not name]:
            raise ValueError(f"a label is a name, not {wrong[0]!r}")
    else:
        try:
            regions = tuple(one_of("muscle region", name, labels) for name in regions)
        except ValueError as error:
            raise ValueError(f"{error}; for names that are no muscles say labels='own' (--labels own)") from None
    if twice := [name for name in dict.fromkeys(regions) if regions.count(name) > 1]:
        raise ValueError(f"muscle region {twice[0]!r} is given twice")
    return regions


def _skeletons(root: Path, given: str) -> Path | tuple[Path, int]:
    path, _, row = given.rpartition("#")
    return (root / path, int(row)) if path and row.isdecimal() else root / given


def check_ids(rows: Sequence[Row], samples: Sequence[Sample]) -> None:
    """`ValueError` if two rows have one id."""
    first: dict[str, str] = {}
    for row, sample in zip(rows, samples, strict=True):
        if sample.id in first:
            raise ValueError(f"{row.where}: id {sample.id!r} is that of {first[sample.id]} already; give each its own")
        first[sample.id] = row.where


def read_table(path: str | Path, labels: Sequence[str] | str = REGION_IDS) -> dict[str, tuple[str, ...]]:
    """The regions of activities, from a CSV file with the columns `activity` and `regions`, or from a JSON object.

    Raises:
        ValueError: names file and line and says what would fit.
        OSError: if it can't be read.
    """
    path = Path(path)
    one_of("table format", path.suffix.lower(), (".csv", ".json"))
    if path.suffix.lower() == ".json":
        content = read_json(path)
        if not isinstance(content, dict):
            raise ValueError(f"{path}: expected an object of activities and lists of regions")
        entries = [(f"{path}, activity {name!r}", name, {"regions": regions}) for name, regions in content.items()]
    else:
        with _opened(path) as file:
            reader = csv.DictReader(file)
            columns = [(name or "").strip().lower() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            if not {"activity", "regions"} <= set(columns):
                raise ValueError(f"{path}: expected the columns activity and regions, got {', '.join(columns)}")
            entries = [
                (f"{path}, line {reader.line_num}", cells["activity"], {"regions": cells["regions"] or ""})
                for cells in reader
            ]
    table: dict[str, tuple[str, ...]] = {}
    seen: dict[str, str] = {}
    for where, name, values in entries:
        try:
            if not name:
                raise ValueError("it names no activity")
            regions = _regions(values, None, labels)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        known = seen.setdefault(canonical(name), name)
        if set(table.get(known, regions)) != set(regions):
            raise ValueError(f"{where}: {name!r} has other regions than {known!r}")
        table.setdefault(known, regions)
    return table


def write_manifest(samples: Sequence[Sample], path: str | Path) -> None:
    """Write a CSV or JSON file that `read_manifest` reads back; paths are relative to its folder where they lie in it.

    Raises:
        ValueError: for another format, or a picture with `|` in its path.
        OSError: if it can't be written.
    """
    path = Path(path)
    one_of("manifest format", path.suffix.lower(), (".csv", ".json"))
    rows = [_cells(sample, path.parent, path.suffix.lower() == ".json") for sample in samples]
    with whole(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        if path.suffix.lower() == ".json":
            json.dump([{k: v for k, v in row.items() if v is not None} for row in rows], file, indent=1)
        else:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def _cells(sample: Sample, folder: Path, as_json: bool) -> dict[str, Any]:
    files = [_relative(file, folder) for file in sample.files]
    if any("|" in file for file in files):
        raise ValueError(f"{sample.id}: a path with '|' in it can't be listed; rename the file")
    skeletons = sample.skeletons
    return {
        "id": sample.id,
        "video": "|".join(files),
        "split": sample.split,
        "activity": sample.activity,
        "regions": list(sample.regions) if as_json else ";".join(sample.regions) or "[]",
        "source": sample.source or None,
        "start": sample.start,
        "end": sample.end,
        "skeletons": f"{_relative(skeletons[0], folder)}#{skeletons[1]}"
        if isinstance(skeletons, tuple)
        else _relative(skeletons, folder)
        if skeletons
        else None,
    }


def _relative(path: Path, folder: Path) -> str:
    inside, whole = os.path.abspath(folder), os.path.abspath(path)
    return Path(os.path.relpath(whole, inside) if Path(whole).is_relative_to(inside) else whole).as_posix()
