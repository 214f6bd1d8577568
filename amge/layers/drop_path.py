"""Stochastic depth: dropping the residual branch of whole samples."""

import torch
from torch import Tensor


def add_path(x: Tensor, branch: Tensor, probability: float, training: bool) -> Tensor:
    """`x` and its residual branch `(B, ...)`, of which whole samples are left out at random, and the rest is scaled.

    The scale keeps the mean (Huang et al., "Deep Networks with Stochastic Depth"); in eval nothing is left out.
    """
    if not training or not probability:
        return x + branch
    shape = (branch.shape[0],) + (1,) * (branch.ndim - 1)
    keep = torch.rand(shape, device=branch.device) >= probability
    return torch.addcmul(x, branch, keep.to(branch.dtype), value=1 / (1 - probability))
