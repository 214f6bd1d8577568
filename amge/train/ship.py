"""`python -m amge.train.ship RUN/student OUT --tag TAG`: a trained folder to a checkpoint to share."""

import json
from pathlib import Path
from typing import Annotated

import torch
import typer

import amge


def main(
    source: Annotated[Path, typer.Argument(help="Folder that a training stage wrote.")],
    out: Annotated[Path, typer.Argument(help="Folder for the checkpoint.")],
    tag: Annotated[str, typer.Option(help="What it was trained on and how, as in `open-exercise`.")],
    licence: Annotated[str, typer.Option(help="Of the weights.")],
    threshold: Annotated[float, typer.Option(min=0, max=1, help="From which a region is active.")] = 0.5,
    metrics: Annotated[str, typer.Option(help="Measured ones, as a JSON object.")] = "{}",
) -> None:
    """Store the weights in half precision, with the metadata that a checkpoint travels with."""
    model = amge.from_pretrained(source, tag=tag, licence=licence, threshold=threshold, metrics=json.loads(metrics))
    model.save_pretrained(out, dtype=torch.float16)


if __name__ == "__main__":
    typer.run(main)
