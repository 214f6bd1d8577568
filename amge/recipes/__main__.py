"""`python -m amge.recipes NAME --data FOLDER --out RUN` trains a model like NAME; `ship` readies it to share."""

import json
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from amge.backbones.streams import PICTURE, STREAMS
from amge.errors import one_line_errors, one_of
from amge.hub.load import from_pretrained
from amge.hub.save import StoredAs
from amge.recipes.st_gcn.recipe import DECODER
from amge.recipes.st_gcn.recipe import train as train_poses
from amge.recipes.transm3e_lite.recipe import STAGES
from amge.recipes.transm3e_lite.recipe import train as train_lite
from amge.recipes.transm3e_small.clips import Mixture
from amge.recipes.transm3e_small.pack import make_pack
from amge.recipes.transm3e_small.recipe import train as train_small
from amge.spec import SpecFields
from amge.zoo import spec as spec_of

DTYPES: dict[str, StoredAs] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "int8": "int8",
}
SOFT = ("st-gcn.open-exercise-2d", "transm3e-lite")
Split = Annotated[list[str] | None, typer.Option(help="To learn from; default: train.")]
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train models like those that ship; their cards say with which options these were trained.",
)


def each_once(split: list[str] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(split or ["train"]))


@app.command("transm3e-lite")
def lite(
    data: Annotated[Path, typer.Option(help="Folder of the prepared open exercise photographs.")],
    out: Annotated[Path, typer.Option(help="Run folder; run again to go on after a cut.")],
    model: Annotated[str, typer.Option(help="Another to train, from `amge list`.")] = "transm3e-lite",
    stage: Annotated[list[str] | None, typer.Option(help=f"Only these of {', '.join(STAGES)}.")] = None,
    epochs: Annotated[tuple[int, int], typer.Option(help="Of stage 1 and stage 2.")] = (59, 12),
    distill: Annotated[bool, typer.Option(help="MCTKD in stage 2.")] = True,
    fuse: Annotated[bool, typer.Option(help="A second bank and its fusion; without, one bank and no MCTKD.")] = True,
    tokens: Annotated[bool, typer.Option(help="Muscle token banks; without, one class token.")] = True,
    size: Annotated[int, typer.Option(help="Side of training clips in pixels.")] = 160,
    frames: Annotated[tuple[int, int], typer.Option(help="Frames of training clips in stage 1 and stage 2.")] = (2, 4),
    ensemble: Annotated[int, typer.Option(min=1, help="Models on RGB that stage 2 puts together; 1: one alone.")] = 4,
    split: Split = None,
    seed: int = 0,
) -> None:
    """Train a video model on the open exercise photographs and rendered figures, in two stages."""
    with one_line_errors():
        spec = spec_of(model)
        if not (fuse and tokens):
            spec = spec.replace(banks=("main",), fusion=None, distill=None)
        if not tokens:
            spec = spec.replace(tokens=1)
        stages = tuple(stage) if stage else STAGES
        train_lite(
            spec,
            data,
            out,
            stages,
            epochs,
            distill,
            frames,
            size=size,
            ensemble=ensemble,
            seed=seed,
            splits=each_once(split),
        )


@app.command()
def pack(
    data: Annotated[Path, typer.Option(help="Folder of the prepared open exercise photographs.")],
    out: Annotated[Path, typer.Option(help="The file, up to 30 MiB.")],
    teacher: Annotated[
        list[str] | None,
        typer.Option(help=f"Name or folder of a model for soft labels; default: {', '.join(SOFT)}."),
    ] = None,
    quality: Annotated[int, typer.Option(min=1, max=95, help="Of the JPEGs.")] = 75,
) -> None:
    """Pack all that `transm3e-small` trains on into one file, on a CPU."""
    with one_line_errors():
        make_pack(data, out, teacher or SOFT, quality)


@app.command("transm3e-small")
def small(
    pack: Annotated[Path, typer.Option(help="What `pack` wrote.")],
    out: Annotated[Path, typer.Option(help="Run folder; run again to go on after a cut.")],
    model: Annotated[str, typer.Option(help="Another to train, from `amge list`.")] = "transm3e-small",
    steps: Annotated[
        tuple[int, int, int], typer.Option(help="Of the stages features, labels and length; 0 leaves one out.")
    ] = (1100, 900, 200),
    batch: Annotated[tuple[int, int, int], typer.Option(help="Clips a step of each stage.")] = (128, 64, 16),
    split: Split = None,
    backgrounds: Annotated[float, typer.Option(help="Share of clips before another background.")] = 0.5,
    figures: Annotated[float, typer.Option(help="Share of rendered figures.")] = 0.2,
    soft: Annotated[float, typer.Option(help="Share of the other models' answers in the targets.")] = 0.5,
    distill: Annotated[bool, typer.Option(help="First train a teacher on RGB differences, for MCTKD.")] = False,
    start: Annotated[Path | None, typer.Option(help="Folder of a checkpoint to start from.")] = None,
    seed: int = 0,
) -> None:
    """Train the flagship on a pack, in stages that need a GPU and half an hour."""
    with one_line_errors():
        spec = spec_of(model)
        spec = spec.replace(backbone_args={**spec.backbone_args, "drop_path": 0.1})
        mixture = Mixture(each_once(split), backgrounds, figures, soft)
        train_small(spec, pack, out, steps, batch, mixture=mixture, distill=distill, start=start, seed=seed)


