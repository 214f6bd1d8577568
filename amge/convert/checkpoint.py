"""`convert_checkpoint`: a checkpoint file of another code base as a checkpoint folder of this one."""

import dataclasses
import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from amge.convert.keys import Lacks, State
from amge.convert.reference import SOURCES, from_reference
from amge.convert.report import Report, trace
from amge.errors import one_of
from amge.files import check_new, digest, whole_folder
from amge.hub.save import save_pretrained
from amge.hub.weights import Weights
from amge.model import MuscleModel

WRAPPERS = ("model_state", "state_dict", "model", "net")
"""What training code calls the weights among what else it keeps."""
OUTER = ("module.", "model.", "net.")
"""What parallel and Lightning modules put before each name."""
NEED_CONFIG = {"musclemap": "the YAML file that it was trained with", "pyslowfast": "the YAML file of the model"}


class Refused(ValueError):
    """A checkpoint that was not converted; `report` says what is known of it."""

    def __init__(self, report: Report) -> None:
        super().__init__(report.error)
        self.report = report


def convert_checkpoint(
    source: str,
    checkpoint: str | Path,
    config: str | Path | Mapping[str, Any] | None,
    out: str | Path,
    *,
    licence: str | None = None,
    tag: str | None = None,
) -> Report:
    """Convert a checkpoint file of another code base to a folder that `from_pretrained` loads.

    Args:
        source: as of `from_reference`.
        checkpoint: `.safetensors`, or a pickle that torch wrote. Of a pickle tensors and plain values are read;
            whatever else it asks for is refused, and nothing in it is run.
        config: as of `from_reference`, or a YAML or JSON file of it.
        out: a folder that does not exist yet, or an empty one; it appears when all is written.
        licence: of the weights.
        tag: of the weights: what they were trained on and how.

    Returns:
        what became of every key.

    Raises:
        Refused: a `ValueError`, if the checkpoint or the configuration can't be read, or a key is missing, left over or
            of another shape.
        ValueError: for an unknown source, or if `out` has files already.
        OSError: if a file can't be read or written.
    """
    one_of("source", source, SOURCES)
    checkpoint, out = Path(checkpoint), Path(out).resolve()
    check_new(out)
    report = Report(source=source, checkpoint=checkpoint.name)
    try:
        settings = config if isinstance(config, Mapping) else read_config(config) if config is not None else {}
        if not settings and source in NEED_CONFIG:
            raise ValueError(f"{source!r} needs a configuration: {NEED_CONFIG[source]}")
        report = dataclasses.replace(report, sha256=digest(checkpoint))
        state, prefix = read_state(checkpoint)
        try:
            traced = trace(source, state, settings)
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError) as error:
            raise ValueError(
                f"this configuration, or a weight, has not the form that {source!r} needs: "
                f"{type(error).__name__}: {error}"
            ) from error
        report = dataclasses.replace(traced, checkpoint=report.checkpoint, sha256=report.sha256, prefix=prefix)
        if problems := report.problems():
            raise ValueError(f"{checkpoint} does not fit this configuration: {problems}")
        used = {key for origin in report.mapped.values() for key in origin.keys}
        if broken := [key for key in state if key in used and not state[key].float().isfinite().all()]:
            raise ValueError(f"{checkpoint} holds NaN or infinity in {', '.join(broken[:3])}; no model works with that")
        model = from_reference(source, state, settings)
        _compare_skipped(source, state, model)
    except ValueError as error:
        if isinstance(error, Lacks):
            report = dataclasses.replace(report, missing=error.keys, left_over=tuple(state), prefix=prefix)
        raise Refused(dataclasses.replace(report, error=str(error))) from error
    assert model.spec is not None
    made = {"source": f"{source} checkpoint {checkpoint.name}", "source_sha256": report.sha256}
    model.spec = model.spec.replace(licence=licence, tag=tag, provenance={**model.spec.provenance, **made})
    with whole_folder(out) as folder:
        save_pretrained(model, folder)
    return report


