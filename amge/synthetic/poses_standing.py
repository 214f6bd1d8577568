"""How a body does the exercises that are done standing free: one function each, `(rig, phase, style)`."""

import numpy as np

from .motion import Array, Rig, X
from .style import Style, at, effort

DEGREE = np.pi / 180


def stand(
    rig: Rig, height: Array | float = 0.985, back: Array | float = 0.0, apart: float = 1.1, **spine: Array | float
) -> None:
    """Trunk and legs of somebody whose feet stay where they are.

    `height` is that of the hips as a share of the straight leg, `back` is how far they go backwards in metres,
    `apart` is the distance of each foot from the middle in half widths of the hips.
    """
    body = rig.body
    rig.trunk(at(-np.asarray(back), 0, body.ankle + np.asarray(height) * body.leg) + np.zeros((rig.frames, 3)), **spine)
    for left in (1, -1):
        ankle = at(0, left * apart * body.hips, body.ankle) + np.zeros((rig.frames, 3))
        rig.step(left, ankle, np.array([1, 0.15 + 0.25 * max(0.0, apart - 1), 0]))


def hang(rig: Rig, out: float = 0.12) -> None:
    """Both arms at rest."""
    for left in (1, -1):
        rig.arm(left, 0.05, out, 0.15)


def squat(rig: Rig, phase: Array, style: Style) -> None:
    down = effort(phase) * style.amplitude
    height = 0.985 - (0.35 + 0.2 * style.a) * down
    lean = (38 + 15 * style.b) * DEGREE * down
    stand(rig, height, 0.28 * down * rig.body.leg / 0.84, 1.2 + 0.9 * style.b, pitch=lean, neck=-0.5 * lean)
    for left in (1, -1):
        if style.c < 0.5:
            rig.arm(left, lean + 85 * DEGREE * (0.15 + 0.85 * down), 0.05, 0.2)
        else:
            rig.arm(left, 0.5, 0.35, 2.2, np.array([1, -0.6, 0.6]))


def lunge(rig: Rig, phase: Array, style: Style) -> None:
    down = effort(phase) * style.amplitude
    body, stride = rig.body, 0.38 + 0.1 * style.a
    height = body.ankle + np.sqrt(body.leg**2 - stride**2) * 0.97 - (0.3 + 0.06 * style.b) * body.leg * down
    rig.trunk(at(0.0, 0, height), pitch=0.12 * down)
    rig.step(1, at(stride + 0 * down, body.hips, body.ankle), X)
    toe = at(0.75 * body.foot, 0, -0.85 * body.ankle - 0.06)
    rig.step(-1, at(-stride + 0 * down, -body.hips, body.ankle + 0.06 + 0.05 * down), np.array([1, 0, -0.2]), toe)
    if style.c < 0.5:
        hang(rig)
    else:
        for left in (1, -1):
            rig.arm(left, -0.3, 0.75, 1.9, np.array([0.8, -1, 0]))


def side_lunge(rig: Rig, phase: Array, style: Style) -> None:
    down = effort(phase) * style.amplitude
    body = rig.body
    apart = (0.75 + 0.2 * style.a) * body.leg / 2
    top = np.sqrt(body.leg**2 - (apart - body.hips) ** 2) * 0.98
    height = body.ankle + top - 0.27 * body.leg * down
    lean = 0.6 * down
    rig.trunk(at(-0.14 * down, 0.8 * apart * down, height), pitch=lean, neck=-0.4 * lean)
    rig.step(1, at(0 * down, apart, body.ankle), np.array([1, 0.5, 0]))
    rig.step(-1, at(0 * down, -apart, body.ankle), np.array([1, 0.1, 0]))
    for left in (1, -1):
        rig.arm(left, lean + 0.3 + 0.6 * down, 0.1, 1.3 + 0.5 * style.b, np.array([0.5, -1.0, 0.6]))


def deadlift(rig: Rig, phase: Array, style: Style) -> None:
    down = effort(phase) * style.amplitude
    lean = (72 + 12 * style.a) * DEGREE * down
    height = 0.985 - (0.05 + 0.2 * style.b) * down
    stand(rig, height, 0.26 * down, 1.1, pitch=lean, flex=0.12 * down, neck=-0.45 * lean)
    for left in (1, -1):
        rig.arm(left, lean * 0.97 + 0.08, 0.05, 0.06)


