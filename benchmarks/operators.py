"""What a model asks of a GPU in one pass, counted without a GPU: operators, and memory that the backward pass needs.

python benchmarks/operators.py --model transm3e-small

Counts are of the forward pass, at inference and in training, in bfloat16, against what one would pick in the model's
place; views are left out, as they launch nothing. An operator of the library's own may launch more than one kernel.
Kept are tensors of the pass that are no parameters, in MiB; attention keeps what its fused kernels do. JSON.
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from candidates import candidates
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

import amge

VIEWS = {
    *("_unsafe_view", "alias", "as_strided", "detach", "diagonal", "expand", "permute", "select", "slice", "split"),
    *("split_with_sizes", "squeeze", "t", "transpose", "unbind", "unfold", "unsqueeze", "view", "empty", "empty_like"),
    *("empty_strided", "new_empty", "new_empty_strided", "device", "sym_size"),
}
"""Operators that launch no kernel."""


class Operators(TorchDispatchMode):
    """Counts what is called, views left out."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = operator.name().split("::")[1].split(".")[0]
        if name not in VIEWS:
            self.counts[name] += 1
        return operator(*args, **kwargs or {})


class Attention(torch.autograd.Function):
    """Fused attention, in what it gives and keeps."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, out, query.new_empty(query.shape[:-1], dtype=torch.float32))
        return out


def on_a_gpu(model: nn.Module, dtype: torch.dtype) -> None:
    """Put a model from the device `meta` on a GPU that need not be there."""
    for module in model.modules():
        for name, tensor in [*module._parameters.items(), *module._buffers.items()]:
            if tensor is not None:
                kind = dtype if tensor.is_floating_point() else tensor.dtype
                empty = torch.empty(tensor.shape, dtype=kind, device="cuda")
                if name in module._parameters:
                    module._parameters[name] = nn.Parameter(empty)
                else:
                    module._buffers[name] = empty


def count(model: nn.Module, shape: list[int], train: bool) -> tuple[Counter[str], float]:
    """Operators of a forward pass, and the MiB that it keeps for the backward pass.

    Args:
        model: from the device `meta`; it is put on a GPU that need not be there.
    """
    kept: dict[int, Any] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage
        return tensor

    with FakeTensorMode(allow_non_fake_inputs=True), saved_tensors_hooks(note, lambda tensor: tensor):
        on_a_gpu(model, torch.bfloat16)
        model.train(train)
        given = torch.empty(shape, dtype=torch.bfloat16, device="cuda")
        with torch.no_grad():
            model(given)  # what is done once is not counted
        with Operators() as operators, torch.set_grad_enabled(train):
            model(given)
        own = {tensor.untyped_storage()._cdata for tensor in (*model.parameters(), *model.buffers())}
        return operators.counts, sum(kept[key].nbytes() for key in kept.keys() - own) / 2**20


def measure(name: str, batch: int, frames: int, size: int, rows: int) -> dict[str, Any]:
    """Operators and memory of a model and of its references, and the ratio of the memory."""
    models, _ = candidates(name, frames, size)
    result: dict[str, Any] = {"model": name, "batch": batch, "torch": torch.__version__}
    for label, make in models.items():
        with torch.device("meta"):
            model = make()
        spec = getattr(model, "input_spec", None)
        shape = [batch, *(map(int, spec.shape[1:]) if spec else (3, frames, size, size))]
        inference, _ = count(model, shape, train=False)
        training, kept = count(model, shape, train=True)
        result[label] = {
            "forward": inference.total(),
            "forward in training": training.total(),
            "kept_mib": round(kept, 1),
            "most": dict(inference.most_common(rows)),
        }
    for label in list(models)[1:]:
        result[f"kept, of {label}"] = round(result[name]["kept_mib"] / result[label]["kept_mib"], 3)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="transm3e-small")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--frames", type=int, help="default: the model's")
    parser.add_argument("--size", type=int, help="default: the model's")
    parser.add_argument("--rows", type=int, default=12, help="operators to name")
    options = parser.parse_args()
    spec = amge.spec(options.model)
    F.scaled_dot_product_attention = lambda query, key, value, **_: Attention.apply(query, key, value)
    result = measure(
        options.model, options.batch, options.frames or spec.frames, options.size or spec.size, options.rows
    )
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
