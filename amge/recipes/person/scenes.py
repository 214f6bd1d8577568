"""Training pictures for the person head: with somebody in them, with more than one, and with nobody.

Shapes: `T` frames, `H W` source picture, `S` side of the clip, joints in COCO-17 order, `P` persons.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from amge import synthetic
from amge.data.open_exercise import Exercise
from amge.recipes.cutouts import covered
from amge.recipes.joints import ANKLES, HIPS, LIMB_BONES, NECK, NOSE, SHOULDERS, WRISTS
from amge.recipes.transm3e_lite.augment import random_texture, recolour
from amge.skeleton.layouts import COCO17
from amge.synthetic.empty import SCENES, THINGS, render_empty

SEEN = 0.3
"""Visibility of a joint from which it is believed."""


TRUNK = (*SHOULDERS, *HIPS)
ENDS = (NOSE, *WRISTS, *ANKLES)
"""Joints that a head, a hand or a foot surrounds."""


class Scene(NamedTuple):
    """A clip before augmentation."""

    frames: np.ndarray
    """uint8 `(T, H, W, 3)`."""
    persons: np.ndarray
    """float32 `(P, T, 17, 3)`, x and y in pixels and visibility; `P` is 0 for nobody."""


def box(joints: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The corners `(2,)` around the visible joints `(..., 3)`; None if there are few."""
    seen = joints[joints[..., 2] > SEEN][:, :2]
    return (seen.min(axis=0), seen.max(axis=0)) if len(seen) > 5 else None


def photographs(exercises: Sequence[Exercise], rng: np.random.Generator) -> Scene:
    """Both photographs of an exercise, or one of them twice; at times before another background."""
    while True:
        exercise = exercises[int(rng.integers(len(exercises)))]
        if (exercise.keypoints[..., 2] > SEEN).mean() > 0.5:
            break
    order = [(0, 1), (1, 0), (0, 0), (1, 1)][int(rng.integers(4))]
    frames, joints = exercise.photos[list(order)], exercise.keypoints[list(order)]
    if rng.random() < 0.25 and (joints[:, list(TRUNK), 2] > SEEN).all():
        scene = another_background(frames.shape[1:3], rng)
        masks = np.stack(
            [np.asarray(person_mask(pose, frames.shape[1:3]), np.float32)[..., None] / 255 for pose in joints]
        )
        frames = (frames * masks + scene * (1 - masks)).astype(np.uint8)
    return Scene(frames, joints[None])


def person_mask(keypoints: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """A soft outline of the person around their joints, mode L.

    Args:
        keypoints: `(17, 3)`, x and y in pixels and visibility.
        size: height and width of the picture.
    """
    seen = keypoints[:, 2] > 0.2
    points = [(float(x), float(y)) for x, y, _ in keypoints]
    trunk = np.linalg.norm(keypoints[list(SHOULDERS), :2].mean(0) - keypoints[list(HIPS), :2].mean(0))
    width = max(6, int(0.42 * trunk))
    mask = Image.new("L", (size[1], size[0]))
    brush = ImageDraw.Draw(mask)

    def blob(point: tuple[float, float], radius: float) -> None:
        x, y = point
        brush.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)

    if seen[list(TRUNK)].all():
        around = [points[j] for j in (*SHOULDERS, *HIPS[::-1])]
        brush.polygon(around, fill=255)
        brush.line([*around, around[0]], fill=255, width=width)
    for a, b in (*LIMB_BONES, *NECK):
        if seen[a] and seen[b]:
            brush.line([points[a], points[b]], fill=255, width=width)
    for joint in np.flatnonzero(seen):
        blob(points[joint], width * (1.0 if joint in ENDS else 0.55))
    return mask.filter(ImageFilter.GaussianBlur(width / 6))


