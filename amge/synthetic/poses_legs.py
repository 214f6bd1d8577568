"""How a body does the exercises that train the legs above all: one function each."""

import numpy as np

from .motion import Array, Rig, X
from .poses_floor import THICK
from .poses_standing import hang, stand
from .style import Style, at, effort


def seat(rig: Rig, high: float) -> None:
    """A stool whose top is at the height `high`."""
    rig.props.append((np.array([-0.15, 0, high - 0.07]), np.array([0.2, 0, high - 0.07]), 0.07))
    rig.props.append((np.array([0.0, 0, high - 0.07]), np.array([0.0, 0, 0.0]), 0.04))


def curtsy_lunge(rig: Rig, phase: Array, style: Style) -> None:
    down = effort(phase) * style.amplitude
    body = rig.body
    lean = 0.25 * down
    height = body.ankle + (0.985 - (0.26 + 0.08 * style.a) * down) * body.leg
    rig.trunk(at(-0.14 * down, 0.3 * body.hips * down, height), pitch=lean, neck=-0.3 * lean)
    rig.step(1, at(0 * down, body.hips, body.ankle), np.array([1, 0.1, 0]))
    foot = at(-0.5 * body.leg * down, (0.32 * down - 1) * body.hips + 0.2 * down, body.ankle + 0.07 * down)
    toe = np.array([0.8 * body.foot, 0.0, -0.85 * body.ankle]) + at(0 * down, 0, -0.06 * down)
    rig.step(-1, foot, np.array([1, -0.2, -0.2]), toe)
    if style.c < 0.5:
        hang(rig)
    else:
        for left in (1, -1):
            rig.reach(left, rig.joints[:, 5:7].mean(1) + at(0.24, left * 0.04, -0.1), np.array([0, 1, -0.7]))


def step_up(rig: Rig, phase: Array, style: Style) -> None:
    up = np.clip(effort(phase) * style.amplitude, 0, 1)
    body = rig.body
    box = 0.26 + 0.14 * style.a
    far = 0.32
    lean = 0.35 * np.sin(np.pi * up)
    rig.trunk(at(far * up - 0.02, 0, body.ankle + 0.97 * body.leg + box * up), pitch=lean + 0.05, neck=-0.3 * lean)
    rig.step(1, at(far + 0 * up, body.hips, body.ankle + box), X)
    follow = np.clip(1.6 * up - 0.6, 0, 1)
    lift = box * np.clip(1.8 * up - 0.5, 0, 1) + 0.08 * np.sin(np.pi * follow)
    rig.step(-1, at(far * follow - 0.02, -body.hips, body.ankle + lift), X)
    for left in (1, -1):
        rig.arm(left, 0.05 + 0.4 * style.b * np.sin(np.pi * up) * -left, 0.12, 0.2 + 0.9 * style.b * (style.c < 0.5))
    for x in (0.22, 0.42):
        rig.props.append((np.array([x, -0.3, box - 0.07]), np.array([x, 0.3, box - 0.07]), 0.07))
        rig.props += [(np.array([x, y, box - 0.1]), np.array([x, y, 0.0]), 0.03) for y in (-0.27, 0.27)]


def wall_sit(rig: Rig, phase: Array, style: Style) -> None:
    """Down along the wall, or held there."""
    down = effort(phase) * style.amplitude if style.c < 0.6 else 1 - 0.12 * effort(phase)
    body = rig.body
    feet = 0.97 * body.thigh
    top = 0.985 * np.sqrt(body.leg**2 - feet**2)
    rig.trunk(at(0 * down, 0, body.ankle + top - (top - (1.0 + 0.15 * style.a) * body.calf) * np.clip(down, 0, 1)))
    for left in (1, -1):
        rig.step(left, at(feet + 0 * down, left * 1.1 * body.hips, body.ankle), X)
        if style.b < 0.5:
            rig.arm(left, 0.15, 0.12, 0.25)
        else:
            rig.reach(left, rig.joints[:, 13 if left > 0 else 14] + at(-0.1, 0, 0.06), np.array([-0.5, 1, -0.5]))
    rig.props += [(np.array([-0.17, y, 0.05]), np.array([-0.17, y, 2.1]), 0.04) for y in (-0.35, 0.35)]


