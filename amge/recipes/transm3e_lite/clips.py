"""Training clips from three sources: photographs, figures in the poses of photographs, and synthetic exercises.

A clip is `(frames uint8 (T, H, W, 3), keypoints float32 (T, 17, 3), target float32 (K,))` before augmentation.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from amge import synthetic
from amge.data.open_exercise import Exercise
from amge.muscles import encode
from amge.recipes.transm3e_lite.augment import TRUNK, frame_person, person_mask, random_texture, recolour


def alternation(frames: int, rng: np.random.Generator) -> np.ndarray:
    """How much of the second photograph each frame shows, `(T,)` in 0..1: there and back, at a random tempo."""
    phase = np.arange(frames) / frames * rng.uniform(1, max(1.0, frames / 2)) + rng.random()
    weight = 0.5 - 0.5 * np.cos(2 * np.pi * phase)
    if rng.random() < 0.75:  # mostly the photographs themselves: a blend shows two ghosts
        weight = (weight > 0.5).astype(np.float64)
        if weight.min() == weight.max():
            weight[rng.integers(frames)] = 1 - weight[0]
    return weight


def from_photos(
    exercise: Exercise, frames: int, rng: np.random.Generator, other: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A clip that alternates and blends the two photographs; at times the person is cut out before another picture.

    Args:
        exercise: with photographs `(2, H, W, 3)` and joints.
        frames: `T`.
        rng: source of all chance.
        other: a photograph uint8 `(h, w, 3)` to take a background from.
    """
    photos, joints = exercise.photos, exercise.keypoints
    size = photos.shape[1:3]
    if rng.random() < 0.3 and (joints[:, list(TRUNK), 2] > 0.3).all():
        if rng.random() < 0.5:
            scene = random_texture(size, rng)
        else:
            y, x = (int(rng.integers(0, other.shape[i] // 2)) for i in range(2))
            part = torch.from_numpy(other[y : y + other.shape[0] // 2, x : x + other.shape[1] // 2].copy())
            scaled = torch.nn.functional.interpolate(part.permute(2, 0, 1)[None].float(), size=size, mode="bilinear")
            scene = scaled[0].permute(1, 2, 0).numpy()
        masks = np.stack([np.asarray(person_mask(pose, size), np.float32)[..., None] / 255 for pose in joints])
        photos = (photos * masks + scene * (1 - masks)).astype(np.uint8)
    weight = alternation(frames, rng)
    w = weight[:, None, None, None].astype(np.float32)
    pure = np.isin(weight, (0, 1))
    clip = photos[(weight > 0.5).astype(int)]
    if not pure.all():
        clip = ((1 - w) * photos[0] + w * photos[1]).astype(np.uint8)
    poses = joints[(weight > 0.5).astype(int)].copy()
    poses[~pure, :, 2] = 0
    return clip, poses


def from_pose(
    exercise: Exercise, frames: int, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray] | None:
    """A figure of random looks that moves between the two poses of an exercise; None where no person was found."""
    phase = np.arange(frames) / frames * rng.uniform(0.8, max(1.0, frames / 2)) + rng.random()
    return figure(exercise, 0.5 - 0.5 * np.cos(2 * np.pi * phase), size, rng)


def figure(
    exercise: Exercise, weight: np.ndarray, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray] | None:
    """A figure of random looks between the two poses of an exercise; None where no person was found.

    Args:
        exercise: of two poses.
        weight: how much of the second pose each frame shows, `(T,)`.
        size: the longer side.
        rng: source of all chance.
    """
    joints = exercise.keypoints
    if (joints[:, 5:, 2] > 0.3).mean() < 0.6:
        return None
    height, width = exercise.photos.shape[1:3]
    scale = size / max(height, width)
    weight = weight[:, None, None]
    poses = (1 - weight) * joints[0] + weight * joints[1]
    poses[..., 2] = np.minimum(joints[0, :, 2], joints[1, :, 2])
    poses[..., :2] *= scale
    poses[..., :2] += rng.normal(0, 0.006 * size, (1, 17, 2))
    poses = poses.astype(np.float32)
    look = replace(synthetic.sample_look(rng), equipment="none")
    drawn = synthetic.draw(
        poses, look, (round(height * scale), round(width * scale)), rng_seed=int(rng.integers(2**31))
    )
    return drawn, poses


def render_pool(
    exercises: Sequence[Exercise], frames: int, size: int, repeats: int, extra: int, seed: int
) -> list[tuple]:
    """Figures rendered once and reused in every epoch: `repeats` per exercise and `extra` parametric clips."""
    pool = []
    for index, exercise in enumerate(list(exercises) * repeats):
        drawn = from_pose(exercise, frames, size, np.random.default_rng([seed, 1, index]))
        if drawn is not None:
            pool.append((*drawn, exercise.target))
    for index in range(extra):
        clip = synthetic.render(frames=frames, size=size, seed=seed * 100_003 + index, fps=2.0)
        pool.append((clip.frames, clip.keypoints, encode(clip.regions)))
    return pool


class Clips(Dataset):
    """Augmented training clips: every photograph pair `variants` times, and as many figures as `figures` says.

    The chance of an item depends on `seed` and its index alone.

    Args:
        exercises: photograph pairs.
        pool: rendered clips to draw from.
        frames: `T`.
        size: side `S`.
        variants: how often each photograph pair is augmented.
        figures: rendered clips per photograph pair and variant.
        seed: of all chance.
    """

    def __init__(
        self,
        exercises: Sequence[Exercise],
        pool: Sequence[tuple],
        frames: int,
        size: int,
        variants: int,
        figures: float,
        seed: int,
    ) -> None:
        self.exercises, self.pool = exercises, pool
        self.frames, self.size, self.seed = frames, size, seed
        self.photos = len(exercises) * variants
        self.rendered = round(self.photos * figures) if pool else 0

    def __len__(self) -> int:
        return self.photos + self.rendered

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """`clip` float32 `(3, T, S, S)` of pixels in 0..1, `target` `(K,)`, `keypoints` `(T, 17, 3)`, also in 0..1."""
        rng = np.random.default_rng([self.seed, index])
        if index < self.photos:
            exercise = self.exercises[index % len(self.exercises)]
            other = self.exercises[int(rng.integers(len(self.exercises)))].photos[0]
            frames, joints = from_photos(exercise, self.frames, rng, other)
            target = exercise.target
        else:
            frames, joints, target = self.pool[int(rng.integers(len(self.pool)))]
            chosen = np.sort(rng.permutation(len(frames))[: self.frames])
            frames, joints = frames[chosen], joints[chosen]
        clip, joints = frame_person(frames, joints, self.size, rng)
        clip = recolour(clip, rng)
        joints[..., :2] /= self.size
        return {
            "clip": clip.transpose(0, 1).contiguous(),
            "target": torch.from_numpy(target),
            "keypoints": torch.from_numpy(joints),
        }
