import numpy as np
import pytest
from typer.testing import CliRunner

from amge.cli import app
from amge.data.datasets import load_samples
from amge.data.prepare.skeletons import prepare
from amge.data.sample import Sample
from amge.skeleton.files import read_skeletons
from amge.skeleton.pose.estimators import ESTIMATORS
from amge.skeleton.pose.whole_video import video_skeletons
from amge.video.write import write_video

CALLS = []


def bright(frames):
    """A person in each frame whose joints all lie at the brightness of its first pixel; nobody in the dark."""
    CALLS.append(len(frames))
    level = frames[:, 0, 0].mean(axis=-1)
    poses = [np.full((1, 17, 3), value, np.float32) for value in level]
    for pose in poses:
        pose[..., :2] += np.arange(17)[:, None]
        pose[..., 2] = 1
    return [pose if value > 20 else pose[:0] for pose, value in zip(poses, level, strict=True)]


@pytest.fixture
def folder(tmp_path):
    frames = np.repeat(np.arange(60, 180, 4, dtype=np.uint8), 32 * 32 * 3).reshape(30, 32, 32, 3)
    write_video(tmp_path / "a.mp4", frames, 30)
    write_video(tmp_path / "dark.mp4", np.zeros_like(frames), 30)
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "a.mp4").read_bytes()[:300])
    rows = [f"{name}.mp4,gluteus,squat,train" for name in ("a", "dark", "cut")]
    (tmp_path / "labels.csv").write_text("\n".join(["video,regions,activity,split", *rows]) + "\n")
    return tmp_path


def test_whole_video_in_time(folder):
    keypoints, times = video_skeletons(folder / "a.mp4", bright, fps=10)
    assert keypoints.shape == (1, 10, 17, 3)
    np.testing.assert_allclose(times, np.arange(10) / 10, atol=0.002)
    np.testing.assert_allclose(keypoints[0, :, 0, 0], 60 + 12 * np.arange(10), atol=3)  # three frames of 4 a step


def test_a_data_set_with_skeletons(folder):
    samples = load_samples("folder", folder)
    made, left_out = prepare(samples, folder / "out", bright)
    assert [sample.id for sample in made] == ["a"] and set(left_out) == {"dark", "cut"}
    assert "no person" in left_out["dark"]
    (again,) = load_samples("folder", folder / "out")
    assert read_skeletons(again.skeletons).keypoints.shape == (1, 10, 17, 3)
    assert again.video.samefile(folder / "a.mp4") and again.regions == ("gluteus",)
    before = len(CALLS)
    prepare([s for s in samples if s.id == "a"], folder / "out", bright)
    assert len(CALLS) == before  # what is done is left alone


def test_a_data_set_with_skeletons_in_three_dimensions(folder):
    def solid(frames):
        return [np.concatenate([poses, poses / 100], axis=-1) for poses in bright(frames)]

    (made,), _ = prepare(load_samples("folder", folder), folder / "solid", solid)
    with np.load(made.skeletons) as archive:
        assert archive["keypoints"].shape == archive["world"].shape == (1, 10, 17, 3)
    flat, world = np.split(read_skeletons(made.skeletons).keypoints, 2, axis=-1)
    np.testing.assert_allclose(world, flat / 100, rtol=1e-5)


def test_errors(folder, monkeypatch):
    dark = Sample(id="d", video=folder / "dark.mp4", regions=(), activity="x", split="train")
    with pytest.raises(ValueError, match="none of 1 samples has skeletons, such as d: no person"):
        prepare([dark], folder / "out", bright)
    monkeypatch.setitem(ESTIMATORS, "mediapipe", lambda: bright)
    result = CliRunner().invoke(app, ["data", "prepare", "skeletons", "folder", str(folder), str(folder / "out")])
    assert result.exit_code == 2 and "1 of 3 samples with skeletons" in result.stdout and "cut" in result.stdout
