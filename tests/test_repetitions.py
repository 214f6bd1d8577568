"""How often a movement is repeated, and what works in each repetition."""

import numpy as np
import pytest

from amge.errors import VideoError
from amge.repetitions import Repetition, Repetitions, activations, of_joints, repetitions
from amge.skeleton.sequence import Skeletons
from amge.synthetic.exercises import EXERCISES, pose
from amge.synthetic.motion import Body
from amge.synthetic.style import Style
from amge.video.write import write_video

FPS = 15


def phase(count, seconds=2.0, rest=0.0):
    """Of repetitions, with rest before, between and after them, `(T,)`."""
    still = [np.zeros(int(rest * FPS))]
    moves = [
        each for i in range(count) for each in (i + np.arange(round(seconds * FPS)) / (seconds * FPS), still[0] + i + 1)
    ]
    return np.concatenate([*still, *moves, [count]])


def joints(count, exercise="squat", **tempo):
    """Somebody seen from the side, 100 pixels to the metre, `(T, 17, 3)`, and the times."""
    rig = pose(EXERCISES[exercise], phase(count, **tempo), Body(), Style())
    places = rig.joints[..., [0, 2]] * (100, -100) + (100, 200)
    return np.concatenate([places, np.ones_like(places[..., :1])], axis=-1), np.arange(len(places)) / FPS


def pictures(count, **tempo):
    """A square that goes up and down, uint8 `(T, 16, 24, 3)`."""
    up = 0.5 - 0.5 * np.cos(2 * np.pi * phase(count, **tempo))
    frames = np.full((len(up), 16, 24, 3), 40, np.uint8)
    for frame, height in zip(frames, up, strict=True):
        top = round(1 + 9 * height)
        frame[top : top + 5, 6:16] = 220
    return frames


@pytest.mark.parametrize("count", [1, 2, 9])
@pytest.mark.parametrize("exercise", ["squat", "jumping_jack", "bench_press"])
def test_joints_are_counted(count, exercise):
    assert of_joints(*joints(count, exercise)).count == count


@pytest.mark.parametrize("seconds", [0.8, 3.0])
@pytest.mark.parametrize("rest", [0.0, 1.4])
def test_tempo_and_places_with_and_without_rest(seconds, rest):
    found = repetitions(pictures(4, seconds=seconds, rest=rest), fps=FPS)
    assert found.count == 4 and found.seconds == pytest.approx(seconds, abs=0.15 * seconds + 0.1)
    starts = [rest + i * (seconds + rest) for i in range(4)]
    assert [each.start for each in found.repetitions] == pytest.approx(starts, abs=0.15 * seconds + 0.1)


def test_repetitions_need_not_be_equally_long():
    some = np.concatenate([pictures(2, seconds=1.0)[:-1], pictures(2, seconds=3.0)])
    assert [round(each.seconds) for each in repetitions(some, fps=FPS).repetitions] == [1, 1, 3, 3]


def test_what_does_not_come_back_is_no_repetition():
    rise = pictures(1, seconds=4.0)
    assert repetitions(rise[: len(rise) // 2], fps=FPS).count == 0


@pytest.mark.parametrize("seed", range(3))
def test_fidgeting_and_standing_still_are_no_repetitions(seed):
    rng = np.random.default_rng(seed)
    still, times = joints(0, rest=6.0)
    still[..., :2] += rng.normal(0, 0.5, still[..., :2].shape)
    assert of_joints(still, times) == Repetitions(())
    steps = rng.normal(0, 1, (len(still) + 15, 17, 2))
    still[..., :2] += 6 * np.stack([steps[i : i + 15].mean(axis=0) for i in range(len(still))])
    assert of_joints(still, times).count == 0


def test_a_joint_that_is_missing_now_and_then_does_no_harm():
    person, times = joints(5)
    person[np.random.default_rng(0).random(person.shape[:2]) < 0.3] = 0
    assert of_joints(person, times).count == 5
    assert of_joints(np.zeros_like(person), times).count == 0


def test_keypoints_and_files_are_sources(tmp_path):
    person, times = joints(3)
    assert repetitions(Skeletons(person, times)).count == 3
    write_video(tmp_path / "a.mp4", pictures(3), fps=FPS)
    seen = []
    found = repetitions(tmp_path / "a.mp4", progress=lambda done, total: seen.append((done, total)))
    assert found.count == 3 and seen and found.repetitions[-1].end <= seen[-1][1]


def test_a_pose_estimator_finds_the_joints():
    person, _ = joints(3)
    frames, given = np.zeros((len(person), 16, 24, 3), np.uint8), iter(person)
    assert repetitions(frames, pose=lambda some: [next(given)[None] for _ in some], fps=FPS).count == 3
    with pytest.raises(VideoError, match="no person was found in the ndarray"):
        repetitions(frames, pose=lambda some: [np.zeros((0, 17, 3)) for _ in some], fps=FPS)


def test_one_frame_is_no_movement():
    with pytest.raises(VideoError, match="needs at least 2 frames"):
        repetitions(pictures(1)[:1])


def test_plain_values():
    found = Repetitions((Repetition(0.5, 2.5), Repetition(2.5, 4.0)), 0.9)
    spans = [{"start": 0.5, "end": 2.5}, {"start": 2.5, "end": 4.0}]
    assert found.to_dict() == {"count": 2, "seconds": 1.75, "likeness": 0.9, "repetitions": spans}
    assert Repetitions(()).to_dict() == {"count": 0, "seconds": None, "likeness": None, "repetitions": []}


class Remembers:
    """In place of a model, gives back what it is shown."""

    def predict(self, source, pose=None, fps=None):
        return source, fps


@pytest.mark.parametrize("kind", ["array", "file"])
def test_a_model_is_shown_each_repetition(kind, tmp_path):
    source, found = pictures(2), Repetitions((Repetition(0.0, 2.0), Repetition(2.0, 4.0)))
    if kind == "file":
        write_video(tmp_path / "a.mp4", source, fps=FPS)
        source = tmp_path / "a.mp4"
    shown = activations(Remembers(), source, found, fps=FPS if kind == "array" else None)
    assert [(frames.shape, fps) for frames, fps in shown] == [((32, 16, 24, 3), 16)] * 2
    for frames, _ in shown:  # low, high and low again
        assert [frames[at, 1:6].mean() > frames[at, 10:15].mean() for at in (0, 16, 31)] == [True, False, True]


def test_a_model_is_shown_the_joints_of_each_repetition():
    person, times = joints(2)
    found = Repetitions((Repetition(0.0, 2.0), Repetition(2.0, 4.0)))
    shown = activations(Remembers(), Skeletons(person, times), found)
    assert [round(part.end) for part, _ in shown] == [2, 2]
    assert np.allclose(shown[1][0].keypoints[0, 0], person[30], atol=1e-3)
