"""How a body does the exercises that train the trunk above all: one function each."""

import numpy as np

from .motion import Array, Rig
from .poses_floor import LYING, THICK, behind_head
from .style import Style, at, effort


def dead_bug(rig: Rig, phase: Array, style: Style) -> None:
    turn = np.sin(2 * np.pi * phase) * style.amplitude
    rig.trunk(at(0 * turn, 0, THICK), pitch=LYING, neck=0.1)
    for left in (1, -1):
        leg, arm = np.clip(turn * left, 0, 1), np.clip(-turn * left, 0, 1)
        rig.leg(left, np.pi / 2 - 1.35 * leg, 0.03, np.pi / 2 - (1.2 + 0.3 * style.a) * leg, 0.3 + 0.4 * leg)
        rig.arm(left, np.pi / 2 + 1.35 * arm, 0.04, 0.08)


def bicycle_crunch(rig: Rig, phase: Array, style: Style) -> None:
    turn = np.sin(2 * np.pi * phase) * style.amplitude
    rig.trunk(at(0 * turn, 0, THICK), pitch=LYING, flex=0.55, twist=(0.5 + 0.2 * style.a) * turn, neck=0.2)
    for left in (1, -1):
        near = np.clip(0.5 + 0.5 * turn * left, 0, 1)
        rig.leg(left, 0.35 + (1.5 + 0.15 * style.b) * near, 0.03, 0.15 + 1.9 * near, 0.6)
    behind_head(rig)


def reverse_crunch(rig: Rig, phase: Array, style: Style) -> None:
    up = np.clip(effort(phase) * style.amplitude, 0, 1.05)
    curl = (0.7 + 0.3 * style.a) * up
    low = 0.45 * rig.body.torso
    hips = at(-low * (1 - np.cos(curl / 2)), 0, THICK + low * np.sin(curl / 2))
    rig.trunk(hips, pitch=LYING - curl, flex=curl, neck=0.1)
    for left in (1, -1):
        rig.leg(left, 1.3 + 0.75 * up, 0.03, 1.3 + 0.4 * style.b, 0.4)
        rig.arm(left, -0.02, 0.2 + 0.25 * style.c, 0.08)


def v_up(rig: Rig, phase: Array, style: Style) -> None:
    up = np.clip(effort(phase) * style.amplitude, 0, 1.05)
    back = (0.8 + 0.15 * style.a) * up
    rig.trunk(at(0 * up, 0, THICK), pitch=LYING + back, flex=0.35 * up, neck=0.1)
    for left in (1, -1):
        rig.leg(left, 0.08 + back + (0.75 + 0.15 * style.b) * up, 0.03, 0.06, 0.8)
        rig.arm(left, 3.0 - 1.35 * up, 0.08, 0.08)


def side_plank(rig: Rig, phase: Array, style: Style) -> None:
    """On the right forearm, the head at -y; the hips dip and rise."""
    dip = 0.17 * effort(phase) * style.amplitude if style.c < 0.6 else 0.03 * effort(phase)
    body = rig.body
    elbow, foot = 0.05, 0.06 + 0.04
    high, length = elbow + 0.98 * body.upper_arm + body.shoulders, body.leg + body.torso
    angle = np.arcsin((high - foot) / length)
    hips = at(0 * dip, 0, foot + body.leg * np.sin(angle) - dip)
    tilt = np.arcsin(np.clip((high - hips[:, 2]) / body.torso, -1, 1))
    rig.trunk(hips, roll=-np.pi / 2 + tilt)
    down = rig.joints[:, 6] * (1, 1, 0) + at(0, 0, elbow)
    rig.joints[:, 8], rig.joints[:, 10] = down, down + at(0.97 * body.forearm, 0, 0.01)
    end = body.leg * np.cos(angle)
    for left in (1, -1):
        toe = np.array([0.95 * body.foot, 0.25 * body.foot, -0.02])
        rig.step(left, at(0 * dip, end, foot + left * 0.04), np.array([1, 0.1, 0]), toe)
    if style.b < 0.5:
        rig.arm(1, 0.0, 1.5, 0.1)
    else:
        rig.arm(1, 0.0, 0.7, 1.75, np.array([0.3, -1, 0]))


def hanging_knee_raise(rig: Rig, phase: Array, style: Style) -> None:
    up = np.clip(effort(phase) * style.amplitude, 0, 1.05)
    body = rig.body
    bar = body.stature * 1.35
    grip = body.shoulders * (1.05 + 0.4 * style.a)
    rig.trunk(at(-0.02 - 0.06 * up, 0, bar - 0.985 * body.arm - body.torso), pitch=-0.1 * up, flex=0.25 * up)
    straight = style.b > 0.7
    for left in (1, -1):
        rig.reach(left, at(0.0 * up, left * grip, bar), np.array([0.25, 0.8, -1.0]))
        rig.leg(left, 0.05 + (1.5 if straight else 1.85) * up, 0.03, 0.1 + (0.1 if straight else 1.8) * up, 0.6)
    rig.props.append((np.array([0.0, -0.75, bar + 0.04]), np.array([0.0, 0.75, bar + 0.04]), 0.02))
