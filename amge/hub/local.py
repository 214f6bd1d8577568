"""A checkpoint is a folder: `config.json` (the spec) and `model.safetensors`, written whole or not at all."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from amge.spec import ModelSpec

if TYPE_CHECKING:
    from amge.model import MuscleModel

CONFIG, WEIGHTS = "config.json", "model.safetensors"
PICKLES = (".pth", ".pt", ".bin", ".ckpt", ".pkl", ".pickle")


def save_pretrained(model: "MuscleModel", folder: str | Path, dtype: torch.dtype | None = None) -> Path:
    """Write a model to a folder, which is made if need be.

    Args:
        model: one that the builder assembled, so that its spec can rebuild it.
        folder: where to.
        dtype: store floating-point weights as this, such as `torch.float16`; default: as they are.

    Raises:
        ValueError: if the model has no spec, or its spec would build other parameters than it has.
        OSError: if the folder can't be written.
    """
    from amge.builder import assemble

    if model.spec is None:
        raise ValueError(
            "this model was put together by hand, so no spec can rebuild it; register its parts with "
            "amge.register and build it by name, or save model.state_dict() yourself"
        )
    with torch.device("meta"):
        rebuilt = {key: tuple(value.shape) for key, value in assemble(model.spec).state_dict().items()}
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    changed = {key for key in rebuilt.keys() | state if rebuilt.get(key) != tuple(getattr(state.get(key), "shape", ()))}
    if changed:
        raise ValueError(
            f"the spec {model.spec.name!r} would not rebuild these parts of the model: {sorted(changed)[:5]}"
        )
    if dtype is not None:
        state = {key: value.to(dtype) if value.is_floating_point() else value for key, value in state.items()}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        try:
            save_file(state, Path(scratch) / WEIGHTS, metadata={"format": "pt"})
        except SafetensorError as error:
            raise OSError(f"{folder / WEIGHTS} could not be written: {error}") from None
        (Path(scratch) / CONFIG).write_text(model.spec.to_json())
        shutil.copymode(Path(scratch) / CONFIG, Path(scratch) / WEIGHTS)  # safetensors lets only the owner read
        for name in (CONFIG, WEIGHTS):
            os.replace(Path(scratch) / name, folder / name)
    return folder


def load_weights(model: "MuscleModel", folder: Path) -> "MuscleModel":
    """Fill a model strictly from `model.safetensors` of a folder; returns it in eval mode.

    Raises:
        ValueError: if the file is missing or broken, or any key or shape differs.
    """
    path = folder / WEIGHTS
    if not path.is_file():
        pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
        hint = f"; {pickles[0]} is a pickle, which can run code and is never opened" if pickles else ""
        raise ValueError(f"{folder} has no {WEIGHTS}{hint}")
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a readable safetensors file: {error}") from None
    own = model.state_dict()
    if problems := [
        *(f"missing {key}" for key in own.keys() - state.keys()),
        *(f"unexpected {key}" for key in state.keys() - own.keys()),
        *(
            f"{key} is {tuple(state[key].shape)}, the model has {tuple(own[key].shape)}"
            for key in own.keys() & state.keys()
            if own[key].shape != state[key].shape
        ),
    ]:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ValueError(
            f"{path} does not fit {model.spec.name if model.spec else 'the model'!r}: "
            + "; ".join(sorted(problems)[:3])
            + more
        )
    model.load_state_dict(state)
    return model.eval()


def from_pretrained(folder: str | Path, **overrides: object) -> "MuscleModel":
    """Load a folder that `save_pretrained` wrote, strictly and without network; returns the model in eval mode.

    Args:
        folder: with `config.json` and `model.safetensors`.
        overrides: fields of the spec to replace, such as `threshold=0.3`.

    Raises:
        ValueError: if the folder is not a checkpoint, or its config or weights are broken or do not fit each other.
    """
    from amge.builder import assemble

    folder = Path(folder)
    return load_weights(assemble(read_spec(folder).replace(**overrides)), folder)


def read_spec(folder: Path) -> ModelSpec:
    """The spec of a checkpoint folder.

    Raises:
        ValueError: if the folder is not a checkpoint or its config is broken.
    """
    if folder.suffix in PICKLES and folder.is_file():
        raise ValueError(f"{folder} is a pickle, which can run code and is never opened; give a folder with {WEIGHTS}")
    if not folder.is_dir():
        kind = "is not a folder" if folder.exists() else "does not exist"
        raise ValueError(f"{folder} {kind}; give the folder that holds {CONFIG} and {WEIGHTS}")
    try:
        return ModelSpec.from_json((folder / CONFIG).read_text())
    except FileNotFoundError:
        raise ValueError(f"{folder} has no {CONFIG}, so it is not an amge checkpoint") from None
    except (ValueError, OSError) as error:
        raise ValueError(f"{folder / CONFIG}: {error}") from None
