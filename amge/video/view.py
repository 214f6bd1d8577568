"""One look at a clip: a crop, brought to a square, and perhaps its mirror image; the same for every modality.

Shapes: `T` frames, `H W` picture, `S` side of the clip. Skeletons are looked at by `amge.skeleton.view`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from amge.video.flow import BOUND

GREY = 128.0


@dataclass(frozen=True)
class View:
    """A box of the picture, in its width and height: 0 is its left or top, 1 its right or bottom, beyond is grey."""

    left: float
    top: float
    width: float
    height: float
    mirror: bool = False

    def video(self, frames: Tensor, size: int) -> Tensor:
        """uint8 `(T, 3, H, W)` to float32 `(T, 3, S, S)` of the same range, resized without aliasing."""
        height, width = frames.shape[-2:]
        left, right = pixel(self.left * width), pixel((self.left + self.width) * width)
        top, bottom = pixel(self.top * height), pixel((self.top + self.height) * height)
        right, bottom = max(right, left + 1), max(bottom, top + 1)
        crop = frames[..., max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)].float()
        padding = [max(-left, 0), max(right - width, 0), max(-top, 0), max(bottom - height, 0)]
        if any(padding):
            crop = F.pad(crop, padding, value=GREY)
        square = F.interpolate(crop, size=(size, size), mode="bilinear", antialias=True)
        return square.flip(-1) if self.mirror else square

    def flow(self, moved: Tensor, size: int) -> Tensor:
        """Flow of the whole picture, float `(T, 2, H, W)` in its pixels, to the flow of the clip `(3, T, S, S)` as
        `amge.video.flow.optical_flow` gives it; what moves right moves left in the mirror."""
        height, width = moved.shape[-2:]
        scale = torch.tensor([size / (self.width * width), size / (self.height * height)]).view(1, 2, 1, 1)
        seen = View(self.left, self.top, self.width, self.height).video(moved + GREY, size) - GREY
        seen = seen * scale
        if self.mirror:
            seen = seen.flip(-1) * torch.tensor([-1.0, 1.0]).view(1, 2, 1, 1)
        length = seen.norm(dim=1, keepdim=True)
        return (torch.cat([seen, length], dim=1) / BOUND).clamp(-1, 1).transpose(0, 1).contiguous()


def pixel(place: float) -> int:
    """The nearest edge of a pixel; halves go to the even one, although a share of a picture is seldom half exactly."""
    return round(round(place, 6))
