"""`from_reference`: a checkpoint of another code base as a model of this one, every key accounted for."""

import ast
from collections.abc import Callable, Mapping
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn

from amge.assemble import assemble, teacher_spec
from amge.convert import baselines, configs, keys
from amge.convert.inflate import fit
from amge.distill.teacher import Teacher
from amge.errors import one_of
from amge.model import MuscleModel
from amge.spec import ModelSpec

BASELINES = ("st-gcn", "ctr-gcn", "hd-gcn", "torchvision-swin3d", "pytorchvideo")
MOST = 100_000
"""Values in a configuration: what comes from elsewhere may refer to itself over and over."""
SOURCES = ("musclemap", "pyslowfast", "torchvision-mvit", "timm-mvitv2", *BASELINES)


@overload
def from_reference(
    source: str, state_dict: Mapping[str, Any], config: Mapping[str, Any] | None = None, teacher: Literal[False] = False
) -> MuscleModel: ...
@overload
def from_reference(
    source: str, state_dict: Mapping[str, Any], config: Mapping[str, Any] | None = None, *, teacher: Literal[True]
) -> tuple[MuscleModel, Teacher]: ...
def from_reference(
    source: str, state_dict: Mapping[str, Any], config: Mapping[str, Any] | None = None, teacher: bool = False
) -> MuscleModel | tuple[MuscleModel, Teacher]:
    """Rebuild a reference model with its weights, in eval mode. It takes clips `(B, 3, T, H, W)` and returns logits.

    Skeleton models take `(B, P, T, V, 3)`, where their references have `(B, 3, T, V, P)`.

    Args:
        source: `musclemap` (the official TransM³E; the inference model, its difference branch only on request),
            `pyslowfast` (MViTv2 with any number of class tokens, averaged before the head; ImageNet weights are
            inflated), `torchvision-mvit` (`mvit_v2_s` and its like), or `timm-mvitv2` (2-D ImageNet weights of timm's
            MViTv2 with or without class token, inflated to video: convolutions at the central frame, time positions
            zero), `st-gcn`, `ctr-gcn` or `hd-gcn` (their official code), `torchvision-swin3d`, or `pytorchvideo` (its
            `c2d_r50`, `i3d_r50`, `slow_r50` and `slowfast_r50`).
        state_dict: the reference's weights; a PySlowFast checkpoint that holds them as `model_state` will do.
        config: the reference's own: PySlowFast's YAML, nested or dotted; torchvision's constructor
            arguments, or nothing for `mvit_v2_s`; for timm nothing, or `frames`, `size` and `stride_kv_adaptive` of the
            video model; for GCNs nothing, their official YAML, or `graph` (a name, or its joints, bones and centre),
            and for HD-GCN `levels` or `CoM`; for Swin nothing, or its `window_size`; for pytorchvideo nothing.
        teacher: for `musclemap`, also return the sender branch, which takes RGB differences.

    Returns:
        The model, whose spec says "official" where that matters, so that it can be saved; with `teacher`, a pair of
        the model and a `Teacher`.

    Raises:
        ValueError: for an unknown source, a configuration that is not MViTv2's, or keys that are missing or left over.
    """
    one_of("source", source, SOURCES)
    if teacher and source != "musclemap":
        raise ValueError(f"only 'musclemap' has a teacher, {source!r} has none")
    state = dict(state_dict.get("model_state", state_dict))
    difference: keys.State = {}
    if source == "musclemap":
        trunk, difference = keys.split_branches(state)
        if difference or teacher:
            left_over, missing = unpaired(trunk, difference)
            _report(
                [
                    *(f"left over: {key} of the difference branch" for key in left_over),
                    *(f"missing: {key} of the difference branch" for key in missing),
                ]
            )
    spec, renamed = translate(source, state, config or {})
    model = _load(assemble(spec), renamed)
    if not teacher:
        return model
    return model, Teacher(_sender(spec, difference))


