"""People cut out of photographs, and put before other backgrounds.

Shapes: `H W` a photograph, `h w` a background of any size.
"""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter, ImageOps
from rich.progress import track
from torch import Tensor
from torch.nn import functional as F

from amge.data.open_exercise import not_prepared
from amge.files import whole
from amge.video.picture import read_picture

FAINT = 16
"""Least of 255 that a mask holds: what is below is compression."""


def cut_outs(
    folder: Path, kept: Path, segment: Callable[[np.ndarray], np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """Where people are in the open exercise photographs, from a file of about 2 MB, which is made unless it is there.

    Args:
        folder: of the prepared set.
        kept: the file, npz.
        segment: a picture uint8 `(H, W, 3)` to a mask uint8 `(H, W)`; default: MediaPipe's of its poses.

    Returns:
        The path of each photograph, as `labels.json` gives it, to its mask, uint8 `(H, W)`, 0..255 with soft edges,
        zero where nobody is found.

    Raises:
        ValueError: if the folder does not hold the prepared set.
        ImportError: if MediaPipe is needed and not installed.
    """
    if not kept.exists():
        _segment(folder, kept, segment or _mediapipe())
    with np.load(kept, allow_pickle=False) as archive:
        paths, ends, packed = archive["paths"].tolist(), archive["ends"].tolist(), archive["webp"].tobytes()
    return {path: _unpack(packed[start:end]) for path, start, end in zip(paths, [0, *ends], ends, strict=False)}


def _mediapipe() -> Callable[[np.ndarray], np.ndarray]:
    from amge.skeleton.pose.mediapipe import MediaPipe

    return MediaPipe(masks=True).mask


def _segment(folder: Path, kept: Path, segment: Callable[[np.ndarray], np.ndarray]) -> None:
    try:
        samples = json.loads((folder / "labels.json").read_text(encoding="utf-8"))["samples"]
        paths = [frame for sample in samples for frame in sample["frames"]]
        found = [
            _pack(segment(read_picture(folder / path))) for path in track(paths, f"people in {len(paths)} photographs")
        ]
    except (OSError, KeyError, ValueError) as error:
        raise not_prepared(folder, error) from None
    packed = np.frombuffer(b"".join(found), np.uint8)
    with whole(kept) as part, part.open("wb") as file:
        np.savez_compressed(file, paths=paths, ends=np.cumsum([len(each) for each in found]), webp=packed)


def _pack(mask: np.ndarray) -> bytes:
    packed = io.BytesIO()
    Image.fromarray(mask).save(packed, "WEBP", quality=60)
    return packed.getvalue()


def _unpack(packed: bytes) -> np.ndarray:
    mask = np.array(Image.open(io.BytesIO(packed)).convert("L"))
    mask[mask < FAINT] = 0
    mask[mask > 255 - FAINT] = 255
    return mask


def swap_background(picture: np.ndarray, mask: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Somebody before another background, which is cut to the shape of the picture around its middle, and scaled.

    Args:
        picture: uint8 `(H, W, 3)`.
        mask: uint8 `(H, W)`, 255 where the person is.
        background: uint8 `(h, w, 3)`.

    Returns:
        uint8 `(H, W, 3)`.
    """
    height, width = mask.shape
    behind = np.asarray(
        ImageOps.fit(Image.fromarray(background), (width, height), Image.Resampling.BILINEAR), np.uint16
    )
    share = mask[..., None].astype(np.uint16)
    return ((picture * share + behind * (255 - share) + 127) // 255).astype(np.uint8)


def without_person(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A photograph whose person is covered by what is around them, by OpenCV's inpainting; MediaPipe brings OpenCV.

    Args:
        picture: uint8 `(H, W, 3)`.
        mask: uint8 `(H, W)`, 255 where the person is.
    """
    try:
        import cv2
    except ImportError:
        raise ImportError("covering people needs OpenCV, which MediaPipe brings: pip install 'amge[pose]'") from None

    hole = np.asarray(Image.fromarray(mask).filter(ImageFilter.MaxFilter(9))) > 32
    return cv2.inpaint(np.ascontiguousarray(picture), hole.astype(np.uint8), 5, cv2.INPAINT_TELEA)


def covered(squares: Tensor, masks: Tensor) -> Tensor:
    """Pictures without the person: what is around spreads over them; uint8 `(B, 3, S, S)`, masks `(B, 1, S, S)`."""
    reach = squares.shape[-1] // 20
    known = 1 - F.max_pool2d((masks > 0).float(), 2 * reach + 1, 1, reach)
    spread = torch.full((len(squares), 3, 1, 1), 127.0, device=squares.device)
    for cells in (2, 5, 10, 20):  # cells that see little take what is farther away
        wide = F.interpolate(spread, size=(cells, cells), mode="bilinear")
        seen, weight = (F.adaptive_avg_pool2d(x, cells) for x in (squares * known, known))
        spread = (seen + 0.05 * wide) / (weight + 0.05)
    spread = F.interpolate(spread, size=squares.shape[-2:], mode="bilinear")
    return torch.lerp(spread, squares.float(), known).clamp(0, 255).byte()
