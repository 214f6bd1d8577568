"""The exercises that the figure can do, and the regions they train."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from . import poses_apparatus, poses_floor, poses_standing
from .look import Equipment
from .motion import Body, Rig
from .style import Style


@dataclass(frozen=True)
class Exercise:
    """One exercise: the regions it trains, in the order of `REGION_IDS`, and how the body does it.

    `pose` puts a rig into the pose of every phase `(T,)`: a repetition starts at 0 and ends at 1, and may go on
    """

    name: str
    regions: tuple[str, ...]
    pose: Callable[[Rig, np.ndarray, Style], None]
    seconds: tuple[float, float] = (1.5, 4.0)
    equipment: tuple[Equipment, ...] = ("none",)


def pose(exercise: Exercise, phase: np.ndarray, body: Body, style: Style) -> Rig:
    """The body in every phase `(T,)` of the exercise."""
    rig = Rig(body, len(phase))
    exercise.pose(rig, np.asarray(phase, np.float64), style)
    if style.mirror:
        rig.mirror()
    return rig


_S, _F, _A = poses_standing, poses_floor, poses_apparatus
_DB: tuple[Equipment, ...] = ("dumbbells",)
_BB: tuple[Equipment, ...] = ("barbell",)
_BOTH: tuple[Equipment, ...] = ("dumbbells", "barbell")
_MAYBE: tuple[Equipment, ...] = ("none", "dumbbells")
_FAST = (0.6, 1.4)

_ALL = (
    Exercise("squat", ("hamstring", "quadriceps", "gluteus"), _S.squat, equipment=_MAYBE),
    Exercise("lunge", ("hamstring", "quadriceps", "gluteus"), _S.lunge, equipment=_MAYBE),
    Exercise("side_lunge", ("quadriceps", "inner_thigh", "outer_thigh", "gluteus"), _S.side_lunge),
    Exercise("deadlift", ("upper_back", "lower_back", "hamstring", "gluteus"), _S.deadlift, equipment=_BOTH),
    Exercise("bent_over_row", ("biceps", "upper_back", "latissimus"), _S.bent_over_row, equipment=_BOTH),
    Exercise("shoulder_press", ("shoulder", "triceps"), _S.shoulder_press, equipment=_BOTH),
    Exercise("lateral_raise", ("shoulder",), _S.lateral_raise, equipment=_DB),
    Exercise("front_raise", ("chest", "shoulder"), _S.front_raise, equipment=_BOTH),
    Exercise("biceps_curl", ("biceps", "forearms"), _S.biceps_curl, equipment=_BOTH),
    Exercise("triceps_extension", ("triceps",), _S.triceps_extension, equipment=_DB),
    Exercise("shrug", ("neck_head", "upper_back"), _S.shrug, equipment=_BOTH),
    Exercise("calf_raise", ("calves", "feet_ankles"), _S.calf_raise, equipment=_MAYBE),
    Exercise("jumping_jack", ("shoulder", "calves", "inner_thigh", "outer_thigh"), _S.jumping_jack, seconds=(0.8, 1.6)),
    Exercise("high_knees", ("lower_abdominis", "quadriceps", "calves"), _S.high_knees, seconds=_FAST),
    Exercise("farmer_walk", ("forearms", "upper_back", "wrists"), _S.farmer_walk, seconds=(0.9, 1.6), equipment=_DB),
    Exercise("side_bend", ("obliques",), _S.side_bend, equipment=_MAYBE),
    Exercise("side_leg_raise", ("outer_thigh", "gluteus"), _S.side_leg_raise),
    Exercise("wall_push_up", ("chest", "shoulder", "triceps"), _A.wall_push_up),
    Exercise("neck_flexion", ("neck_head",), _S.neck_flexion),
    Exercise("pull_up", ("biceps", "forearms", "upper_back", "latissimus"), _A.pull_up),
    Exercise("lat_pulldown", ("biceps", "latissimus"), _A.lat_pulldown),
    Exercise("triceps_dip", ("chest", "shoulder", "triceps"), _A.triceps_dip),
    Exercise("push_up", ("chest", "shoulder", "triceps"), _F.push_up),
    Exercise("plank", ("upper_abdominis", "lower_abdominis", "lower_back"), _F.plank),
    Exercise(
        "mountain_climber",
        ("shoulder", "upper_abdominis", "lower_abdominis", "quadriceps"),
        _F.mountain_climber,
        seconds=_FAST,
    ),
    Exercise("sit_up", ("upper_abdominis", "lower_abdominis"), _F.sit_up),
    Exercise("crunch", ("upper_abdominis",), _F.crunch),
    Exercise("leg_raise", ("upper_abdominis", "lower_abdominis"), _F.leg_raise),
    Exercise("russian_twist", ("obliques", "upper_abdominis"), _F.russian_twist),
    Exercise("glute_bridge", ("lower_back", "hamstring", "gluteus"), _F.glute_bridge),
    Exercise("superman", ("lower_back", "hamstring", "gluteus"), _F.superman),
    Exercise("donkey_kick", ("hamstring", "gluteus"), _F.donkey_kick),
    Exercise("bench_press", ("chest", "shoulder", "triceps"), _F.bench_press, equipment=_BOTH),
    Exercise("chest_fly", ("chest", "shoulder"), _F.chest_fly, equipment=_DB),
)

EXERCISES: Mapping[str, Exercise] = MappingProxyType({exercise.name: exercise for exercise in _ALL})
"""All exercises by name."""
