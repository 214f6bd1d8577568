"""The preprocessing of pictures as part of a network: raw frames of any size in, probabilities out.

It computes what `amge.video.preprocess` does, by operators that every run time has and without a shape that depends on
what is in the pictures: where the square lies is whole numbers, and the resize is two products with matrices made from
these.

Shapes: `T` frames, `H W` picture, `S` side of the clip, `K` labels.
"""

import torch
from torch import Tensor, nn

from amge.model import MuscleModel
from amge.video.modality import from_rgb
from amge.video.preprocess import normalise
from amge.video.view import GREY

UNIT = 40
"""Parts of a pixel in which `movement_square` counts: every number that it meets is whole then."""


class EndToEnd(nn.Module):
    """Frames, uint8 `(T, H, W, 3)`, to probabilities `(K,)`.

    Args:
        model: of pictures.

    Raises:
        ValueError: if something else than the pictures of one clip is needed for an answer.
    """

    def __init__(self, model: MuscleModel) -> None:
        super().__init__()
        self.model = model
        self.spec = spec = model._spec()
        if spec.modality == "skeleton" or model.skeleton is not None:
            raise ValueError(f"{spec.name} sees joints, which no graph finds in frames; export it without end-to-end")
        if "flow" in spec.modalities:
            raise ValueError(f"{spec.name} sees optical flow, which OpenCV computes; export it without end-to-end")

    def forward(self, frames: Tensor) -> Tensor:
        spec = self.spec
        box = movement_square(frames) if spec.crop == "movement" else centre_square(frames)
        clip = normalise(resized(frames, *box, spec.size), spec.mean, spec.std)[None]
        given = torch.cat([from_rgb(clip, modality) for modality in spec.modalities], dim=1)
        return self.model.probabilities(self.model(given))[0]


def resized(frames: Tensor, left: Tensor, top: Tensor, right: Tensor, bottom: Tensor, size: int) -> Tensor:
    """The box of the pictures as squares, float `(T, 3, S, S)` in 0..255, as `View.video` makes them; grey outside."""
    height, width = frames.shape[1:3]
    pictures = frames.permute(0, 3, 1, 2).float() - GREY
    down, across = weights(top, bottom, height, width, size), weights(left, right, width, height, size)
    return down @ (pictures @ across.mT) + GREY


def weights(start: Tensor, end: Tensor, full: int, other: int, size: int) -> Tensor:
    """What share each of `full` pixels has in each of `size` that are made of those from `start` to `end`, `(S, full)`:
    linear, and without aliasing, as torch and Pillow resize. What lies outside the picture has a share too, which is
    not in the table."""
    beyond = full + other
    places = torch.arange(-beyond, full + beyond, device=start.device) - start
    scale = (end - start) / size
    middles = (torch.arange(size, device=start.device) + 0.5) * scale
    apart = (places[None] + 0.5 - middles[:, None]).abs() / scale.clamp(min=1.0)
    share = (1 - apart).clamp(min=0.0) * ((places >= 0) & (places < end - start))
    return (share / share.sum(dim=1, keepdim=True))[:, beyond : beyond + full]


def centre_square(frames: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The largest square in the middle: left, top, right, bottom."""
    height, width = sides(frames)
    short = torch.minimum(height, width)
    left, top = width - short, height - short
    return halved(left), halved(top), halved(left + 2 * short), halved(top + 2 * short)


def movement_square(frames: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The square of `amge.video.preprocess.movement_box`: left, top, right, bottom.

    That one looks at every `step`-th pixel; here the others count for nothing, as a step that depends on the size of
    the picture would make shapes that do.
    """
    height, width = sides(frames)
    short, long = torch.minimum(height, width), torch.maximum(height, width)
    step = (short // 64).clamp(min=1)
    rows = torch.arange(frames.shape[1], device=frames.device) % step == 0
    columns = torch.arange(frames.shape[2], device=frames.device) % step == 0
    looked_at = rows[:, None] & columns
    change = frames.float().mean(dim=-1).std(dim=0, correction=0)
    count = rows.sum() * columns.sum()
    ordered = change.masked_fill(~looked_at, torch.inf).flatten().sort().values
    median = ordered.gather(0, torch.stack([(count - 1) // 2, count // 2])).mean()
    change = (change - 2 * median - 2).clamp(min=0) * looked_at

    spans = []
    for axis in (0, 1):
        mass = change.sum(dim=axis).cumsum(dim=0)
        spans.append([(mass < share * mass[-1]).sum() for share in (0.05, 0.95)])
    extent = torch.maximum(*((high - low) for low, high in spans)) * (UNIT * 22 // 10)
    least = torch.maximum(UNIT * short, UNIT * 3 // 4 * height)
    moves = change.sum() > 0
    side = torch.where(moves, torch.minimum(torch.maximum(extent, least), UNIT * long), UNIT * short)
    corners = []
    for (low, high), full in zip(spans, (width, height), strict=True):
        middle = torch.where(moves & (side <= UNIT * full), (low + high) * (UNIT // 2), full * (UNIT // 2))
        inside = torch.minimum(torch.maximum(middle, side // 2), UNIT * full - side // 2)
        corners.append(torch.where(side <= UNIT * full, inside, middle) - side // 2)
    left, top = corners
    return (*(nearest(place, UNIT) for place in (left, top, left + side, top + side)),)  # type: ignore[return-value]


def sides(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Height and width as tensors of one whole number."""
    height, width = (torch.full((), each, dtype=torch.int64, device=frames.device) for each in frames.shape[1:3])
    return height, width


def halved(twice: Tensor) -> Tensor:
    return nearest(twice, 2)


def nearest(parts: Tensor, unit: int) -> Tensor:
    """The whole number nearest to `parts / unit`; halves go to the even one, as with `amge.video.view.pixel`."""
    up = (2 * parts + unit) // (2 * unit)
    return up - (((2 * parts + unit) % (2 * unit) == 0) & (up % 2 == 1)).to(up.dtype)
