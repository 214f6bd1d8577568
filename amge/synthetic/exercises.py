"""The exercises that the figure can do, the regions they train, and who says so."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from amge.muscles import REGION_IDS

from . import (
    poses_apparatus,
    poses_arms,
    poses_core,
    poses_floor,
    poses_hips,
    poses_legs,
    poses_quick,
    poses_standing,
    poses_yoga,
)
from .look import Equipment
from .motion import Body, Rig
from .style import Style

Pose = Callable[[Rig, np.ndarray, Style], None]


@dataclass(frozen=True)
class Exercise:
    """One exercise: the regions it trains, in the order of `REGION_IDS`, and how the body does it.

    `pose` puts a rig into the pose of every phase `(T,)`: a repetition starts at 0 and ends at 1, and may go on.
    `family` is that of the open exercise photographs which show it or come nearest, or `other`. `sources` has for
    each region a name of `amge.synthetic.sources.SOURCES`; it is empty where the regions were chosen without one.
    """

    name: str
    family: str
    regions: tuple[str, ...]
    pose: Pose
    seconds: tuple[float, float]
    equipment: tuple[Equipment, ...]
    sources: tuple[str, ...]


def pose(exercise: Exercise, phase: np.ndarray, body: Body, style: Style) -> Rig:
    """The body in every phase `(T,)` of the exercise."""
    rig = Rig(body, len(phase))
    exercise.pose(rig, np.asarray(phase, np.float64), style)
    if style.mirror:
        rig.mirror()
    return rig


_S, _F, _A = poses_standing, poses_floor, poses_apparatus
_Y, _H, _L, _C, _U, _Q = poses_yoga, poses_hips, poses_legs, poses_core, poses_arms, poses_quick
_DB: tuple[Equipment, ...] = ("dumbbells",)
_BB: tuple[Equipment, ...] = ("barbell",)
_BOTH: tuple[Equipment, ...] = ("dumbbells", "barbell")
_MAYBE: tuple[Equipment, ...] = ("none", "dumbbells")
_BRISK, _FAST, _HASTY = (0.8, 1.6), (0.6, 1.4), (0.4, 0.8)


def _exercise(
    name: str,
    family: str,
    pose: Pose,
    regions: str,
    equipment: tuple[Equipment, ...] = ("none",),
    seconds: tuple[float, float] = (1.5, 4.0),
) -> Exercise:
    """An exercise of `regions` in words, each group after the source that names it: `source: region region; …`."""
    said: dict[str, str] = {}
    for part in regions.split(";"):
        source, _, named = part.rpartition(":")
        said |= dict.fromkeys(named.split(), source.strip())
    ordered = tuple(sorted(said, key=REGION_IDS.index))
    return Exercise(name, family, ordered, pose, seconds, equipment, tuple(said[r] for r in ordered if said[r]))


_ALL = (
    _exercise("squat", "squat", _S.squat, "hamstring quadriceps gluteus", _MAYBE),
    _exercise("lunge", "lunge", _S.lunge, "hamstring quadriceps gluteus", _MAYBE),
    _exercise("side_lunge", "lunge", _S.side_lunge, "quadriceps inner_thigh outer_thigh gluteus"),
    _exercise("deadlift", "deadlift", _S.deadlift, "upper_back lower_back hamstring gluteus", _BOTH),
    _exercise("bent_over_row", "row", _S.bent_over_row, "biceps upper_back latissimus", _BOTH),
    _exercise("shoulder_press", "shoulder_press", _S.shoulder_press, "shoulder triceps", _BOTH),
    _exercise("lateral_raise", "lateral_raise", _S.lateral_raise, "shoulder", _DB),
    _exercise("front_raise", "lateral_raise", _S.front_raise, "chest shoulder", _BOTH),
    _exercise("biceps_curl", "biceps_curl", _S.biceps_curl, "biceps forearms", _BOTH),
    _exercise("triceps_extension", "triceps_ext", _S.triceps_extension, "triceps", _DB),
    _exercise("shrug", "shrug", _S.shrug, "neck_head upper_back", _BOTH),
    _exercise("calf_raise", "calf_raise", _S.calf_raise, "calves feet_ankles", _MAYBE),
    _exercise("jumping_jack", "jump", _S.jumping_jack, "shoulder calves inner_thigh outer_thigh", seconds=_BRISK),
    _exercise("high_knees", "run_cardio", _S.high_knees, "lower_abdominis quadriceps calves", seconds=_FAST),
    _exercise("farmer_walk", "wrist", _S.farmer_walk, "forearms upper_back wrists", _DB, seconds=(0.9, 1.6)),
    _exercise("side_bend", "oblique_twist", _S.side_bend, "obliques", _MAYBE),
    _exercise("side_leg_raise", "adduct_abduct", _S.side_leg_raise, "outer_thigh gluteus"),
    _exercise("wall_push_up", "push_up", _A.wall_push_up, "chest shoulder triceps"),
    _exercise("neck_flexion", "stretch_neck", _S.neck_flexion, "neck_head"),
    _exercise("pull_up", "pull_up", _A.pull_up, "biceps forearms upper_back latissimus"),
    _exercise("lat_pulldown", "pulldown", _A.lat_pulldown, "biceps latissimus"),
    _exercise("triceps_dip", "dip", _A.triceps_dip, "chest shoulder triceps"),
    _exercise("push_up", "push_up", _F.push_up, "chest shoulder triceps"),
    _exercise("plank", "plank", _F.plank, "upper_abdominis lower_abdominis lower_back"),
    _exercise(
        "mountain_climber",
        "other",
        _F.mountain_climber,
        "shoulder upper_abdominis lower_abdominis quadriceps",
        seconds=_FAST,
    ),
    _exercise("sit_up", "sit_up", _F.sit_up, "upper_abdominis lower_abdominis"),
    _exercise("crunch", "crunch", _F.crunch, "upper_abdominis"),
    _exercise("leg_raise", "leg_raise", _F.leg_raise, "upper_abdominis lower_abdominis"),
    _exercise("russian_twist", "oblique_twist", _F.russian_twist, "obliques upper_abdominis"),
    _exercise("glute_bridge", "glute_bridge", _F.glute_bridge, "lower_back hamstring gluteus"),
    _exercise("superman", "deadlift", _F.superman, "lower_back hamstring gluteus"),
    _exercise("donkey_kick", "other", _F.donkey_kick, "hamstring gluteus"),
    _exercise("bench_press", "bench_press", _F.bench_press, "chest shoulder triceps", _BOTH),
    _exercise("chest_fly", "fly", _F.chest_fly, "chest shoulder", _DB),
    _exercise("downward_dog", "other", _Y.downward_dog, "kaminoff: shoulder triceps obliques"),
    _exercise("warrior_one", "lunge", _Y.warrior_one, "kaminoff: shoulder; liu-2021: quadriceps; ni-2014: gluteus"),
    _exercise(
        "warrior_two",
        "lunge",
        _Y.warrior_two,
        "kaminoff: shoulder; liu-2021: quadriceps; wang-2013: inner_thigh feet_ankles",
    ),
    _exercise(
        "chair_pose", "squat", _Y.chair_pose, "kaminoff: shoulder gluteus; ni-2014: lower_back; liu-2021: quadriceps"
    ),
    _exercise("tree_pose", "other", _Y.tree_pose, "wang-2013: calves outer_thigh; neumann: feet_ankles"),
    _exercise("cobra", "other", _Y.cobra, "kaminoff: triceps; ratthore-2015: lower_back"),
    _exercise("boat_pose", "sit_up", _Y.boat_pose, "kaminoff: upper_abdominis lower_abdominis quadriceps"),
    _exercise(
        "hundred",
        "crunch",
        _Y.hundred,
        "moon-2019: obliques upper_abdominis; isacowitz: lower_abdominis quadriceps",
        seconds=_HASTY,
    ),
    _exercise(
        "swimming", "deadlift", _Y.swimming, "menacho-2010: lower_back; isacowitz: hamstring gluteus", seconds=_FAST
    ),
    _exercise(
        "hip_thrust", "glute_bridge", _H.hip_thrust, "contreras-2015: hamstring quadriceps gluteus", ("none", "barbell")
    ),
    _exercise(
        "single_leg_deadlift",
        "deadlift",
        _H.single_leg_deadlift,
        "delavier: lower_back hamstring; distefano-2009: gluteus",
        _MAYBE,
    ),
    _exercise(
        "good_morning", "deadlift", _H.good_morning, "vigotsky-2015: lower_back hamstring; delavier: gluteus", _BB
    ),
    _exercise("clamshell", "adduct_abduct", _H.clamshell, "distefano-2009: outer_thigh; selkowitz-2013: gluteus"),
    _exercise("fire_hydrant", "adduct_abduct", _H.fire_hydrant, "neumann: outer_thigh gluteus"),
    _exercise("side_lying_leg_raise", "adduct_abduct", _H.side_lying_leg_raise, "distefano-2009: outer_thigh gluteus"),
    _exercise("inner_thigh_raise", "adduct_abduct", _H.inner_thigh_raise, "serner-2014: inner_thigh"),
    _exercise("bird_dog", "other", _H.bird_dog, "neumann: shoulder; ekstrom-2007: lower_back hamstring gluteus"),
    _exercise(
        "curtsy_lunge", "lunge", _L.curtsy_lunge, "ekstrom-2007: quadriceps gluteus; neumann: outer_thigh", _MAYBE
    ),
    _exercise("step_up", "lunge", _L.step_up, "ekstrom-2007: quadriceps gluteus", _MAYBE),
    _exercise("wall_sit", "squat", _L.wall_sit, "ayotte-2007: quadriceps gluteus"),
    _exercise("sumo_squat", "squat", _L.sumo_squat, "mccaw-1999: quadriceps inner_thigh gluteus", _MAYBE),
    _exercise("leg_press", "leg_press", _L.leg_press, "escamilla-2001: quadriceps; da-silva-2008: gluteus"),
    _exercise("leg_extension", "leg_press", _L.leg_extension, "escamilla-1998: quadriceps"),
    _exercise("leg_curl", "leg_curl", _L.leg_curl, "delavier: hamstring calves"),
    _exercise("dead_bug", "leg_raise", _C.dead_bug, "neumann: upper_abdominis; emami-2015: obliques lower_abdominis"),
    _exercise("bicycle_crunch", "crunch", _C.bicycle_crunch, "anders-2001: obliques upper_abdominis", seconds=_BRISK),
    _exercise(
        "reverse_crunch", "crunch", _C.reverse_crunch, "escamilla-2006: obliques upper_abdominis lower_abdominis"
    ),
    _exercise("v_up", "sit_up", _C.v_up, "neumann: upper_abdominis lower_abdominis quadriceps"),
    _exercise("side_plank", "plank", _C.side_plank, "ekstrom-2007: obliques lower_back outer_thigh"),
    _exercise(
        "hanging_knee_raise",
        "leg_raise",
        _C.hanging_knee_raise,
        "escamilla-2006: obliques upper_abdominis lower_abdominis",
    ),
    _exercise("reverse_fly", "rear_delt", _U.reverse_fly, "schoenfeld-2013: shoulder; delavier: upper_back", _DB),
    _exercise("upright_row", "upright_row", _U.upright_row, "mcallister-2013: shoulder biceps upper_back", _BOTH),
    _exercise("triceps_kickback", "triceps_ext", _U.triceps_kickback, "boehler-2011: triceps", _DB),
    _exercise("concentration_curl", "biceps_curl", _U.concentration_curl, "delavier: biceps", _DB),
    _exercise("seated_row", "row", _U.seated_row, "lehman-2004: biceps upper_back latissimus"),
    _exercise("inverted_row", "row", _U.inverted_row, "neumann: biceps; fenwick-2009: upper_back latissimus"),
    _exercise("pullover", "fly", _U.pullover, "marchetti-2011: chest latissimus; borges-2018: triceps", _DB),
    _exercise(
        "kettlebell_swing",
        "other",
        _Q.kettlebell_swing,
        "mcgill-2012: lower_back gluteus; van-gelder-2015: hamstring",
        _MAYBE,
        seconds=(1.0, 2.0),
    ),
    _exercise(
        "running", "run_cardio", _Q.running, "novacheck-1998: hamstring quadriceps calves gluteus", seconds=_FAST
    ),
    _exercise(
        "skater_jump",
        "jump",
        _Q.skater_jump,
        "neumann: quadriceps calves; distefano-2009: outer_thigh gluteus",
        seconds=(1.0, 2.0),
    ),
    _exercise(
        "squat_jump", "jump", _Q.squat_jump, "bobbert-1988: hamstring quadriceps calves gluteus", seconds=(1.0, 2.0)
    ),
    _exercise("jump_rope", "jump", _Q.jump_rope, "neumann: calves feet_ankles", seconds=_HASTY),
    _exercise("jab", "other", _Q.jab, "kumar-2022: shoulder triceps upper_back; neumann: obliques", seconds=_BRISK),
    _exercise(
        "battle_ropes", "strongman", _Q.battle_ropes, "calatayud-2015: shoulder obliques lower_back", seconds=_HASTY
    ),
)

EXERCISES: Mapping[str, Exercise] = MappingProxyType({exercise.name: exercise for exercise in _ALL})
"""All exercises by name."""
