"""Hard augmentation of appearance and framing, so that movement and pose carry the label.

Shapes: `T` frames, `H W` source picture, `S` side of the clip, joints in COCO-17 order.
"""

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as TF

from amge.skeleton.layouts import COCO17


def random_texture(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A smooth random background, uint8 `(H, W, 3)`: noise at a random scale between two colours, with flat patches."""
    cells = int(rng.integers(1, 12))
    noise = Image.fromarray(rng.integers(0, 256, (cells, cells), dtype=np.uint8)).resize(
        size[::-1], Image.Resampling.BICUBIC
    )
    weight = np.asarray(noise, np.float32)[..., None] / 255
    colours = rng.integers(0, 256, (2, 3)).astype(np.float32)
    picture = Image.fromarray((weight * colours[0] + (1 - weight) * colours[1]).astype(np.uint8))
    brush = ImageDraw.Draw(picture)
    for _ in range(rng.integers(0, 6)):
        x, y = int(rng.integers(0, size[1])), int(rng.integers(0, size[0]))
        w, h = int(rng.integers(5, size[1] // 2 + 6)), int(rng.integers(5, size[0] // 2 + 6))
        brush.rectangle((x, y, x + w, y + h), fill=tuple(rng.integers(0, 256, 3).tolist()))
    return np.asarray(picture)


def part_of(picture: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A random part of a picture, at times mirrored, uint8 `(H, W, 3)` of some size."""
    height, width = (round(side * rng.uniform(0.4, 1)) for side in picture.shape[:2])
    top, left = (int(rng.integers(have - part + 1)) for have, part in zip(picture.shape, (height, width), strict=False))
    part = picture[top : top + height, left : left + width][:, :: int(rng.choice([1, -1]))]
    return np.asarray(Image.fromarray(np.ascontiguousarray(part)).resize(size[::-1], Image.Resampling.BILINEAR))


def frame_person(
    frames: np.ndarray, keypoints: np.ndarray, size: int, rng: np.random.Generator, shake: float = 0.02
) -> tuple[Tensor, np.ndarray]:
    """Cut a random square around the person, with random zoom, shift, tilt, stretch, mirror and camera shake.

    Args:
        frames: uint8 `(T, H, W, 3)`.
        keypoints: float32 `(T, 17, 3)` in pixels of the frames; all zero visibility means: nobody found.
        size: side `S` of the square.
        rng: source of all chance.
        shake: how far the camera moves between frames, in sides of the square; none in half of the clips.

    Returns:
        float32 `(T, 3, S, S)` of pixels in 0..1, and the joints in pixels of it.
    """
    height, width = frames.shape[1:3]
    seen = keypoints[keypoints[..., 2] > 0.3][:, :2]
    whole = np.array([[0, 0], [width, height]], np.float32)
    low, high = (seen.min(0), seen.max(0)) if len(seen) > 4 else (whole[0], whole[1])
    low, high = np.clip(low, whole[0], whole[1]), np.clip(high, whole[0], whole[1])
    person = float((high - low).max()) * 1.15
    centre = (low + high) / 2
    share = rng.uniform(0.7, 1.2)  # of the square that the person spans
    side = np.clip(person / share, 0.45 * min(height, width), 1.5 * max(height, width))
    centre = centre + rng.uniform(-0.12, 0.12, 2) * side
    angle = np.deg2rad(rng.normal(0, 4))
    stretch = np.exp(rng.normal(0, 0.08))
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    still = rng.random() < 0.5
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.diag([mirror * stretch, 1 / stretch]) * side / 2  # of square coordinates -1..1
    thetas, joints = [], keypoints.copy()
    jitter = np.zeros(2)
    for t in range(len(frames)):
        jitter = jitter if still else 0.5 * jitter + rng.normal(0, shake, 2) * side
        zoom = 1.0 if still else 1 + rng.normal(0, shake)
        middle = centre + jitter
        scale = np.array([2 / width, 2 / height])
        theta = np.column_stack([(linear * zoom) * scale[:, None], middle * scale - 1])
        thetas.append(theta)
        local = np.linalg.solve(linear * zoom, (keypoints[t, :, :2] - middle).T).T
        joints[t, :, :2] = (local + 1) * size / 2
    if mirror < 0:
        joints = joints[:, list(COCO17.mirrored())]
    outside = (joints[..., :2] < 0).any(-1) | (joints[..., :2] >= size).any(-1)
    joints[..., 2] *= ~outside
    grid = F.affine_grid(
        torch.tensor(np.stack(thetas), dtype=torch.float32), [len(frames), 3, size, size], align_corners=False
    )
    pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255
    fill = 0.5 if rng.random() < 0.5 else float(rng.random())
    padding = "border" if rng.random() < 0.3 else "zeros"
    clip = F.grid_sample(pixels - fill, grid, padding_mode=padding, align_corners=False) + fill
    return clip, joints.astype(np.float32)


def recolour(clip: Tensor, rng: np.random.Generator) -> Tensor:
    """Random colour, grey, contrast, gamma, blur, noise and cut-outs, the same for all frames of `(T, 3, S, S)`."""
    size = clip.shape[-1]
    if rng.random() < 0.8:
        clip = TF.adjust_brightness(clip.clamp(0, 1), rng.uniform(0.6, 1.4))
        clip = TF.adjust_contrast(clip, rng.uniform(0.6, 1.4))
        clip = TF.adjust_saturation(clip, rng.uniform(0.2, 1.8))
    if rng.random() < 0.3:
        gains = torch.tensor(rng.uniform(0.7, 1.3, (1, 3, 1, 1)), dtype=clip.dtype)
        clip = (clip * gains).clamp(1e-3, 1) ** rng.uniform(0.6, 1.6)
    if rng.random() < 0.1:
        clip = clip[:, rng.permutation(3).tolist()]
    if rng.random() < 0.2:
        clip = TF.rgb_to_grayscale(clip, 3)
    if rng.random() < 0.15:
        small = max(24, int(size * rng.uniform(0.3, 0.6)))
        clip = F.interpolate(F.interpolate(clip, size=(small, small), mode="area"), size=(size, size), mode="bilinear")
    if rng.random() < 0.2:
        noise = torch.from_numpy(rng.standard_normal(clip.shape, dtype=np.float32))
        clip = clip + noise * rng.uniform(0.01, 0.06)
    if rng.random() < 0.3:
        clip = clip.clone()
        for _ in range(rng.integers(1, 4)):
            h, w = (int(size * rng.uniform(0.08, 0.3)) for _ in range(2))
            y, x = int(rng.integers(0, size - h)), int(rng.integers(0, size - w))
            clip[:, :, y : y + h, x : x + w] = torch.tensor(rng.random((1, 3, 1, 1)), dtype=clip.dtype)
    return clip.clamp(0, 1)
