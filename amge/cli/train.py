"""`amge train` and `amge eval`."""

import json
import os
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from amge.cli.data_set import DataSet, names_data
from amge.cli.shared import MODEL_HELP, check_model, check_there
from amge.errors import one_line_errors

out = Console()
ViewsOption = Annotated[int, typer.Option(min=1, help="Clips of each video, evenly spread.")]
BatchOption = Annotated[int, typer.Option(min=1, help="Videos a step.")]
WorkersOption = Annotated[int, typer.Option(min=0, help="Processes that load; 0: this one.")]
FlowOption = Annotated[Path | None, typer.Option(help="Folder of the flow that the model was trained on.")]
DeviceOption = Annotated[
    str | None, typer.Option(help="Where to compute: cpu, cuda, cuda:1, mps; default: cuda if there is one.")
]


def train(
    config: Annotated[Path | None, typer.Argument(help="YAML file of the run.")] = None,
    preset: Annotated[str | None, typer.Option(help="A run by name: paper, open-exercise, tiny, finetune.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the data of a preset.")] = None,
    run: Annotated[Path | None, typer.Option("--out", help="Run folder; run again to go on after a cut.")] = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="Replace a field: epochs=[4,2], overrides.size=64.", metavar="FIELD=YAML"),
    ] = None,
    show: Annotated[bool, typer.Option("--print", help="Print the config as YAML and end.")] = False,
) -> None:
    """Train a model in two stages, and test it."""
    with one_line_errors():
        check_there(config, None if show else data)
        import yaml

        from amge.recipes.presets import preset as by_name
        from amge.train.config import TrainConfig

        if (config is None) == (preset is None):
            raise ValueError("give a YAML file, or --preset with the name of a run")
        if config is not None and data is not None:
            raise ValueError("--data is for presets; a YAML file names its data itself, or use --set data=...")
        if preset is not None and data is None and not show:
            raise ValueError("--preset needs --data, the folder of its data")
        made = TrainConfig.from_yaml(config) if config else by_name(str(preset), str(data or "DATA"))
        values: dict[str, Any] = yaml.safe_load(made.to_yaml())
        for each in change or ():
            name, equals, value = each.partition("=")
            if not equals:
                raise ValueError(f"--set takes FIELD=VALUE, got {each!r}")
            *outer, last = name.split(".")
            place = values
            for part in outer:
                place = place.setdefault(part, {})
                if not isinstance(place, dict):
                    raise ValueError(f"--set {name}: {part} is {place!r}, which has no fields; give it as a whole")
            try:
                place[last] = yaml.safe_load(value)
            except yaml.YAMLError:
                raise ValueError(f"--set {name}: {value!r} is not YAML") from None
        made = TrainConfig.from_dict(values)
        if show:
            typer.echo(made.to_yaml().rstrip())
            return
        if run is None:
            raise ValueError("give the run folder with --out")
        try:
            from amge.train.run import train as start
        except ImportError as error:
            raise ImportError(f"training needs more packages ({error.name}): pip install 'amge[train]'") from None
        start(made, run)
        if int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", 0))) == 0:
            typer.echo(f"trained; model and curves are in {run}")
            if (run / "report" / "report.json").exists():
                from amge.evaluate import tables

                out.print(next(iter(tables(json.loads((run / "report" / "report.json").read_text())))))


def ready(
    model: str, data: DataSet, splits: list[str] | None, flow: Path | None, device: str | None
) -> tuple[Any, list[Any], dict[str, Any]]:
    """A model, the samples to test it on, and where: the arguments `device` and `flow` of a test.

    Raises:
        ValueError: if there is no such model, or are no such samples.
        ImportError: if a package for tests is not installed.
    """
    check_model(model)
    data.check()
    import torch

    from amge.builder import load
    from amge.data.sample import SPLITS, of_split
    from amge.devices import usable_device
    from amge.video.flow_cache import FlowCache

    try:
        import_module("amge.evaluate")
    except ImportError as error:
        raise ImportError(f"the test needs more packages ({error.name}): pip install 'amge[train]'") from None
    place = usable_device(device) if device is not None else "cuda" if torch.cuda.is_available() else "cpu"
    network = load(model)
    samples = of_split(data.samples(network.spec.labels), *(splits or SPLITS[1:]))
    if not samples:
        raise ValueError(f"{data.root} has no samples of {', '.join(splits or SPLITS[1:])}")
    return network, samples, {"device": place, "flow": FlowCache(flow) if flow else None}


@names_data
def evaluate(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    data: DataSet,
    split: Annotated[list[str] | None, typer.Option(help="Only these splits; default: all but train.")] = None,
    report: Annotated[
        Path | None, typer.Option("--out", help="Folder for predictions.parquet, report.json and report.png.")
    ] = None,
    views: ViewsOption = 5,
    threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Probability from which a region is active; default: the model's."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    batch_size: BatchOption = 8,
    workers: WorkersOption = 0,
    flow: FlowOption = None,
    device: DeviceOption = None,
) -> None:
    """Test a model on a data set: mAP by split and region, F1 and calibration."""
    with one_line_errors():
        network, samples, where = ready(model, data, split, flow, device)
        from amge.evaluate import evaluate as test
        from amge.evaluate import tables

        figures = test(network, samples, report, views, batch_size, workers, threshold, **where)
        if as_json:
            typer.echo(json.dumps(figures, indent=2))
        else:
            for each in tables(figures):
                out.print(each)
        if figures["broken"]:
            sample, reason = next(iter(figures["broken"].items()))
            raise ValueError(f"{len(figures['broken'])} videos could not be read, such as {sample}: {reason}")
