"""How a body does exercises of yoga and Pilates: one function each."""

import numpy as np

from .motion import Array, Rig, X
from .poses_floor import LYING, THICK
from .poses_standing import stand
from .style import Style, at, effort


def downward_dog(rig: Rig, phase: Array, style: Style) -> None:
    """From a plank, or held."""
    up = np.clip(effort(phase) * style.amplitude, 0, 1) if style.c < 0.6 else 1 - 0.12 * effort(phase)
    body = rig.body
    ankle, palm, span = 0.6 * body.foot, 0.06, body.leg + body.torso
    far = 0.97 * body.arm + body.torso
    angle = np.arcsin((palm + 0.97 * body.arm - ankle) / span)
    low = np.array([body.leg * np.cos(angle), 0, ankle + body.leg * np.sin(angle)])
    along = (span**2 + body.leg**2 - far**2) / (2 * span)
    high = np.array([along, 0, ankle + np.sqrt(body.leg**2 - along**2)])
    hips = low + (high - low) * up[:, None]
    pitch = np.pi / 2 - angle + (angle + np.arctan2(high[2] - palm, span - high[0])) * up
    rig.trunk(hips, pitch=pitch, neck=-0.35 * (1 - up))
    for left in (1, -1):
        rig.reach(left, at(span + 0 * up, left * 1.1 * body.shoulders, palm), np.array([-0.3, 1.0, -0.3]))
        toe = at((0.12 + 0.5 * up) * body.foot, 0, 0.02 - ankle)
        rig.step(left, at(0 * up, left * body.hips, ankle), np.array([1.0, 0.1, -0.3]), toe)


def warrior_one(rig: Rig, phase: Array, style: Style) -> None:
    down = effort(phase) * style.amplitude
    body = rig.body
    front, back = 0.48 * body.leg, -0.75 * body.leg
    middle = (front + back) / 2
    top = 0.985 * np.sqrt(body.leg**2 - (front - middle) ** 2)
    height = body.ankle + top - (top - (0.6 + 0.08 * style.a) * body.leg) * down
    rig.trunk(at(middle * (1 - down), 0, height), pitch=-0.05 * down, flex=-0.1 * down, neck=-0.15 * down)
    rig.step(1, at(front + 0 * down, body.hips, body.ankle), X)
    turned = np.array([0.6, -0.6, 0]) * body.foot + np.array([0, 0, -0.8 * body.ankle])
    rig.step(-1, at(back + 0 * down, -body.hips, body.ankle), np.array([1, 0.4, -0.2]), turned)
    for left in (1, -1):
        rig.arm(left, 0.1 + 2.9 * down / style.amplitude, 0.12 * (1 - style.b), 0.12, np.array([-1, 0, 0]))


def warrior_two(rig: Rig, phase: Array, style: Style) -> None:
    down = effort(phase) * style.amplitude
    body = rig.body
    front, back = 0.5 * body.leg, -0.8 * body.leg
    middle = (front + back) / 2
    top = 0.985 * np.sqrt(body.leg**2 - (front - middle - body.hips) ** 2)
    height = body.ankle + top - (top - (0.58 + 0.1 * style.a) * body.leg) * down
    rig.trunk(at(0 * down, middle * (1 - down) - 0.02 * down, height))
    aside = np.array([0.05, body.foot, -0.8 * body.ankle])
    rig.step(1, at(0 * down, front, body.ankle), np.array([0.25, 1, 0]), aside)
    rig.step(-1, at(0 * down, back, body.ankle), np.array([1, 0.2, 0]))
    for left in (1, -1):
        rig.arm(left, 0.0, 1.52 if style.b < 0.6 else 0.25 + 1.27 * effort(phase), 0.06)


def chair_pose(rig: Rig, phase: Array, style: Style) -> None:
    down = effort(phase) * style.amplitude
    lean = (0.45 + 0.25 * style.a) * down
    stand(
        rig, 0.985 - (0.24 + 0.1 * style.b) * down, 0.24 * down * rig.body.leg / 0.84, 0.9, pitch=lean, neck=-0.3 * lean
    )
    for left in (1, -1):
        rig.arm(left, 0.1 + 2.75 * effort(phase), 0.08, 0.12, np.array([-1, 0, 0]))


