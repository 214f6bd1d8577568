"""Weights and their products in 8 bits, by ONNX Runtime.

Products with weights find the range of their input as they run. Convolutions have fixed ranges, which a calibration
shows; those of single channels stay as they are: they hold few weights, and lose the most.
"""

from pathlib import Path
from typing import Any

import numpy as np


def quantized(model: Any, path: Path, names: list[str], inputs: list[tuple[np.ndarray, ...]]) -> Any:
    """An ONNX model to the same in 8 bits.

    Args:
        model: of onnx.
        path: beside which files may be written that go again.
        names: of the graph's inputs.
        inputs: for calibration; without any, convolutions stay as they are.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.calibrate import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(inputs)

        def get_next(self) -> Any:
            given = next(self.left, None)
            return None if given is None else dict(zip(names, given, strict=True))

    out = path.with_suffix(".int8.onnx")
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    if convolutions and inputs:
        grouped = [node.name for node in convolutions if any(a.name == "group" and a.i > 1 for a in node.attribute)]
        quantize_static(
            model,
            out,
            Reader(),
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=grouped,
        )
        model = onnx.load(str(out))
    quantize_dynamic(model, out, op_types_to_quantize=["MatMul", "Gemm"], weight_type=QuantType.QInt8, per_channel=True)
    found = onnx.load(str(out))
    out.unlink()
    return found
