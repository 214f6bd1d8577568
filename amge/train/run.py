"""A training run from its config: stage 1 for each modality, stage 2 with the frozen teacher, then the test.

Stage 1 trains tokens alone: the `main` model, and if the spec distils a `teacher` on its auxiliary modality. Stage 2
starts the `student`, with all its banks and its fusion, from the main model; without a stage 1, from the config's
`init`.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only
from torch.utils.data import DataLoader, DistributedSampler

from amge.assemble import assemble, teacher_spec
from amge.data.activities import canonical
from amge.data.batch import collate
from amge.data.clips import Clips
from amge.data.datasets import load_samples, takes
from amge.data.sample import Sample, combined, fingerprint, leaks, of_split
from amge.errors import one_of
from amge.files import alone, whole
from amge.hub.load import from_pretrained, load, spec_of
from amge.hub.names import CONFIG
from amge.hub.save import describe
from amge.model import MuscleModel
from amge.muscles import REGION_IDS
from amge.spec import ModelSpec
from amge.train.config import TrainConfig
from amge.train.loop import EpochSampler, fit, read_checkpoint
from amge.train.module import Training
from amge.train.provenance import claim, provenance
from amge.train.start import NETWORKS, files_of, initialise, start_from

VALIDATION = ("val_seen", "val_unseen")
LOCK = "lock"


def tokens_alone(spec: ModelSpec, modality: str) -> ModelSpec:
    """The spec of stage 1: one bank and no fusion, `main` on the model's modality or `sender` on an auxiliary one."""
    if modality != spec.modality:
        return teacher_spec(spec.replace(auxiliary=modality))
    if spec.fusion is None or spec.streams:
        return spec.replace(distill=None)
    return spec.replace(banks=("main",), fusion=None, distill=None)


def read_data(sources: Sequence[Mapping[str, Any]], labels: Sequence[str] | str = REGION_IDS) -> list[Sample]:
    """The samples of the data sets of a config.

    Args:
        sources: a config's `data`.
        labels: those of the model, for data sets that can have any; or `own`, whichever they have.

    Raises:
        ValueError: if a set can't be used, or a test could profit from training.
    """
    sets: dict[str, Sequence[Sample]] = {}
    for number, source in enumerate(sources):
        options = {k: v for k, v in source.items() if k not in ("name", "root", "splits", "exclude", "licence")}
        if takes(source["name"], "labels"):
            options = {"labels": labels} | options
        samples = load_samples(source["name"], source["root"], **options)
        if "splits" in source:
            samples = of_split(samples, *source["splits"])
        known = {sample.activity for sample in samples}
        exclude = {canonical(one_of("activity to exclude", name, known)) for name in source.get("exclude", ())}
        name = source["name"] if source["name"] not in sets else f"{source['name']}-{number + 1}"
        sets[name] = [sample for sample in samples if canonical(sample.activity) not in exclude]
    samples = combined(sets)
    if found := leaks(samples):
        more = f" and {len(found) - 2} more" if len(found) > 2 else ""
        raise ValueError(
            f"the test would profit from training: {'; '.join(found[:2])}{more}; leave activities out with exclude:, "
            f"or whole splits with splits:"
        )
    return samples


def own_labels(samples: Sequence[Sample], labels: tuple[str, ...]) -> tuple[str, ...]:
    """The labels that occur in samples, in the order in which they first do; but `labels` if all of them are among
    these.

    Raises:
        ValueError: if there are none.
    """
    found = tuple(dict.fromkeys(label for sample in samples for label in sample.regions))
    if not found:
        raise ValueError("no sample has a label, so there are none to learn")
    return labels if set(found) <= set(labels) else found


class Data(L.LightningDataModule):
    """Loaders of a stage.

    Args:
        train: clips to learn from.
        validation: clips of each validation set by name.
        batch_size: samples a step and process.
        workers: processes that load.
        seed: of the order.
    """

    def __init__(self, train: Clips, validation: Mapping[str, Clips], batch_size: int, workers: int, seed: int) -> None:
        super().__init__()
        self.train, self.validation, self.seed = train, validation, seed
        self.options: dict[str, Any] = {"batch_size": batch_size, "num_workers": workers, "collate_fn": collate}

    def train_dataloader(self) -> DataLoader:
        trainer: Any = self.trainer
        epoch = trainer.fit_loop.epoch_progress.current.processed  # current_epoch is still 0 in a resumed run
        sampler = EpochSampler(self.train, trainer.world_size, trainer.global_rank, self.seed, epoch)
        return DataLoader(self.train, sampler=sampler, drop_last=True, **self.options)

    def val_dataloader(self) -> list[DataLoader]:
        trainer: Any = self.trainer
        size, rank = trainer.world_size, trainer.global_rank
        return [
            DataLoader(clips, sampler=DistributedSampler(clips, size, rank, shuffle=False), **self.options)
            for clips in self.validation.values()
        ]


