"""The data set of rendered clips, `amge.synthetic`: small, labelled, and free of anybody's rights.

`amge.data.prepare.synthetic` makes it.
"""

from pathlib import Path

from amge.data.manifest import MANIFEST, read_manifest
from amge.data.sample import Sample


def samples(folder: str | Path) -> list[Sample]:
    """The samples of a prepared folder; `ValueError` if it is not there or not whole."""
    manifest = Path(folder) / MANIFEST
    if not manifest.is_file():
        raise ValueError(
            f"{folder} holds no whole set of rendered clips; amge data prepare synthetic {folder} makes it"
        )
    return read_manifest(manifest)
