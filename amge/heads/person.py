"""Whether somebody is in the picture: a read-out of the patches of any video backbone.

Shapes: `B` batch, `N = T * H * W` patches on the grid `(T, H, W)`, `C` channels, `P` maps.
"""

from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn

from amge.layers.module import Module

PARTS: dict[str, tuple[str, ...]] = {
    "head": ("nose", "left_eye", "right_eye"),
    "shoulders": ("left_shoulder", "right_shoulder"),
    "hips": ("left_hip", "right_hip"),
    "knees": ("left_knee", "right_knee"),
    "ankles": ("left_ankle", "right_ankle"),
}
"""Parts of a body that are looked for, from the top down, and the joints that make them up, any of which will do."""
STRONGEST = 4
"""Cells whose mean says whether something is in a frame."""


class PersonMaps(NamedTuple):
    """What `PersonHead` gives, all logits."""

    person: Tensor
    """`(B, T, H, W)`, whether a cell shows a person."""
    parts: Tensor
    """`(B, T, H, W, P)`, whether it shows each of `PARTS`."""
    sideways: Tensor
    """`(B, T)`, whether the picture lies on its side."""


class PersonHead(Module):
    """Two convolutions over the grid of each frame, which say whether a cell shows a person, and which part of one; and
    one projection of the mean cell, which says whether the picture lies on its side.

    Args:
        in_channels: channels `C` of the patches.
        hidden: channels of the convolutions.
        dropout: of whole channels, in training.
    """

    def __init__(self, in_channels: int, hidden: int = 96, dropout: float = 0.1) -> None:
        super().__init__()
        self.hidden = nn.Sequential(
            nn.Conv2d(in_channels, hidden, 3, padding=1),
            nn.GELU(),
            nn.Dropout2d(dropout),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.GELU(),
        )
        self.cells = nn.Conv2d(hidden, 1 + len(PARTS), 1)
        self.turned = nn.Linear(2 * hidden, 1)

    def forward(self, patches: Tensor, grid: tuple[int, int, int]) -> PersonMaps:
        """Patches `(B, N, C)` and their grid to maps."""
        frames, height, width = grid
        maps = rearrange(patches, "b (t h w) c -> (b t) c h w", t=frames, h=height, w=width)
        hidden = self.hidden(maps)
        cells = rearrange(self.cells(hidden), "(b t) p h w -> b t h w p", t=frames)
        hidden = rearrange(hidden, "(b t) c h w -> b t (h w) c", t=frames)
        there = cells[..., 0].sigmoid().flatten(2)[..., None]
        of_person = (hidden * there).sum(dim=2) / there.sum(dim=2).clamp(min=1e-3)
        sideways = self.turned(torch.cat([of_person, hidden.mean(dim=2)], dim=-1))[..., 0]
        return PersonMaps(cells[..., 0], cells[..., 1:], sideways)


def strongest(maps: Tensor) -> Tensor:
    """Logits of cells `(B, T, H, W)` to one for each frame `(B, T)`: the mean of the few largest."""
    flat = maps.flatten(2)
    return flat.topk(min(STRONGEST, flat.shape[2]), dim=2).values.mean(dim=2)
