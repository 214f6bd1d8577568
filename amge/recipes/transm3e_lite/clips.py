"""Training clips from photographs, from their people in other poses, and from rendered figures.

A clip is `(frames uint8 (T, H, W, 3), keypoints float32 (T, 17, 3), target float32 (K,))` before augmentation.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from amge import synthetic
from amge.data.open_exercise import Exercise
from amge.muscles import encode
from amge.recipes.cutouts import swap_background, without_person
from amge.recipes.joints import HIPS
from amge.recipes.repose import repose
from amge.recipes.transm3e_lite.augment import frame_person, part_of, random_texture, recolour
from amge.skeleton.layouts import COCO17
from amge.skeleton.sequence import normalise

LEAST = 0.01
"""Share of a photograph from which on a mask is a person; one who is posed anew takes twice as much."""
SEEN = 0.3
"""Visibility of a joint from which it is believed."""
NEAREST_OF = 200
"""Photograph pairs of which the one with the nearest poses is posed anew."""

Clip = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Stock:
    """What clips are made of."""

    exercises: Sequence[Exercise]
    masks: Sequence[np.ndarray] = ()
    """uint8 `(2, H, W)` of each exercise: where the person is; without, nobody is cut out."""
    targets: np.ndarray | None = None
    """`(n, K)` of the exercises; default: their labels."""
    poses: np.ndarray = field(default_factory=lambda: np.zeros((0, 2, COCO17.joints, 3), np.float32))
    """Pairs `(m, 2, 17, 3)` of poses, normalised, to draw and to pose people in."""
    answers: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    """What they train, `(m, K)`."""

    def target(self, number: int) -> np.ndarray:
        return self.exercises[number].target if self.targets is None else self.targets[number].astype(np.float32)

    @cached_property
    def places(self) -> list[np.ndarray]:
        """First photographs, without their person."""
        return [
            without_person(exercise.photos[0], mask[0])
            for exercise, mask in zip(self.exercises, self.masks, strict=True)
            if share(mask[:1]) > LEAST
        ]

    @cached_property
    def cut(self) -> list[int]:
        """Exercises whose people can be posed anew: cut out in both photographs, and nearly all joints seen."""
        return [
            number
            for number, (exercise, mask) in enumerate(zip(self.exercises, self.masks, strict=True))
            if share(mask) > 2 * LEAST and (exercise.keypoints[:, 5:, 2] > SEEN).mean() > 0.8
        ]

    @cached_property
    def known(self) -> np.ndarray:
        """Their poses, `(c, 2, 17, 3)`, normalised."""
        return normalise(np.stack([self.exercises[number].keypoints for number in self.cut]), COCO17)


def alternation(frames: int, rng: np.random.Generator) -> np.ndarray:
    """How much of the second photograph each frame shows, `(T,)` in 0..1: there and back, at a random tempo."""
    phase = np.arange(frames) / frames * rng.uniform(1, max(1.0, frames / 2)) + rng.random()
    weight = 0.5 - 0.5 * np.cos(2 * np.pi * phase)
    if rng.random() < 0.75:  # mostly nothing in between
        weight = (weight > 0.5).astype(np.float64)
        if weight.min() == weight.max():
            weight[rng.integers(frames)] = 1 - weight[0]
    return weight


def share(masks: np.ndarray) -> float:
    """How much of the picture the smallest of masks `(n, H, W)` takes."""
    return float(masks.mean(axis=(1, 2)).min()) / 255


def another_place(stock: Stock, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A part of a photograph without its person, or a texture, uint8 `(H, W, 3)`."""
    if rng.random() < 0.3:
        return random_texture(size, rng)
    return part_of(stock.places[int(rng.integers(len(stock.places)))], size, rng)


def from_photos(stock: Stock, number: int, frames: int, rng: np.random.Generator) -> Clip:
    """A clip of the two photographs in turn; in two of three, where people are cut out, before another background.

    Args:
        stock: with photographs, joints and masks.
        number: of the exercise.
        frames: `T`.
        rng: source of all chance.
    """
    exercise = stock.exercises[number]
    photos, joints = exercise.photos, exercise.keypoints
    if stock.masks and rng.random() < 0.65 and share(stock.masks[number]) > LEAST:
        place = another_place(stock, photos.shape[1:3], rng)
        photos = np.stack([swap_background(p, m, place) for p, m in zip(photos, stock.masks[number], strict=True)])
    shown = (alternation(frames, rng) > 0.5).astype(int)  # a blend of both would show two ghosts
    return photos[shown], joints[shown], stock.target(number)


def drawn_pose(stock: Stock, rng: np.random.Generator) -> tuple[int, int, np.ndarray]:
    """A pair of poses, the exercise whose person comes nearest to it, of some, and the pair `(2, 17, 3)` in pixels of
    its photographs, where that person is."""
    row = int(rng.integers(len(stock.poses)))
    pair = stock.poses[row]
    some = rng.choice(len(stock.cut), min(NEAREST_OF, len(stock.cut)), replace=False)
    apart = np.abs(stock.known[some] - pair)[..., :2].sum(axis=(1, 2, 3))
    nearest = int(some[apart.argmin()])
    joints, known = stock.exercises[stock.cut[nearest]].keypoints, stock.known[nearest]
    hips = joints[:, list(HIPS), :2].mean(axis=1, keepdims=True)
    about = (joints[..., :2] - hips) * (joints[..., 2:] > 0)
    placed = pair.astype(np.float32)
    placed[..., :2] *= (about * known[..., :2]).sum() / (known[..., :2] ** 2).sum()
    placed[..., :2] += hips
    return row, stock.cut[nearest], placed