@dataclass(frozen=True)
class Run:
    """A run folder, its config and samples: trains one stage after the other."""

    config: TrainConfig
    samples: Sequence[Sample]
    out: Path
    begin: Callable[[], None] = lambda: None
    """Called when everything is built, before the first step of a stage."""

    def clips(
        self, spec: ModelSpec, splits: Sequence[str], modalities: Sequence[str], train: bool, views: int
    ) -> Clips:
        """The clips of some splits for a model of that spec."""
        config = self.config
        seeing = next((s for s in (spec, teacher_spec(spec)) if s.modality == "skeleton"), None)
        graph, joints, axes = layout(seeing) if seeing and "skeleton" in modalities else (None, None, 3)
        return Clips(
            of_split(self.samples, *splits),
            spec,
            modalities,
            config.augmentation() if train else None,
            views,
            graph,
            joints,
            config.flow_cache() if "flow" in modalities else None,
            config.seed,
            tuple(spec.head_args["activities"]) if train and "activities" in spec.head_args else None,
            axes,
        )

    def stage(
        self,
        name: str,
        spec: ModelSpec,
        number: int,
        start: MuscleModel | None = None,
        teacher: MuscleModel | None = None,
    ) -> MuscleModel:
        """Train one model, or load it if this stage is done.

        Args:
            name: of its folder.
            spec: of the model.
            number: 0 for the epochs and learning rate of stage 1, 1 for those of stage 2.
            start: what it starts from; None: from the config's `init`. A checkpoint as `init` gives what this lacks.
            teacher: to learn from as well.

        Raises:
            ValueError: if there are fewer samples than make a batch, or the loss is not finite.
        """
        config, folder = self.config, self.out / name
        if (folder / CONFIG).exists():  # the last file that is written
            self.say(f"{name}: done, taken from {folder}")
            try:
                return from_pretrained(folder)
            except ValueError as error:
                raise ValueError(f"{error}; delete {folder / CONFIG}, and {name} is written again") from None
        L.seed_everything(config.seed, verbose=False)
        model, init, came = assemble(spec), config.init, []
        if init and (start is None or init not in NETWORKS):
            came.append(initialise(model, init, config.model))
            froze = f"; frozen {', '.join(config.freeze)}" * bool(config.freeze)
            init = None if init in NETWORKS else came[0].removeprefix("starts from ") + froze
        if start:
            came.append(start_from(model, start, rest="as before" if came else "fresh"))
        came = [*(came or ["starts from random weights"]), f"frozen {', '.join(config.freeze) or 'nothing'}"]
        taught = f"`{spec.auxiliary}` (`{spec.distill}`)" if teacher else None
        model.spec = spec = spec.replace(metrics={}, provenance=provenance(config, taught, init))
        seen = (*spec.modalities, spec.auxiliary) if teacher else spec.modalities
        train = self.clips(spec, ["train"], seen, True, config.clips)
        there = {sample.split for sample in self.samples}
        validation = {
            split: self.clips(spec, [split], spec.modalities, False, 1) for split in VALIDATION if split in there
        }
        processes = config.devices * config.nodes
        if len(train) < config.batch_size * processes:
            raise ValueError(
                f"{len(train)} videos make no batch of {config.batch_size} for {processes} process(es); "
                f"take a smaller batch_size"
            )
        batches = len(train) // processes // config.batch_size
        steps = config.epochs[number] * -(-batches // config.accumulate)
        module = Training(
            model,
            teacher,
            config.loss,
            config.lr[number],
            config.weight_decay,
            round(config.warmup * steps),
            steps,
            config.clips,
            config.freeze,
            tuple(validation),
        )
        self.begin()
        self.say(f"{name}: {spec.name} on {len(train)} videos, {config.epochs[number]} epochs")
        last = folder / "last.ckpt"
        if last.exists():
            done = read_checkpoint(last)["epoch"] + 1
            came = [f"goes on after epoch {done} of {config.epochs[number]} ({last})"]
        for line in came:
            self.say(f"{name}: {line}")
        trained = fit(
            module,
            Data(train, validation, config.batch_size, config.workers, config.seed),
            folder,
            config.epochs[number],
            config.seed,
            ema=config.ema,
            keep=config.keep if validation else "last",
            logs=config.logs,
            log_every_n_steps=min(10, max(batches, 1)),
            gradient_clip_val=config.clip or None,
            accumulate_grad_batches=config.accumulate,
            check_val_every_n_epoch=config.validate_every,
            precision=config.precision,
            accelerator=config.accelerator,
            devices=config.devices,
            num_nodes=config.nodes,
            strategy=config.strategy,
            use_distributed_sampler=False,
            finish=lambda: self.finish(name, module),
            num_sanity_val_steps=0,
        )
        return trained

    def itself(self) -> MuscleModel:
        """What the run starts from, to teach what becomes of it."""
        files = files_of(str(self.config.init), self.config.model)
        return load(files, spec_of(files))

    @staticmethod
    def say(line: str) -> None:
        """Print a line, in the first process."""
        if getattr(rank_zero_only, "rank", 0) == 0:
            print(line, flush=True)

    def finish(self, name: str, module: Training) -> None:
        """Draw the curves of a stage, and list what could not be read."""
        from amge.viz.plots import curves

        curves(self.out / name)
        if module.broken:
            lines = [f"{sample}\t{' '.join(reason.split())}" for sample, reason in sorted(module.broken.items())]
            with whole(self.out / name / "broken.tsv") as part:
                part.write_text("\n".join(lines) + "\n")


def layout(spec: ModelSpec) -> tuple[Any, Any, Any]:
    """Graph, number of joints and their axes of a skeleton model, which is put together without memory."""
    with torch.device("meta"):
        model = assemble(spec)
    joints, axes = model.input_spec.shape[3:]
    return getattr(model.backbone, "graph", None), joints, axes


def train(config: TrainConfig, out: str | Path) -> MuscleModel:
    """Run a config; a stage that is done is loaded, one that was cut off goes on from its last epoch.

    Args:
        config: of the run.
        out: run folder. It gets `run.json` (config, seed, versions, commit, fingerprint of the data), a folder for each
            stage (checkpoints, logs, curves, the model), and `report/`, the test of the student.

    Returns:
        the student in eval mode.

    Raises:
        ValueError: if the config, the data and the folder do not fit one another.
    """
    out = Path(out)
    first = getattr(rank_zero_only, "rank", 0) == 0
    spec = config.spec()
    own = config.labels == "own" and "labels" not in config.overrides
    samples = read_data(config.data, "own" if own else spec.labels)
    if own:
        spec = spec.replace(labels=own_labels(samples, spec.labels))
    Clips(samples, spec)  # that the labels fit, before the folder is claimed
    made = dataclasses.asdict(config), fingerprint(samples)
    if first:
        claim(out, *made, start=False)

    held = ExitStack()

    @cache
    def begin() -> None:
        if first:
            out.mkdir(parents=True, exist_ok=True)
            alone(held.enter_context((out / LOCK).open("wb")), out)
            held.callback((out / LOCK).unlink, missing_ok=True)
            claim(out, *made)
            with whole(out / "config.yaml") as part:
                part.write_text(config.to_yaml())

    with held:
        return _train(Run(config, samples, out, begin), spec, own, first)


def _train(run: Run, spec: ModelSpec, own: bool, first: bool) -> MuscleModel:
    from amge.evaluate import evaluate

    config, samples, out = run.config, run.samples, run.out
    if spec.skeleton:
        raise ValueError(f"{spec.name} sees joints besides, which this does not train; see amge.recipes")
    if own:
        run.say(f"labels: {', '.join(spec.labels)}")
    model: Any = run.stage("main", tokens_alone(spec, spec.modality), 0) if config.epochs[0] else None
    if config.epochs[1]:
        teacher = None
        if config.distils and config.teacher == "self":
            teacher = run.itself()
        elif config.distils:
            teacher = run.stage("teacher", tokens_alone(spec, spec.auxiliary), 0 if config.epochs[0] else 1)
        model = run.stage("student", spec, 1, model, teacher)
    if first and (tests := [s for s in samples if s.split != "train"]):
        flow = config.flow_cache() if "flow" in spec.modalities else None
        device = "cuda" if torch.cuda.is_available() and config.accelerator != "cpu" else "cpu"
        figures = evaluate(
            model, tests, out / "report", config.views, config.batch_size, config.workers, device=device, flow=flow
        )
        note(model, out / ("student" if config.epochs[1] else "main"), figures)
    return model


def note(model: MuscleModel, folder: Path, figures: Mapping[str, Any]) -> None:
    """State what a test found in the spec of a model and in its checkpoint."""
    about: Any = model.spec
    metrics = {f"{split}_mAP": each["mAP"] for split, each in figures["splits"].items()}
    measured = "; ".join(
        f"{split}, {each['samples']} videos: mAP {each['mAP']}, 95 % {' to '.join(map(str, each['mAP_95']))}"
        f"{' (few videos: not to be trusted)' * each['few']}"
        for split, each in figures["splits"].items()
    )
    model.spec = describe(
        folder, metrics={**about.metrics, **metrics}, provenance={**about.provenance, "measured": measured}
    )
