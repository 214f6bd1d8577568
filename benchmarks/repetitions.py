"""How well are repetitions counted? Clips of the rendered figure with known counts, as JSON.

python benchmarks/repetitions.py
python benchmarks/repetitions.py --videos FOLDER       and what is counted in its videos, by pictures and by MediaPipe

Each exercise is rendered `--clips` times, by another body, camera and look: 1 to 10 repetitions at a tempo of the
exercise's range, each up to 15 % longer or shorter than that; half of the clips have up to 2 s of rest before and
after, half up to 0.6 s after each repetition, all the noise and the shake of their camera. Every tenth clip is 6 to
12 s of somebody who keeps still in the exercise's first pose, count 0. `joints` are those of the figure, each off by a
normal error of 1 % of the picture's height, one in ten missing; `pictures` are the pixels alone.

`mae` is the mean of |counted - true| / true (normalised mean absolute error), `off_by_one` the share of clips with
|counted - true| <= 1, `exact` that with none; `tempo` is the median relative error of the seconds of a repetition
where the count is exact; `false` is the share of the `still` clips in which some are counted.
"""

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from amge.repetitions import Repetitions, of_joints, repetitions
from amge.synthetic import EXERCISES, sample_body, sample_camera, sample_look, sample_style
from amge.synthetic.clip import compose

FPS = 15
HELD = {"plank", "side_plank", "tree_pose", "downward_dog", "wall_sit"}
"""In which somebody may keep still."""
IN_TURN = {
    *("biceps_curl", "high_knees", "farmer_walk", "mountain_climber", "russian_twist", "swimming", "bird_dog"),
    *("dead_bug", "bicycle_crunch", "running", "skater_jump", "jab", "battle_ropes", "side_bend"),
}
"""Left and right, of which a repetition has both, or one."""


class Clip(NamedTuple):
    """A rendered clip."""

    exercise: str
    count: int
    seconds: float
    """Of a repetition, the median; nan without any."""
    frames: np.ndarray
    keypoints: np.ndarray


def make(exercise: str, still: bool, size: tuple[int, int], rng: np.random.Generator) -> Clip:
    """A clip of an exercise."""
    move = EXERCISES[exercise]
    count, tempo = 0 if still else int(rng.integers(1, 11)), rng.uniform(*move.seconds)
    around, between = 6.0 if still else rng.choice([0.0, 2.0]), rng.choice([0.0, 0.6])

    def rest(longest: float, phase: int) -> np.ndarray:
        return np.full(round(rng.uniform(0.5, 1) * longest * FPS), float(phase))

    lengths = [max(4, round(tempo * rng.uniform(0.85, 1.15) * FPS)) for _ in range(count)]
    phase = [rest(around, 0)]
    for number, length in enumerate(lengths):
        phase += [number + np.arange(length) / length, rest(between, number + 1)]
    phase += [rest(around, count), np.array([float(count)])]
    body, style, camera, look = sample_body(rng), sample_style(rng), sample_camera(rng), sample_look(rng)
    pictures, keypoints = compose(
        move, np.concatenate(phase), body, style, camera, look, size, int(rng.integers(2**31))
    )
    keypoints[..., :2] += rng.normal(0, 0.01 * size[0], keypoints[..., :2].shape)
    keypoints[rng.random(keypoints.shape[:2]) < 0.1] = 0
    return Clip(exercise, count, float(np.median(lengths)) / FPS if lengths else float("nan"), pictures, keypoints)


def figures(clips: list[tuple[Clip, Repetitions]]) -> dict[str, Any]:
    """Errors over clips and what was counted in them."""
    moving = [(clip, found) for clip, found in clips if clip.count]
    errors = np.array([abs(found.count - clip.count) for clip, found in moving])
    true = np.array([clip.count for clip, _ in moving])
    tempo = [abs(found.seconds / clip.seconds - 1) for clip, found in moving if found.count == clip.count]  # type: ignore[operator]
    still = [found.count > 0 for clip, found in clips if not clip.count]
    shares: dict[str, Any] = {"clips": len(moving)}
    if moving:
        shares |= {"mae": (errors / true).mean(), "off_by_one": (errors <= 1).mean(), "exact": (errors == 0).mean()}
    if tempo:
        shares["tempo"] = np.median(tempo)
    if still:
        shares |= {"still": len(still), "false": np.mean(still)}
    return {name: round(float(value), 3) if isinstance(value, float) else value for name, value in shares.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=2, help="of each exercise")
    parser.add_argument("--exercises", nargs="*", default=list(EXERCISES), choices=list(EXERCISES), metavar="NAME")
    parser.add_argument("--size", type=int, nargs=2, default=(96, 128), metavar=("H", "W"), help="of the pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--videos", type=Path, help="folder of videos to count in besides")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    found: dict[str, list[tuple[Clip, Repetitions]]] = {"joints": [], "pictures": []}
    for number in range(options.clips * len(options.exercises)):
        clip = make(options.exercises[number // options.clips], number % 10 == 9, tuple(options.size), rng)
        found["joints"].append((clip, of_joints(clip.keypoints, np.arange(len(clip.frames)) / FPS)))
        found["pictures"].append((clip, repetitions(clip.frames, fps=FPS)))
    groups = {
        "all": {*EXERCISES},
        "left and right in turn": IN_TURN,
        "held": HELD,
        "others": {*EXERCISES} - IN_TURN - HELD,
    }
    report: dict[str, Any] = {
        kind: {group: figures([each for each in some if each[0].exercise in names]) for group, names in groups.items()}
        for kind, some in found.items()
    }
    if options.videos:
        report["videos"] = {
            path.name: {
                kind: repetitions(path, pose).to_dict()
                for kind, pose in (("pictures", None), ("mediapipe", "mediapipe"))
            }
            for path in sorted(options.videos.glob("*.mp4"))
        }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
