"""A model from a checkpoint: strictly, in eval mode, and with no more memory than its weights take."""

import json
import math
import warnings
from collections.abc import Container, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from textwrap import shorten
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from amge.assemble import assemble, put_together
from amge.devices import default_device, device_of
from amge.errors import one_of
from amge.hub.files import Files, locate
from amge.hub.lean import chance_kept, counted, refill, without_parameters
from amge.hub.names import CONFIG, PICKLES
from amge.hub.weights import Weights, document, weight_files
from amge.labels import Move, Rows, listed, move, rows_of, take
from amge.model import MuscleModel
from amge.registry import PARTS, used
from amge.spec import ModelSpec, SpecFields, check_arguments, class_names
from amge.version import __version__

if TYPE_CHECKING:
    from typing_extensions import Unpack

SLACK = 4, 50_000_000, 2_000
"""A model may register this many times the numbers and tensors that its weights hold, and that many more of each, while
it is built: encoders drop layers that nobody asked for, and tables are made that no checkpoint stores."""


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
    **overrides: "Unpack[SpecFields]",
) -> MuscleModel:
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
            left out, and a warning lists them. Rows of labels go with their names, see `amge.labels`: `labels` in
            another order always fit.
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
    check_arguments(from_pretrained, overrides)
    hub = {"token": token, "cache_dir": cache_dir, "local_files_only": local_files_only}
    files = locate(source, revision, **hub)
    return load(files, spec_of(files), overrides, num_classes, strict, device, dtype)


def load(
    files: Files,
    saved: ModelSpec,
    overrides: Mapping[str, Any] = MappingProxyType({}),
    num_classes: int | None = None,
    strict: bool = True,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> MuscleModel:
    """The model of a checkpoint, whose spec says `saved`, in eval mode; arguments and errors as `from_pretrained`."""
    spec = overridden(saved, overrides)
    if num_classes is not None:
        class_names(num_classes)
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point and dtype.itemsize > 1):
        raise ValueError(f"dtype is of floating-point weights, such as torch.bfloat16; got {dtype}")
    default = default_device()
    device = default if device is None else device_of(device)
    with torch.device("cpu" if default.type == "meta" else default), Weights(weight_files(files)) as weights:
        times, numbers, tensors = SLACK
        try:
            limits = times * weights.elements + numbers, times * len(weights.tensors) + tensors
            rebuilt, model, rows = outline(spec, *limits)
            stored = rows
            before, now = (json.dumps([each.labels, each.head_args]) for each in (saved, spec))  # in their order
            if before != now:
                stored = outline(saved, *limits).rows
        except ValueError as error:
            raise ValueError(f"{files} can't be loaded: {_said(error)}") from None
        moves = move(stored, rows)
        unfit, some = unfitting(weights, rebuilt, stored, moves)
        refused = [text for key, text in unfit.items() if strict or key.startswith("backbone.")]
        if refused:
            more = f" and {len(refused) - 3} more" if len(refused) > 3 else ""
            hint, known = "; strict=False starts these parts afresh", set(saved.labels)
            if any(key.startswith("backbone.") for key in unfit):
                hint = ""
            elif set(spec.labels) < known:
                hint = "; strict=False keeps the rows of the labels that are asked for, and leaves the others out"
            elif unknown := [label for label in spec.labels if label not in known]:
                hint = (
                    f"; the weights have no label {listed(unknown)}. strict=False starts their rows afresh and keeps "
                    f"the others"
                )
            raise ValueError(f"{files} does not fit {spec.name!r}: {'; '.join(refused[:3])}{more}{hint}")
        if unfit:
            model = assemble(
                spec.untrained().replace(
                    licence=spec.licence, person_head=spec.person_head, temperature=spec.temperature
                )
            )
        elif model is None:
            model = hollow(spec)
        _fill(model, weights, unfit.keys() - some, moves, stored, device, dtype)
        if unfit:
            whole = unfit.keys() - some
            fresh = [unfit[key] if key in weights.tensors else key for key in whole & rebuilt.keys()]
            fresh += [f"{key} of {listed(moves.lacking[key])}" for key in some if moves.lacking[key]]
            unused = [*(whole - rebuilt.keys())]
            unused += [f"{key} of {listed(moves.left[key])}" for key in some if moves.left[key]]
            _warn(files, fresh, unused)
        model._apply(lambda own: own.to(device, dtype if dtype and own.is_floating_point() else own.dtype)).eval()
        if num_classes is not None and num_classes != len(spec.labels):
            gone = [f"head.{key} {tuple(value.shape)}" for key, value in model.head.state_dict().items()]
            model.reset_head(num_classes)
            _warn(files, [f"the head, for {num_classes} classes"], gone)
    return model


