"""What the commands share: models by name or folder, devices, paths that are looked at before anything is imported."""

from pathlib import Path
from typing import Annotated

import typer

MODEL_HELP = "A name from `amge list`, the folder of a checkpoint, or owner/name of one on the Hugging Face Hub."
ModelOption = Annotated[str, typer.Option(help=MODEL_HELP)]
FpsOption = Annotated[
    float | None,
    typer.Option(help="Frames a second of keypoints and of folders of images; default: what a file says, or 30."),
]


def check_there(*paths: Path | None) -> None:
    """Refuse a path that is given and leads nowhere."""
    for path in paths:
        if path is not None and not path.exists():
            raise ValueError(f"{path} does not exist; check the path")


def check_model(model: str) -> None:
    """Refuse what can only be the folder of a checkpoint, and is not there."""
    if model.startswith(("/", "./", "../", "~")) and not Path(model).expanduser().exists():
        raise ValueError(f"{model} does not exist; give the folder of a checkpoint, or a name from `amge list`")
