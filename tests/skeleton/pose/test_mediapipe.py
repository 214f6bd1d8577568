"""The pose model in MediaPipe's wheel, on a clip with a person that is drawn."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mediapipe", reason="needs the extra pose")

import amge
from amge.skeleton.layouts import BLAZEPOSE33, COCO17, convert_layout
from amge.skeleton.pose import person_clips
from amge.skeleton.pose.mediapipe import MediaPipe
from amge.video.windows import windows

pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # its writer leaves files open
SQUAT = Path(__file__).parents[3] / "examples" / "squat.mp4"


@pytest.fixture(scope="module")
def frames():
    return next(windows(SQUAT, 4)).frames


def test_one_person_is_found_quietly(frames, capfd):
    found = MediaPipe()(frames)
    assert [poses.shape for poses in found] == [(1, 33, 6)] * 4
    height, width = frames.shape[1:3]
    joints = convert_layout(np.concatenate(found), BLAZEPOSE33, COCO17)
    assert (joints[:, 5:, 2] > 0.5).mean() > 0.8
    assert (joints[:, 0, 1] < joints[:, 11, 1]).all() and (joints[:, 11, 1] < joints[:, 15, 1]).all()  # y goes down
    right, down, away = np.moveaxis(joints[..., 3:], -1, 0)
    assert np.abs(joints[:, 11:13, 3:].mean(axis=1)).max() < 0.05  # from between the hips, in metres
    assert (down[:, 0] < down[:, 5]).all() and 0.8 < (down.max(axis=1) - down.min(axis=1)).max() < 2.2
    for flat, world in ((joints[..., 0], right), (joints[..., 1], down)):
        assert np.corrcoef(flat[:, 5:].ravel(), world[:, 5:].ravel())[0, 1] > 0.8
    assert np.abs(away).max() < 1.5
    assert (joints[..., :2] > 0).all() and (joints[..., 0] < width).all() and (joints[..., 1] < height).all()
    assert MediaPipe()(np.zeros((1, 64, 64, 3), np.uint8))[0].shape == (0, 33, 6)
    assert capfd.readouterr().err == ""


def test_two_persons_far_from_a_wide_camera(frames):
    height = frames.shape[1]
    gap = np.full((4, height, 4 * height, 3), 90, np.uint8)
    found = MediaPipe()(np.concatenate([frames, gap, frames], axis=2))
    assert max(len(poses) for poses in found) == 2
    both = next(poses for poses in found if len(poses) == 2)
    assert abs(both[0, 24, 0] - both[1, 24, 0]) > 3 * height


def test_people_are_cut_out(frames):
    height, width = frames.shape[1:3]
    gap = np.full((height, 4 * height, 3), 90, np.uint8)
    masks = MediaPipe(masks=True).mask
    alone, two = masks(frames[0]), masks(np.concatenate([frames[0], gap, frames[0]], axis=1))
    assert alone.shape == (height, width) and alone.dtype == np.uint8 and 0.02 < (alone > 127).mean() < 0.5
    for side in (two[:, :width], two[:, -width:]):  # found in squares
        assert ((side > 127) & (alone > 127)).sum() > 0.7 * (alone > 127).sum()
    assert not two[:, width : 3 * width].any() and not masks(gap).any()


def test_a_skeleton_model_predicts_from_video():
    model = amge.build("st-gcn-tiny", activation="sigmoid").eval()
    (clip,) = person_clips(SQUAT, 8)
    assert clip.person == 0 and (clip.keypoints[..., 2] > 0).any(axis=1).all()
    assert model.predict(SQUAT) == pytest.approx(model.predict(SQUAT, pose=MediaPipe()), abs=1e-6)


def test_a_wheel_that_lacks_something_is_named_in_one_short_line(monkeypatch):
    def bundle(modules):
        raise OSError("libGLESv2.so.2: " + "x" * 3_000_000)

    monkeypatch.setattr("amge.skeleton.pose.mediapipe.bundle", bundle)
    with pytest.raises(ImportError, match=r"poses need MediaPipe: pip install .*libGLESv2") as caught:
        MediaPipe()
    assert len(str(caught.value)) < 500


@pytest.mark.slow
def test_onnx_and_mediapipe_live_together():
    """Both come with messages of protobuf, which must be of a version that each can read."""
    pytest.importorskip("onnx")
    code = "import numpy as np, onnx\nonnx.helper.make_tensor('a', 1, [1], [1.0]).SerializeToString()\n"
    code += "from amge.skeleton.pose.mediapipe import MediaPipe\n"
    code += "print(len(MediaPipe()(np.zeros((1, 64, 64, 3), np.uint8))), end='')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "1", done.stderr
