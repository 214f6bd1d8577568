"""Where tensors go."""

import torch


def default_device() -> torch.device:
    """The device of new tensors; below PyTorch 2.8, `torch.get_default_device` misses `with torch.device(...)`."""
    return torch.empty(0).device


def device_of(device: str | torch.device) -> torch.device:
    """A device of this machine, or one of a kind that torch alone can judge, such as `meta`.

    Raises:
        ValueError: if there is none of that name; says which there are.
    """
    try:
        known = torch.device(device)
    except RuntimeError:
        return usable_device(str(device))
    return usable_device(str(known)) if known.type in ("cpu", "cuda", "xpu", "mps") else known


def usable_device(name: str) -> torch.device:
    """A device of this machine by its name: `cpu`, `cuda`, `cuda:1`, `mps`, `xpu`.

    Raises:
        ValueError: if there is none of that name; says which there are.
    """
    counts = {"cpu": 1, "mps": int(torch.backends.mps.is_available())}
    for kind, part in (("cuda", torch.cuda), ("xpu", torch.xpu)):
        counts[kind] = part.device_count() if part.is_available() else 0
    kind, _, number = name.partition(":")
    if number in ("", *map(str, range(counts.get(kind, 0)))) and counts.get(kind):
        return torch.device(name)
    names = [kind for kind, count in counts.items() if count]
    names += [f"{kind}:{number}" for kind in ("cuda", "xpu") for number in range(counts[kind])]
    raise ValueError(f"there is no device {name!r} here; there is {', '.join(names)}")
