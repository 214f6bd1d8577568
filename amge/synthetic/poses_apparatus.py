"""How a body does the exercises that need a wall, a bar or a seat: one function each."""

import numpy as np

from .motion import Array, Rig, X
from .style import Style, at, effort


def wall_push_up(rig: Rig, phase: Array, style: Style) -> None:
    near = effort(phase) * style.amplitude
    body = rig.body
    lean = 0.18 + 0.12 * style.a + 0.3 * near
    reach = body.leg + body.torso
    hips = at(body.leg * np.sin(lean), 0, body.ankle + body.leg * np.cos(lean))
    rig.trunk(hips, pitch=lean, neck=-0.3 * lean)
    wall = reach * np.sin(0.18 + 0.12 * style.a) + 0.94 * body.arm
    for left in (1, -1):
        rig.step(left, at(0 * near, left * body.hips, body.ankle), X, at(body.foot, 0, -0.8 * body.ankle))
        hand = at(wall + 0 * near, left * (1.15 * body.shoulders), body.ankle + 0.97 * reach)
        rig.reach(left, hand, np.array([-0.3, 1.0, -1.0]))
    side = 0.35
    rig.props += [(np.array([wall + 0.12, y, 0.05]), np.array([wall + 0.12, y, 2.1]), 0.04) for y in (-side, side)]


def pull_up(rig: Rig, phase: Array, style: Style) -> None:
    up = effort(phase) * style.amplitude
    body = rig.body
    bar = body.stature * 1.35
    grip = body.shoulders * (1.0 + 0.9 * style.a)
    low = np.sqrt((0.985 * body.arm) ** 2 - (grip - body.shoulders) ** 2)
    shoulders = bar - low + (low + 0.02) * 0.88 * up
    rig.trunk(at(-0.03 - 0.06 * up, 0, shoulders - body.torso), pitch=-0.15 * up, neck=-0.25 * up)
    for left in (1, -1):
        rig.reach(left, at(0.02 + 0 * up, left * grip, bar), np.array([0.25, 0.8, -1.0]))
        rig.leg(left, 0.1 * up + 0.05, 0.02, 0.2 + 1.3 * style.b, 0.5)
    rig.props.append((np.array([0.02, -0.75, bar + 0.04]), np.array([0.02, 0.75, bar + 0.04]), 0.02))


def lat_pulldown(rig: Rig, phase: Array, style: Style) -> None:
    pull = effort(phase) * style.amplitude
    body = rig.body
    seat = body.ankle + body.calf + 0.02
    rig.trunk(at(0 * pull, 0, seat), pitch=-0.08 - 0.2 * pull, neck=0.1)
    grip = body.shoulders * (1.3 + 0.8 * style.a)
    top = seat + body.torso + np.sqrt((0.97 * body.arm) ** 2 - (grip - body.shoulders) ** 2)
    for left in (1, -1):
        hand = at(0.08 + 0.04 * pull, left * grip, top - (0.85 * body.arm) * pull)
        rig.reach(left, hand, np.array([0.1, 0.8, -1.0]))
        rig.step(left, at(body.thigh, left * 1.4 * body.hips, body.ankle) + 0 * hand, np.array([1, 0.1, 1]))
    low = seat - 0.15
    rig.props.append((np.array([-0.15, 0, low]), np.array([0.2, 0, low]), 0.07))
    rig.props.append((np.array([0.0, 0, low]), np.array([0.0, 0, 0.0]), 0.04))


def triceps_dip(rig: Rig, phase: Array, style: Style) -> None:
    down = effort(phase) * style.amplitude
    body = rig.body
    bench = 0.42 + 0.06 * style.a
    rig.trunk(
        at(0.16 + 0 * down, 0, bench + 0.97 * body.arm - body.torso - (0.22 + 0.06 * style.b) * down), pitch=-0.05
    )
    feet = 0.16 + body.thigh + (0.1 + 0.3 * style.c) * body.calf
    for left in (1, -1):
        rig.reach(left, at(0 * down, left * 1.1 * body.shoulders, bench + 0.03), np.array([-1, 0.15, 0.2]))
        flat = at(body.foot, 0, -0.8 * body.ankle)
        rig.step(left, at(feet + 0 * down, left * body.hips, body.ankle), np.array([1, 0, 1]), flat)
    rig.props.append((np.array([-0.12, -0.5, bench - 0.07]), np.array([-0.12, 0.5, bench - 0.07]), 0.07))
    rig.props += [(np.array([-0.12, y, bench - 0.1]), np.array([-0.12, y, 0.0]), 0.03) for y in (-0.4, 0.4)]
