"""One call from a model to a file that runs elsewhere, which is left behind only if it answers as the model does."""

import copy
import importlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from amge.errors import one_of, reason
from amge.export import frames as sidecar
from amge.export.formats import FORMATS, Format, Ports, still
from amge.export.graph import EndToEnd
from amge.export.metadata import metadata
from amge.files import scratch, to_disk
from amge.inputs import Source, inputs, joint_sizes
from amge.model import MuscleModel
from amge.results import Seen

TOLERANCE = 1e-4
"""Most that an answer of an exported model may differ from PyTorch's, in logits or probabilities; in parts of the
largest where that is over 1."""
ROUNDED = 0.05
"""Most that probabilities of a model in 8 bits may differ on average."""


class Exported(NamedTuple):
    """What `export` wrote."""

    files: tuple[Path, ...]
    """The model first."""
    inputs: dict[str, tuple[str | int, ...]]
    """Name to shape, names of axes for those that are free."""
    output: str
    """`logits` or `probabilities`."""
    difference: float
    """Largest absolute difference to PyTorch in these; of a model in 8 bits, mean difference of probabilities."""
    compared: int
    """Inputs that it was compared on."""
    quantize: str | None

    def __str__(self) -> str:
        takes = " and ".join(f"{name} ({', '.join(map(str, shape))})" for name, shape in self.inputs.items())
        how = "in probability on average" if self.quantize else "at most"
        lines = [
            f"{takes} to {self.output}",
            f"differs from PyTorch by {self.difference:.1e} {how}, on {self.compared} inputs",
        ]
        return "\n".join(lines + [f"{file}  {file.stat().st_size / 1e6:.3g} MB" for file in self.files])


def export(
    model: MuscleModel,
    path: str | os.PathLike[str],
    format: str | None = None,
    *,
    end_to_end: bool = False,
    quantize: str | None = None,
    calibrate_on: Sequence[Source] = (),
) -> Exported:
    """Write a model for a run time without PyTorch, or as PyTorch's own program; see docs/export.md.

    It takes `clip` `(B, 3, T, H, W)`, or what else `model.forward` takes, for any `B`, and gives `logits` `(B, K)`. The
    file carries labels, thresholds, temperature, mean, std and licence, and is left behind only if it answers as the
    model does in PyTorch.

    Args:
        model: of any device and type; the file is of float32.
        path: of the file, `.onnx`, `.pt2` or `.xml`.
        format: `onnx`, `pt2` or `openvino`; default: what the name of the file says.
        end_to_end: take `frames`, uint8 `(T, H, W, 3)` of any height and width, and give `probabilities` `(K,)`. A file
            beside it, `NAME_frames.py`, chooses the frames of a clip by numpy.
        quantize: `int8` stores weights of products in 8 bits and computes these in whole numbers, and with
            `calibrate_on` convolutions too.
        calibrate_on: videos like those to come, or what else `model.preprocess` takes, which show the range of numbers
            that convolutions meet.

    Raises:
        ValueError: if the model can't be written in this form, or its answers differ; says why. Nothing is left then.
        ImportError: if a package of the format is not installed.
    """
    path = Path(path)
    how = checked(path, format, quantize, calibrate_on)
    spec = model._spec()
    plain = copy.deepcopy(model).cpu().float().eval()
    network = EndToEnd(plain).eval() if end_to_end else plain
    ports = ports_of(plain, end_to_end)
    with scratch(path) as folder, torch.no_grad(), still():
        program = trace(network, ports, spec.name)
        about = metadata(spec, end_to_end, quantize)
        written = folder / path.name
        videos = list(calibration(plain, calibrate_on, end_to_end))
        how.write(program, written, ports, about, [arrays(each) for each in videos] if quantize else None)
        run = how.load(written)
        pairs = [(network(*each).numpy(), run(*arrays(each))) for each in videos or ports.examples]
        difference = compare(pairs, plain, end_to_end, quantize, f"{spec.name} as {path.suffix[1:]}")
        if end_to_end:
            beside = f"{path.stem.replace('-', '_').replace('.', '_')}_frames.py"
            (folder / beside).write_text(sidecar.source(spec), encoding="utf-8")
        names = sorted((each.name for each in folder.iterdir()), key=lambda name: name != path.name)
        for name in reversed(names):  # the model last: where it is, all of it is
            to_disk(folder / name)
            os.replace(folder / name, path.parent / name)
    files = tuple(path.parent / name for name in names)
    return Exported(files, ports.shapes, ports.output, difference, len(pairs), quantize)


