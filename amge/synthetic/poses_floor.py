"""How a body does the exercises that are done on the floor or on a bench: one function each."""

import numpy as np

from .motion import Array, Rig, X, Z
from .style import Style, at, effort

LYING = -np.pi / 2
THICK = 0.11
"""How high hips and shoulders of somebody who lies are above the floor, in metres."""


def prone(rig: Rig, shoulder: Array, sag: Array | float = 0.0, legs: bool = True, neck: float = -0.35) -> None:
    """A straight body on its toes, face down, with the shoulders at the height `shoulder` `(T,)`; the toes rest.

    `sag` is how far the hips are above the straight line, in metres.
    """
    body = rig.body
    length = body.leg + body.torso
    ankle = 0.6 * body.foot
    angle = np.arcsin(np.clip((shoulder - ankle) / length, -1, 1))
    lift = np.asarray(sag)
    hips = at(body.leg * np.cos(angle), 0, ankle + body.leg * np.sin(angle) + lift)
    tilt = np.pi / 2 - np.arctan2(shoulder - hips[:, 2], np.sqrt(body.torso**2 - (shoulder - hips[:, 2]) ** 2))
    rig.trunk(hips, pitch=tilt, neck=neck)
    for left in (1, -1) if legs else ():
        toe = at(0.12 * body.foot, 0, -ankle + 0.02)
        rig.step(left, at(0 * shoulder, left * body.hips, ankle), np.array([0.3, 0, -1.0]), toe)


def hands(rig: Rig, wide: float, ahead: float = 0.0, elbow: tuple[float, float, float] = (-0.2, 1.0, -0.8)) -> None:
    """Both hands on the floor, where the shoulders are at their highest, `wide` in half widths of the shoulders."""
    top = rig.joints[np.argmax(rig.joints[:, 5, 2]), 5]
    for left in (1, -1):
        spot = at(top[0] + ahead, left * wide * rig.body.shoulders, 0.06) + np.zeros((rig.frames, 3))
        rig.reach(left, spot, np.array(elbow))


def push_up(rig: Rig, phase: Array, style: Style) -> None:
    down = effort(phase) * style.amplitude
    body = rig.body
    wide = 1.15 + 0.7 * style.a
    high = 0.06 + np.sqrt((0.97 * body.arm) ** 2 - ((wide - 1) * body.shoulders) ** 2)
    prone(rig, high - (high - 0.19) * np.clip(down, 0, 1), 0.03 * (style.b - 0.5))
    hands(rig, wide, 0.0, (-0.1, 0.4 + style.c, -0.8))


def plank(rig: Rig, phase: Array, style: Style) -> None:
    body = rig.body
    breath = 0.008 * np.sin(2 * np.pi * phase)
    prone(rig, 0.07 + body.upper_arm + breath, 0.03 * (style.b - 0.3) + breath)
    for left, index in ((1, 5), (-1, 6)):
        elbow = rig.joints[:, index] * (1, 1, 0) + 0.05 * Z
        narrow = (0.3 + 0.7 * style.a) * left * body.shoulders
        hand = at(elbow[:, 0] + body.forearm * 0.97, narrow, 0.06)
        rig.reach(left, hand, np.array([1.0, 0.0, -0.6]))
        rig.joints[:, index + 2] = elbow
        along = hand - elbow
        rig.joints[:, index + 4] = elbow + body.forearm * along / np.linalg.norm(along, axis=-1, keepdims=True)


def mountain_climber(rig: Rig, phase: Array, style: Style) -> None:
    body = rig.body
    high = 0.06 + 0.97 * body.arm
    prone(rig, high + 0 * phase, 0.06 + 0.02 * np.sin(4 * np.pi * phase), legs=False)
    hands(rig, 1.1)
    ankle = 0.6 * body.foot
    for left in (1, -1):
        drive = (0.5 + 0.5 * np.tanh(2.5 * np.sin(2 * np.pi * phase)) * left) * style.amplitude
        spot = at(
            (0.62 + 0.1 * style.a) * body.leg * drive,
            left * body.hips,
            ankle + 0.14 * np.sin(np.pi * np.clip(drive, 0, 1)),
        )
        rig.step(left, spot, np.array([1.0, 0.1, 0.6]), at(0.2 * body.foot, 0, -ankle + 0.02))


