"""The folder of a recipe's run, which belongs to one set of options."""

from pathlib import Path

from amge.files import whole


def same_run(folder: Path, options: str) -> None:
    """Write down what a run folder was made with, or raise `ValueError` if it was made with something else."""
    path = folder / "options.json"
    if path.exists() and path.read_text() != options:
        raise ValueError(f"{path} shows that this folder belongs to a run with other options; give this run its own")
    with whole(path) as part:
        part.write_text(options)