def checked(path: Path, format: str | None, quantize: str | None, calibrate_on: Sequence[object] = ()) -> Format:
    """The format of a file, where it can be written.

    Raises:
        ValueError: if arguments don't fit one another.
        ImportError: if a package is not installed.
    """
    format = format or next((name for name, each in FORMATS.items() if each.suffix == path.suffix), None)
    if format is None:
        suffixes = ", ".join(f"{each.suffix} ({name})" for name, each in FORMATS.items())
        raise ValueError(f"{path} does not say which format: end it in {suffixes}, or name the format")
    found = FORMATS[one_of("format", format, FORMATS)]
    if path.suffix != found.suffix:
        raise ValueError(f"{path}: a file of {format} ends in {found.suffix}")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a file")
    if calibrate_on and quantize is None:
        raise ValueError("videos to calibrate on are for int8: quantize='int8'")
    if quantize is not None and one_of("quantization", quantize, ("int8",)) and not found.quantizes:
        raise ValueError(f"int8 is for onnx and openvino; save {format} without it")
    for package in (*found.packages, *(("onnxruntime",) if quantize else ())):
        require(package)
    return found


def require(package: str) -> None:
    """`ImportError` if a package of the extra is not installed, or can't be used."""
    try:
        importlib.import_module(package)
    except Exception as error:  # a protobuf that does not fit raises TypeError
        raise ImportError(f"this export needs {package}: pip install 'amge[export]' ({reason(error, 300)})") from error


def ports_of(model: MuscleModel, end_to_end: bool) -> Ports:
    """What goes into the graph of a model and comes out of it, with examples to compare by."""
    spec, generator = model._spec(), torch.Generator().manual_seed(0)
    if end_to_end:
        free = {
            "height": torch.export.Dim("height", min=32, max=4096),
            "width": torch.export.Dim("width", min=32, max=4096),
        }
        shapes: dict[str, tuple[str | int, ...]] = {"frames": (spec.frames, "height", "width", 3)}
        from amge import synthetic

        sizes = ((120, 160), (150, 90))
        clips = [synthetic.render("squat", frames=spec.frames, size=size, seed=0, fps=6).frames for size in sizes]
        return Ports(shapes, "probabilities", free, [(torch.from_numpy(clip),) for clip in clips])
    free = {"batch": torch.export.Dim("batch", min=1, max=1024)}
    given = tuple("batch" if axis == "B" else axis for axis in model.input_spec.shape)
    shapes = {"skeletons" if spec.modality == "skeleton" else "clip": given}
    if model.skeleton is not None:
        slots, joints, axes = joint_sizes(model.skeleton.backbone)
        shapes["skeletons"] = ("batch", slots, spec.frames, joints, axes)
    examples = [
        tuple(
            torch.rand([batch if axis == "batch" else int(axis) for axis in shape], generator=generator)
            for shape in shapes.values()
        )
        for batch in (2, 1, 3)
    ]
    return Ports(shapes, "logits", free, examples)


def trace(network: torch.nn.Module, ports: Ports, name: str) -> torch.export.ExportedProgram:
    """The network as a program of torch's own operators.

    Raises:
        ValueError: if torch can't record it for these axes.
    """
    shapes = tuple(
        {place: ports.free[axis] for place, axis in enumerate(shape) if axis in ports.free}
        for shape in ports.shapes.values()
    )
    try:
        program = torch.export.export(network, ports.examples[0], dynamic_shapes=shapes, strict=False)
    except Exception as error:  # of many kinds, by what in the network can't be recorded
        raise ValueError(f"torch {torch.__version__} can't export {name}: {reason(error, 300)}") from error
    program._example_inputs = None  # megabytes, which a file would keep
    return program


def calibration(model: MuscleModel, sources: Sequence[Source], end_to_end: bool) -> Iterator[tuple[Tensor, ...]]:
    """Inputs of the graph for videos, one for each window in which somebody is seen."""
    stream = model.skeleton.backbone if model.skeleton else None
    for each in sources:
        for given, window in inputs(model._spec(), model.backbone, each, stream=stream):
            if end_to_end and window.frames is not None:
                yield (torch.from_numpy(window.frames),)
            elif given is not None:
                yield tuple(part[None] for part in (given if isinstance(given, Seen) else (given,)))


def compare(
    pairs: list[tuple[np.ndarray, np.ndarray]], model: MuscleModel, end_to_end: bool, quantize: str | None, what: str
) -> float:
    """How far answers are from those of PyTorch.

    Raises:
        ValueError: if that is too far.
    """
    if quantize:
        as_probabilities = (lambda x: x) if end_to_end else lambda x: model.probabilities(torch.from_numpy(x)).numpy()
        apart = float(np.mean([np.abs(as_probabilities(a) - as_probabilities(b)).mean() for a, b in pairs]))
        if not apart <= ROUNDED:
            raise ValueError(
                f"{what} in 8 bits differs by {apart:.3f} in probability on average; calibrate on videos "
                f"like yours, or export without quantization"
            )
        return apart
    difference = max(float(np.abs(a - b).max()) for a, b in pairs)
    scale = max(1.0, *(float(np.abs(a).max()) for a, _ in pairs))
    if not difference <= TOLERANCE * scale:
        raise ValueError(f"{what} gives other answers than PyTorch, {difference:.2g} apart; nothing was written")
    return difference


def arrays(given: tuple[Tensor, ...]) -> tuple[np.ndarray, ...]:
    return tuple(each.numpy() for each in given)
