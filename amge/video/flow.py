"""Optical flow: between two pictures, by one of `METHODS`, and between the frames of a clip.

Shapes: `B` batch, `T H W` frames and picture.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amge.errors import one_of

BOUND = 20.0
"""Pixels per frame that become 1; faster movement is clipped, as in the 8-bit flow pictures of the field."""

METHODS = ("dis", "tv-l1", "raft")
"""DIS of OpenCV (fast, extra `flow`), TV-L1 of OpenCV (slow, `opencv-contrib-python-headless`), RAFT of torchvision."""

PairFlow = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Previous and next picture uint8 RGB `(H, W, 3)` to float32 `(H, W, 2)`: pixels moved to the right and downwards."""

RAFT_SIDE = 128
"""Pixels; RAFT takes no smaller pictures."""


def pair_flow(method: str | nn.Module = "dis") -> PairFlow:
    """A function that measures the flow between two pictures; one for each thread.

    Args:
        method: one of `METHODS`, or a built RAFT of torchvision, which is put into eval mode and used on the device it
            is on. By name it is the small RAFT on the CPU, with published weights, which torchvision downloads once.

    Raises:
        ValueError: for an unknown method.
        ImportError: without the OpenCV that the method needs.
        OSError: where the weights of RAFT cannot be fetched.
    """
    if isinstance(method, nn.Module):
        return _Raft(method)
    one_of("flow method", method, METHODS)
    if method == "raft":
        return _Raft(_published_raft())
    cv2 = _opencv()
    if method == "dis":
        return _Grey(cv2, cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM))
    if not hasattr(cv2, "optflow"):
        raise ImportError(
            "flow method 'tv-l1' needs the extra modules of OpenCV: pip install opencv-contrib-python-headless, "
            "after pip uninstall of any other opencv package"
        )
    return _Grey(cv2, cv2.optflow.createOptFlow_DualTVL1())


def optical_flow(clip: Tensor, method: str | nn.Module = "dis") -> Tensor:
    """An RGB clip `(B, 3, T, H, W)`, normalised or not, to its flow `(B, 3, T, H, W)`, the first frame zero.

    The channels are the movement since the previous frame to the right and downwards and its length, in units of
    `BOUND` pixels, clipped to -1..1: three of them, so that a backbone for RGB takes flow as it is. Runs on the CPU,
    except for a RAFT that is elsewhere.

    Raises:
        ValueError, ImportError, OSError: as `pair_flow` does.
    """
    measure = pair_flow(method)
    seen = clip.detach().float().cpu()
    if method in ("dis", "tv-l1"):
        seen = seen.mean(dim=1, keepdim=True)
    low, high = seen.amin(dim=(1, 2, 3, 4), keepdim=True), seen.amax(dim=(1, 2, 3, 4), keepdim=True)
    pictures = ((seen - low) / (high - low).clamp(min=1e-6) * 255).round().to(torch.uint8)
    rgb = pictures.permute(0, 2, 3, 4, 1).expand(-1, -1, -1, -1, 3).numpy()
    moved = np.zeros((*rgb.shape[:-1], 2), np.float32)
    for frames, flow in zip(rgb, moved, strict=True):
        for t in range(1, len(frames)):
            flow[t] = measure(frames[t - 1], frames[t])
    return as_clip(torch.from_numpy(moved)).to(clip.device, clip.dtype)


def as_clip(moved: Tensor) -> Tensor:
    """Flow in pixels `(B, T, H, W, 2)` to the clip `(B, 3, T, H, W)` that `optical_flow` gives."""
    three = torch.cat([moved, moved.norm(dim=-1, keepdim=True)], dim=-1)
    return (three / BOUND).clamp(-1, 1).permute(0, 4, 1, 2, 3).contiguous()


def _opencv() -> Any:
    try:
        import cv2
    except ImportError:
        raise ImportError("optical flow needs OpenCV: pip install 'amge[flow]'") from None
    return cv2


class _Grey:
    """A method of OpenCV, which takes grey pictures."""

    def __init__(self, cv2: Any, algorithm: Any) -> None:
        self.cv2, self.algorithm = cv2, algorithm

    def __call__(self, previous: np.ndarray, following: np.ndarray) -> np.ndarray:
        pair = [self.cv2.cvtColor(np.ascontiguousarray(x), self.cv2.COLOR_RGB2GRAY) for x in (previous, following)]
        return self.algorithm.calc(*pair, None)


class _Raft:
    """RAFT on pictures of any size: small ones are enlarged, sides that 8 does not divide are padded."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model.eval()

    def __call__(self, previous: np.ndarray, following: np.ndarray) -> np.ndarray:
        device = next(self.model.parameters()).device
        pair = torch.from_numpy(np.stack([previous, following])).to(device).permute(0, 3, 1, 2) / 127.5 - 1
        height, width = pair.shape[2:]
        scale = max(1.0, RAFT_SIDE / min(height, width))
        size = (round(height * scale), round(width * scale))
        if scale > 1:
            pair = F.interpolate(pair, size, mode="bilinear", align_corners=False)
        pair = F.pad(pair, (0, -size[1] % 8, 0, -size[0] % 8), mode="replicate")
        with torch.inference_mode():
            flow = self.model(pair[:1], pair[1:])[-1][..., : size[0], : size[1]]
        if scale > 1:
            flow = F.interpolate(flow, (height, width), mode="bilinear", align_corners=False)
        flow = flow[0] * torch.tensor([width / size[1], height / size[0]], device=device)[:, None, None]
        return np.ascontiguousarray(flow.permute(1, 2, 0).cpu().numpy())


def _published_raft() -> nn.Module:
    from torchvision.models import optical_flow as models

    weights = models.Raft_Small_Weights.DEFAULT
    try:
        return models.raft_small(weights=weights, progress=False)
    except Exception as error:  # URLError, HTTPError, timeouts, a wrong checksum, a broken file
        place = Path(torch.hub.get_dir(), "checkpoints", weights.url.rsplit("/", 1)[-1])
        reason = " ".join(str(error).split())
        raise OSError(
            f"the weights of RAFT cannot be had ({reason}); torch looks for them at {place} and downloads them from "
            f"{weights.url}: put the file there, or pass a built RAFT as the method"
        ) from error