def another_background(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A texture or a rendered scene, uint8 `(H, W, 3)`."""
    if rng.random() < 0.5:
        return random_texture(size, rng)
    return nobody_rendered(size, 1, rng)[0]


def figures(exercises: Sequence[Exercise], rng: np.random.Generator) -> Scene:
    """A rendered figure."""
    clip = synthetic.render(frames=2, size=224, seed=int(rng.integers(2**31)), fps=2.0)
    return Scene(clip.frames, clip.keypoints[None])


def two_persons(exercises: Sequence[Exercise], rng: np.random.Generator) -> Scene:
    """Two scenes beside each other: cut to their persons, brought to one height."""
    parts, persons, left = [], [], 0
    for _ in range(2):
        scene = (photographs if rng.random() < 0.8 else figures)(exercises, rng)
        corners = box(scene.persons[0])
        if corners is None:
            return scene
        height, width = scene.frames.shape[1:3]
        low, high = corners
        reach = rng.uniform(0.1, 0.5) * (high - low).max()
        x0, x1 = int(max(low[0] - reach, 0)), int(min(high[0] + reach, width))
        scale = 224 / height
        cut = torch.from_numpy(np.ascontiguousarray(scene.frames[:, :, x0:x1])).permute(0, 3, 1, 2).float()
        wide = max(8, round((x1 - x0) * scale))
        cut = F.interpolate(cut, size=(224, wide), mode="bilinear", antialias=True)
        joints = scene.persons[0].copy()
        joints[..., :2] = (joints[..., :2] - (x0, 0)) * scale + (left, 0)
        parts.append(cut.permute(0, 2, 3, 1).numpy().astype(np.uint8))
        persons.append(joints)
        left += wide
    return Scene(np.concatenate(parts, axis=2), np.stack(persons))


def nobody_rendered(size: tuple[int, int], frames: int, rng: np.random.Generator) -> np.ndarray:
    """Rooms and landscapes with things and animals."""
    names = list(THINGS)
    things = tuple(names[i] for i in rng.integers(len(names), size=rng.integers(0, 5)))
    return render_empty(SCENES[rng.integers(len(SCENES))], things, frames, size, int(rng.integers(2**31)), fps=2.0)


def cut_out(exercises: Sequence[Exercise], rng: np.random.Generator) -> Scene:
    """A photograph whose person is gone: what is around them, the same blurred, or a texture covers them."""
    while True:
        exercise = exercises[int(rng.integers(len(exercises)))]
        joints = exercise.keypoints
        if (joints[..., 2] > SEEN).all() and (corners := box(joints)):
            break
    height, width = exercise.photos.shape[1:3]
    reach = 0.18 * (corners[1] - corners[0]).max()
    left, top = (max(int(value), 0) for value in corners[0] - reach)
    right, bottom = min(int(corners[1][0] + reach), width), min(int(corners[1][1] + reach), height)
    frames = exercise.photos[[0, 1]].copy()
    cover: np.ndarray = np.zeros((height, width), np.float32)
    cover[top:bottom, left:right] = 1
    soft: np.ndarray = np.asarray(
        Image.fromarray((255 * cover).astype(np.uint8)).filter(ImageFilter.GaussianBlur(3)), np.float32
    )
    soft = np.maximum(soft / 255, cover)[..., None]
    kind = rng.integers(3)
    if kind == 0:
        fill: np.ndarray = random_texture((height, width), rng).astype(np.float32)
    elif kind == 1:
        fill = nobody_rendered((height, width), 1, rng)[0].astype(np.float32)
    else:
        shown = torch.from_numpy(frames[:1]).permute(0, 3, 1, 2)
        around = covered(shown, torch.from_numpy(cover)[None, None])[0].permute(1, 2, 0).numpy()
        fill = around + rng.normal(0, rng.uniform(0, 12), frames[0].shape)
    gone = frames * (1 - soft) + fill * soft
    return Scene(gone.clip(0, 255).astype(np.uint8), np.zeros((0, 2, 17, 3), np.float32))


def beside(exercises: Sequence[Exercise], rng: np.random.Generator) -> Scene:
    """A part of a photograph that the person is not in."""
    for _ in range(50):
        exercise = exercises[int(rng.integers(len(exercises)))]
        corners = box(exercise.keypoints)
        if corners is None or (exercise.keypoints[..., 2] > SEEN).mean() < 0.8:
            continue
        height, width = exercise.photos.shape[1:3]
        reach = 0.2 * (corners[1] - corners[0]).max()
        spaces = [
            (0, 0, int(corners[0][0] - reach), height),
            (int(corners[1][0] + reach), 0, width, height),
            (0, 0, width, int(corners[0][1] - reach)),
        ]
        left, top, right, bottom = spaces[rng.integers(3)]
        if right - left > 60 and bottom - top > 60:
            frames = exercise.photos[:, top:bottom, left:right]
            return Scene(frames, np.zeros((0, 2, 17, 3), np.float32))
    return cut_out(exercises, rng)


def empty(exercises: Sequence[Exercise], rng: np.random.Generator) -> Scene:
    """Plain colours, textures, noise, and rendered scenes."""
    kind, none = rng.random(), np.zeros((0, 2, 17, 3), np.float32)
    if kind < 0.1:
        plain = (
            rng.integers(0, 256, 3) if rng.random() < 0.6 else np.full(3, rng.choice([0, 255, int(rng.integers(256))]))
        )
        return Scene(np.broadcast_to(plain.astype(np.uint8), (2, 224, 224, 3)).copy(), none)
    if kind < 0.2:
        grain = rng.integers(1, 40)
        noise = rng.integers(0, 256, (2, grain * 8, grain * 8, rng.choice([1, 3])), np.uint8)
        return Scene(np.broadcast_to(noise, (*noise.shape[:3], 3)).copy(), none)
    if kind < 0.35:
        return Scene(np.stack([random_texture((224, 224), rng)] * 2), none)
    return Scene(nobody_rendered((224, 224), 2, rng), none)


SOURCES: dict[Callable[[Sequence[Exercise], np.random.Generator], Scene], float] = {
    photographs: 0.36,
    figures: 0.12,
    two_persons: 0.1,
    cut_out: 0.16,
    beside: 0.1,
    empty: 0.16,
}
"""With their shares."""


def framed(scene: Scene, size: int, rng: np.random.Generator) -> tuple[Tensor, np.ndarray]:
    """A random square of a scene: the whole person, a part of them, or them small; float32 `(T, 3, S, S)` of pixels in
    0..1, and the persons in pixels of it."""
    height, width = scene.frames.shape[1:3]
    short, side = min(height, width), float(max(height, width))
    centre = np.array([width, height]) / 2
    corners = box(scene.persons) if len(scene.persons) else None
    if corners is not None:
        low, high = (np.clip(corner, 0, (width, height)) for corner in corners)
        person, centre = float((high - low).max()), (low + high) / 2
        # the share of the square that the person takes: mostly all of them, at times small, at times half of them
        share = float(np.exp(rng.uniform(np.log(0.3), np.log(1.9))))
        side = person * 1.15 / share
        if share > 1:
            centre = centre + rng.choice([-0.5, 0, 0.5]) * np.array([0, 1]) * (person - side)
    elif rng.random() < 0.7:
        side = short * rng.uniform(0.5, 1.5)
    side = float(np.clip(side, 0.25 * short, 1.6 * max(height, width)))
    centre = centre + rng.uniform(-0.1, 0.1, 2) * side
    left, top = (centre - side / 2).round().astype(int)
    whole = round(side)
    pixels = torch.from_numpy(np.ascontiguousarray(scene.frames)).permute(0, 3, 1, 2).float() / 255
    grey = float(rng.choice([0.5, rng.random()]))
    padding = [max(-left, 0), max(left + whole - width, 0), max(-top, 0), max(top + whole - height, 0)]
    cut = pixels[..., max(top, 0) : max(top + whole, 0), max(left, 0) : max(left + whole, 0)]
    cut = F.pad(cut, [int(value) for value in padding], value=grey)
    cut = F.interpolate(cut, size=(size, size), mode="bilinear", antialias=True)
    joints = scene.persons.copy()
    joints[..., :2] = (joints[..., :2] - (left, top)) * size / whole
    if rng.random() < 0.5:
        cut = cut.flip(-1)
        joints = joints[:, :, list(COCO17.mirrored())]
        joints[..., 0] = size - joints[..., 0]
    outside = (joints[..., :2] < 0).any(-1) | (joints[..., :2] >= size).any(-1)
    joints[..., 2] *= ~outside
    return cut, joints


class Scenes(Dataset):
    """Augmented clips of two frames. The chance of an item depends on `seed` and its index alone.

    Args:
        exercises: photograph pairs.
        count: how many clips.
        size: side `S`.
        seed: of all chance.
    """

    def __init__(self, exercises: Sequence[Exercise], count: int, size: int, seed: int) -> None:
        self.exercises, self.count, self.size, self.seed = exercises, count, size, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """`clip` float32 `(3, T, S, S)` of pixels in 0..1; `persons` `(2, T, 17, 3)`, in pixels, zero for those who are
        not there; `turned`: quarter turns of the picture, 0 to 3."""
        rng = np.random.default_rng([self.seed, index])
        source = rng.choice(len(SOURCES), p=np.array([*SOURCES.values()]))
        clip, joints = framed(list(SOURCES)[source](self.exercises, rng), self.size, rng)
        clip = recolour(clip, rng)
        if rng.random() < 0.12:
            clip = (clip * rng.uniform(0.1, 0.5)).clamp(0, 1)
        turned = int(rng.choice(4, p=[0.7, 0.12, 0.06, 0.12]))
        clip = clip.rot90(turned, (-2, -1)).contiguous()
        for _ in range(turned):  # counter-clockwise, y pointing down
            joints[..., :2] = np.stack([joints[..., 1], self.size - joints[..., 0]], axis=-1)
        persons = np.zeros((2, clip.shape[0], COCO17.joints, 3), np.float32)
        persons[: len(joints)] = joints
        return {
            "clip": clip.transpose(0, 1).contiguous(),
            "persons": torch.from_numpy(persons),
            "turned": torch.tensor(turned),
        }
