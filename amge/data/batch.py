"""Items of `amge.data.clips` as a batch: what a model takes of it, and from its clips back to its samples.

Shapes: `B` samples, `R` clips of them, `K` labels.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from amge.spec import ModelSpec
from amge.video.modality import from_rgb


def collate(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Items to a batch: of each modality all clips `(R, ...)`, `sample` `(R,)` whose they are in the batch, `target`
    `(B, K)`, `index` `(B,)`, and `broken`, a list of ids and reasons."""
    broken = [each for item in items for each in item["broken"]]
    whole = [item for item in items if "target" in item]
    if not whole:
        return {"broken": broken}
    names = [name for name in ("rgb", "flow", "skeleton") if name in whole[0]]
    batch: dict[str, Any] = {name: torch.cat([item[name] for item in whole]) for name in names}
    counts = torch.tensor([len(item[names[0]]) for item in whole])
    batch["sample"] = torch.arange(len(whole)).repeat_interleave(counts)
    batch["target"] = torch.stack([item["target"] for item in whole])
    batch["index"] = torch.tensor([item["index"] for item in whole])
    return batch | {"broken": broken}


def inputs(batch: dict[str, Any], spec: ModelSpec) -> Tensor:
    """What a model of that spec takes, of a batch: its modalities side by side, `(R, ...)`."""
    given = [batch[name] if name in batch else from_rgb(batch["rgb"], name) for name in spec.modalities]
    return given[0] if len(given) == 1 else torch.cat(given, dim=1)


def mean_of_views(probabilities: Tensor, sample: Tensor, samples: int) -> Tensor:
    """Probabilities of clips `(R, K)` to those of samples `(B, K)`, by the number `(R,)` of each clip's sample."""
    total = probabilities.new_zeros(samples, probabilities.shape[1]).index_add_(0, sample, probabilities)
    return total / torch.bincount(sample, minlength=samples).clamp(min=1)[:, None]
