"""Where tensors go."""

import torch


def default_device() -> torch.device:
    """The device of new tensors; below PyTorch 2.8, `torch.get_default_device` misses `with torch.device(...)`."""
    return torch.empty(0).device


def device_of(device: str | torch.device) -> torch.device:
    """A device by its name; those of other kinds than a usual machine's are left for torch to judge.

    Raises:
        ValueError: if there is none of that name; says which there are.
    """
    try:
        known = torch.device(device)
    except RuntimeError:
        return usable_device(str(device))
    return known if known.type not in ("cpu", "cuda", "xpu", "mps") else usable_device(str(known))


def usable_device(name: str) -> torch.device:
    """A device of this machine by its name: `cpu`, `cuda`, `cuda:1`, `mps`, `xpu`.

    Raises:
        ValueError: if there is none of that name; says which there are.
    """
    names = ["cpu"]
    for kind, there in (("cuda", torch.cuda), ("xpu", torch.xpu)):
        if there.is_available():
            names += [kind, *(f"{kind}:{number}" for number in range(there.device_count()))]
    if torch.backends.mps.is_available():
        names.append("mps")
    if name not in names:
        raise ValueError(f"there is no device {name!r} here; there is {', '.join(names)}")
    return torch.device(name)
