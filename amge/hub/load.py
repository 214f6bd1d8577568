"""A model from a checkpoint: strictly, in eval mode, and with no more memory than its weights take."""

import json
import warnings
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from amge.hub.files import Files, locate
from amge.hub.lean import counted, without_parameters
from amge.hub.names import CONFIG
from amge.hub.weights import MAX_HEADER, Weights
from amge.registry import PARTS, used
from amge.spec import ModelSpec

if TYPE_CHECKING:
    from amge.model import MuscleModel

SLACK = 4, 50_000_000
"""A model may register this many times the numbers that its weights hold, and that many more, while it is built:
encoders drop layers that nobody asked for, and tables are made that no checkpoint stores."""


def from_pretrained(
    source: str | Path,
    revision: str | None = None,
    *,
    num_classes: int | None = None,
    strict: bool = True,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    **overrides: Any,
) -> "MuscleModel":
    """Load a checkpoint: a folder that `save_pretrained` wrote, or a repository on the Hugging Face Hub.

    Nothing else is fetched, least of all a backbone's own weights; what is in the cache is not fetched again. Files of
    the Hub are compared with their hashes each time.

    Args:
        source: folder, or `owner/name` or `owner/name@revision` on the Hub; what exists on disk is a folder.
        revision: branch, tag or commit on the Hub.
        num_classes: if the checkpoint has another number, its head gives way to a fresh one of the same kind for labels
            `class_0`, `class_1`, ...; a warning lists the tensors that went.
        strict: every tensor of the model must be in the checkpoint and the other way round. If False, those of the
            backbone must be; others that do not fit, as with other `labels`, `fusion` or `tokens`, stay fresh or are
            left out, and a warning lists them.
        device: to load to; default: torch's default device.
        dtype: of floating-point weights, such as `torch.bfloat16`; default: that of the model, float32.
        token: of the Hub; default: that of `hf auth login` or `HF_TOKEN`.
        cache_dir: of files from the Hub; default: that of `huggingface_hub`.
        local_files_only: take files from folder or cache alone, as with `HF_HUB_OFFLINE=1`.
        overrides: fields of the spec to replace, such as `threshold=0.3`.

    Returns:
        the model in eval mode.

    Raises:
        ValueError: if there is no such checkpoint, it may not be read, names parts that are not registered, or its
            config or weights are broken, hold NaN, or do not fit each other.
        OSError: if the Hub can't be reached, or what comes is not what it says it is.
    """
    hub = {"token": token, "cache_dir": cache_dir, "local_files_only": local_files_only}
    files = locate(source, revision, **hub)
    return load(files, spec_of(files).replace(**overrides), num_classes, strict, device, dtype)


def load(
    files: Files,
    spec: ModelSpec,
    num_classes: int | None = None,
    strict: bool = True,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> "MuscleModel":
    """The model of a spec with the weights of a checkpoint, in eval mode; arguments and errors as `from_pretrained`."""
    from amge.builder import assemble

    device = torch.get_default_device() if device is None else torch.device(device)
    with Weights(files) as weights:
        model, unfit = outline(spec, weights)
        refused = [text for key, text in unfit.items() if strict or key.startswith("backbone.")]
        if refused:
            more = f" and {len(refused) - 3} more" if len(refused) > 3 else ""
            hint = (
                "" if any(key.startswith("backbone.") for key in unfit) else "; strict=False starts these parts afresh"
            )
            raise ValueError(f"{files} does not fit {spec.name!r}: {'; '.join(refused[:3])}{more}{hint}")
        if unfit:
            model = assemble(spec)
        elif model is None:
            model = hollow(spec)
        shared = _shared(model)
        own = {key: value for key, value in model.state_dict(keep_vars=True).items() if key not in unfit}
        read = dict(weights.read(own, device, dtype))
    model.load_state_dict(read, strict=False, assign=True)
    for first, *others in shared:
        for name in others:
            owner, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(owner), attribute, model.get_parameter(first))
    if unfit:
        _report(files, list(unfit.values()), "what it lacks is fresh")
    model.to(device, dtype).eval()
    if num_classes is not None and num_classes != len(spec.labels):
        gone = [f"head.{key} {tuple(value.shape)}" for key, value in model.head.state_dict().items()]
        model.reset_head(num_classes)
        _report(files, gone, f"its head is fresh, for {num_classes} classes")
    return model