def bent_legs(rig: Rig, near: float) -> None:
    """Legs of somebody on the back with the feet flat on the floor, `near` leg lengths from the hips."""
    body = rig.body
    for left in (1, -1):
        spot = at(near * body.leg, left * body.hips, body.ankle) + np.zeros((rig.frames, 3))
        rig.step(left, spot, np.array([1.0, 0.0, 0.3]), at(body.foot, 0, -0.7 * body.ankle))


def behind_head(rig: Rig) -> None:
    """Both hands at the back of the head."""
    for left in (1, -1):
        rig.arm(left, 2.2, 0.75, 2.35, np.array([-0.6, -1.0, 0.5]))


def sit_up(rig: Rig, phase: Array, style: Style) -> None:
    up = effort(phase) * style.amplitude
    rig.trunk(
        at(0 * up, 0, THICK), pitch=LYING + 1.15 * up, flex=0.55 * np.sin(np.pi * np.clip(up, 0, 1) * 0.75), neck=0.2
    )
    bent_legs(rig, 0.55 + 0.15 * style.a)
    if style.b < 0.6:
        behind_head(rig)
    else:
        for left in (1, -1):
            rig.arm(left, 0.6, 0.1, 2.2, np.array([0.4, -1.0, 0.6]))


def crunch(rig: Rig, phase: Array, style: Style) -> None:
    up = effort(phase) * style.amplitude
    rig.trunk(at(0 * up, 0, THICK), pitch=LYING, flex=0.85 * up, neck=0.3 * up)
    if style.a < 0.6:
        bent_legs(rig, 0.6)
    else:
        for left in (1, -1):
            rig.leg(left, np.pi / 2, 0.05, np.pi / 2, 0.3)
    behind_head(rig)


def leg_raise(rig: Rig, phase: Array, style: Style) -> None:
    up = effort(phase) * style.amplitude
    rig.trunk(at(0 * up, 0, THICK), pitch=LYING, neck=0.1)
    for left in (1, -1):
        rig.leg(left, 0.05 + (1.35 + 0.2 * style.a) * up, 0.02, 0.05 + 0.3 * style.b, 0.5)
        rig.arm(left, -0.02, 0.2 + 0.3 * style.c, 0.08)


def russian_twist(rig: Rig, phase: Array, style: Style) -> None:
    turn = np.sin(2 * np.pi * phase) * style.amplitude
    rig.trunk(at(0 * turn, 0, THICK), pitch=-0.75 - 0.15 * style.a, flex=0.35, twist=0.8 * turn)
    lifted = style.b < 0.6
    for left in (1, -1):
        if lifted:
            rig.leg(left, 1.25, 0.03, 1.25, 0.2)
        hand = rig.joints[:, 5:7].mean(1) + 0.36 * rig.chest[..., 0] - 0.22 * rig.chest[..., 2]
        hand = hand + 0.18 * turn[:, None] * rig.chest[..., 1] + left * 0.04 * rig.chest[..., 1]
        rig.reach(left, hand, np.array([-0.2, 1.0, -0.8]))
    if not lifted:
        bent_legs(rig, 0.65)


def glute_bridge(rig: Rig, phase: Array, style: Style) -> None:
    up = effort(phase) * style.amplitude
    body = rig.body
    rise = np.arcsin((0.3 + 0.06 * style.b) * np.clip(up, 0, 1))
    hips = at(body.torso * np.cos(rise), 0, THICK + body.torso * np.sin(rise)) - at(body.torso, 0, 0)
    rig.trunk(hips, pitch=LYING - rise, neck=rise * 0.8 + 0.1)
    bent_legs(rig, 0.42 + 0.12 * style.a)
    for left in (1, -1):
        rig.arm(left, -0.05 - 0.9 * rise, 0.25 + 0.2 * style.b, 0.08)


