"""What is finished, on disk: a file of results, and beside it the parts of a run that is not through.

A part is a Parquet file with all rows of some videos. It is written whole or not at all, and never changed. Rows of a
video lie in one row group; where a video is in several parts, the last one counts.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from errno import ENOSPC
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from amge.bulk.table import differences
from amge.files import alone, part_of, read_json, whole

RUN, LOCK, PARTS, UNFINISHED = "run.json", "lock", "[0-9]*.parquet", ".part-*"
GROUP = 20_000
"""Rows of a row group of the results."""
HELD = 8
"""Row groups in memory while parts are merged."""


class Store:
    """The results `out` and the folder `out.parts`, for one run at a time.

    Args:
        out: the file to be.
        schema: of the results, with what they say about themselves.
        root: the folder of the videos.
        retry_errors: go on with results that are there already.

    Raises:
        ValueError: if there are results, or parts of them, that this run can't go on with; says what to do.
        OSError: if the folder can't be written.
    """

    def __init__(self, out: Path, schema: pa.Schema, root: str, retry_errors: bool = False) -> None:
        self.out, self.schema, self.folder = out, schema, out.with_name(f"{out.name}.parts")
        self.failed: set[str] = set()
        self.pieces: list[tuple[Path, int]] = []
        """File and row group of each piece."""
        self.where: dict[str, int] = {}
        """Video to its piece."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock = (self.folder / LOCK).open("wb")
        try:
            alone(self.lock, out)
        except ValueError:
            self.lock.close()
            raise
        try:
            parts = sorted(self.folder.glob(PARTS))
            merged = out.exists() and (self.folder / RUN).exists()  # and killed before it could tell
            self._check(root, bool(parts) or merged, retry_errors)
            self.parts = int(parts[-1].stem) if parts else 0
            for path in [out, *parts] if out.exists() else parts:
                self._take(path)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let other runs have it; where there are no parts, nothing but the results is left."""
        if not any(self.folder.glob(PARTS)):
            with suppress(OSError):
                unfinished = (*self.folder.glob(UNFINISHED), part_of(self.out))
                for path in (*unfinished, self.folder / RUN, self.folder / LOCK):
                    path.unlink(missing_ok=True)
                self.folder.rmdir()
        self.lock.close()

    def add(self, tables: Sequence[pa.Table]) -> None:
        """Write a part with the rows of some videos.

        Raises:
            OSError: if it can't be written; then nothing of it is there.
        """
        self.parts += 1
        path, table = self.folder / f"{self.parts:08d}.parquet", pa.concat_tables(tables)
        with written(path) as file:
            pq.write_table(table, file, row_group_size=len(table))
        self._note(path, 0, table)

    def merge(self) -> None:
        """Write all rows to `out`, sorted by video, and remove the parts. Memory does not grow with the rows.

        Raises:
            OSError: if it can't be written; then `out` is as it was, and the parts are there.
        """
        if self.parts or not self.out.exists():
            with written(self.out) as file, pq.ParquetWriter(file, self.schema) as writer:
                for tables in self._groups():
                    table = pa.concat_tables(tables)
                    writer.write_table(table, row_group_size=len(table))
        for part in self.folder.glob(PARTS):
            part.unlink()

    def _check(self, root: str, begun: bool, retry_errors: bool) -> None:
        """Refuse what this run can't go on with; otherwise note what run it is."""
        if self.out.exists():
            if not begun and not retry_errors:
                raise ValueError(
                    f"{self.out} exists; delete it or name another file, or pass --retry-errors (retry_errors=True) to "
                    "go on with it: videos that failed and new ones are predicted, the rest stays"
                )
            self._same(read_schema(self.out), self.out, "name another file")
        if begun:
            remedy = f"delete {self.folder}, and all is predicted again"
            run = read_json(self.folder / RUN, remedy)
            try:
                about, there = {key: value.encode() for key, value in run["about"].items()}, run["root"]
            except (TypeError, KeyError, AttributeError):
                raise ValueError(f"{self.folder / RUN} is not what a run writes; {remedy}") from None
            self._same(self.schema.with_metadata(about), self.folder, "go on with those, or delete it")
            if there != root:
                raise ValueError(f"{self.folder} is of the videos in {there}, not in {root}; delete it")
        else:
            about = {key.decode(): value.decode() for key, value in self.schema.metadata.items()}
            with written(self.folder / RUN) as file:
                file.write(json.dumps({"about": about, "root": root}, indent=2).encode())

    def _same(self, there: pa.Schema, path: Path, remedy: str) -> None:
        if other := differences(self.schema, there):
            raise ValueError(f"{path} is of another run ({'; '.join(other)}); {remedy}")

    def _take(self, path: Path) -> None:
        with open_parquet(path) as file:
            for group in range(file.num_row_groups):
                self._note(path, group, file.read_row_group(group, columns=["video", "error"]))

    def _note(self, path: Path, group: int, table: pa.Table) -> None:
        videos = dict.fromkeys(table["video"].to_pylist())
        self.where.update(dict.fromkeys(videos, len(self.pieces)))
        self.pieces.append((path, group))
        self.failed.difference_update(videos)
        self.failed.update(table.filter(pc.is_valid(table["error"]))["video"].to_pylist())

    def _groups(self) -> Iterator[list[pa.Table]]:
        """The rows of video after video, some at a time."""
        load = lru_cache(HELD)(self._load)
        tables: list[pa.Table] = []
        rows = 0
        for video in sorted(self.where):
            tables.append(load(self.where[video])[video])
            rows += len(tables[-1])
            if rows >= GROUP:
                yield tables
                tables, rows = [], 0
        if tables:
            yield tables

    def _load(self, piece: int) -> dict[str, pa.Table]:
        """The rows of each video of a piece."""
        path, group = self.pieces[piece]
        with open_parquet(path) as file:
            table = file.read_row_group(group).cast(self.schema)
        first: dict[str, int] = {}
        for i, video in enumerate(table["video"].to_pylist()):
            first.setdefault(video, i)
        ends = [*list(first.values())[1:], len(table)]
        return {video: table.slice(i, end - i) for (video, i), end in zip(first.items(), ends, strict=True)}


@contextmanager
def open_parquet(path: Path) -> Iterator[Any]:
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path} is not a Parquet file, or a damaged one ({error}); delete it") from None
    with file:
        yield file


def read_schema(path: Path) -> pa.Schema:
    with open_parquet(path) as file:
        return file.schema_arrow


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """A file that is at `path` when the block is through, whole, and not at all if it breaks off.

    Raises:
        OSError: if it can't be written; says that what is finished is kept.
    """
    try:
        with whole(path) as part, part.open("wb") as file:
            yield file
    except OSError as error:
        reason = "the disk is full" if error.errno == ENOSPC else error.strerror or str(error)
        raise OSError(
            f"{path} can't be written: {reason}; mend that and run it again: what is finished is kept"
        ) from error
