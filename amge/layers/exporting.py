"""Whether a model is on its way to a place that knows torch's own operators alone."""

import torch


def exporting() -> bool:
    """Whether `torch.export`, `torch.jit.trace` or `torch.onnx` is recording what the model does."""
    is_exporting = getattr(torch.compiler, "is_exporting", lambda: False)  # torch 2.7
    return is_exporting() or torch.jit.is_tracing() or torch.onnx.is_in_onnx_export()
