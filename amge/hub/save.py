"""A checkpoint is a folder: `config.json` (the spec), `model.safetensors` and a card, each whole or not there."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from amge.files import scratch, to_disk, whole, whole_folder
from amge.hub.card import is_generated, model_card
from amge.hub.files import Files, Folder
from amge.hub.int8 import FORM, encode
from amge.hub.load import outline, read_spec
from amge.hub.names import CARD, CONFIG, INDEX, WEIGHTS, is_weights
from amge.hub.weights import Weights, weight_files
from amge.model import MuscleModel
from amge.registry import origin, used
from amge.spec import ModelSpec, is_module
from amge.version import __version__

SHARD_SIZE = "5GB"
"""Weights that are larger go to several files."""
StoredAs = torch.dtype | Literal["int8"]
"""How floating-point weights may be stored."""


def save_pretrained(
    model: MuscleModel,
    folder: str | Path,
    dtype: StoredAs | None = None,
    max_shard_size: int | str = SHARD_SIZE,
) -> Path:
    """Write a model to a folder, which is made if need be: `config.json`, `model.safetensors` and a card, `README.md`.

    A card in your own words is left as it is.

    Args:
        model: one that `amge.assemble` or `amge.build` made, so that its spec can rebuild it.
        folder: where to.
        dtype: store floating-point weights as this, such as `torch.float16`; default: as they are. "int8": tensors of
            two axes or more in 8 bits, with a scale for each row, the rest as `torch.float16`; what is loaded is
            float32 again, rounded.
        max_shard_size: of a file, in bytes or as "5GB"; larger weights go to several files and an index.

    Raises:
        ValueError: if the model has no spec, its spec would build other parameters than it has, or a weight is too
            large for `dtype`.
        OSError: if the folder can't be written.
    """
    from huggingface_hub import save_torch_state_dict

    spec, state = rebuildable(model)
    metadata = {"format": "pt"}
    if dtype == "int8":
        state, metadata = _in_8_bits(state), metadata | {"amge": FORM}
    elif dtype is not None:
        if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
            raise ValueError(f"dtype is of floating-point weights, such as torch.float16, or 'int8'; got {dtype}")
        state = {key: _cast(key, value, dtype) for key, value in state.items()}
    folder = Path(folder)
    if folder.is_file():
        raise NotADirectoryError(f"{folder} is a file; give the folder of a checkpoint")
    with scratch(folder / "checkpoint") as part:
        try:
            save_torch_state_dict(
                state, part, max_shard_size=max_shard_size, metadata=metadata, shared_tensors_to_discard=[]
            )
            if not state:  # a model that learns nothing
                save_file({}, part / WEIGHTS)
        except SafetensorError as error:
            raise OSError(f"{folder / WEIGHTS} could not be written: {error}") from None
        except KeyError as error:
            raise ValueError(f"safetensors files can't hold tensors of {error}") from None
        (part / CONFIG).write_text(config_of(spec), encoding="utf-8")
        for path in part.iterdir():
            shutil.copymode(part / CONFIG, path)  # safetensors lets only the owner read
            to_disk(path)
        (folder / CONFIG).unlink(missing_ok=True)  # until it is there again, nothing loads what may be a mixture
        for path in folder.iterdir():
            if is_weights(path.name):
                path.unlink()
        for path in sorted(part.iterdir(), key=lambda path: path.name == CONFIG):
            os.replace(path, folder / path.name)
    write_card(folder, spec)
    return folder


def rebuildable(model: MuscleModel) -> tuple[ModelSpec, dict[str, Tensor]]:
    """The spec that rebuilds a model, naming the modules of parts that others have to import, and its tensors.

    Raises:
        ValueError: if no spec can.
    """
    if model.spec is None:
        raise ValueError(
            "this model was put together by hand, so no spec can rebuild it; register its parts with "
            "amge.register and build it by name, or save model.state_dict() yourself"
        )
    rebuilt = {key: tuple(getattr(value, "shape", ())) for key, value in outline(model.spec)[0].items()}
    state = model.state_dict()
    for key, value in state.items():
        if not isinstance(value, Tensor) or value.is_meta or value.layout != torch.strided:
            raise ValueError(f"{key} is not a dense tensor with numbers in it, so it can't be saved")
    changed = {key for key in rebuilt.keys() | state if rebuilt.get(key) != (key in state and tuple(state[key].shape))}
    if changed:
        raise ValueError(
            f"the spec {model.spec.name!r} would not rebuild these parts of the model: {sorted(changed)[:5]}"
        )
    homes = {
        f"{kind} {name}": home for kind, name in used(model.spec) if (home := origin(kind, name)) and is_module(home)
    }
    seen: set[int] = set()
    for key, value in state.items():  # tensors that share memory are stored each, and shared again when loaded
        value = value.contiguous()
        place = value.untyped_storage().data_ptr()
        state[key] = value.clone() if place in seen else value
        seen.add(place)
    return model.spec.replace(imports=homes), state


def _cast(key: str, value: Tensor, dtype: torch.dtype) -> Tensor:
    if not value.is_floating_point():
        return value
    small = value.to(dtype)
    if value.isfinite().all() and not small.isfinite().all():
        raise ValueError(f"{key} holds numbers up to {value.abs().max():.3g}, too large for {dtype}")
    return small


def _in_8_bits(state: dict[str, Tensor]) -> dict[str, Tensor]:
    stored: dict[str, Tensor] = {}
    for key, value in state.items():
        parts = encode(key, _cast(key, value, torch.float32))
        if clash := parts.keys() & stored.keys() | (parts.keys() - {key}) & state.keys():
            raise ValueError(f"{clash.pop()} is a tensor of the model, and what the scales of {key} in int8 are called")
        stored |= parts if len(parts) > 1 else {key: _cast(key, value, torch.float16)}
    return stored


def config_of(spec: ModelSpec) -> str:
    """The text of `config.json`: the spec, and the version of this library that wrote it."""
    return json.dumps({"amge": __version__, **json.loads(spec.to_json())}, indent=2) + "\n"


def write_card(folder: Path, spec: ModelSpec) -> None:
    """Write the card of a checkpoint, unless there is one that somebody wrote."""
    path = folder / CARD
    if not path.exists() or is_generated(path.read_text(encoding="utf-8", errors="replace")):
        with Weights(weight_files(Folder(folder))) as weights, whole(path) as part:
            part.write_text(model_card(spec, weights=weights.form), encoding="utf-8")


def describe(folder: str | Path, **fields: Any) -> ModelSpec:
    """Change what the config of a checkpoint says of its weights, such as `licence`, `metrics` or `tag`; and its card.
    Other `labels` are other names of the same rows, which keep their thresholds.

    Raises:
        ValueError: if the folder is no checkpoint, or for a field that is unknown or does not fit the weights.
    """
    if not Path(folder).is_dir():
        raise ValueError(f"{folder} is not a folder; give one that save_pretrained wrote")
    spec, labels = read_spec(folder), fields.get("labels")
    if isinstance(spec.threshold, Mapping) and isinstance(labels, (list, tuple)) and len(labels) == len(spec.labels):
        fields = {"threshold": dict(zip(labels, spec.threshold.values(), strict=True))} | fields
    spec = spec.replace(**fields)
    with Weights(weight_files(Folder(Path(folder)))) as weights:
        if unfit := weights.unfit(outline(spec)[0]):
            raise ValueError(f"the weights in {folder} do not fit that: {next(iter(unfit.values()))}")
    with whole(Path(folder) / CONFIG) as part:
        part.write_text(config_of(spec), encoding="utf-8")
    write_card(Path(folder), spec)
    return spec


def copy_checkpoint(files: Files, folder: str | Path, **fields: Any) -> Path:
    """Write a checkpoint to a new folder, its weights as they are, with other fields of its config; see `describe`.

    Raises:
        ValueError: if there is no checkpoint, the folder has files already, or for a field that does not fit.
        OSError: if a file can't be fetched or written.
    """
    folder = Path(folder)
    with whole_folder(folder) as part:
        others = [] if files.get(WEIGHTS) else [files.get(INDEX)]
        for path in (files.get(CONFIG), *weight_files(files), *others, files.get(CARD)):
            if path:
                shutil.copyfile(path, part / path.name)
        describe(part, **fields)
    return folder
