"""Which auxiliary clip the teacher sees for each of the two clips of a video (Table 13, appendix C.7)."""

import torch
from torch import Tensor

from amge.spec import PAIRINGS


def pair_auxiliary(first: Tensor, second: Tensor, case: int = 3) -> tuple[Tensor, Tensor]:
    """The auxiliary clips for the two clips of each video, from those at the same two times.

    Case 1: each its own. Case 2: each the other's. Case 3, the paper's best: the first clip gets the second's, the
    second gets zeros. Case 4: zeros for both. The paper words cases 1 and 2 alike; that 2 is crosswise is read from
    case 3, which is half of it.

    Args:
        first: auxiliary clip at the time of the first clip, `(B, ...)`.
        second: at the time of the second.
        case: 1 to 4.

    Raises:
        ValueError: for another case, or clips of different shapes.
    """
    if first.shape != second.shape:
        raise ValueError(f"the two clips must have one shape, got {tuple(first.shape)} and {tuple(second.shape)}")
    if case not in PAIRINGS:
        raise ValueError(f"unknown pairing case {case!r}; valid: {', '.join(map(str, PAIRINGS))}")
    none = torch.zeros_like(first)
    return {1: (first, second), 2: (second, first), 3: (second, none), 4: (none, none)}[case]