def overridden(saved: ModelSpec, overrides: Mapping[str, Any]) -> ModelSpec:
    """A spec with other values, which keeps its metrics where its labels are in another order: they go with their
    rows, and no metric depends on it.

    Raises:
        ValueError: for an unknown field or value.
    """
    spec = saved.replace(**overrides)
    if "metrics" in overrides or sorted(spec.labels) != sorted(saved.labels):
        return spec
    return spec.replace(metrics=saved.replace(**{**overrides, "labels": saved.labels}).metrics)


def unfitting(
    weights: Weights, own: Mapping[str, Tensor], stored: Rows, moves: Move
) -> tuple[dict[str, str], set[str]]:
    """Key to what is wrong with it, for every tensor of weights or model that has no counterpart in the other; and
    those among them of which some rows have one."""
    like = {key: slot_of(own[key], stored.named[key]) for key in moves.moved}
    unfit = weights.unfit({**own, **like})
    unfit |= {key: text for key, text in moves.fresh.items() if key in own and key not in unfit}
    some = moves.partial - unfit.keys()
    for key in some:
        here, there = tuple(own[key].shape), weights.tensors[key].shape
        lacks = f"{key} has no row for {listed(moves.lacking[key])}"
        unfit[key] = f"{key} is {there}, the model has {here}" if here != there else lacks
    return dict(sorted(unfit.items(), key=lambda item: item[1])), some


def slot_of(own: Tensor, names: Sequence[str]) -> Tensor:
    """Where to read a tensor from whose rows `own` takes: like it, with the rows that the weights have."""
    slot = own.new_empty(len(names), *own.shape[1:])
    return nn.Parameter(slot, own.requires_grad) if isinstance(own, nn.Parameter) else slot


class Outline(NamedTuple):
    """What a spec has to be filled with."""

    tensors: dict[str, Tensor]
    model: MuscleModel | None
    """The model whose tensors they are; None: they have no memory."""
    rows: Rows


def outline(spec: ModelSpec, numbers: float = math.inf, tensors: float = math.inf) -> Outline:
    """What a spec has to be filled with: tensors without memory; if only a model with memory can be put together, its
    tensors and it.

    Args:
        spec: of the model.
        numbers: most that may be registered, as parameters and buffers.
        tensors: most of these.

    Raises:
        ValueError: for parts that do not fit one another, that can't be built, or a model that is too large.
    """
    with chance_kept():
        try:
            with torch.device("meta"), counted(numbers, tensors):
                model = assemble(spec)
            own = model.state_dict(keep_vars=True)
            if not any(map(is_lazy, own.values())):
                return Outline(own, None, rows_of(model, spec.labels))
        except ValueError:
            raise
        except Exception:  # a part that is never without memory
            pass
        try:
            with counted(3 * numbers, 3 * tensors):  # it is rehearsed first
                model = assemble(spec)
            return Outline(model.state_dict(keep_vars=True), model, rows_of(model, spec.labels))
        except ValueError:
            raise
        except Exception as error:
            raise ValueError(f"{spec.name!r} can't be built: {str(error) or type(error).__name__}") from error


def hollow(spec: ModelSpec) -> MuscleModel:
    """The model of a spec whose parameters have no memory yet; with memory, if its parts can't be put together so."""
    with chance_kept():
        try:
            with without_parameters():
                model = put_together(spec)
        except Exception:  # a part that computes with its parameters
            return assemble(spec)
        return assemble(spec) if _lost(model) else model


def _lost(model: nn.Module) -> bool:
    """Whether a model holds tensors without memory that no checkpoint fills, or hooks that filling would lose."""
    stored = {id(value) for value in model.state_dict(keep_vars=True).values()}
    hooked = any(p._backward_hooks or p._post_accumulate_grad_hooks for p in model.parameters())  # type: ignore[attr-defined]
    held = (tensor for part in model.modules() for tensor in _tensors_in(vars(part)))
    return hooked or any(tensor.is_meta and id(tensor) not in stored for tensor in held)


