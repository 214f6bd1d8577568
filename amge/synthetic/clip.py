"""Put a body, an exercise, a camera and a look together into pictures and keypoints."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .backdrop import paint_backdrop
from .brush import tone
from .camera import Camera, View
from .exercises import Exercise, pose
from .figure import draw
from .look import Look
from .motion import Body, Rig
from .style import Style


def compose(
    exercise: Exercise,
    phase: np.ndarray,
    body: Body,
    style: Style,
    camera: Camera,
    look: Look,
    size: tuple[int, int],
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Pictures uint8 `(T, H, W, 3)` and keypoints float32 `(T, 17, 3)` in pixels of `exercise` at `phase` `(T,)`.

    A joint outside the picture has confidence 0, all others have 1.
    """
    rig = pose(exercise, phase, body, style)
    rng = np.random.default_rng(seed)
    view = View(camera, np.concatenate([rig.joints, rig.toes], axis=1), size)
    shake = view.shake(len(phase), size, rng)[:, None]
    flat, near = view.project(rig.joints)
    toes = view.project(rig.toes)[0] + shake
    flat = flat + shake
    scene = _scene(rig, view, look, size, rng)
    full = np.concatenate([flat, np.ones_like(flat[..., :1])], axis=-1).astype(np.float32)
    frames = draw(full, look, size, near, scene, seed, toes)
    inside = (flat >= 0).all(-1) & (flat[..., 0] < size[1]) & (flat[..., 1] < size[0])
    full[..., 2] = inside
    return frames, full


def _scene(rig: Rig, view: View, look: Look, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """The backdrop with the shadow of the person on the floor and the things that stand there, uint8 `(H, W, 3)`."""
    edge = view.floor_edge(float(rng.uniform(0.5, 2.0)))
    picture = paint_backdrop(look, size, rng, horizon=edge / size[0])
    body = rig.joints.reshape(-1, 3)
    low, high = body.min(0) - 0.08, body.max(0) + 0.08
    turn = np.linspace(0, 2 * np.pi, 25)[:-1]
    ring = np.stack([np.cos(turn), np.sin(turn)], -1) * (high - low)[:2] / 2 + (high + low)[:2] / 2
    spots, _ = view.project(np.concatenate([ring, np.zeros((24, 1))], axis=-1))
    mask = Image.new("L", picture.size, 0)
    ImageDraw.Draw(mask).polygon([tuple(spot) for spot in spots.tolist()], fill=int(rng.uniform(40, 130)))
    mask = mask.filter(ImageFilter.GaussianBlur(0.02 * size[0]))
    picture.paste((10, 10, 12), mask=mask)
    brush = ImageDraw.Draw(picture)
    colour = look.equipment_colour
    for start, end, radius in rig.props:
        (p, q), _ = view.project(np.stack([start, end]))
        across, _ = view.project(np.stack([start, start + radius * 2 * np.array([0, 0, 1.0])]))
        width = max(2, round(float(np.linalg.norm(across[1] - across[0]))))
        brush.line((*p.tolist(), *q.tolist()), fill=tone(colour, 0.8), width=width)
        brush.line((*p.tolist(), *q.tolist()), fill=tone(colour, 1.15), width=max(1, width // 2))
    return np.asarray(picture)