def read_config(path: str | Path) -> dict[str, Any]:
    """A configuration in YAML or JSON.

    Raises:
        ValueError: if it is broken, or no mapping.
        OSError: if it can't be read.
    """
    path = Path(path)
    text = path.read_bytes()
    try:
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{path} is not a readable configuration: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds {type(content).__name__}, a configuration maps names to values")
    return content


def read_state(path: Path) -> tuple[State, str]:
    """The weights in a file, by name, and what the file has before each name.

    Raises:
        ValueError: if the file is broken, or holds anything else.
        OSError: if it can't be read.
    """
    content: Any
    if path.suffix == ".safetensors":
        with Weights([path]) as weights:
            content = {key: weights.get(key) for key in weights.tensors}
    else:
        content = _unpickled(path)
    prefix = ""
    for _ in WRAPPERS:
        inner = next(
            (name for name in WRAPPERS if isinstance(content, dict) and isinstance(content.get(name), dict)), ""
        )
        if inner:
            content, prefix = content[inner], f"{prefix}{inner}."
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds {_kind(content)}, not names of weights to tensors")
    others = [f"{key} ({_kind(value)})" for key, value in content.items() if not _is_weight(key, value)]
    if others or not content:
        more = f" and {len(others) - 5} more" if len(others) > 5 else ""
        held = f"besides {', '.join(others[:5])}{more}" if others else "nothing"
        raise ValueError(
            f"{path} holds {held}{f' in {prefix[:-1]}' if prefix else ''}, not names of weights to tensors alone; its "
            f"weights may be called {', '.join(WRAPPERS)}"
        )
    while outer := next((p for p in OUTER if all(key.startswith(p) and key != p for key in content)), ""):
        content, prefix = {key.removeprefix(outer): value for key, value in content.items()}, f"{prefix}{outer}"
    return content, prefix


def _compare_skipped(source: str, state: State, model: MuscleModel) -> None:
    """Raise `ValueError` where a skipped key holds something else than what stands in for it."""
    if source == "st-gcn" and "A" in state:
        graph, own = state["A"].float(), model.get_buffer("backbone.encoder.layers.0.adjacency").cpu()
        if graph.shape != own.shape or not graph.allclose(own, atol=1e-3):
            raise ValueError(
                "A, the graph of the checkpoint, is not that of the model; give it as 'graph' in the configuration: a "
                "name, or joints, bones and centre"
            )
    if source == "hd-gcn":
        last = max(int(match[1]) for key in state if (match := re.search(r"\.gcn1\.conv\.(\d+)\.", key)))
        for key in state:
            twin = state.get(key.replace(".conv_d.", f".conv.{last}."))
            if ".conv_d." in key and (twin is None or not twin.equal(state[key])):
                raise ValueError(
                    f"{key} is not the same as {key.replace('.conv_d.', f'.conv.{last}.')}, as it is in HD-GCN"
                )


def _is_weight(key: object, value: object) -> bool:
    dense = isinstance(value, Tensor) and value.layout == torch.strided and not value.is_quantized
    if dense and value.untyped_storage().nbytes() < value.numel() * value.element_size():  # type: ignore[attr-defined]
        return False  # a few numbers that claim to be many
    return isinstance(key, str) and dense and not (value.is_complex() or value.is_meta)  # type: ignore[attr-defined]


def _kind(value: object) -> str:
    return f"{value.dtype} {value.layout}" if isinstance(value, Tensor) else type(value).__name__


def _unpickled(path: Path) -> Any:
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # a broken file can raise anything
            if asked := re.search(r"GLOBAL (\S+)", str(error)):
                raise ValueError(
                    f"{path} holds more than tensors: it asks for {asked[1]}, which can be code, so it is refused, and "
                    f"nothing in it was run. Where you trust it, convert its weights alone, as "
                    f"torch.save(model.state_dict(), 'weights.pth') writes them"
                ) from None
            why = "it is not whole, or no pickle of tensors that torch wrote"
            if isinstance(error, (RuntimeError, OSError)) and "weights_only" not in str(error):
                why += f": {str(error).split('. ')[0]}"
            raise ValueError(f"{path} could not be read; {why}") from None
