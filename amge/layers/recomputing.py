"""Linear layers that do not keep their input for the backward pass, but compute it again: it is cheap, and large."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from amge.layers.depthwise_pooling import has_kernels


def recomputes(x: Tensor) -> bool:
    """Whether products with what is made of `x` keep `x` alone: in training on a GPU that has the library's kernels.

    `torch.compile` chooses by itself what to compute again.
    """
    return torch.is_grad_enabled() and not torch.compiler.is_compiling() and has_kernels(x)


def product(before: Callable[..., Tensor], weight: Tensor, bias: Tensor | None, *inputs: Tensor) -> Tensor:
    """`F.linear(before(*inputs), weight, bias)`, for which only the inputs and the weight are kept.

    Args:
        before: a function of the inputs and of no other parameter, such as a norm or an activation.
        weight: of the linear layer.
        bias: of it, if there is one.
        inputs: those of `before`; where `recomputes` is false they may be anything.

    Where `recomputes` is true there are no second derivatives.
    """
    if recomputes(inputs[0]):
        return _Linear.apply(before, weight, bias, *inputs)
    return F.linear(before(*inputs), weight, bias)


def linear(layer: nn.Module, before: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """`layer(before(*inputs))` as a `product`; a module of another kind in place of the layer is called as it is."""
    if type(layer) is nn.Linear and recomputes(inputs[0]):
        return product(before, layer.weight, layer.bias, *inputs)
    return layer(before(*inputs))


def normed_linear(layer: nn.Module, norm: nn.LayerNorm, x: Tensor) -> Tensor:
    """`layer(norm(x))` as a `product`."""
    if not recomputes(x):
        return layer(norm(x))

    def before(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.layer_norm(x, norm.normalized_shape, weight, bias, norm.eps)

    return linear(layer, before, x, norm.weight, norm.bias)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, before: Callable[..., Tensor], weight: Tensor, bias: Tensor | None, *inputs: Tensor
    ) -> Tensor:
        device = weight.device.type
        ctx.before = before
        ctx.autocast = device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)
        ctx.save_for_backward(weight, *inputs)
        return F.linear(before(*inputs), weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        weight, *inputs = ctx.saved_tensors
        for_weight, for_bias, *for_inputs = ctx.needs_input_grad[1:]
        given = [x.detach().requires_grad_(needed) for x, needed in zip(inputs, for_inputs, strict=True)]
        rows, dx, dweight, dbias = dy.flatten(0, -2), None, None, None
        with torch.autocast(*ctx.autocast):
            with torch.enable_grad():
                x = ctx.before(*given)
            if for_weight:
                dweight = (rows.t() @ x.detach().flatten(0, -2)).to(weight.dtype)
            if x.requires_grad:
                dx = (dy @ weight).to(x.dtype)
        if for_bias:
            dbias = rows.sum(0).to(weight.dtype)
        wanted = [x for x in given if x.requires_grad]
        found = iter(torch.autograd.grad(x, wanted, dx) if wanted else ())
        return None, dweight, dbias, *(next(found) if x.requires_grad else None for x in given)
