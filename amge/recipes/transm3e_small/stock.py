"""The pictures that clips are made of, as squares on one device.

Shapes: `n` exercises, `S` side of the squares, `F` frames of a rendered figure, `K` regions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from amge.recipes.person.scenes import another_background
from amge.recipes.transm3e_lite.clips import SEEN, figure
from amge.recipes.transm3e_small.pack import Pack
from amge.recipes.transm3e_small.views import GREY

LEAST = 0.02
"""Share of a square that somebody takes who is put before another background."""
FRAMES = 8
"""Of a rendered figure, from the first pose to the second."""


@dataclass(frozen=True)
class Stock:
    """Squares, uint8, all on one device."""

    pictures: Tensor
    """`(2 n, 3, S, S)`, start and end of each exercise in turn, grey around them."""
    masks: Tensor
    """`(2 n, 1, S, S)`."""
    joints: Tensor
    """float `(2 n, 17, 3)`: x and y in -1..1 of the square, and visibility."""
    targets: Tensor
    """float `(n, K)`, as `soft`."""
    soft: Tensor
    splits: np.ndarray
    """`(n,)`."""
    places: Tensor
    """`(p, 3, S, S)`: rendered rooms and textures."""
    figures: Tensor
    """`(f, F, 3, S, S)`: rendered figures that move from the one pose of an exercise to the other."""
    models: Tensor
    """`(f,)`: the exercise of each."""

    def of(self, splits: Sequence[str]) -> Tensor:
        """The exercises of some splits."""
        return torch.from_numpy(np.flatnonzero(np.isin(self.splits, splits)))

    @property
    def cut(self) -> Tensor:
        """`(n,)`: whether somebody is cut out of both photographs of an exercise."""
        return ((self.masks > 127).float().mean(dim=(1, 2, 3)) > LEAST).view(-1, 2).all(dim=1)


def fill(pack: Pack, side: int, rendered: int, splits: Sequence[str], seed: int, device: torch.device) -> Stock:
    """A stock of a pack's photographs, with as many rendered places, and figures in poses of some splits.

    Raises:
        ValueError: if no exercise is of these splits.
    """
    joints = pack.joints.clone()
    for pose, picture in zip(joints, pack.photographs, strict=True):
        height, width = picture.shape[:2]
        pose[:, :2] = (2 * pose[:, :2] - torch.tensor([width, height])) / max(height, width)
    names = np.array(pack.about["splits"])
    rows = np.flatnonzero(np.isin(names, splits))
    if not len(rows):
        raise ValueError(f"the pack has no exercises of the splits {', '.join(splits)}; it has {sorted(set(names))}")
    rng = np.random.default_rng([seed, 7])
    places = [another_background((side, side), rng) for _ in range(rendered)]
    figures, models = [], []
    for row in rng.choice(rows, rendered):
        poses = pack.joints[[2 * row, 2 * row + 1]].numpy()
        if (poses[:, 5:, 2] > SEEN).mean() >= 0.6:
            drawn, _ = figure(poses, pack.photographs[2 * row].shape[:2], np.linspace(0, 1, FRAMES), side, rng)
            figures.append(torch.stack([square(frame, side) for frame in drawn]))
            models.append(row)
    blank = torch.empty(0, 3, side, side, dtype=torch.uint8)
    tensors = {
        "pictures": torch.stack([square(picture, side) for picture in pack.photographs]),
        "masks": torch.stack([square(mask[..., None], side, 0) for mask in pack.masks]),
        "joints": joints,
        "targets": pack.targets,
        "soft": pack.soft,
        "places": torch.stack([square(place, side) for place in places]) if places else blank,
        "figures": torch.stack(figures) if figures else blank[:, None].expand(0, FRAMES, -1, -1, -1),
        "models": torch.tensor(models, dtype=torch.long),
    }
    return Stock(splits=names, **{name: tensor.to(device) for name, tensor in tensors.items()})


def square(picture: np.ndarray, side: int, around: int = round(255 * GREY)) -> Tensor:
    """uint8 `(H, W, C)` in the middle of a square, `(C, S, S)`."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = Image.fromarray(picture.squeeze()).resize(size, Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(small)).view(size[1], size[0], -1).permute(2, 0, 1)
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    return F.pad(pixels, (left, side - size[0] - left, top, side - size[1] - top), value=around)
