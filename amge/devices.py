"""Where new tensors go."""

import torch


def default_device() -> torch.device:
    """The device of new tensors; below PyTorch 2.8, `torch.get_default_device` misses `with torch.device(...)`."""
    return torch.empty(0).device
