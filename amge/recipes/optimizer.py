"""The optimiser of the recipes."""

from collections.abc import Collection

import torch
from torch import nn


def adamw(module: nn.Module, lr: float, weight_decay: float, spared: Collection[str]) -> torch.optim.AdamW:
    """AdamW on what trains of a module. Vectors do not decay, nor do the parameters named in `spared`.

    Args:
        module: whose parameters train.
        lr: learning rate.
        weight_decay: of the rest.
        spared: names of parameters, as the module has them.
    """
    training = [(name, each) for name, each in module.named_parameters() if each.requires_grad]
    kept = [each for name, each in training if each.ndim < 2 or name in spared]
    rest = [each for name, each in training if each.ndim > 1 and name not in spared]
    groups = [{"params": kept, "weight_decay": 0.0}, {"params": rest, "weight_decay": weight_decay}]
    return torch.optim.AdamW(groups, lr=lr)
