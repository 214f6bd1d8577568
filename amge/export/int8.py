"""Weights and their products in 8 bits, by ONNX Runtime.

A network with convolutions gets fixed ranges, which inputs of a calibration show; one without them finds the ranges of
each input as it runs (products with weights alone).
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
        inputs: for calibration.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.calibrate import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(inputs)

        def get_next(self) -> Any:
            return dict(zip(names, given, strict=True)) if (given := next(self.left, None)) is not None else None

    out = path.with_suffix(".int8.onnx")
    if any(node.op_type == "Conv" for node in model.graph.node):
        quantize_static(
            model,
            out,
            Reader(),
            op_types_to_quantize=["Conv", "MatMul", "Gemm"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )
    else:
        quantize_dynamic(model, out, weight_type=QuantType.QInt8, per_channel=True)
    found = onnx.load(str(out))
    out.unlink()
    return found
