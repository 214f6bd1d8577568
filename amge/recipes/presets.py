"""Training runs by name: what `amge train --preset` knows. Each takes the folder of its data."""

from collections.abc import Callable
from typing import Any

from amge.errors import one_of
from amge.train.config import TrainConfig


def paper(root: str) -> TrainConfig:
    """TransM³E-small on MuscleMap136, as in the paper: 40 + 10 epochs, from ImageNet weights, on 4 GPUs."""
    return TrainConfig(
        model="transm3e-small",
        data=({"name": "musclemap136", "root": root},),
        init="imagenet",
        batch_size=4,
        devices=4,
        strategy="ddp",
        precision="bf16-mixed",
        workers=8,
    )


def open_exercise(root: str) -> TrainConfig:
    """TransM³E-lite on the open exercise photographs, from ImageNet weights, for one GPU or a patient CPU."""
    return TrainConfig(
        model="transm3e-lite",
        overrides={"pairing": 1},
        data=({"name": "open-exercise", "root": root},),
        init="efficientnet-lite0",
        epochs=(30, 10),
        clips=1,
        lr=(5e-4, 2e-4),
        augment={"scale": (0.4, 1.0)},
        ema=0.99,
    )


def tiny(root: str) -> TrainConfig:
    """TransM³E-tiny on rendered clips: minutes on a CPU, to see that everything works."""
    return TrainConfig(
        model="transm3e-tiny",
        overrides={"activation": "sigmoid"},
        data=({"name": "synthetic", "root": root},),
        epochs=(4, 2),
        lr=(1e-3, 5e-4),
        augment={"scale": (0.4, 1.0), "operations": 0},
        views=1,
    )


def finetune(root: str) -> TrainConfig:
    """Trained weights, whole, on videos and labels of your own: one stage, no teacher, minutes on a CPU. The encoder of
    single frames stays as it is."""
    return TrainConfig(
        model="transm3e-lite",
        overrides={"pairing": 1},
        data=({"name": "folder", "root": root},),
        init="pretrained",
        labels="own",
        teacher="none",
        freeze=("backbone.encoder",),
        epochs=(0, 8),
        batch_size=4,
        clips=1,
        lr=(3e-4, 3e-4),
        augment={"scale": (0.6, 1.0), "operations": 0},
        views=1,
    )


PRESETS: dict[str, Callable[[str], TrainConfig]] = {
    "paper": paper,
    "open-exercise": open_exercise,
    "tiny": tiny,
    "finetune": finetune,
}


def preset(name: str, root: str, **changes: Any) -> TrainConfig:
    """A named run on the data in a folder, with some fields replaced.

    Raises:
        ValueError: for an unknown name.
    """
    from dataclasses import replace

    return replace(PRESETS[one_of("preset", name, PRESETS)](root), **changes)
