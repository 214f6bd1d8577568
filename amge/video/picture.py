"""Pictures from files, as a viewer shows them: upright, on white where they are transparent, 16-bit grey as grey."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from amge.errors import VideoError

MAX_PIXELS = 4096 * 4096
UNTIMED = 100
"""Milliseconds that browsers show a picture of an animation that does not say how long."""
_EXIF_ORIENTATION = 0x0112


def read_picture(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """A picture, uint8 RGB `(H, W, 3)`.

    Args:
        path: of the file.
        size: width and height to resize to; default: its own.

    Raises:
        VideoError: if it can't be read; says why.
    """
    with _opened(path) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I"):  # 16-bit grey, which Pillow would clip to white
            upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
        upright = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
        shown = np.asarray(upright.resize(size, Image.Resampling.BILINEAR) if size else upright)
        return over_white(shown) if upright.mode == "RGBA" else shown


def read_animation(path: Path) -> Iterator[tuple[np.ndarray, float]]:
    """The pictures of an animated WebP, which FFmpeg does not decode: uint8 RGB `(H, W, 3)`, and the seconds each is
    shown.

    Raises:
        VideoError: if it can't be read; says why.
    """
    with _reading(path):
        image = Image.open(path)
    with image:
        if image.width * image.height > MAX_PIXELS:
            raise VideoError(
                f"{path}: {image.width}x{image.height} is over the limit of {MAX_PIXELS} pixels (4096x4096)"
            )
        for number in range(getattr(image, "n_frames", 1)):
            with _reading(path):
                image.seek(number)
                picture = over_white(np.asarray(image.convert("RGBA")))
            yield picture, (image.info.get("duration") or UNTIMED) / 1000


def upright_size(path: Path) -> tuple[int, int]:
    """Width and height in which `read_picture` gives a picture; only its head is read.

    Raises:
        VideoError: if it can't be read.
    """
    with _opened(path) as image:
        width, height = image.size
        return (height, width) if image.getexif().get(_EXIF_ORIENTATION, 1) >= 5 else (width, height)


def over_white(rgba: np.ndarray) -> np.ndarray:
    """RGB (H, W, 3) of RGBA (H, W, 4) shown on white."""
    colour, alpha = rgba[..., :3].astype(np.uint16), rgba[..., 3:].astype(np.uint16)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    with _reading(path), Image.open(path) as image:
        yield image


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """What Pillow raises in the block as a `VideoError`; its warnings stay silent."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tags that are cut off
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise VideoError(f"{path}: {error} Scale it down to at most {MAX_PIXELS} pixels (4096x4096)") from error
    except Exception as error:  # Pillow's readers raise OSError, SyntaxError, ValueError, struct.error and more
        raise VideoError(f"{path}: not a readable image ({error}); remove it or save it again") from error