def between(pair: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Poses `(T, 17, 3)` on the way from the first of a pair to the second; as sure as the less sure of both."""
    poses = pair[0] + (pair[1] - pair[0]) * weight[:, None, None]
    poses[..., 2] = pair[..., 2].min(axis=0)
    return poses.astype(np.float32)


def from_other_poses(stock: Stock, frames: int, rng: np.random.Generator) -> Clip:
    """Somebody of a photograph pair who moves between two poses of others, before another background."""
    row, number, pair = drawn_pose(stock, rng)
    exercise, masks = stock.exercises[number], stock.masks[number]
    weight = alternation(frames, rng)
    poses, place = between(pair, weight), another_place(stock, masks.shape[1:], rng)
    far = int(rng.integers(2))
    clip = [
        repose(exercise.photos[end], masks[end], exercise.keypoints[end], pose, place, far)
        for end, pose in zip((weight > 0.5).astype(int), poses, strict=True)
    ]
    return np.stack(clip), poses, stock.answers[row].astype(np.float32)


def from_figures(stock: Stock, frames: int, size: int, rng: np.random.Generator) -> Clip:
    """A rendered figure that does a parametric exercise, or moves between two poses."""
    if rng.random() < 0.25:
        made = synthetic.render(frames=frames, size=size, seed=int(rng.integers(2**31)), fps=2.0)
        return made.frames, made.keypoints, encode(made.regions)
    row, number, pair = drawn_pose(stock, rng)
    shape = stock.exercises[number].photos.shape[1:3]
    place = another_place(stock, shape, rng) if rng.random() < 0.6 else None
    clip, poses = figure(pair, shape, alternation(frames, rng), size, rng, place)
    return clip, poses, stock.answers[row].astype(np.float32)


def figure(
    pair: np.ndarray,
    shape: tuple[int, int],
    weight: np.ndarray,
    size: int,
    rng: np.random.Generator,
    background: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """A figure of random looks between two poses: frames `(T, H, W, 3)` and joints `(T, 17, 3)` in pixels of them.

    Args:
        pair: `(2, 17, 3)`, in pixels of the photographs.
        shape: height and width of these.
        weight: how much of the second pose each frame shows, `(T,)`.
        size: the longer side of the result.
        rng: source of all chance.
        background: uint8 `(h, w, 3)`; default: of the figure's looks.
    """
    scale = size / max(shape)
    poses = between(pair, weight)
    poses[..., :2] *= scale
    poses[..., :2] += rng.normal(0, 0.006 * size, (1, COCO17.joints, 2))
    look = replace(synthetic.sample_look(rng), equipment="none")
    height, width = (round(side * scale) for side in shape)
    drawn = synthetic.draw(poses, look, (height, width), background=background, rng_seed=int(rng.integers(2**31)))
    return drawn, poses


class Clips(Dataset):
    """Augmented training clips, in some variants, one after the other.

    A variant has one of every photograph pair, and as many people in other poses and rendered figures as is said.

    The chance of an item depends on `seed` and its index alone.

    Args:
        stock: what they are made of.
        frames: `T`.
        size: side `S`.
        variants: how often each photograph pair is augmented.
        reposed: people in other poses, per photograph pair and variant.
        figures: rendered clips likewise.
        seed: of all chance.
    """

    def __init__(
        self, stock: Stock, frames: int, size: int, variants: int, reposed: float, figures: float, seed: int
    ) -> None:
        self.stock, self.frames, self.size, self.variants, self.seed = stock, frames, size, variants, seed
        self.photos = len(stock.exercises)
        self.reposed, self.rendered = (round(self.photos * share) for share in (reposed, figures))

    def __len__(self) -> int:
        return self.variants * (self.photos + self.reposed + self.rendered)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """`clip` float32 `(3, T, S, S)` of pixels in 0..1, `target` `(K,)`, `keypoints` `(T, 17, 3)`, also in 0..1."""
        rng = np.random.default_rng([self.seed, index])
        number = index % (len(self) // self.variants)
        if number < self.photos:
            frames, joints, target = from_photos(self.stock, number, self.frames, rng)
        elif number < self.photos + self.reposed:
            frames, joints, target = from_other_poses(self.stock, self.frames, rng)
        else:
            frames, joints, target = from_figures(self.stock, self.frames, self.size, rng)
        clip, joints = frame_person(frames, joints, self.size, rng)
        clip = recolour(clip, rng)
        joints[..., :2] /= self.size
        return {
            "clip": clip.transpose(0, 1).contiguous(),
            "target": torch.from_numpy(target),
            "keypoints": torch.from_numpy(joints),
        }