def _tensors_in(value: Any, depth: int = 4) -> Iterator[Tensor]:
    """Tensors in containers, at some depth."""
    if isinstance(value, Tensor):
        yield value
    elif depth and isinstance(value, (Mapping, list, tuple, partial)):
        within = (value.args, value.keywords) if isinstance(value, partial) else value
        for each in within.values() if isinstance(within, Mapping) else within:
            yield from _tensors_in(each, depth - 1)


def _fill(
    model: nn.Module,
    weights: Weights,
    unfit: Container[str],
    moves: Move,
    stored: Rows,
    device: torch.device,
    dtype: torch.dtype | None,
) -> None:
    """Read what fits, into the tensors that are there, for whatever refers to them; rows go to where they are moved."""
    own = {key: value for key, value in model.state_dict(keep_vars=True).items() if key not in unfit}
    moved = moves.moved.keys() & own.keys()
    copied, assigned = {}, {}
    for key, value in weights.read(own | {key: slot_of(own[key], stored.named[key]) for key in moved}, device, dtype):
        slot = own[key]
        if key in moved:
            value = take(value, moves.moved[key], slot)
        if slot.is_meta and not value.is_meta:
            refill(slot, value)
        elif slot.untyped_storage().nbytes() < slot.numel() * slot.element_size():  # repeats a few numbers
            assigned[key] = value
        else:
            copied[key] = value
    model.load_state_dict(copied, strict=False)
    model.load_state_dict(assigned, strict=False, assign=True)


def _warn(files: Files, fresh: list[str], unused: list[str]) -> None:
    """Say which tensors of a model are random, and which of a checkpoint are not used."""
    parts = {"Untrained": fresh, "Not used": unused}
    listed = ". ".join(f"{what}: {'; '.join(sorted(texts))}" for what, texts in parts.items() if texts)
    warnings.warn(f"{files} was not loaded whole. {listed}", stacklevel=4)


def spec_of(files: Files) -> ModelSpec:
    """The spec of a checkpoint, all of whose parts are known.

    Raises:
        ValueError: if there is none, it is broken, or names parts that are not registered.
        OSError: if it can't be fetched.
    """
    path = files.get(CONFIG)
    if path is None:
        pickles = sorted(name for name in files.names() if name.endswith(PICKLES))
        hint = f"; `amge convert` makes one of a checkpoint such as {pickles[0]}" if pickles else ""
        raise ValueError(f"{files} has no {CONFIG}, so it is not an amge checkpoint{hint}")
    version = __version__
    try:
        values = document(path)
        if isinstance(values, dict):
            version = " ".join(str(values.pop("amge", __version__)).split())[:20]
        spec = ModelSpec.from_json(json.dumps(values))
        homes = {}
        for kind, name in used(spec):
            if name in PARTS[kind]:
                continue
            if home := spec.imports.get(f"{kind} {name}"):
                homes[f"the {kind} {name!r}"] = home
                continue
            try:
                one_of(kind, name, PARTS[kind])
            except ValueError as error:
                raise ValueError(f"{error}; one of your own has to be registered first") from None
    except (ValueError, OSError, RecursionError) as error:
        by = "" if version == __version__ else f" (it was written by amge {version}, this is {__version__})"
        raise ValueError(f"{files}: {CONFIG}: {_said(error)}{by}") from None
    if homes:
        raise ValueError(
            f"{files} has parts that do not come with amge: {', '.join(homes)}; first "
            f"{' and '.join(f'`import {home}`' for home in dict.fromkeys(homes.values()))}, which registers them (on "
            f"the command line: amge --import {next(iter(homes.values()))} ...)"
        )
    return spec


def _said(error: Exception) -> str:
    """The first line of an error, cut short: a config may say as much as it likes, and errors repeat it."""
    first = (str(error)[:2000].splitlines() or ["a part refuses its arguments"])[0]
    return shorten(first, 500, placeholder=" …")


def read_spec(source: str | Path, revision: str | None = None, **hub: Any) -> ModelSpec:
    """The spec of a checkpoint without its weights; arguments and errors as `from_pretrained`."""
    return spec_of(locate(source, revision, **hub))
