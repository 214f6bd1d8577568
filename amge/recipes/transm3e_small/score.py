"""mAP of a trained model on the validation exercises of a stock, also before other backgrounds.

Shapes: `n` exercises, `K` regions.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics.functional.classification import multilabel_average_precision

from amge.model import MuscleModel
from amge.recipes.transm3e_small.clips import Halves
from amge.recipes.transm3e_small.stock import Stock


def mean_ap(logits: Tensor, targets: Tensor) -> float:
    """Macro average precision in percent over the regions that occur, of logits and targets `(n, K)`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of regions that do not occur
        each = multilabel_average_precision(logits.cpu(), targets.cpu().long(), targets.shape[1], average=None)
    return 100 * float(torch.as_tensor(each)[targets.cpu().any(dim=0)].mean())


@torch.inference_mode()
def scores(model: MuscleModel, stock: Stock, frames: int, splits: Sequence[str]) -> dict[str, float]:
    """mAP by split, and with `swapped_` before it that before other backgrounds; probabilities are the mean of both
    flips."""
    spec: Any = model.eval().spec
    device, found = stock.pictures.device, {}
    model.to(device)
    for swapped in (False, True):
        for split in splits:
            clips = Halves(stock, spec, frames, (split,), swapped)
            seen = []
            for batch in map(clips.__getitem__, range(len(clips))):
                with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                    logits = [model(clip).float() for clip in (batch["clip"], batch["clip"].flip(-1))]
                seen.append((model.probabilities(torch.stack(logits)).mean(0), batch["target"]))
            said, targets = (torch.cat(column) for column in zip(*seen, strict=True))
            found[f"{'swapped_' * swapped}{split}"] = round(mean_ap(said, targets), 2)
    model.cpu()
    return found
