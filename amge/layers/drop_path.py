"""Stochastic depth: dropping the residual branch of whole samples."""

import torch
from torch import Tensor


def drop_path(branch: Tensor, probability: float, training: bool) -> Tensor:
    """The residual branch `(B, ...)` with whole samples set to zero at random, and the rest scaled to keep the mean.

    Does nothing in eval or at probability 0 (Huang et al., "Deep Networks with Stochastic Depth").
    """
    if not training or not probability:
        return branch
    shape = (branch.shape[0],) + (1,) * (branch.ndim - 1)
    keep = torch.rand(shape, device=branch.device) >= probability
    return branch * (keep / (1 - probability)).to(branch.dtype)
