import json
import threading

import numpy as np
import pytest
from typer.testing import CliRunner

import amge
from amge.cli import app
from amge.errors import VideoError
from amge.exercises import exercise
from amge.live import Watch
from amge.live.source import Source
from amge.video.frames import from_array
from amge.video.write import write_video

FPS = 10


@pytest.fixture
def model(tiny_model):
    """It takes itself for trained."""
    tiny_model._random_head = None
    tiny_model.spec = tiny_model.spec.replace(sampling="spread", seconds=1.0)
    return tiny_model


@pytest.fixture
def video():
    """Three seconds in which a square moves up and down over noise."""
    frames = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 48, 64, 3), dtype=np.uint8), 3 * FPS, axis=0)
    for number, frame in enumerate(frames):
        frame[number % 20 : number % 20 + 20, 20:40] = 255
    return frames


def source(video, live=False, then=None):
    def frames():
        yield from from_array(video, FPS, 640)
        if then:
            raise then

    return Source("camera 0", frames(), live)


def test_answers_are_those_of_the_video_offline(model, video):
    live = {result.prediction.end: result.prediction for result in Watch(model, source(video), 0.25, fast=True)}
    offline = list(model.predict_windows(video, fps=FPS))
    assert len(live) == 12
    assert len(offline) == 5
    for window in offline:
        same = live[window.end]
        assert same.probabilities == pytest.approx(window.probabilities, abs=1e-5)
        assert (same.start, same.verdict, same.reasons) == (window.start, window.verdict, window.reasons)
        assert same.evidence == window.evidence


def test_frames_of_a_camera_are_read_in_a_thread_and_none_is_lost_for_nothing(model, video):
    with Watch(model, source(video, live=True)) as watching:
        results = list(watching)
    assert results[-1].prediction.end == pytest.approx(3.0)
    assert (results[-1].dropped, watching.dropped) == (0, 0)
    assert np.array_equal(watching.picture, video[-1])


def test_latency_counts_from_the_last_frame_of_a_window(model, video):
    now = iter(np.arange(1000.0))
    watching = Watch(model, source(video), fast=True, clock=lambda: next(now))
    assert {result.latency for result in watching} == {1.0}
    said = watching.summary()
    assert said["latency_ms"] == {"p50": 1000.0, "p95": 1000.0}
    assert (said["results"], said["dropped"], said["skipped"]) == (6, 0, 0)
    assert 0 < said["reused"] < 1


def test_a_camera_that_is_lost_says_so_after_its_last_result(model, video):
    ends, lost = [], VideoError("camera 0 is lost")
    with pytest.raises(VideoError, match="camera 0 is lost"), Watch(model, source(video, True, lost)) as watching:
        for result in watching:
            ends.append(result.prediction.end)
    assert ends


def test_closing_ends_it(model, video):
    stop = threading.Event()

    def frames():
        yield from from_array(video, FPS, 640)
        stop.wait(5)

    with Watch(model, Source("camera 0", frames(), True)) as watching:
        for _ in watching:
            watching.close()
    stop.set()
    assert watching.results == 1


def test_windows_may_be_shorter_than_the_models(model, video):
    results = list(Watch(model, source(video), 0.5, seconds=0.5, fast=True))
    assert [round(result.prediction.end - result.prediction.start, 6) for result in results] == [0.5] * 6
    assert model.spec.seconds == 1.0


def test_a_skeleton_model_watches_too(video):
    model = amge.build("st-gcn-tiny")
    model._random_head = None

    def pose(frames):
        return [np.concatenate([np.mgrid[10:27, 10:12].T[0], np.ones((17, 1))], axis=1)[None]] * len(frames)

    results = list(Watch(model, source(video), 1.0, pose=pose, fast=True))
    assert [result.prediction.person for result in results] == [0, 0, 0]
    assert results[0].to_dict()["person"] == 0


@pytest.mark.parametrize("every", [0, -1, float("nan"), 1.5])
def test_results_come_at_least_once_a_window(model, video, every):
    with pytest.raises(ValueError, match="every must be over 0, and at most the 1 s of a window"):
        Watch(model, source(video), every)


def test_a_camera_can_not_be_hurried(model, video):
    with pytest.raises(VideoError, match="camera 0 sends at its own rate"):
        Watch(model, source(video, live=True), fast=True)


@pytest.fixture
def file(tmp_path, video):
    write_video(tmp_path / "clip.mp4", video, fps=FPS)
    return str(tmp_path / "clip.mp4")


@pytest.fixture
def loaded(model, monkeypatch):
    monkeypatch.setattr("amge.builder.load", lambda *_: model)


def run(*arguments):
    return CliRunner().invoke(app, ["watch", *arguments])


def test_command_prints_a_line_a_result_and_a_summary(tmp_path, file, loaded):
    saved = tmp_path / "lines.jsonl"
    done = run(file, "--headless", "--as-fast-as-possible", "--save-json", str(saved))
    assert done.exit_code == 0, done.output
    assert done.stdout == saved.read_text()
    *results, last = map(json.loads, done.stdout.splitlines())
    assert [result["time"] for result in results] == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    assert {"verdict", "regions", "active", "latency_ms", "dropped", "skipped"} <= results[0].keys()
    assert last["summary"]["results"] == 6


def test_command_tells_once_what_differs_from_an_exercise(file, loaded):
    done = run(file, "--headless", "--as-fast-as-possible", "--expect", "barbell squat", "--threshold", "1")
    *results, _ = map(json.loads, done.stdout.splitlines())
    told = [result["alerts"] for result in results]
    assert "Quadriceps: should be active and is not" in told[2] and told[:2] + told[3:] == [[]] * 5
    refused = run(file, "--headless", "--expect", "barbel squat")
    assert refused.exit_code == 2 and "did you mean 'Barbell Squat'" in refused.stderr


def test_command_tells_the_window_what_is_expected(file, loaded, monkeypatch):
    told = []
    monkeypatch.setattr("amge.live.screen.Screen", lambda title: title)
    monkeypatch.setattr("amge.live.screen.follow", lambda watching, screen, heard, expected: told.append(expected))
    for options in (["--expect", "barbell squat"], []):
        assert run(file, "--as-fast-as-possible", *options).exit_code == 0
    assert told == [exercise("barbell squat").regions, None]


def test_command_ends_with_ctrl_c_and_says_how_it_went(file, loaded, monkeypatch):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr("amge.live.watch.Result.to_dict", interrupted)
    done = run(file, "--headless", "--as-fast-as-possible")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["summary"]["results"] == 1


def test_command_says_in_one_line_that_a_camera_is_lost(loaded, video, monkeypatch):
    lost = source(video, True, VideoError("camera 0 is lost after 3.0 s"))
    monkeypatch.setattr("amge.live.watch.open_source", lambda *_: lost)
    done = run("0", "--headless")
    assert done.exit_code == 2
    assert done.stderr == "error: camera 0 is lost after 3.0 s\n"
    assert '"summary"' in done.stdout


def test_command_without_a_display_says_what_would_work(file, monkeypatch):
    tkinter = pytest.importorskip("tkinter")

    def refuse():
        raise tkinter.TclError("no display name")

    monkeypatch.setattr(tkinter, "Tk", refuse)
    done = run(file)
    assert done.exit_code == 2
    assert done.stderr == "error: no window can be opened (no display name); --headless prints JSON lines\n"