def translate(source: str, state: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[ModelSpec, keys.State]:
    """The spec of a reference model, and its weights under this library's names. Of the weights it looks at names and
    shapes alone, and it does not check that they are those that the spec needs.

    Arguments and errors as of `from_reference`; the difference branch of `musclemap` is left out.
    """
    state, config = dict(state), _literal(config)
    if source in BASELINES:
        return baselines.convert(source, _constructor(config), state)
    if source == "torchvision-mvit":
        state = keys.rename(state, keys.TORCHVISION)
        if (token := state.get("cls_token")) is not None:
            state["cls_token"] = token.reshape(1, 1, -1)
    elif source == "timm-mvitv2":
        state = keys.timm_to_pyslowfast(state)
    elif source == "musclemap":
        state, _ = keys.split_branches(state)
    tokens = state["cls_token"].shape[1] if "cls_token" in state else 0
    picture = source in ("pyslowfast", "timm-mvitv2") and getattr(state.get("patch_embed.proj.weight"), "ndim", 5) == 4
    spec = _spec(source, config, state, tokens)
    renamed = _without_batch(keys.merge_mctf(keys.rename(state, keys.OWN + keys.MCTF)))
    return spec, fit(renamed, slots(spec)) if picture else renamed


def _literal(config: Any) -> Any:
    """Text that says a Python value as that value, at any depth: YAML has `(3, 7, 7)` and `1e-6` as text, which
    PySlowFast reads so."""
    left = MOST

    def read(value: Any) -> Any:
        nonlocal left
        if (left := left - 1) < 0:
            raise ValueError(f"the configuration has more than {MOST:,} values")
        if isinstance(value, Mapping):
            return {key: read(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [read(item) for item in value]
        try:
            return ast.literal_eval(value) if isinstance(value, str) and len(value) < 1000 else value
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return value

    return read(config)


def _constructor(config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a GCN's constructor and of its graph, out of the file that its official code trains from.

    There the graph is a class by its Python name, such as `graph.ntu_rgb_d.Graph`: the joints tell which it is.
    """
    arguments = dict(config.get("model_args", config))
    arguments |= arguments.pop("graph_args", None) or {}
    if str(arguments.get("graph")).startswith("graph."):
        del arguments["graph"]
    return arguments


def slots(spec: ModelSpec) -> keys.State:
    """What the weights of a spec's model are called, and their shapes: tensors without memory."""
    with torch.device("meta"):
        return assemble(spec).state_dict()


def _spec(source: str, config: Mapping[str, Any], state: keys.State, tokens: int) -> ModelSpec:
    if source == "timm-mvitv2" and not any("." in key for key in configs.dotted(config)):
        return configs.timm(config, state, tokens)
    if source == "torchvision-mvit" and not config:
        return configs.mvit_v2_s(state, tokens)
    if source == "timm-mvitv2":  # PySlowFast's configuration of the video model; timm's weights know ImageNet's colours
        return configs.pyslowfast(config, tokens).replace(mean=ModelSpec.mean, std=ModelSpec.std)
    read: dict[str, Callable[[Mapping[str, Any], int], ModelSpec]] = {
        "musclemap": configs.musclemap,
        "torchvision-mvit": configs.torchvision,
    }
    return read.get(source, configs.pyslowfast)(config, tokens)


def unpaired(state: keys.State, difference: keys.State) -> tuple[list[str], list[str]]:
    """Keys that only the difference branch has, and those that only the RGB trunk has, under names of the trunk."""
    trunk = {key for key in state if key.split(".")[0] in ("patch_embed", "cls_token", "blocks", "norm")}
    return sorted(difference.keys() - trunk), sorted(trunk - difference.keys())


def _report(problems: list[str]) -> None:
    if problems:
        more = f"; and {len(problems) - 40} more" if len(problems) > 40 else ""
        raise ValueError(f"{len(problems)} keys do not fit this configuration: " + "; ".join(problems[:40]) + more)


def _sender(spec: ModelSpec, state: keys.State) -> MuscleModel:
    """The difference branch of the official model, which has tokens but no head."""
    whole = assemble(teacher_spec(spec))
    renamed = keys.rename(state, (*keys.OWN, (r"^bank\.tokens\.main$", "bank.tokens.sender")))
    return _load(MuscleModel(whole.backbone, whole.bank, None, nn.Identity()), _without_batch(renamed))


def _without_batch(state: keys.State) -> keys.State:
    """Tokens `(1, M, C)` as `(M, C)`."""
    return {
        key: value.reshape(value.shape[1:]) if key.startswith("bank.") and value.ndim == 3 else value
        for key, value in state.items()
    }


def _load(model: MuscleModel, state: keys.State) -> MuscleModel:
    own = model.state_dict()
    _report(
        [
            *(f"left over: {key}" for key in sorted(state.keys() - own.keys())),
            *(f"missing: {key}" for key in sorted(own.keys() - state.keys())),
            *(
                f"{key} is {tuple(state[key].shape)}, the configuration needs {tuple(own[key].shape)}"
                for key in sorted(own.keys() & state.keys())
                if own[key].shape != state[key].shape
            ),
        ]
    )
    with torch.no_grad():
        model.load_state_dict({key: _as_float(value) for key, value in state.items()})
    return model.eval()


def _as_float(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value
