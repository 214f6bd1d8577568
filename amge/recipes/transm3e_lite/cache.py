"""The frozen trunk's features of augmented clips, computed once per run and kept on disk.

Shapes: `n` clips, `T` frames, `C h w` the trunk's features, `K` regions.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.utilities.seed import isolate_rng
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from amge.model import MuscleModel
from amge.recipes.transm3e_lite.clips import Clips
from amge.recipes.transm3e_lite.halves import trunk
from amge.video.modality import rgb_diff


def cache_features(path: Path, clips: Clips, model: MuscleModel, device: str = "cpu") -> dict[str, np.ndarray]:
    """Features of all clips, memory-mapped from a folder, which is filled first if need be.

    Args:
        path: folder for one `.npy` per key.
        clips: to compute.
        model: with the trunk; its spec says how pixels are normalised.
        device: to compute on.

    Returns:
        `rgb` and `rgb_diff` float16 `(n, T, C, h, w)`, `keypoints` `(n, T, 17, 3)`, `target` `(n, K)`.
    """
    done = path / "done"
    if not done.exists():
        path.mkdir(parents=True, exist_ok=True)
        spec: Any = model.spec
        mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1, 1) for values in (spec.mean, spec.std))
        arrays: dict[str, np.memmap] = {}
        with isolate_rng():
            model.to(device).eval()
            loader = DataLoader(clips, 16, num_workers=1)
            start = 0
            for batch in track(loader, f"features of {len(clips)} clips"):
                clip = (batch.pop("clip").to(device) - mean) / std
                change = rgb_diff(clip)
                first = trunk(model, change[:1, :, :1]).expand(len(clip), -1, -1, -1, -1)  # all zero in every clip
                batch["rgb"] = trunk(model, clip)
                batch["rgb_diff"] = torch.cat([first, trunk(model, change[:, :, 1:])], dim=1)
                for key, value in batch.items():
                    if key not in arrays:
                        shape = (len(clips), *value.shape[1:])
                        arrays[key] = np.lib.format.open_memmap(path / f"{key}.npy", "w+", value.numpy().dtype, shape)
                    arrays[key][start : start + len(value)] = value.numpy()
                start += len(clip)
        for array in arrays.values():
            array.flush()
        done.touch()
    return {file.stem: np.load(file, mmap_mode="r") for file in sorted(path.glob("*.npy"))}


class Cached(Dataset):
    """Rows of cached features: in epoch `e` variant `e` of every clip, round and round.

    Args:
        arrays: from `cache_features`.
        photos: how many photograph pairs the arrays hold, each in every variant.
        variants: how many variants of each clip the arrays hold.
        keys: which arrays to give.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], photos: int, variants: int, keys: tuple[str, ...]) -> None:
        self.arrays, self.keys = arrays, (*keys, "keypoints", "target")
        total = len(arrays["target"])
        self.photos, self.variants, self.figures = photos, variants, (total - photos * variants) // variants
        self.epoch = 0

    def __len__(self) -> int:
        return self.photos + self.figures

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        variant = self.epoch % self.variants
        if index < self.photos:
            row = variant * self.photos + index
        else:
            row = self.variants * self.photos + variant * self.figures + index - self.photos
        return {key: torch.from_numpy(np.array(self.arrays[key][row])) for key in self.keys}
