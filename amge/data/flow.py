"""Optical flow between the frames of a clip, by OpenCV's DIS (extra `flow`).

Shapes: `B` batch, `T H W` frames and picture.
"""

import numpy as np
import torch
from torch import Tensor

BOUND = 20.0
"""Pixels per frame that become 1; faster movement is clipped, as in the 8-bit flow pictures of the field."""


def optical_flow(clip: Tensor) -> Tensor:
    """An RGB clip `(B, 3, T, H, W)`, normalised or not, to its flow `(B, 3, T, H, W)`, the first frame zero.

    The channels are the movement since the previous frame to the right and downwards and its length, in units of
    `BOUND` pixels, clipped to -1..1: three of them, so that a backbone for RGB takes flow as it is. Runs on the CPU.

    Raises:
        ImportError: without OpenCV.
    """
    try:
        import cv2
    except ImportError:
        raise ImportError("optical flow needs OpenCV: pip install 'amge[flow]'") from None
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)  # type: ignore[attr-defined]
    grey = clip.detach().float().mean(dim=1).cpu()
    low, high = grey.amin(dim=(1, 2, 3), keepdim=True), grey.amax(dim=(1, 2, 3), keepdim=True)
    pictures = ((grey - low) / (high - low).clamp(min=1e-6) * 255).round().to(torch.uint8).numpy()
    flow = np.zeros((*pictures.shape, 3), np.float32)
    for frames, moved in zip(pictures, flow, strict=True):
        for t in range(1, len(frames)):
            moved[t, ..., :2] = dis.calc(frames[t - 1], frames[t], None)
    flow[..., 2] = np.linalg.norm(flow[..., :2], axis=-1)
    scaled = torch.from_numpy(flow / BOUND).clamp(-1, 1).permute(0, 4, 1, 2, 3)
    return scaled.contiguous().to(clip.device, clip.dtype)