def bent_over_row(rig: Rig, phase: Array, style: Style) -> None:
    pull = effort(phase) * style.amplitude
    lean = (55 + 25 * style.a) * DEGREE
    stand(rig, 0.88, 0.2, 1.2, pitch=lean - 0.05 * pull, neck=-0.4 * lean)
    flare = 0.15 + 0.5 * style.b
    for left in (1, -1):
        rig.arm(left, lean - (lean + 0.55) * pull, 0.05 + flare * pull, 0.1 + 1.55 * pull, np.array([1, -0.1, -0.1]))


def shoulder_press(rig: Rig, phase: Array, style: Style) -> None:
    push = effort(phase) * style.amplitude
    stand(rig)
    start, ahead = 0.65 + 0.3 * style.a, 0.5 * style.b
    for left in (1, -1):
        rig.arm(left, ahead * (1 - push), start + (2.95 - start) * push, 2.3 - 2.1 * push, np.array([0.1, -0.35, 1]))


def lateral_raise(rig: Rig, phase: Array, style: Style) -> None:
    up = effort(phase) * style.amplitude
    stand(rig, pitch=0.15 * style.b)
    for left in (1, -1):
        rig.arm(left, 0.15, 0.12 + (1.45 + 0.2 * style.a) * up, 0.15 + 0.2 * style.c)


def front_raise(rig: Rig, phase: Array, style: Style) -> None:
    stand(rig)
    for left in (1, -1):
        own = phase if style.c < 0.6 else 0.5 * phase + (0 if left > 0 else 0.5)
        up = effort(own) * (effort(own) > 0.0) if style.c < 0.6 else np.clip(2 * effort(own) - 1, 0, 1)
        rig.arm(left, 0.1 + (1.5 + 0.4 * style.a) * up * style.amplitude, 0.05, 0.12)


def biceps_curl(rig: Rig, phase: Array, style: Style) -> None:
    stand(rig)
    for left in (1, -1):
        own = phase if style.c < 0.6 else 0.5 * phase + (0 if left > 0 else 0.5)
        bent = effort(own) if style.c < 0.6 else np.clip(2 * effort(own) - 1, 0, 1)
        bent = bent * style.amplitude
        rig.arm(left, -0.05 + 0.25 * bent, 0.08 + 0.1 * style.a, 0.2 + 2.2 * bent, np.array([1, 0.15, 0.2]))


def triceps_extension(rig: Rig, phase: Array, style: Style) -> None:
    bent = effort(phase) * style.amplitude
    stand(rig)
    for left in (1, -1):
        rig.arm(left, 2.95 - 0.15 * style.a, -0.05, 0.15 + 2.0 * bent, np.array([-1, -0.3, 0]))


def shrug(rig: Rig, phase: Array, style: Style) -> None:
    up = effort(phase) * style.amplitude
    stand(rig, shrug=0.11 * up - 0.025, neck=0.1 * up)
    hang(rig, 0.08 + 0.1 * style.a)


def calf_raise(rig: Rig, phase: Array, style: Style) -> None:
    up = effort(phase) * style.amplitude
    body = rig.body
    rise = 0.62 * body.foot * up
    forward = body.foot * (1 - np.cos(np.arcsin(np.clip(rise / body.foot, 0, 1))))
    rig.trunk(at(forward, 0, body.ankle + 0.99 * body.leg + rise))
    for left in (1, -1):
        toe = at(body.foot - forward, 0.02 * left, -0.8 * body.ankle - rise)
        rig.step(left, at(forward, left * body.hips, body.ankle + rise), X, toe)
        if style.c < 0.5:
            rig.arm(left, 0.05, 0.12, 0.12)
        else:
            rig.arm(left, -0.3, 0.75, 1.9, np.array([0.8, -1, 0]))


