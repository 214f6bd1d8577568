"""Models for run times without PyTorch: ONNX Runtime, OpenVINO; and PyTorch's own programs, which need no amge."""

from .write import Exported as Exported
from .write import export as export