@app.command("st-gcn")
def poses(
    data: Annotated[Path, typer.Option(help="Folder of the prepared open exercise photographs.")],
    out: Annotated[Path, typer.Option(help="Run folder; run again to go on after a cut.")],
    model: Annotated[str, typer.Option(help="Another network of joints to train, from `amge list`.")] = "st-gcn",
    width: Annotated[
        int | None, typer.Option(help="Channels of its first blocks, or of its parts; default: the model's, or 24.")
    ] = None,
    stream: Annotated[
        list[str] | None,
        typer.Option(help=f"What it sees, of {', '.join(STREAMS)}; default: the model's, or those of the picture."),
    ] = None,
    tokens: Annotated[int, typer.Option(help="Muscle tokens that read its features; 0: none.")] = 20,
    frames: Annotated[int, typer.Option(help="Frames of a clip.")] = 16,
    seconds: Annotated[float, typer.Option(help="Length of a clip of a long video.")] = 5.0,
    epochs: int = 40,
    stop: Annotated[int | None, typer.Option(help="Epochs to end after; default: all.")] = None,
    pool: Annotated[int, typer.Option(help="Pairs of poses made up.")] = 200_000,
    graph: Annotated[str | None, typer.Option(help="Layout of the joints; default: the model's.")] = None,
    figures: Annotated[int, typer.Option(min=0, help="Poses of each rendered exercise to learn besides.")] = 0,
    split: Split = None,
    seed: int = 0,
) -> None:
    """Train a skeleton model on the poses of the open exercise photographs."""
    with one_line_errors():
        own = spec_of(model)
        options = {"graph": graph, "width": width, "streams": tuple(stream) if stream else None}
        given = {name: value for name, value in options.items() if value is not None}
        network = {"graph": "coco-17", "width": 24, "streams": PICTURE, **own.backbone_args, **given}
        if tokens:
            decoder: dict[str, Any] = {"tokens": tokens, "backbone_args": DECODER | network}
        else:
            without = {name: value for name, value in network.items() if name not in DECODER}
            decoder = {"banks": (), "backbone_args": without}
        spec = own.replace(
            **decoder,
            head_args={},
            activation="sigmoid",
            frames=frames,
            seconds=seconds,
        )
        train_poses(spec, data, out, pool, epochs, seed=seed, stop=stop, splits=each_once(split), figures=figures)


@app.command("transm3e-lite-pose")
def fused(
    data: Annotated[Path, typer.Option(help="Folder of the prepared open exercise photographs.")],
    out: Annotated[Path, typer.Option(help="Run folder; the model comes to lie in its folder `model`.")],
    video: Annotated[str, typer.Option(help="Name or folder of a trained model of RGB pictures.")] = "transm3e-lite",
    poses: Annotated[str, typer.Option(help="Name or folder of a trained skeleton model.")] = "pose-mlp",
    share: Annotated[float, typer.Option(min=0, max=1, help="Of the skeleton model in the mean of both.")] = 0.7,
    steps: Annotated[int, typer.Option(min=1, help="Of training.")] = 2000,
    split: Split = None,
    seed: int = 0,
) -> None:
    """Fuse the muscle tokens of a video model and a skeleton model, which stay as they are."""
    from amge.builder import load
    from amge.recipes.transm3e_lite_pose.recipe import train as train_fused

    with one_line_errors():
        splits = each_once(split)
        model = train_fused(load(video), load(poses), data, out, share=share, steps=steps, seed=seed, splits=splits)
        model.save_pretrained(out / "model")


@app.command()
def person(
    model: Annotated[str, typer.Option(help="Name or folder of a trained model of RGB pictures.")],
    data: Annotated[Path, typer.Option(help="Folder of the prepared open exercise photographs.")],
    out: Annotated[Path, typer.Option(help="Run folder; the model comes to lie in its folder `model`.")],
    clips: Annotated[int, typer.Option(min=32, help="To train on.")] = 11_000,
    epochs: Annotated[int, typer.Option(min=1, help="Of the head.")] = 10,
    seed: int = 0,
) -> None:
    """Train what says whether somebody is in the picture, on the patches of a model that stays as it is."""
    from amge.builder import load
    from amge.recipes.person.recipe import train as train_person

    with one_line_errors():
        train_person(load(model), data, out, clips, epochs, seed).save_pretrained(out / "model")


@app.command()
def ship(
    source: Annotated[Path, typer.Argument(help="Folder that a training stage wrote.")],
    out: Annotated[Path, typer.Argument(help="Folder for the checkpoint.")],
    tag: Annotated[str, typer.Option(help="What it was trained on and how, as in `open-exercise`.")],
    licence: Annotated[str, typer.Option(help="Of the weights.")],
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="From which a region is active; default: the model's.")
    ] = None,
    calibrated: Annotated[
        Path | None, typer.Option(help="Folder of a checkpoint whose thresholds and temperature it takes.")
    ] = None,
    metrics: Annotated[str, typer.Option(help="Measured ones, as a JSON object.")] = "{}",
    dtype: Annotated[str, typer.Option(help=f"How weights are stored: {', '.join(DTYPES)}.")] = "float16",
) -> None:
    """Store the weights, in half precision or 8 bits, with the metadata that a checkpoint travels with."""
    with one_line_errors():
        stored = DTYPES[one_of("dtype", dtype, DTYPES)]
        fields: SpecFields = {"tag": tag, "licence": licence, "metrics": json.loads(metrics)}
        if calibrated is not None:
            like: Any = from_pretrained(calibrated).spec
            fields |= {"threshold": like.threshold, "temperature": like.temperature}
        if threshold is not None:
            fields["threshold"] = threshold
        trained: Any = from_pretrained(source, **fields)
        seen = [split for split in trained.spec.provenance.get("splits", ()) if split != "train"]
        if seen and trained.spec.metrics:
            note = f"of the same recipe on train alone; these weights have seen {' and '.join(seen)}"
            trained.spec = trained.spec.replace(provenance={**trained.spec.provenance, "metrics": note})
        trained.save_pretrained(out, stored)


if __name__ == "__main__":
    app()
