"""What the commands share: models by name or folder."""

from typing import Annotated

import typer

MODEL_HELP = "A name from `amge list`, the folder of a checkpoint, or owner/name of one on the Hugging Face Hub."
ModelOption = Annotated[str, typer.Option(help=MODEL_HELP)]
