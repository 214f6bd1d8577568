"""How a body does further exercises of arms, shoulders and upper back: one function each."""

import numpy as np

from .motion import Array, Rig, X
from .poses_floor import LYING, on_bench
from .poses_legs import seat
from .poses_standing import DEGREE, stand
from .style import Style, at, effort


def reverse_fly(rig: Rig, phase: Array, style: Style) -> None:
    wide = effort(phase) * style.amplitude
    lean = (55 + 25 * style.a) * DEGREE
    stand(rig, 0.93, 0.2, 1.2, pitch=lean, neck=-0.35 * lean)
    for left in (1, -1):
        rig.arm(left, lean * (1 - 0.15 * wide), 0.02 + 1.4 * wide, 0.15 + 0.3 * style.b, np.array([1, -0.6, 0]))


def upright_row(rig: Rig, phase: Array, style: Style) -> None:
    up = effort(phase) * style.amplitude
    body = rig.body
    stand(rig)
    grip = 0.1 + 0.1 * style.a
    for left in (1, -1):
        chest = rig.joints[:, 5:7].mean(1)
        low = np.sqrt((0.97 * body.arm) ** 2 - (body.shoulders - grip) ** 2 - 0.16**2)
        hand = at(0.16 + 0.02 * up, left * grip, -low + (low - 0.1) * np.clip(up, 0, 1.05))
        rig.reach(left, chest + hand, np.array([0.1, 1.0, 0.9]))


def triceps_kickback(rig: Rig, phase: Array, style: Style) -> None:
    back = np.clip(effort(phase) * style.amplitude, 0, 1.03)
    lean = (50 + 25 * style.a) * DEGREE
    stand(rig, 0.9, 0.18, 1.1, pitch=lean, neck=-0.35 * lean)
    for left in (1, -1):
        rig.arm(left, -0.05 - 0.15 * style.b, 0.05, 1.6 - 1.5 * back, X)


def concentration_curl(rig: Rig, phase: Array, style: Style) -> None:
    bent = effort(phase) * style.amplitude
    body = rig.body
    high = body.ankle + body.calf + 0.02
    lean = 0.65 + 0.2 * style.a
    rig.trunk(at(0 * bent, 0, high), pitch=lean, flex=0.2, neck=0.1)
    for left in (1, -1):
        foot = at(0.92 * body.thigh + 0 * bent, left * 2.4 * body.hips, body.ankle)
        rig.step(left, foot, np.array([1, 0.5, 0.6]))
    rig.arm(1, lean + 0.3, 0.05, 0.15 + 2.1 * bent, np.array([0.5, -0.7, 0.4]))
    rig.reach(-1, rig.joints[:, 14] + at(-0.08, 0, 0.06), np.array([-0.3, 1, 0.2]))
    seat(rig, high - 0.1)


def seated_row(rig: Rig, phase: Array, style: Style) -> None:
    pull = np.clip(effort(phase) * style.amplitude, 0, 1.05)
    body = rig.body
    high = 0.42
    lean = 0.2 - 0.3 * pull
    rig.trunk(at(0 * pull, 0, high), pitch=lean, neck=-0.1)
    for left in (1, -1):
        foot = at(0.9 * body.leg + 0 * pull, left * 1.2 * body.hips, 0.25)
        rig.step(left, foot, np.array([0.4, 0.1, 1.0]), np.array([0.06, 0, body.foot]))
        flex, elbow = lean + 1.25 - 1.75 * pull, 0.08 + (1.5 + 0.2 * style.a) * pull
        rig.arm(left, flex, 0.03 + 0.25 * style.b * pull, elbow, np.array([1, -0.2, 0.2]))
    seat(rig, high - 0.1)


def inverted_row(rig: Rig, phase: Array, style: Style) -> None:
    """Under a bar, face up, the heels on the floor."""
    up = np.clip(effort(phase) * style.amplitude, 0, 1)
    body = rig.body
    length, heel = body.leg + body.torso, 0.07
    bar = 0.97 * body.arm + 0.3 + 0.2 * style.a
    low = bar - 0.97 * body.arm
    shoulder = low + (0.97 * body.arm - 0.2) * up
    angle = np.arcsin((shoulder - heel) / length)
    end = length * np.cos(np.arcsin((low - heel) / length))
    hips = at(end - body.leg * np.cos(angle), 0, heel + body.leg * np.sin(angle) - 0.03 * style.c)
    rig.trunk(hips, pitch=LYING + angle, neck=0.2)
    for left in (1, -1):
        rig.step(
            left, at(end + 0 * up, left * body.hips, heel), np.array([1, 0, 0.3]), body.foot * np.array([0.35, 0, 0.9])
        )
        hand = at(0.04 + 0 * up, left * (1.2 + 0.5 * style.b) * body.shoulders, bar)
        rig.reach(left, hand, np.array([-1.0, 0.7, -0.5]))
    rig.props.append((np.array([0.04, -0.7, bar + 0.03]), np.array([0.04, 0.7, bar + 0.03]), 0.02))
    rig.props += [(np.array([0.04, y, bar]), np.array([0.04, y, 0.0]), 0.03) for y in (-0.7, 0.7)]


def pullover(rig: Rig, phase: Array, style: Style) -> None:
    back = effort(phase) * style.amplitude
    on_bench(rig)
    for left in (1, -1):
        rig.arm(
            left, np.pi / 2 - 0.05 + (1.2 + 0.25 * style.a) * back, -0.28, 0.15 + 0.4 * style.b, np.array([0, -0.3, 1])
        )
