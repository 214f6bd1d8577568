"""Files that are there whole or not at all, whatever ends the process or the machine; for one process at a time; and
their hashes."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


def part_of(path: Path) -> Path:
    """Where a file is written before it is whole."""
    return path.with_name(f".part-{path.name}")


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path beside `path`, with its suffix, to write to: it becomes `path` at the end of the block, or goes after an
    error. The folder is made if need be. The content is on the disk before the name is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(path)
    try:
        yield part
        to_disk(part)
        os.replace(part, path)
    except OSError as error:
        if error.errno and not error.filename:  # a full disk does not say of which file
            error.filename = str(path)
        raise
    finally:
        part.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Try whether `whole` could write a file; nothing is left behind.

    Raises:
        OSError: names the path, and says why not.
    """
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(error.errno, f"cannot be written ({error.strerror}); name another place", str(path)) from None


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """An empty folder beside `path`, which goes at the end of the block; what a process left there that was killed goes
    first. The folder around it is made if need be.
    """
    part = part_of(path)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def to_disk(path: Path) -> None:
    """Wait until the content of a file is on the disk."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def check_new(folder: Path) -> None:
    """`ValueError` unless a folder is still to be made, or empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} exists already; name a new folder")


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """An empty folder beside `folder` to write into: it becomes `folder` at the end of the block, or goes after an
    error.

    Raises:
        ValueError: if there is something at `folder` already.
    """
    folder = folder.resolve()
    check_new(folder)
    with scratch(folder) as part:
        (part / "whole").mkdir()
        yield part / "whole"
        if folder.exists():
            folder.rmdir()
        (part / "whole").rename(folder)


def digest(path: Path, algorithm: str = "sha256", prefix: bytes = b"") -> str:
    """The hash of a file, after a prefix, in hexadecimal digits."""
    found = hashlib.new(algorithm, prefix)
    with path.open("rb", buffering=0) as file:
        buffer = memoryview(bytearray(1 << 20))
        while count := file.readinto(buffer):
            found.update(buffer[:count])
    return found.hexdigest()


def read_json(path: Path, remedy: str) -> Any:
    """What a JSON file of the library's own holds.

    Raises:
        ValueError: if it is gone or damaged; names it and the remedy.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path} is missing; {remedy}") from None
    except ValueError as error:
        raise ValueError(f"{path} is empty or damaged ({error}); {remedy}") from None


def alone(lock: BinaryIO, out: Path) -> None:
    """Hold a lock until the file is closed, where the file system has locks.

    Raises:
        ValueError: if another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ValueError(f"another run writes {out} just now; wait for it, or name another place") from None
    except OSError:
        pass
