"""Batches of clips, rendered on the device of a stock: for training by chance, for validation always the same.

Shapes: `B` clips, `T` frames, `s` their side, `K` regions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from amge.recipes.cutouts import covered
from amge.recipes.st_gcn.motion import weights
from amge.recipes.transm3e_small.stock import FRAMES, Stock
from amge.recipes.transm3e_small.views import look, person_views, place_views, recolour, seen_joints
from amge.spec import ModelSpec
from amge.video.sampling import spread

HARD = (0.02, 0.97)
"""What a label of 0 and of 1 is trained as."""


@dataclass(frozen=True)
class Mixture:
    """What training clips show, and what they teach."""

    splits: tuple[str, ...] = ("train",)
    backgrounds: float = 0.5
    """Share of the clips in which somebody is put before another background."""
    figures: float = 0.2
    """Share that shows rendered figures."""
    soft: float = 0.5
    """Share of what other models say in the targets; the rest are labels."""


class Clips(Dataset):
    """Training batches, each anew in every epoch; the chance of one depends on seed, epoch and index alone.

    Args:
        stock: of pictures.
        spec: of the model that learns.
        frames: `T`; 1: still pictures.
        batch_size: clips a batch.
        batches: an epoch.
        mixture: of clips.
        seed: of all chance.
    """

    def __init__(
        self, stock: Stock, spec: ModelSpec, frames: int, batch_size: int, batches: int, mixture: Mixture, seed: int
    ) -> None:
        self.stock, self.spec, self.frames, self.mixture = stock, spec, frames, mixture
        self.batch_size, self.batches, self.seed = batch_size, batches, seed
        self.rows, self.cut = stock.of(mixture.splits), stock.cut.cpu()
        self.epoch = 0

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """`clip` `(B, 3, T, s, s)`, normalised; `target` `(B, K)`; of still pictures `joints` `(B, 17, 3)`, 0..1."""
        rng = np.random.default_rng([self.seed, self.epoch, index])
        rows = self.rows[anyhow(len(self.rows), self.batch_size, rng)]
        shown = moments(self.batch_size, self.frames, self.spec.sampling, rng)
        view = person_views(self.batch_size, rng)
        drawn = some(self.mixture.figures * bool(len(self.stock.figures)), self.batch_size, rng)
        moved = self.cut[rows] & some(self.mixture.backgrounds, self.batch_size, rng) & ~drawn
        frames = blend(self.photographs(rows, view, moved, rng), shown)
        if drawn.any():
            chosen = anyhow(len(self.stock.figures), int(drawn.sum()), rng)
            frames[drawn], rows[drawn] = self.figures(chosen, shown[drawn], view[drawn])
        frames = recolour(frames, rng)
        hard = HARD[0] + (HARD[1] - HARD[0]) * self.stock.targets[rows]
        batch = {
            "clip": normalised(frames, self.spec),
            "target": torch.lerp(hard, self.stock.soft[rows], self.mixture.soft),
        }
        if self.frames == 1:
            pictures = 2 * rows + (shown[:, 0] > 0.5)
            batch["joints"] = seen_joints(self.stock.joints[pictures], view)
            batch["joints"][drawn, :, 2] = 0  # they have joints of their own
        return batch

    def photographs(self, rows: Tensor, view: Tensor, moved: Tensor, rng: np.random.Generator) -> Tensor:
        """Both photographs of exercises, `(B, 2, 3, s, s)`; those that are `moved` before another background."""
        stock, size = self.stock, self.spec.size
        pairs = torch.stack([2 * rows, 2 * rows + 1], dim=1)
        views = view[:, None].expand(-1, 2, -1, -1)
        clips = look(stock.pictures[pairs].flatten(0, 1), views.flatten(0, 1), size).unflatten(0, (-1, 2))
        if moved.any():
            count = int(moved.sum())
            others = 2 * self.rows[anyhow(len(self.rows), count, rng)] + anyhow(2, count, rng)
            behind = covered(stock.pictures[others], stock.masks[others])
            made = some(0.5 * bool(len(stock.places)), count, rng)
            behind[made] = stock.places[anyhow(len(stock.places), int(made.sum()), rng)]
            behind = look(behind, place_views(count, rng), size)[:, None]
            masks = look(stock.masks[pairs[moved]].flatten(0, 1), views[moved].flatten(0, 1), size, 0.0)
            clips[moved] = torch.lerp(behind.expand(-1, 2, -1, -1, -1), clips[moved], masks.unflatten(0, (-1, 2)))
        return clips

    def figures(self, chosen: Tensor, shown: Tensor, view: Tensor) -> tuple[Tensor, Tensor]:
        """Rendered figures in motion, `(B, T, 3, s, s)`, and their exercises."""
        stock, frames = self.stock, (shown * (FRAMES - 1)).round().long()
        squares = stock.figures[chosen[:, None], frames].flatten(0, 1)
        views = view.repeat_interleave(frames.shape[1], dim=0)
        return look(squares, views, self.spec.size).unflatten(0, frames.shape), stock.models[chosen].cpu()


def some(share: float, count: int, rng: np.random.Generator) -> Tensor:
    """Which of `count` clips a share takes, `(B,)`."""
    return torch.from_numpy(rng.random(count) < share)


def anyhow(of: int, count: int, rng: np.random.Generator) -> Tensor:
    """Numbers below `of`, `(B,)`."""
    return torch.from_numpy(rng.integers(0, max(of, 1), count))


def moments(count: int, frames: int, sampling: str, rng: np.random.Generator) -> Tensor:
    """How much of the second photograph each frame shows, `(B, T)` in 0..1, in frames chosen as `predict` does."""
    if frames == 1:
        return anyhow(2, count, rng)[:, None].float()
    shown = weights(count, frames if sampling == "even" else 4 * frames, rng)
    return torch.from_numpy(np.stack([row[spread(row[:, None], frames)] for row in shown]).astype(np.float32))


def blend(pairs: Tensor, shown: Tensor) -> Tensor:
    """Pairs of pictures `(B, 2, 3, s, s)` and how much of the second each frame shows to `(B, T, 3, s, s)`."""
    share = shown.to(pairs.device)[:, :, None, None, None]
    return torch.lerp(pairs[:, :1], pairs[:, 1:], share)


def normalised(frames: Tensor, spec: ModelSpec) -> Tensor:
    """Frames `(B, T, 3, s, s)` of pixels in 0..1 to clips `(B, 3, T, s, s)`."""
    mean, std = (torch.tensor(values, device=frames.device).view(3, 1, 1) for values in (spec.mean, spec.std))
    return ((frames - mean) / std).transpose(1, 2).contiguous()


class Halves(Dataset):
    """Batches to judge a model on: each exercise its first photograph for half of the frames, then its second.

    Args:
        stock: of pictures.
        spec: of the model.
        frames: `T`.
        splits: whose exercises.
        swapped: before other backgrounds, those of others of these exercises, where somebody is cut out.
        batch_size: clips a batch, at most.
    """

    def __init__(
        self,
        stock: Stock,
        spec: ModelSpec,
        frames: int,
        splits: Sequence[str],
        swapped: bool = False,
        batch_size: int = 16,
    ) -> None:
        self.stock, self.spec, self.frames, self.swapped = stock, spec, frames, swapped
        self.rows = stock.of(splits)
        self.batches = self.rows.split(batch_size)

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """`clip` `(B, 3, T, s, s)`, normalised; `target` `(B, K)`; `rows` `(B,)`, which exercises."""
        stock, rows = self.stock, self.batches[index]
        pairs = torch.stack([2 * rows, 2 * rows + 1], dim=1)
        squares = stock.pictures[pairs].flatten(0, 1).float()
        if self.swapped:
            own = torch.searchsorted(self.rows, rows)
            others = 2 * self.rows[(own + len(self.rows) // 2) % len(self.rows)].repeat_interleave(2)
            masks = stock.masks[pairs].flatten(0, 1) / 255
            masks[~stock.cut[rows].repeat_interleave(2)] = 1
            squares = torch.lerp(self.behind(others), squares, masks)
        small = F.interpolate(squares, size=(self.spec.size,) * 2, mode="bilinear", antialias=True).unflatten(
            0, (-1, 2)
        )
        half = torch.arange(self.frames) * 2 // self.frames
        return {"clip": normalised(small[:, half] / 255, self.spec), "target": stock.targets[rows], "rows": rows}

    def behind(self, others: Tensor) -> Tensor:
        """The middle of pictures without their persons, as large as these."""
        stock, side = self.stock, self.stock.pictures.shape[-1]
        view = torch.tensor([[0.6, 0, 0], [0, 0.6, 0]]).expand(len(others), -1, -1)
        return 255 * look(covered(stock.pictures[others], stock.masks[others]), view, side)