def tree_pose(rig: Rig, phase: Array, style: Style) -> None:
    up = np.clip(1.3 * effort(phase) * style.amplitude, 0, 1) if style.c < 0.6 else 1 - 0.05 * effort(phase)
    body = rig.body
    rig.trunk(at(0 * up, -0.8 * body.hips, body.ankle + 0.985 * body.leg))
    rig.step(-1, at(0 * up, -body.hips, body.ankle), X)
    foot = at(
        0.03 * up,
        body.hips - (1.55 * body.hips) * up,
        body.ankle + (0.3 + 0.25 * style.a) * body.leg * up,
    )
    low = np.array([body.foot, 0, -0.8 * body.ankle])
    toe = low + (np.array([0.03, 0.01, -body.foot]) - low) * up[:, None]
    rig.step(1, foot, np.array([1, 0, 0]) + np.array([-0.75, 1.0, 0]) * up[:, None], toe)
    for left in (1, -1):
        if style.b < 0.5:
            rig.arm(left, 0.1 + 2.6 * up, 0.3 - 0.42 * up, 0.15 + 0.3 * up, np.array([0, -1, 0.5]))
        else:
            rig.reach(left, rig.joints[:, 5:7].mean(1) + at(0.24, left * 0.03, -0.1), np.array([0, 1, -0.5]))


def cobra(rig: Rig, phase: Array, style: Style) -> None:
    up = effort(phase) * style.amplitude
    body = rig.body
    rig.trunk(
        at(0 * up, 0, THICK), pitch=np.pi / 2 - 0.12 * up, flex=-(0.75 + 0.3 * style.a) * up, neck=-0.15 - 0.3 * up
    )
    for left in (1, -1):
        palm = at((0.8 + 0.1 * style.b) * body.torso + 0 * up, left * 1.15 * body.shoulders, 0.05)
        rig.reach(left, palm, np.array([-0.6, 0.4, -1.0]))
        rig.leg(left, -0.12 * up, 0.05, 0.04, 1.3)


def boat_pose(rig: Rig, phase: Array, style: Style) -> None:
    up = effort(phase) * style.amplitude
    back = 0.62 + 0.2 * style.a
    rig.trunk(at(0 * up, 0, THICK), pitch=-back, flex=0.15, neck=0.1)
    lift = np.pi / 2 - back + 0.72 - (0.2 - 0.2 * style.b) * up
    for left in (1, -1):
        rig.leg(left, lift, 0.03, 1.5 - 1.45 * np.clip(up, 0, 1), 0.3)
        rig.arm(left, np.pi / 2 - back + 0.1, 0.05, 0.1)


def hundred(rig: Rig, phase: Array, style: Style) -> None:
    """Head and shoulders stay up, and the arms beat."""
    beat = np.sin(2 * np.pi * phase) * style.amplitude
    rig.trunk(at(0 * beat, 0, THICK), pitch=LYING, flex=0.36 + 0.12 * style.a, neck=0.4)
    for left in (1, -1):
        rig.arm(left, 0.55 + 0.12 * style.a + 0.22 * beat, 0.12, 0.05)
        if style.b < 0.7:
            rig.leg(left, 0.75 + 0.5 * style.c, 0.03, 0.06, 1.0)
        else:
            rig.leg(left, np.pi / 2, 0.03, np.pi / 2, 0.6)


def swimming(rig: Rig, phase: Array, style: Style) -> None:
    """Face down, one arm and the other leg high in turn."""
    turn = np.sin(2 * np.pi * phase) * style.amplitude
    rig.trunk(at(0 * turn, 0, THICK), pitch=np.pi / 2, flex=-0.4 - 0.15 * style.a, neck=-0.2, twist=0.08 * turn)
    for left in (1, -1):
        rig.leg(left, -0.22 - 0.2 * turn * left, 0.06, 0.08, 1.2)
        rig.arm(left, 2.95 - 0.28 * turn * left, 0.15, 0.1)
