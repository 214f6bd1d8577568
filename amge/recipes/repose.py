"""People of photographs in poses of others: limbs, trunk and head are cut out, and each is put where its bone goes.

Shapes: `H W` a photograph; joints `(17, 3)` in COCO's order, x and y in pixels and visibility.
"""

from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from amge.recipes.joints import HIPS, LIMBS, NOSE, SHOULDERS

SEEN = 0.2
"""Visibility from which on a joint is used."""
WIDTHS = {"arm": (0.34, 0.30), "leg": (0.50, 0.38), "head": (0.62,), "trunk": (0.45,)}
"""Of upper and lower limb, head, and the rim around the corners of the trunk, in lengths of the trunk."""
BEYOND = (0.15, 0.5)
"""How far upper and lower limbs reach beyond their second joint, in lengths of their bone: a hand, a foot."""
FURTHEST = 0.45
"""The most of that, in lengths of the trunk."""


def repose(
    photo: np.ndarray,
    mask: np.ndarray,
    source: np.ndarray,
    target: np.ndarray,
    background: np.ndarray,
    far: int = 0,
) -> np.ndarray:
    """Somebody in another pose, before another background.

    Each part is turned, shifted and stretched along its bone. What lies in front is not known: the limbs of the side
    `far`, 0 the left one, are behind the trunk.

    Args:
        photo: uint8 `(H, W, 3)`.
        mask: uint8 `(H, W)`, 255 where the person is.
        source: their joints.
        target: the joints to come to.
        background: uint8 `(H, W, 3)`.
        far: the side that is further away, 0 or 1.

    Returns:
        uint8 `(H, W, 3)`; the background alone where no joint is seen.
    """
    seen = (source[:, 2] > SEEN) & (target[:, 2] > SEEN)
    old, new = source[:, :2].astype(float), target[:, :2].astype(float)
    arms, legs = LIMBS[:2], LIMBS[2:]
    unit = max(
        float(np.linalg.norm(middle(old, SHOULDERS) - middle(old, HIPS))),
        float(np.linalg.norm(old[legs[0][0]] - old[legs[0][1]])) / 2,
        1.0,
    )
    scene = Image.fromarray(np.ascontiguousarray(background))
    whole = Image.fromarray(np.ascontiguousarray(photo))

    def put(outline: Image.Image, move: np.ndarray) -> None:
        soft = np.asarray(outline.filter(ImageFilter.GaussianBlur(1.5)))
        part = whole.copy()
        part.putalpha(Image.fromarray(np.minimum(soft, mask)))
        back = np.linalg.inv(np.vstack([move, (0, 0, 1)]))[:2].ravel()
        part = part.transform(part.size, Image.Transform.AFFINE, tuple(back), Image.Resampling.BILINEAR)
        scene.paste(part, (0, 0), part)

    def limb(joints: tuple[int, ...], kind: str) -> None:
        for (a, b), width, beyond in zip(pairwise(joints), WIDTHS[kind], BEYOND, strict=True):
            if seen[a] and seen[b]:
                reach = beyond * (old[b] - old[a])
                end = old[b] + reach * min(1.0, FURTHEST * unit / (np.linalg.norm(reach) + 1e-6))
                put(capsule(whole.size, [old[a], end], width * unit), along(old[a], old[b], new[a], new[b]))

    limb(arms[far], "arm")
    limb(legs[far], "leg")
    corners = [*SHOULDERS, *HIPS[::-1]]
    if seen[corners].all():
        wide = [
            sum(np.linalg.norm(np.subtract(*pose[list(pair)])) for pair in (SHOULDERS, HIPS)) + 0.6 * unit
            for pose in (old, new)
        ]
        neck, waist, to_neck, to_waist = (middle(pose, pair) for pose in (old, new) for pair in (SHOULDERS, HIPS))
        outline = capsule(whole.size, [*old[corners], old[corners[0]]], WIDTHS["trunk"][0] * unit, filled=True)
        put(outline, along(neck, waist, to_neck, to_waist, float(np.clip(wide[1] / wide[0], 0.5, 1.8))))
    if seen[[NOSE, *SHOULDERS]].all():
        neck = middle(old, SHOULDERS)
        up = old[NOSE] - neck
        outline = capsule(whole.size, [neck + 0.35 * up, neck + 1.3 * up], WIDTHS["head"][0] * unit)
        put(outline, along(neck, old[NOSE], middle(new, SHOULDERS), new[NOSE]))
    limb(legs[1 - far], "leg")
    limb(arms[1 - far], "arm")
    return np.asarray(scene)


def middle(pose: np.ndarray, joints: tuple[int, ...]) -> np.ndarray:
    return pose[list(joints)].mean(axis=0)


def along(a: np.ndarray, b: np.ndarray, to_a: np.ndarray, to_b: np.ndarray, across: float = 1.0) -> np.ndarray:
    """The affine map `(2, 3)` that takes `a` to `to_a` and turns the bone to `b` into that to `to_b`.

    It stretches along the bone as the bone is stretched, 0.4 to 2.5 times, and by `across` at right angles to it.
    """
    old, new = b - a, to_b - to_a
    lengths = np.linalg.norm(old) + 1e-6, np.linalg.norm(new) + 1e-6
    axes = [np.stack([unit, (-unit[1], unit[0])], axis=1) for unit in (old / lengths[0], new / lengths[1])]
    linear = axes[1] @ np.diag([np.clip(lengths[1] / lengths[0], 0.4, 2.5), across]) @ axes[0].T
    return np.column_stack([linear, to_a - linear @ a])


def capsule(size: tuple[int, int], points: list[np.ndarray], width: float, filled: bool = False) -> Image.Image:
    """An outline, mode L, around a line of some width with round ends; `filled` inside of the line too."""
    outline = Image.new("L", size)
    brush = ImageDraw.Draw(outline)
    places = [(float(x), float(y)) for x, y in points]
    if filled:
        brush.polygon(places, fill=255)
    brush.line(places, fill=255, width=max(2, int(width)))
    for x, y in places:
        brush.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=255)
    return outline