def jumping_jack(rig: Rig, phase: Array, style: Style) -> None:
    wide = effort(phase)
    hop = 0.10 * np.sin(2 * np.pi * phase) ** 2 * style.amplitude
    body = rig.body
    apart = body.hips + (0.2 + 0.12 * style.a) * wide * style.amplitude
    height = body.ankle + 0.975 * np.sqrt(body.leg**2 - (apart - body.hips) ** 2) + hop
    rig.trunk(at(0 * wide, 0, height))
    for left in (1, -1):
        rig.step(left, at(0 * wide, left * apart, body.ankle + hop), np.array([1, 0.2, 0]))
        rig.arm(left, 0.08, 0.15 + 2.7 * wide * style.amplitude, 0.15 + 0.3 * style.b, np.array([0.4, -1, 0.4]))


def high_knees(rig: Rig, phase: Array, style: Style) -> None:
    body = rig.body
    lift = {left: np.clip(np.sin(2 * np.pi * phase) * left, 0, 1) ** 0.8 * style.amplitude for left in (1, -1)}
    hop = 0.05 * np.abs(np.sin(2 * np.pi * phase))
    rig.trunk(at(0 * phase, 0, body.ankle + 0.97 * body.leg + hop), pitch=0.08)
    for left in (1, -1):
        knee = 0.25 + (1.45 + 0.3 * style.a) * lift[left]
        rig.leg(left, 0.12 + (1.4 + 0.2 * style.b) * lift[left], 0.0, knee, 0.3 * lift[left])
        rig.arm(left, 0.9 * (lift[-left] - lift[left]) + 0.1, 0.12, 1.5, np.array([1, -0.2, 0.3]))


def farmer_walk(rig: Rig, phase: Array, style: Style) -> None:
    body = rig.body
    swing = np.sin(2 * np.pi * phase) * style.amplitude
    along = (phase - phase.mean()) * 0.7 * style.a
    rig.trunk(at(along, 0, body.ankle + (0.965 - 0.015 * np.abs(swing)) * body.leg), twist=0.08 * swing)
    for left in (1, -1):
        ahead = swing * left
        lifted = np.clip(np.cos(2 * np.pi * phase) * left, 0, 1)
        rig.leg(left, 0.42 * ahead, 0.0, 0.12 + 0.75 * lifted, 0.35 * np.clip(-ahead, 0, 1))
        rig.arm(left, -0.08 * ahead, 0.12, 0.08)


def side_bend(rig: Rig, phase: Array, style: Style) -> None:
    sway = np.sin(2 * np.pi * phase) if style.a < 0.5 else effort(phase)
    lean = 0.75 * sway * style.amplitude
    stand(rig, side=lean, apart=1.6)
    overhead = style.b < 0.4
    for left in (1, -1):
        if overhead and left < 0:
            rig.arm(left, 0.1, 2.7, 0.4, np.array([0, -1, 0.3]))
        elif overhead or style.c < 0.5:
            rig.arm(left, 0.0, 0.7, 1.75, np.array([0.3, -1, 0]))
        else:
            rig.arm(left, 0.05, 0.15, 0.1)


def side_leg_raise(rig: Rig, phase: Array, style: Style) -> None:
    up = effort(phase) * style.amplitude
    body = rig.body
    rig.trunk(at(0 * up, -body.hips, body.ankle + 0.985 * body.leg), roll=-0.1 * up)
    rig.step(-1, at(0 * up, -body.hips, body.ankle), X)
    rig.leg(1, 0.0, 0.05 + (0.75 + 0.3 * style.a) * up, 0.05)
    for left in (1, -1):
        rig.arm(left, 0.0, 0.7, 1.75, np.array([0.3, -1, 0])) if style.b < 0.6 else rig.arm(left, 0.05, 0.3, 0.1)


def neck_flexion(rig: Rig, phase: Array, style: Style) -> None:
    nod = np.sin(2 * np.pi * phase) * style.amplitude
    stand(rig, neck=0.15 + 0.75 * nod)
    for left in (1, -1):
        rig.arm(left, 0.0, 0.7, 1.75, np.array([0.3, -1, 0])) if style.b < 0.6 else rig.arm(left, 0.05, 0.12, 0.1)