def outline(spec: ModelSpec, weights: Weights) -> tuple["MuscleModel | None", dict[str, str]]:
    """What does not fit, by a model without memory; and a model, if only one with memory can be put together.

    Raises:
        ValueError: for parts that do not fit one another, or a model far larger than its weights.
    """
    from amge.builder import assemble

    try:
        with torch.device("meta"), counted(SLACK[0] * weights.elements + SLACK[1]):
            return None, weights.unfit(assemble(spec).state_dict())
    except ValueError:
        raise
    except Exception:  # a part that is never without memory
        model = assemble(spec)
        return model, weights.unfit(model.state_dict())


def hollow(spec: ModelSpec) -> "MuscleModel":
    """The model of a spec whose parameters have no memory yet; a fresh one, if its parts can't be put together so."""
    from amge.builder import assemble, put_together

    try:
        with without_parameters():
            model = put_together(spec)
    except Exception:  # a part that computes with its parameters
        return assemble(spec)
    stored = model.state_dict()
    if any(buffer.is_meta for name, buffer in model.named_buffers() if name not in stored):
        return assemble(spec)
    return model


def _shared(model: nn.Module) -> list[list[str]]:
    """The names of each parameter that has several."""
    names = defaultdict(list)
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names[id(parameter)].append(name)
    return [several for several in names.values() if len(several) > 1]


def _report(files: Files, tensors: list[str], what: str) -> None:
    listed = "; ".join(sorted(tensors))
    warnings.warn(f"{files} was not loaded whole, {what}. Tensors left out: {listed}", stacklevel=4)


def spec_of(files: Files) -> ModelSpec:
    """The spec of a checkpoint, all of whose parts are known.

    Raises:
        ValueError: if there is none, it is broken, or names parts that are not registered.
        OSError: if it can't be fetched.
    """
    spec = _parse(files)
    needed = {}
    for kind, name in used(spec):
        home = spec.imports.get(f"{kind} {name}")
        if name not in PARTS[kind] and isinstance(home, str) and all(word.isidentifier() for word in home.split(".")):
            needed[f"the {kind} {name!r}"] = home
    if needed:
        raise ValueError(
            f"{files} has parts that do not come with amge: {', '.join(needed)}; first "
            f"{' and '.join(f'`import {home}`' for home in dict.fromkeys(needed.values()))}, which registers them"
        )
    return spec


def _parse(files: Files) -> ModelSpec:
    from amge import __version__

    path = files.get(CONFIG)
    if path is None:
        raise ValueError(f"{files} has no {CONFIG}, so it is not an amge checkpoint")
    version = None
    try:
        if path.stat().st_size > MAX_HEADER:
            raise ValueError(f"it has {path.stat().st_size:,} bytes, {MAX_HEADER:,} are allowed")
        text = path.read_text()
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"not JSON: {error}") from None
        if isinstance(values, dict):
            version = values.pop("amge", None)
        return ModelSpec.from_json(json.dumps(values))
    except (ValueError, OSError) as error:
        by = (
            f" (it was written by amge {version!s:.20}, this is {__version__})"
            if version not in (None, __version__)
            else ""
        )
        raise ValueError(f"{files}: {CONFIG}: {error}{by}") from None


def read_spec(source: str | Path, revision: str | None = None, **hub: Any) -> ModelSpec:
    """The spec of a checkpoint without its weights; arguments and errors as `from_pretrained`."""
    return spec_of(locate(source, revision, **hub))
