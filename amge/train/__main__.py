"""`python -m amge.train NAME --data FOLDER --out RUN`."""

from pathlib import Path
from typing import Annotated

import typer

import amge
from amge.train.recipe import STAGES, train


def main(
    data: Annotated[Path, typer.Option(help="Folder of the prepared open exercise photographs.")],
    out: Annotated[Path, typer.Option(help="Run folder; run again to go on after a cut.")],
    name: Annotated[str, typer.Argument(help="Model to train, from `amge list`.")] = "transm3e-lite",
    stage: Annotated[list[str] | None, typer.Option(help=f"Only these of {', '.join(STAGES)}.")] = None,
    epochs: Annotated[tuple[int, int], typer.Option(help="Of stage 1 and stage 2.")] = (32, 8),
    distill: Annotated[bool, typer.Option(help="MCTKD in stage 2.")] = True,
    tokens: Annotated[bool, typer.Option(help="Muscle token banks; without, one class token.")] = True,
    size: Annotated[int, typer.Option(help="Side of training clips in pixels.")] = 160,
    frames: Annotated[tuple[int, int], typer.Option(help="Frames of training clips in stage 1 and stage 2.")] = (2, 4),
    seed: int = 0,
) -> None:
    """Train on the open exercise photographs and rendered figures, in two stages."""
    spec = amge.spec(name)
    if not tokens:
        spec = spec.replace(tokens=1, banks=("main",), fusion=None, distill=None)
    train(spec, data, out, tuple(stage) if stage else STAGES, epochs, distill, frames, size=size, seed=seed)


if __name__ == "__main__":
    typer.run(main)
