"""How a body does the exercises that train the hips above all: one function each."""

import numpy as np

from .motion import Array, Rig, X
from .poses_floor import LYING, THICK, on_all_fours
from .poses_standing import stand
from .style import Style, at, effort


def hip_thrust(rig: Rig, phase: Array, style: Style) -> None:
    up = np.clip(effort(phase) * style.amplitude, 0, 1)
    body = rig.body
    bench = 0.36 + 0.06 * style.a
    drop = np.arcsin(np.clip((bench - 0.1) / body.torso, 0, 1)) * (1 - up)
    rig.trunk(
        at(body.torso * np.cos(drop), 0, bench + THICK - body.torso * np.sin(drop)), pitch=LYING + drop, neck=0.35
    )
    feet = body.torso + 0.95 * body.thigh
    for left in (1, -1):
        flat = at(body.foot, 0, -0.8 * body.ankle)
        rig.step(left, at(feet + 0 * up, left * 1.2 * body.hips, body.ankle), np.array([1, 0.1, 0.3]), flat)
        bar = rig.joints[:, 11:13].mean(1) + 0.13 * rig.pelvis[..., 0] + at(0, left * 1.2 * body.shoulders, 0)
        rig.reach(left, bar, np.array([-0.5, 1.0, -0.2]))
    rig.props.append((np.array([-0.02, -0.5, bench - 0.07]), np.array([-0.02, 0.5, bench - 0.07]), 0.07))
    rig.props += [(np.array([-0.02, y, bench - 0.1]), np.array([-0.02, y, 0.0]), 0.03) for y in (-0.4, 0.4)]


def single_leg_deadlift(rig: Rig, phase: Array, style: Style) -> None:
    down = effort(phase) * style.amplitude
    body = rig.body
    lean = (1.2 + 0.2 * style.a) * down
    rig.trunk(
        at(-0.1 * down, -0.8 * body.hips, body.ankle + (0.98 - 0.05 * down) * body.leg), pitch=lean, neck=-0.35 * lean
    )
    rig.step(-1, at(0 * down, -body.hips, body.ankle), X)
    rig.leg(1, 0.12 * (1 - down), 0.0, 0.15 + 0.25 * style.b, 0.2 + 0.5 * down)
    for left in (1, -1):
        rig.arm(left, lean + 0.05, 0.06, 0.08)


def good_morning(rig: Rig, phase: Array, style: Style) -> None:
    down = effort(phase) * style.amplitude
    lean = (1.05 + 0.3 * style.a) * down
    stand(rig, 0.985 - 0.06 * down, 0.24 * down, 1.2, pitch=lean, neck=-0.4 * lean)
    for left in (1, -1):
        rig.arm(left, -0.35, 0.85 + 0.2 * style.b, 2.2, np.array([0.35, 0.1, 1.0]))


def _on_right_side(rig: Rig, top_hand: bool = True) -> None:
    """Somebody on the right side, the head at -y, on the right arm; the left hand is on the floor before the chest."""
    body = rig.body
    tilt = np.arcsin((body.shoulders - body.hips) / body.torso)
    rig.trunk(at(np.zeros(rig.frames), 0, 0.09 + body.hips), roll=-np.pi / 2 + tilt, side=0.12)
    rig.arm(-1, 2.0, -0.25, 2.3, np.array([-0.5, -0.2, 1.0]))
    if top_hand:
        chest = rig.joints[:, 5:7].mean(1)
        rig.reach(1, chest * (1, 1, 0) + at(0.3, 0.12, 0.05), np.array([0.2, 1.0, -0.5]))
    else:
        rig.arm(1, 0.0, 0.12, 0.15)


def clamshell(rig: Rig, phase: Array, style: Style) -> None:
    open_ = effort(phase) * style.amplitude * (0.95 + 0.25 * style.b)
    _on_right_side(rig, style.c < 0.6)
    flex = 0.65 + 0.3 * style.a
    rig.leg(-1, flex, 0.0, 1.65, 0.3)
    heel = rig.joints[:, 16] + at(0.0, 0.0, 0.08)
    toe = rig.toes[:, 1] - rig.joints[:, 16]
    rig.step(1, heel, np.stack([np.cos(open_), np.sin(open_), 0 * open_], -1), toe)


def fire_hydrant(rig: Rig, phase: Array, style: Style) -> None:
    up = effort(phase) * style.amplitude
    tilt = on_all_fours(rig)
    rig.leg(1, tilt, (1.0 + 0.25 * style.a) * up, np.pi / 2 + 0.15 * style.b, 1.3 - 0.8 * up)


def side_lying_leg_raise(rig: Rig, phase: Array, style: Style) -> None:
    up = effort(phase) * style.amplitude
    _on_right_side(rig, style.c < 0.6)
    under = 0.7 * (style.b > 0.6)
    rig.leg(-1, 0.8 * under, 0.0, 0.05 + 1.2 * under, 0.4)
    rig.leg(1, -0.05, -0.05 + (0.7 + 0.25 * style.a) * up, 0.04, 0.3)


def inner_thigh_raise(rig: Rig, phase: Array, style: Style) -> None:
    """The upper foot rests before the lower leg, which is lifted."""
    up = effort(phase) * style.amplitude
    body = rig.body
    _on_right_side(rig, style.c < 0.6)
    spot = at(0.3 + 0.08 * style.b + 0 * up, (0.42 + 0.1 * style.a) * body.leg, body.ankle)
    rig.step(1, spot, np.array([0.5, 1.0, 0.0]), np.array([0.8 * body.foot, 0.5 * body.foot, -0.8 * body.ankle]))
    rig.leg(-1, 0.0, 0.02 - (0.35 + 0.1 * style.a) * up, 0.04, 0.3)


def bird_dog(rig: Rig, phase: Array, style: Style) -> None:
    up = np.clip(effort(phase) * style.amplitude, 0, 1.03)
    tilt = on_all_fours(rig)
    rig.leg(1, tilt * (1 - up), 0.02, np.pi / 2 * np.clip(1 - up, 0.02, 1), 1.3 - 0.6 * up)
    rig.arm(-1, tilt + (np.pi - 0.12 - tilt) * up, 0.04, 0.05 + 0.1 * style.a)
