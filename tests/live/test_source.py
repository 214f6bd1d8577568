from types import SimpleNamespace

import av
import numpy as np
import pytest

from amge.errors import VideoError
from amge.live.source import open_source
from amge.video.write import write_video


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ("nowhere.mp4", "nowhere.mp4: no such file or folder"),
        ("97", "camera 97 can't be opened"),
        ("tcp://me:p@secret@127.0.0.1:9/", "tcp://127.0.0.1:9/ can't be opened"),
    ],
)
def test_what_can_not_be_opened_is_named_without_passwords(there, said):
    with pytest.raises(VideoError, match=said) as caught:
        next(iter(open_source(there).frames))
    assert "secret" not in str(caught.value)


def test_frames_of_a_stream_come_with_their_times(tmp_path):
    write_video(tmp_path / "clip.mp4", np.zeros((30, 48, 64, 3), np.uint8), fps=10)
    frames = open_source(f"file://{tmp_path}/clip.mp4", max_side=32).frames
    seen = []
    with pytest.raises(VideoError, match=r"is lost after 3\.0 s \(it ended\)"):
        for shown in frames:
            seen.append((shown.time, shown.image().shape))
    assert len(seen) == 30
    assert seen[1] == (pytest.approx(0.1), (24, 32, 3))


@pytest.fixture
def opened(monkeypatch):
    """What is opened, one attempt after the other; no camera can do what is wished for."""
    attempts = []

    def fail(address, format, options, **_):
        attempts.append((address, format, options))
        raise av.ArgumentError(22, "Invalid argument")

    monkeypatch.setattr(av, "open", fail)
    return attempts


def refused(source):
    with pytest.raises(VideoError) as caught:
        next(iter(open_source(source).frames))
    return str(caught.value)


@pytest.mark.parametrize(
    ("platform", "source", "address", "form"),
    [
        ("linux", "2", "/dev/video2", "v4l2"),
        ("linux", "/dev/video3", "/dev/video3", "v4l2"),
        ("darwin", "1", "1", "avfoundation"),
        ("win32", "video=My Camera", "video=My Camera", "dshow"),
        ("win32", "1", "video=Second", "dshow"),
    ],
)
def test_each_platform_has_cameras_of_its_own(opened, monkeypatch, platform, source, address, form):
    names = [("First", "video"), ("Microphone", "audio"), ("Second", "video")]
    devices = [SimpleNamespace(name=name, media_types=[kind]) for name, kind in names]
    monkeypatch.setattr(av, "enumerate_input_devices", lambda _: devices, raising=False)
    monkeypatch.setattr("sys.platform", platform)
    assert f"camera {source} can't be opened (Invalid argument)" in refused(source)
    assert {attempt[:2] for attempt in opened} == {(address, form)}


def test_a_camera_is_asked_for_less_and_less(opened, monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    refused("0")
    assert [sorted(options) for *_, options in opened] == [["framerate", "video_size"], ["framerate"], []]


def test_a_number_without_a_camera_names_those_there_are(monkeypatch):
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setattr(av, "enumerate_input_devices", lambda _: [], raising=False)
    assert refused("4") == "camera 4 is not among those that are known; give video=NAME of one"
