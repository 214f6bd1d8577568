"""Activation checkpointing: blocks that are computed again in the backward pass, for less memory and more time."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def set_grad_checkpointing(module: nn.Module, enable: bool = True) -> None:
    """Set the flag `grad_checkpointing` of every part that has one, as those of timm do.

    Outputs and gradients stay the same; batch norms in the parts count the statistics of a batch twice.

    Raises:
        ValueError: if no part has the flag.
    """
    able = [part for part in module.modules() if hasattr(part, "grad_checkpointing")]
    if not able:
        raise ValueError(f"{type(module).__name__} has no blocks that could be computed again")
    for part in able:
        part.grad_checkpointing = enable  # type: ignore[assignment]


def run(part: nn.Module, block: Callable[..., Any], *inputs: Any) -> Any:
    """What `block` makes of `inputs`, checkpointed if the flag of `part`, which it belongs to, is set in training."""
    if part.grad_checkpointing and part.training:
        return checkpoint(block, *inputs, use_reentrant=False)
    return block(*inputs)


class Blocks(nn.Sequential):
    """Modules in a row, each of which can be checkpointed."""

    grad_checkpointing = False

    def forward(self, x: Tensor) -> Tensor:
        for block in self:
            x = run(self, block, x)
        return x
