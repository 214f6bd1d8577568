"""What several models say together, for another to learn from (Hinton et al., "Distilling the knowledge in a neural
network", 2015).

Models of one recipe that differ by their seed alone differ by several points on so few photographs, and their mean is
better than the best of them.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from amge.model import MuscleModel
from amge.recipes.transm3e_lite.stage import Stage


@torch.inference_mode()
def answers_of(models: Sequence[MuscleModel], arrays: Mapping[str, np.ndarray], batch_size: int = 64) -> np.ndarray:
    """The sigmoid of the mean of their logits for kept features of RGB clips, float32 `(n, K)`."""
    levels = {key: array for key, array in arrays.items() if key.rpartition("-")[0] == "rgb"}
    device = next(models[0].parameters()).device
    for model in models:
        model.eval()
    found = []
    for start in range(0, len(arrays["target"]), batch_size):
        rows = slice(start, start + batch_size)
        batch = {key: torch.from_numpy(np.array(array[rows])).to(device) for key, array in levels.items()}
        logits = [Stage.signals(model, batch, "rgb").branches[0].float() for model in models]
        found.append(torch.stack(logits).mean(dim=0).sigmoid().cpu().numpy())
    return np.concatenate(found)