def sumo_squat(rig: Rig, phase: Array, style: Style) -> None:
    down = effort(phase) * style.amplitude
    apart = 2.8 + 0.8 * style.a
    lean = (0.3 + 0.2 * style.b) * down
    stand(rig, 0.93 - (0.32 + 0.1 * style.b) * down, 0.12 * down, apart, pitch=lean, neck=-0.4 * lean)
    for left in (1, -1):
        rig.toes[:, 0 if left > 0 else 1] += np.array([-0.06, left * 0.08, 0])
        if style.c < 0.6:
            rig.arm(left, lean + 0.08, -0.28, 0.08)
        else:
            rig.reach(left, rig.joints[:, 5:7].mean(1) + at(0.22, left * 0.04, -0.1), np.array([0, 1, -0.7]))


def leg_press(rig: Rig, phase: Array, style: Style) -> None:
    bent = effort(phase) * style.amplitude
    body = rig.body
    rise = 0.6 + 0.3 * style.a
    hips = at(0 * bent, 0, 0.38)
    rig.trunk(hips, pitch=-0.9, neck=0.3)
    reach = (0.965 - 0.4 * np.clip(bent, 0, 1)) * body.leg
    ahead, plate = np.array([np.cos(rise), 0, np.sin(rise)]), np.array([-np.sin(rise), 0, np.cos(rise)])
    for left in (1, -1):
        ankle = hips + ahead * reach[:, None] + at(0, left * 1.4 * body.hips, 0)
        rig.step(left, ankle, np.array([1, 0.25, 0.4]), body.foot * plate + 0.06 * ahead)
        rig.reach(left, hips + at(0.05, left * 0.26, 0.02), np.array([-1, 0.4, -0.3]))
    rear = 0.38 + body.torso * np.cos(0.9) - 0.1
    rig.props.append((np.array([-0.15, 0, 0.24]), np.array([-0.15 - body.torso * np.sin(0.9), 0, rear]), 0.07))
    rig.props.append((np.array([-0.25, 0, 0.26]), np.array([0.2, 0, 0.26]), 0.06))
    rig.props.append((np.array([-0.1, 0, 0.26]), np.array([-0.1, 0, 0.0]), 0.05))


def leg_extension(rig: Rig, phase: Array, style: Style) -> None:
    up = effort(phase) * style.amplitude
    body = rig.body
    high = body.ankle + body.calf + 0.08
    rig.trunk(at(0 * up, 0, high), pitch=-0.12 - 0.2 * style.a, neck=0.1)
    back = 0.12 + 0.2 * style.a
    for left in (1, -1):
        rig.leg(left, np.pi / 2 - back, 0.04, 1.6 - 1.5 * np.clip(up, 0, 1), 0.1)
        rig.reach(left, at(0.0 * up, left * 0.25, high - 0.02), np.array([-1, 0.3, 0]))
    seat(rig, high - THICK)
    top = np.array([-0.15 - np.sin(back) * 0.5, 0, high + 0.4])
    rig.props.append((np.array([-0.15, 0, high - 0.1]), top, 0.06))


def leg_curl(rig: Rig, phase: Array, style: Style) -> None:
    """Face down on a bench."""
    up = effort(phase) * style.amplitude
    body = rig.body
    top = 0.5
    rig.trunk(at(0 * up, 0, top + THICK), pitch=np.pi / 2, flex=-0.1 - 0.15 * style.b, neck=-0.25)
    for left in (1, -1):
        rig.leg(left, 0.02, 0.05, 0.12 + (1.6 + 0.35 * style.a) * up, 0.3)
        hand = at(body.torso + 0.05 + 0 * up, left * 0.2, top - 0.02)
        rig.reach(left, hand, np.array([-0.4, 1.0, -0.3]))
    rig.props.append((np.array([-0.4, 0, top - 0.06]), np.array([body.torso + 0.1, 0, top - 0.06]), 0.065))
    rig.props += [(np.array([x, 0, top - 0.08]), np.array([x, 0, 0.0]), 0.035) for x in (-0.3, body.torso)]
