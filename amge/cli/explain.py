"""`amge explain`."""

from pathlib import Path
from typing import Annotated

import typer

from amge.cli.predict import can_be_looked_at, default_model, progress_bar
from amge.cli.shared import MODEL_HELP, FpsOption, check_model
from amge.errors import one_line_errors

MOST = 3
"""Regions that are shown where none is named."""


def explain(
    video: Annotated[str, typer.Argument(help="A video file or a folder of images; for skeleton models also joints.")],
    model: Annotated[str | None, typer.Option(help=f"{MODEL_HELP} Default: as for `amge predict`.")] = None,
    region: Annotated[
        list[str] | None, typer.Option(help=f"A region, again for more; default: the active ones, at most {MOST}.")
    ] = None,
    method: Annotated[str, typer.Option(help="grad-cam, hires-cam (sharper) or attention.")] = "grad-cam",
    save: Annotated[
        Path | None,
        typer.Option(help="Picture (png, jpg, webp) or video (gif, mp4) to write; default: VIDEO.explained.png here."),
    ] = None,
    beside: Annotated[str | None, typer.Option(help="A second model, shown beside the first.")] = None,
    truth: Annotated[
        list[str] | None,
        typer.Option(help="A region that is active in truth, again for more: marks what is right, missed and false."),
    ] = None,
    pose: Annotated[str | None, typer.Option(help="Pose estimator of models that see joints.")] = None,
    fps: FpsOption = None,
    device: Annotated[str | None, typer.Option(help="Where to compute; default: PyTorch's, the CPU.")] = None,
) -> None:
    """Show where a model sees what speaks for a region."""
    with one_line_errors():
        from amge.viz.explanation import check_format

        names = [model or default_model(), *([beside] if beside else [])]
        for name in names:
            check_model(name)
        path = save or Path(f"{Path(video).stem}.explained.png")
        check_format(path)
    if not can_be_looked_at(video, fps):
        raise typer.Exit(2)
    with one_line_errors():
        from amge.builder import load
        from amge.devices import usable_device
        from amge.errors import one_of
        from amge.explain import save_explanations

        place = usable_device(device) if device is not None else None
        networks = [load(name, place) for name in names]
        for network in networks:
            for label in (*(region or ()), *(truth or ())):
                one_of("region", label, network.spec.labels)
        wanted, columns = region, []
        for network in networks:
            estimator = pose if network.skeleton or network.spec.modality == "skeleton" else None
            with progress_bar(video) as report:
                of_all = network.explain(
                    video, wanted or [*network.spec.labels], method, pose=estimator, fps=fps, progress=report
                )
            by_name = {each.region: each for each in of_all}
            prediction = of_all[0].prediction
            wanted = wanted or prediction.active[:MOST] or [prediction.top(1)[0][0]]
            columns.append([by_name[label] for label in wanted])
        save_explanations(path, [*zip(*columns, strict=True)], truth)
    for column in columns:
        for each in column:
            typer.echo(f"{each.prediction.model}: {each.region} {each.probability:.0%}")
    typer.echo(f"saved {path}")
