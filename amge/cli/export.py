"""`amge export`."""

from pathlib import Path
from typing import Annotated

import typer

from amge.cli.shared import MODEL_HELP, check_model, check_there
from amge.errors import one_line_errors


def export(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    out: Annotated[Path, typer.Argument(help="File, such as squat.onnx, squat.pt2 or squat.xml.")],
    format: Annotated[
        str | None, typer.Option(help="onnx, pt2 or openvino; default: what the name of the file says.")
    ] = None,
    end_to_end: Annotated[
        bool, typer.Option("--end-to-end", help="From raw frames, uint8 (T, H, W, 3), to probabilities.")
    ] = False,
    quantize: Annotated[str | None, typer.Option(help="int8: smaller and faster, a little less exact.")] = None,
    calibrate_on: Annotated[
        list[Path] | None,
        typer.Option(help="Video like those to come: int8 then takes convolutions too."),
    ] = None,
) -> None:
    """Write a model for ONNX Runtime or OpenVINO, or as a program of PyTorch, checked against the model itself."""
    with one_line_errors():
        check_model(model)
        check_there(*(calibrate_on or ()))
        from amge.export.write import checked
        from amge.export.write import export as write

        videos = calibrate_on or ()
        checked(out, format, quantize, videos)  # before a model is loaded
        from amge.builder import load

        typer.echo(write(load(model), out, format, end_to_end=end_to_end, quantize=quantize, calibrate_on=videos))
