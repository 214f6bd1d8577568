"""Random views of a clip in training, and random changes of how it looks, the same for all its frames.

Draws from torch's global generator. Shapes: `T` frames, `S` side.
"""

from typing import Any

import torch
from torch import Tensor
from torchvision.transforms import v2

from amge.video.view import View

GEOMETRIC = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
"""Operations of RandAugment that move things about in the picture."""
BINS, OFFICIAL_BINS = 31, 10
"""Of magnitude in torchvision, and in the `rand-m7-n4` of the official configuration."""


class RandAugment(v2.RandAugment):
    """RandAugment; without its geometric operations where other modalities must keep to the picture.

    Args:
        operations: `n` of the official `rand-m7-n4`.
        magnitude: `m` of it, in 0..10.
        aligned: leave out the geometric operations.
    """

    def __init__(self, operations: int = 4, magnitude: float = 7, aligned: bool = False) -> None:
        super().__init__(operations, round(magnitude / OFFICIAL_BINS * (BINS - 1)), BINS, fill=128)
        if aligned:
            self._AUGMENTATION_SPACE: Any = {
                name: values for name, values in v2.RandAugment._AUGMENTATION_SPACE.items() if name not in GEOMETRIC
            }


def appearance(jitter: float = 0.4, operations: int = 4, magnitude: float = 7, aligned: bool = False) -> v2.Transform:
    """Colour jitter (brightness, contrast, saturation), then RandAugment, for frames uint8 `(T, 3, S, S)`."""
    steps: list[Any] = [v2.ColorJitter(jitter, jitter, jitter)] if jitter else []
    if operations:
        steps.append(RandAugment(operations, magnitude, aligned))
    return v2.Compose(steps) if steps else v2.Identity()


def erasing(probability: float = 0.25) -> v2.Transform:
    """A random box becomes noise, the same in all frames, of normalised float frames `(T, 3, S, S)`."""
    return v2.RandomErasing(probability, value="random")


def apply(transform: v2.Transform, frames: Tensor) -> Tensor:
    """Frames `(T, 3, S, S)` through a transform that knows videos by their type."""
    from torchvision import tv_tensors

    return transform(tv_tensors.Video(frames)).as_subclass(Tensor)


def random_view(
    picture: tuple[int, int],
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    mirror: float = 0.5,
) -> View:
    """A random box inside a picture (height, width), mirrored with a probability; draws from torch's global generator.

    Area and shape of the box are drawn as `torchvision.transforms.v2.RandomResizedCrop` does.

    Args:
        picture: height and width in pixels.
        scale: least and largest share of the picture's area.
        ratio: least and largest width by height.
        mirror: probability of the mirror image.
    """
    height, width = picture
    top, left, h, w = v2.RandomResizedCrop.get_params(torch.empty(1, height, width), list(scale), list(ratio))
    return View(left / width, top / height, w / width, h / height, bool(torch.rand(()) < mirror))
