"""The formats of exported models: how a program of torch becomes a file of each, and how a file is run."""

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from amge.errors import reason

OPSET = 18
"""Of ONNX: the first that has all that the models use; older run times read it."""
Arrays = list[tuple[np.ndarray, ...]]


class Ports(NamedTuple):
    """What goes into a graph and comes out of it."""

    shapes: dict[str, tuple[str | int, ...]]
    """Name of an input to its shape, with a name for each axis that is free."""
    output: str
    free: dict[str, Any]
    """Name of an axis to its `torch.export.Dim`."""
    examples: list[tuple[Tensor, ...]]
    """Inputs to compare answers by; the first is traced."""


def write_onnx(
    program: torch.export.ExportedProgram, path: Path, ports: Ports, about: dict[str, str], calibrate: Arrays | None
) -> None:
    import onnx

    try:
        made = torch.onnx.export(
            program,
            (),
            dynamo=True,
            input_names=list(ports.shapes),
            output_names=[ports.output],
            opset_version=OPSET,
            verbose=False,
        )
    except Exception as error:  # torch's exporter wraps what goes wrong in an error of its own
        cause = error.__cause__ or error
        raise ValueError(f"torch {torch.__version__} can't write ONNX: {reason(cause, 300)}") from error  # type: ignore[arg-type]
    assert made is not None
    made.save(str(path), external_data=False)
    model = onnx.load(str(path))
    tidy(model, ports)
    if calibrate is not None:
        from amge.export.int8 import quantized

        model = quantized(model, path, list(ports.shapes), calibrate)
    onnx.helper.set_model_props(model, about)
    onnx.save(model, str(path))


def tidy(model: Any, ports: Ports) -> None:
    """Names for the free axes, and no traces of the source, which hold paths of this machine."""
    graph = model.graph
    for given, shape in zip(graph.input, ports.shapes.values(), strict=True):
        for dim, axis in zip(given.type.tensor_type.shape.dim, shape, strict=True):
            if axis in ports.free:
                dim.dim_param = axis
    if "batch" in ports.free:
        graph.output[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    del graph.value_info[:], graph.metadata_props[:], model.metadata_props[:]
    for each in (*graph.node, *graph.initializer):
        each.doc_string = ""
        del each.metadata_props[:]


def load_onnx(path: Path) -> Callable[..., np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    return lambda *given: session.run(None, dict(zip(names, given, strict=True)))[0]


def write_openvino(
    program: torch.export.ExportedProgram, path: Path, ports: Ports, about: dict[str, str], calibrate: Arrays | None
) -> None:
    import openvino

    between = path.with_suffix(".onnx")
    write_onnx(program, between, ports, about, calibrate)
    model = openvino.convert_model(str(between))
    for name, value in about.items():
        model.set_rt_info(value, ["model_info", name])
    openvino.save_model(model, str(path), compress_to_fp16=False)
    between.unlink()


def load_openvino(path: Path) -> Callable[..., np.ndarray]:
    import openvino

    exact = {"INFERENCE_PRECISION_HINT": "f32"}  # some processors would compute in bfloat16
    compiled = openvino.Core().compile_model(str(path), "CPU", exact)
    return lambda *given: compiled(list(given))[0]


def write_pt2(
    program: torch.export.ExportedProgram, path: Path, ports: Ports, about: dict[str, str], calibrate: Arrays | None
) -> None:
    torch.export.save(program, str(path), extra_files={"metadata.json": json.dumps(about, indent=2)})


def load_pt2(path: Path) -> Callable[..., np.ndarray]:
    module = torch.export.load(str(path)).module()
    return lambda *given: module(*map(torch.from_numpy, given)).numpy()


class Format(NamedTuple):
    """A format of files."""

    suffix: str
    packages: tuple[str, ...]
    """That write and run it."""
    write: Callable[..., None]
    load: Callable[[Path], Callable[..., np.ndarray]]
    quantizes: bool = True


FORMATS = {
    "onnx": Format(".onnx", ("onnx", "onnxscript", "onnxruntime"), write_onnx, load_onnx),
    "pt2": Format(".pt2", (), write_pt2, load_pt2, quantizes=False),
    "openvino": Format(".xml", ("onnx", "onnxscript", "openvino"), write_openvino, load_openvino),
}


@contextmanager
def still() -> Iterator[None]:
    """Keep what exporters say of their progress from the screen."""
    kept = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(kept)
