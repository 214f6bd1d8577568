"""The folder of a recipe's run, which belongs to one set of options."""

import json
from pathlib import Path

from amge.files import whole


def same_run(folder: Path, options: str) -> None:
    """Write down what a run folder was made with, in JSON, or raise `ValueError` if it was made with something else."""
    path = folder / "options.json"
    if path.exists() and json.loads(path.read_text()) != json.loads(options):
        raise ValueError(f"{path} shows that this folder belongs to a run with other options; give this run its own")
    with whole(path) as part:
        part.write_text(options)
