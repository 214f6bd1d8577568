"""`amge convert`."""

from pathlib import Path
from typing import Annotated

import typer

from amge.cli.shared import check_there
from amge.errors import one_line_errors


def convert(
    source: Annotated[
        str,
        typer.Argument(
            help="Whose checkpoint it is: musclemap, pyslowfast, torchvision-mvit, timm-mvitv2, st-gcn, ctr-gcn, "
            "hd-gcn, torchvision-swin3d or pytorchvideo."
        ),
    ],
    checkpoint: Annotated[Path, typer.Argument(help="A .safetensors file, or a pickle; nothing in it is run.")],
    config: Annotated[Path, typer.Argument(help="The model's own configuration, YAML or JSON; - for none.")],
    out: Annotated[Path, typer.Argument(help="New folder.")],
    licence: Annotated[str | None, typer.Option(help="Of the weights, such as Apache-2.0.")] = None,
    tag: Annotated[str | None, typer.Option(help="What they were trained on and how.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="JSON file for what became of every key, also if the checkpoint is refused.")
    ] = None,
) -> None:
    """Convert a checkpoint of another code base to a folder that this library loads, every key accounted for."""
    with one_line_errors():
        check_there(checkpoint, None if str(config) == "-" else config)
        from amge.convert.checkpoint import Refused, convert_checkpoint
        from amge.files import whole

        settings = None if str(config) == "-" else config
        refused = None
        try:
            found = convert_checkpoint(source, checkpoint, settings, out, licence=licence, tag=tag)
        except Refused as error:
            found, refused = error.report, error
        if report is not None:
            with whole(report) as part:
                part.write_text(found.to_json())
        if found.arch:
            typer.echo(found)
        if refused:
            raise refused
        typer.echo(f"written to {out}")