def superman(rig: Rig, phase: Array, style: Style) -> None:
    up = effort(phase) * style.amplitude
    rig.trunk(at(0 * up, 0, THICK), pitch=np.pi / 2, flex=-0.75 * up, neck=-0.25 - 0.2 * up)
    for left in (1, -1):
        legs = 0.5 * up if style.b < 0.7 else 0.05 * up
        rig.leg(left, -legs, 0.06, 0.08, 1.2)
        if style.a < 0.6:
            rig.arm(left, 2.95 + 0.2 * up, 0.12, 0.12)
        else:
            rig.arm(left, 0.0 - 0.3 * up, 0.2, 0.1)


def on_all_fours(rig: Rig) -> float:
    """Somebody on hands and right knee, whose left leg is free; returns how far the trunk leans."""
    body = rig.body
    hips = 0.05 + body.thigh
    shoulder = 0.06 + 0.98 * body.arm
    tilt = np.pi / 2 - float(np.arcsin(np.clip((shoulder - hips) / body.torso, -1, 1)))
    rig.trunk(at(np.zeros(rig.frames), 0, hips), pitch=tilt, neck=-0.35)
    hands(rig, 1.05)
    rig.leg(-1, tilt, 0.0, np.pi / 2, 1.3)
    return tilt


def donkey_kick(rig: Rig, phase: Array, style: Style) -> None:
    up = effort(phase) * style.amplitude
    tilt = on_all_fours(rig)
    rig.leg(
        1,
        tilt - (1.55 + 0.2 * style.a) * up,
        0.05,
        np.pi / 2 - (0.9 * up if style.b > 0.6 else 0.1 * up),
        0.2 + 1.0 * (1 - up),
    )


def on_bench(rig: Rig) -> None:
    """Lie on a bench with the feet on the floor."""
    body = rig.body
    top = body.ankle + body.calf * 0.95
    rig.trunk(at(np.zeros(rig.frames), 0, top + THICK), pitch=LYING, neck=0.05)
    for left in (1, -1):
        spot = at(0.75 * body.thigh, left * 2.0 * body.hips, body.ankle) + np.zeros((rig.frames, 3))
        rig.step(left, spot, np.array([0.6, 0.3, -1.0]), at(body.foot, 0, -0.8 * body.ankle))
    end = body.torso + body.head + 0.05
    rig.props.append((np.array([-end, 0, top - 0.06]), np.array([0.05, 0, top - 0.06]), 0.065))
    rig.props += [(np.array([x, 0, top - 0.08]), np.array([x, 0, 0.0]), 0.035) for x in (-end + 0.1, -0.05)]


def bench_press(rig: Rig, phase: Array, style: Style) -> None:
    down = effort(phase) * style.amplitude
    body = rig.body
    on_bench(rig)
    wide = 1.2 + 0.6 * style.a
    chest = rig.joints[:, 5:7].mean(1)
    high = np.sqrt((0.97 * body.arm) ** 2 - ((wide - 1) * body.shoulders) ** 2)
    for left in (1, -1):
        hand = at(0.1 * down, left * wide * body.shoulders, high - (high - 0.16) * np.clip(down, 0, 1))
        rig.reach(left, chest + hand, np.array([-0.8, 0.9, -0.5]))


def chest_fly(rig: Rig, phase: Array, style: Style) -> None:
    wide = effort(phase) * style.amplitude
    on_bench(rig)
    for left in (1, -1):
        rig.arm(left, np.pi / 2 - 0.1, 0.05 + 1.45 * wide, 0.25 + 0.35 * style.a, X - np.array([0, 0.5, 0]))
