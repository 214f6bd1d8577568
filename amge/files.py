"""Files that are there whole or not at all, and their hashes."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def part_of(path: Path) -> Path:
    """Where a file is written before it is whole."""
    return path.with_name(f".part-{path.name}")


@contextmanager
def whole(path: Path, durable: bool = False) -> Iterator[Path]:
    """A path beside `path`, with its suffix, to write to: it becomes `path` at the end of the block, or goes after an
    error. The folder is made if need be.

    Args:
        path: of the file to be.
        durable: be sure that the content is on the disk before the name is, whatever happens to the machine.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(path)
    try:
        yield part
        if durable:
            with part.open("r+b") as file:
                os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def digest(path: Path, algorithm: str = "sha256", prefix: bytes = b"") -> str:
    """The hash of a file, after a prefix, in hexadecimal digits."""
    found = hashlib.new(algorithm, prefix)
    with path.open("rb", buffering=0) as file:
        buffer = memoryview(bytearray(1 << 20))
        while count := file.readinto(buffer):
            found.update(buffer[:count])
    return found.hexdigest()
