"""The frozen encoder's features of augmented clips, computed once per run and kept on disk.

Shapes: `n` clips, `T` frames, `C h w` a level of features, `K` regions.
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
from amge.recipes.transm3e_lite.frozen import encode
from amge.video.modality import rgb_diff


def cache_features(
    path: Path, clips: Clips, model: MuscleModel, changes: bool = True, device: str = "cpu"
) -> dict[str, np.ndarray]:
    """Features of all clips, memory-mapped from a folder, which is filled first if need be.

    Args:
        path: folder for one `.npy` per key.
        clips: to compute.
        model: with the encoder; its spec says how pixels are normalised.
        changes: whether RGB differences are wanted too.
        device: to compute on.

    Returns:
        `rgb-0`, `rgb-1` … and `rgb_diff-0` …, a level each, float16 `(n, T, C, h, w)`, `keypoints` `(n, T, 17, 3)`,
        `target` `(n, K)`.
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
                batch |= {f"rgb-{number}": level for number, level in enumerate(encode(model, clip))}
                if changes:
                    change = rgb_diff(clip)
                    first = encode(model, change[:1, :, :1])  # all zero in every clip
                    for number, level in enumerate(encode(model, change[:, :, 1:])):
                        same = first[number].expand(len(clip), -1, -1, -1, -1)
                        batch[f"rgb_diff-{number}"] = torch.cat([same, level], dim=1)
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
        variants: how many variants the clips come in, one after the other.
        modalities: whose features to give.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], variants: int, modalities: tuple[str, ...]) -> None:
        self.variants, self.epoch = variants, 0
        self.arrays = {
            key: array
            for key, array in arrays.items()
            if key in ("keypoints", "target") or key.rpartition("-")[0] in modalities
        }

    def __len__(self) -> int:
        return len(self.arrays["target"]) // self.variants

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        row = self.epoch % self.variants * len(self) + index
        return {key: torch.from_numpy(np.array(array[row])) for key, array in self.arrays.items()}
