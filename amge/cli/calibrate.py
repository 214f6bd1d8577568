"""`amge calibrate`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from amge.cli.data_set import DataSet, names_data
from amge.cli.shared import MODEL_HELP
from amge.cli.train import BatchOption, DeviceOption, FlowOption, ViewsOption, WorkersOption, ready
from amge.errors import one_line_errors

console = Console()


@names_data
def calibrate(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    data: DataSet,
    out: Annotated[Path, typer.Option(help="New folder, for the checkpoint with its temperature and thresholds.")],
    split: Annotated[list[str] | None, typer.Option(help="On these splits; default: val_seen and val_unseen.")] = None,
    views: ViewsOption = 5,
    batch_size: BatchOption = 8,
    workers: WorkersOption = 0,
    flow: FlowOption = None,
    device: DeviceOption = None,
) -> None:
    """Find on validation data from which probability each region counts as active, and how far to trust it."""
    with one_line_errors():
        from amge.files import check_new

        check_new(out)
        network, samples, where = ready(model, data, split or ["val_seen", "val_unseen"], flow, device)
        from amge.builder import files_of
        from amge.evaluate import calibrated, predictions
        from amge.hub.save import copy_checkpoint

        found = predictions(network, samples, views, batch_size, workers, **where)
        fields, figures = calibrated(network.spec, found)
        copy_checkpoint(files_of(model), out, **fields)
        grid = Table(box=None, pad_edge=False)
        for column in (f"{len(found.samples)} videos", "calibration error", "F1 micro", "F1 macro"):
            grid.add_column(column, justify="right" if grid.columns else "left")
        for name, (error, micro, macro) in figures.items():
            grid.add_row(name, f"{error:.3f}", f"{100 * micro:.1f}", f"{100 * macro:.1f}")
        console.print(grid)
        from amge.prediction import in_words

        typer.echo(f"temperature {fields['temperature']:g}; active from {in_words(fields['threshold'])}")
        typer.echo(f"written to {out}; measured on what it was chosen on, so test it on other data")
        if found.broken:
            sample, reason = next(iter(found.broken.items()))
            raise ValueError(f"{len(found.broken)} videos could not be read, such as {sample}: {reason}")
