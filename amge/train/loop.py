"""The loop that every recipe runs: Lightning, with chance that depends on the epoch alone, so that cut runs go on."""

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch.utils.data import DistributedSampler

from amge.assemble import assemble
from amge.errors import VideoError, one_of
from amge.files import whole
from amge.hub.save import save_pretrained
from amge.model import MuscleModel
from amge.train.config import KEPT, LOGGERS


class SeedSteps(Callback):
    """All chance in a step depends on seed, epoch, step and process alone: a resumed run repeats a whole one.

    Args:
        seed: of all chance.
        clips: a data set with an `epoch` to set, loaded in the process that trains.
    """

    def __init__(self, seed: int, clips: Any = None) -> None:
        self.seed, self.clips = seed, clips

    def on_train_epoch_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if self.clips is not None:
            self.clips.epoch = trainer.current_epoch

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: Any, index: int) -> None:
        place = [self.seed, trainer.current_epoch, index, trainer.global_rank]
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1)[0]))


class EpochSampler(DistributedSampler):
    """Shuffled `(epoch, index)` pairs of this process's share: workers learn the epoch whenever they were started.

    Lightning starts a resumed run's first workers before it tells the sampler the epoch, hence `epoch`.
    """

    def __init__(self, clips: Any, processes: int, rank: int, seed: int, epoch: int) -> None:
        super().__init__(clips, processes, rank, shuffle=True, seed=seed, drop_last=True)
        self.set_epoch(epoch)

    def __iter__(self) -> Iterator[Any]:
        return ((self.epoch, index) for index in super().__iter__())


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place and moves it there when it is whole.

    Lightning's own writes it to the system's folder for temporary files: where that is another disk, a full disk or a
    kill leaves half a checkpoint.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        try:
            with whole(Path(path)) as part, part.open("wb") as file:  # torch 2.6 is silent where it opens
                torch.save(checkpoint, file)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
            raise OSError(
                f"{path} could not be written (is the disk full?); the one before is whole: {error}"
            ) from None


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What Lightning wrote, in tensors that are read when they are needed.

    Raises:
        ValueError: if the file is damaged.
    """
    try:
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return {name: found[name] for name in ("epoch", "state_dict")}
    except Exception:  # torch raises EOFError, RuntimeError, ValueError, UnpicklingError and more
        raise ValueError(
            f"{path} is empty or damaged, as after a power cut; delete the .ckpt files in {path.parent}, and "
            f"{path.parent.name} trains from its first epoch"
        ) from None


def loggers(folder: Path, kinds: tuple[str, ...]) -> list[Logger]:
    """CSV and, if asked for, TensorBoard logs in a folder, `logs/version_0` and so on for each start.

    Raises:
        ValueError: for another kind.
        ImportError: without TensorBoard.
    """
    for kind in kinds:
        one_of("logger", kind, LOGGERS)
    chosen: list[Logger] = [CSVLogger(folder, name="logs")]
    if "tensorboard" in kinds:
        try:
            chosen.append(TensorBoardLogger(folder, name="tensorboard"))
        except ModuleNotFoundError:
            raise ImportError("these logs need TensorBoard: pip install tensorboard") from None
    return chosen


def fit(
    module: Any,
    data: Any,
    folder: Path,
    epochs: int,
    seed: int,
    clips: Any = None,
    ema: float = 0.995,
    keep: str = "last",
    logs: tuple[str, ...] = ("csv",),
    finish: Callable[[], None] | None = None,
    **options: Any,
) -> MuscleModel:
    """Train to the end, going on from the folder's last checkpoint if there is one, and save the trained weights.

    Args:
        module: a Lightning module with a `model`.
        data: a loader, or a Lightning data module.
        folder: for checkpoints, logs and the model.
        epochs: in all.
        seed: of all chance.
        clips: data set in this process whose `epoch` is set before each epoch.
        ema: decay of the average of the weights, which is what is validated and saved; 0: none.
        keep: whether the `last` or the `best` epoch is saved, by `val_mAP`.
        logs: kinds of logs.
        finish: called in the first process when training is over, before the model is written.
        options: of `lightning.Trainer`.

    Returns:
        the model on the CPU in eval mode.
    """
    one_of("epoch to keep", keep, KEPT)
    prefix = next(name for name, part in module.named_modules() if part is module.model) + "."
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings(
        "ignore", r".*(does not have many workers|in eval mode at the start|logging interval|is not empty|LeafSpec)"
    )
    callbacks: list[Callback] = [SeedSteps(seed, clips), LearningRateMonitor("step")]
    if ema:
        callbacks.append(EMAWeightAveraging(decay=ema, use_buffers=False))  # it would average whole numbers as well
    always: dict[str, Any] = {"enable_version_counter": False, "save_on_train_epoch_end": True}
    if keep == "best":  # before `last`, which keeps its state
        callbacks.append(ModelCheckpoint(folder, filename="best", monitor="val_mAP", mode="max", **always))
    callbacks.append(ModelCheckpoint(folder, filename="last", **always))
    defaults: dict[str, Any] = {
        "max_epochs": epochs,
        "accelerator": "auto",
        "devices": 1,
        "default_root_dir": folder,
        "logger": loggers(folder, logs),
        "gradient_clip_val": 1.0,
        "log_every_n_steps": 10,
        "enable_model_summary": False,
        "callbacks": callbacks,
        "plugins": [WholeCheckpoints()],
    }
    last = folder / "last.ckpt"
    if last.exists():
        read_checkpoint(last)
    try:
        trainer = L.Trainer(**{**defaults, **options})
    except (MisconfigurationException, RuntimeError, ValueError) as error:
        slurm = "; to train in a shell of SLURM, set SLURM_JOB_NAME=interactive" * ("SLURM_NTASKS" in os.environ)
        raise ValueError(f"{str(error).rstrip('.')}{slurm}") from None
    try:
        trainer.fit(module, data, ckpt_path=last if last.exists() else None)
    except VideoError as error:  # of a worker, with its traceback
        raise VideoError(str(error).rsplit("VideoError: ", 1)[-1]) from None
    except MisconfigurationException as error:
        raise ValueError(str(error)) from None
    state = read_checkpoint(folder / f"{keep}.ckpt")["state_dict"]
    model = assemble(module.model.spec)
    model.load_state_dict({key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)})
    if trainer.is_global_zero:
        if finish:
            finish()
        save_pretrained(model, folder)
    trainer.strategy.barrier()
    return model.eval()
