"""How a body does the exercises that swing, run, jump and strike: one function each."""

import numpy as np

from .motion import Array, Rig
from .poses_standing import stand
from .style import Style, at, effort


def kettlebell_swing(rig: Rig, phase: Array, style: Style) -> None:
    up = np.clip(effort(phase) * style.amplitude, 0, 1.05)
    down = np.clip(1 - up, 0, 1)
    lean = (0.9 + 0.2 * style.a) * down
    stand(rig, 0.985 - (0.1 + 0.06 * style.b) * down, 0.25 * down, 1.9, pitch=lean, neck=-0.35 * lean)
    for left in (1, -1):
        rig.arm(left, lean - 0.45 * down + 1.5 * up, -0.3, 0.06)


def _land(rig: Rig, above: Array | float) -> None:
    """Put a rig so that its lower ankle is `above` metres higher than that of somebody who stands."""
    shift = rig.body.ankle + above - rig.joints[:, 15:17, 2].min(axis=1)
    rig.joints[..., 2] += shift[:, None]
    rig.toes[..., 2] += shift[:, None]


def running(rig: Rig, phase: Array, style: Style) -> None:
    turn = 2 * np.pi * phase
    wide = style.amplitude * (0.5 + 0.25 * style.a)
    rig.trunk(at(0 * phase, 0, 1.0), pitch=0.12 + 0.08 * style.b, twist=0.12 * np.sin(turn), neck=-0.08)
    for left in (1, -1):
        ahead, forwards = np.sin(turn) * left, np.clip(0.25 + np.cos(turn) * left, 0, 1)
        knee = 0.3 + (1.2 + 0.4 * style.a) * forwards
        rig.leg(left, 0.25 + wide * ahead + 0.25 * forwards, 0.0, knee, 0.5 * np.clip(-ahead, 0, 1))
        rig.arm(left, -0.05 - 0.6 * ahead, 0.15, 1.5 + 0.2 * style.c, np.array([1, -0.3, 0.2]))
    _land(rig, 0.07 * style.amplitude * np.sin(turn) ** 2)


def skater_jump(rig: Rig, phase: Array, style: Style) -> None:
    """From foot to foot, the free leg behind."""
    side = np.tanh(1.8 * np.sin(2 * np.pi * phase)) / np.tanh(1.8)
    body = rig.body
    far = (0.3 + 0.12 * style.a) * style.amplitude
    flight = 1 - side**2
    hop = 0.12 * flight * style.amplitude
    lean = 0.45 + 0.25 * style.b - 0.25 * flight
    height = body.ankle + (0.78 + 0.14 * flight) * body.leg + hop
    rig.trunk(at(-0.12 + 0 * side, 0.85 * far * side, height), pitch=lean, roll=-0.15 * side, neck=-0.35 * lean)
    for left in (1, -1):
        free = np.clip(0.5 - 0.5 * side * left, 0, 1)
        spot = at(-0.42 * free, left * far * (1 - free) - left * 1.15 * far * free, body.ankle + hop + 0.22 * free)
        toe = body.foot * np.stack([1 - 0.5 * free, 0 * free, -0.35 - 0.5 * free], -1)
        rig.step(left, spot, np.array([1, 0.15, -0.1]), toe)
        rig.arm(left, lean - 0.2 + 0.9 * side * -left, 0.2, 0.9, np.array([1, -0.5, 0.2]))


def squat_jump(rig: Rig, phase: Array, style: Style) -> None:
    wave = -np.sin(2 * np.pi * phase) * style.amplitude
    body = rig.body
    down, hop = np.clip(-wave, 0, 1.1), (0.22 + 0.12 * style.a) * np.clip(wave, 0, 1.1)
    lean = (0.6 + 0.2 * style.b) * down
    height = body.ankle + (0.985 - 0.34 * down) * body.leg + hop
    rig.trunk(at(-0.22 * down, 0, height), pitch=lean, neck=-0.4 * lean)
    stretch = np.clip(wave * 2, 0, 1)
    for left in (1, -1):
        ankle = at(0 * down, left * 1.4 * body.hips, body.ankle + hop)
        toe = body.foot * np.stack([1 - 0.55 * stretch, 0 * hop, -0.3 - 0.6 * stretch], -1)
        rig.step(left, ankle, np.array([1, 0.3, 0]), toe)
        if style.c < 0.6:
            rig.arm(left, lean - 0.5 * down + 2.6 * stretch * np.clip(wave, 0, 1) + 0.1, 0.15, 0.3)
        else:
            rig.arm(left, 0.5, 0.35, 2.2, np.array([1, -0.6, 0.6]))


def jump_rope(rig: Rig, phase: Array, style: Style) -> None:
    turn = 2 * np.pi * phase
    body = rig.body
    hop = (0.06 + 0.05 * style.a) * effort(phase) * style.amplitude
    stretch = effort(phase)
    rig.trunk(at(0 * hop, 0, body.ankle + (0.95 + 0.035 * stretch) * body.leg + hop))
    for left in (1, -1):
        toe = body.foot * np.stack([1 - 0.45 * stretch, 0 * hop, -0.3 - 0.5 * stretch], -1)
        rig.step(left, at(0 * hop, left * 0.8 * body.hips, body.ankle + hop), np.array([1, 0.1, 0]), toe)
        rig.arm(left, -0.1 + 0.08 * np.sin(turn), 0.3, 1.15 + 0.15 * np.cos(turn), np.array([1, 0.5, 0.1]))


def jab(rig: Rig, phase: Array, style: Style) -> None:
    """A left and a right straight in turn, out of the guard."""
    turn = np.sin(2 * np.pi * phase) * style.amplitude
    body = rig.body
    height = body.ankle + (0.91 - 0.05 * style.a) * body.leg
    yaw = -0.45
    rig.trunk(at(0.04 * np.abs(turn), 0, height), pitch=0.12, yaw=yaw, flex=0.1, twist=-0.5 * turn - 0.1, neck=0.1)
    rig.step(1, at(0.22 + 0 * turn, body.hips, body.ankle), np.array([1, 0.1, 0]))
    rig.step(-1, at(-0.26 + 0 * turn, -1.3 * body.hips, body.ankle + 0.04), np.array([1, 0.3, 0]))
    for left in (1, -1):
        out = np.clip(1.25 * turn * left, 0, 1)[:, None]
        middle = rig.joints[:, 5:7].mean(1)
        guard = middle + 0.25 * rig.chest[..., 0] + left * 0.08 * rig.chest[..., 1] + 0.1 * rig.chest[..., 2]
        target = rig.joints[:, 5 if left > 0 else 6] + at(0.98 * body.arm, 0, 0.03)
        rig.reach(left, guard + (target - guard) * out, np.array([-0.2, 0.5, -1.0]))


def battle_ropes(rig: Rig, phase: Array, style: Style) -> None:
    turn = np.sin(2 * np.pi * phase) * style.amplitude
    lean = 0.4 + 0.2 * style.a
    stand(rig, 0.82 + 0.015 * np.cos(4 * np.pi * phase), 0.2, 1.7, pitch=lean, neck=-0.3 * lean)
    for left in (1, -1):
        wave = turn * left if style.b < 0.65 else turn
        rig.arm(left, lean + 0.55 + 0.5 * wave, 0.08, 0.75 - 0.25 * wave, np.array([1, -0.1, 0.4]))
