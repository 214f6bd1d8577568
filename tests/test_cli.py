import csv
import errno
import io
import json
import os
import pickle
import re
import subprocess
import sys
import warnings
from contextlib import suppress

import av
import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import amge
from amge.builder import load
from amge.cli import app, main
from amge.cli.extras import Extras, counted
from amge.errors import reason
from amge.exercises import compare
from amge.files import whole
from amge.muscles import REGION_IDS, REGIONS
from amge.prediction import Prediction
from amge.repetitions import Repetition, Repetitions
from amge.video.read import duration
from amge.video.write import write_video
from amge.viz.bars import bars


def movement(count, height=48, width=64):
    """A bright square that moves over a dark picture, uint8 `(count, H, W, 3)`."""
    frames = np.full((count, height, width, 3), 40, dtype=np.uint8)
    for i, frame in enumerate(frames):
        frame[12:32, i % 40 : i % 40 + 16] = 220
    return frames


def amge_cli(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, tiny_spec):
    """A model whose windows last one second."""
    torch.manual_seed(0)
    model = amge.assemble(tiny_spec.replace(seconds=1.0, tag="toy"))
    model.head.projection.weight.data *= 4  # so that some regions are active and some are not
    return model.save_pretrained(tmp_path_factory.mktemp("models") / "toy")


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """A file of one window."""
    path = tmp_path_factory.mktemp("videos") / "side_step.mp4"
    write_video(path, movement(20), fps=20)
    return path


@pytest.fixture(scope="module")
def long_video(tmp_path_factory):
    """A file of three windows."""
    path = tmp_path_factory.mktemp("videos") / "long.mp4"
    write_video(path, movement(40), fps=20)
    return path


@pytest.fixture(scope="module")
def expected(checkpoint, video):
    return amge.from_pretrained(checkpoint).predict(video)


# What it prints


def test_table(checkpoint, video, expected):
    result = amge_cli("predict", video, "--model", checkpoint)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = [line for line in result.stdout.splitlines() if "%" in line]
    names = {region.id: region.name for region in REGIONS}
    assert len(lines) == 20
    for line, (region, p) in zip(lines, sorted(expected.items(), key=lambda item: -item[1]), strict=True):
        assert re.match(rf"{region} +{names[region]} ", line)
        assert line.rstrip().endswith(f"{100 * p:.0f} %" + "  active" * (p >= 0.5))
    assert 0 < sum(line.rstrip().endswith("active") for line in lines) < 20
    assert "Timeline" not in result.stdout


def test_table_of_a_long_video_has_a_timeline(checkpoint, long_video):
    result = amge_cli("predict", long_video, "--model", checkpoint, "--threshold", 0)
    timeline = result.stdout[result.stdout.index("Timeline") :]
    for start, end in (("0.0 s", "1.0 s"), ("0.5 s", "1.5 s"), ("1.0 s", "2.0 s")):
        assert any(start in line and end in line for line in timeline.splitlines())
    assert "upper_abdominis" in timeline and "Upper abdominis" not in timeline


def test_a_long_path_stays_on_one_line(checkpoint, video, tmp_path):
    path = tmp_path / ("a long name of a folder " * 5).strip() / "squat.mp4"
    path.parent.mkdir()
    path.write_bytes(video.read_bytes())
    assert amge_cli("predict", path, "--model", checkpoint).stdout.splitlines()[0] == str(path)


@pytest.mark.parametrize("name", ["[draft] squat.mp4", "squat[/b].mp4", "a :muscle: b.mp4"])
@pytest.mark.parametrize("form", [(), ("--json",), ("--csv",)])
def test_a_file_name_is_not_taken_for_markup(checkpoint, video, tmp_path, monkeypatch, name, form):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(video.read_bytes())
    result = amge_cli("predict", name, "--model", checkpoint, *form)
    assert (result.exit_code, result.exception) == (0, None)
    assert name in result.stdout


def test_json(checkpoint, video, expected):
    result = amge_cli("predict", video, "--model", checkpoint, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    regions = {region: round(p, 4) for region, p in expected.items()}
    ranking = sorted(expected, key=lambda region: -expected[region])
    doubt = {"verdict": "doubtful", "reasons": ["the picture is small, 48 pixels"]}
    evidence = expected.windows[0].evidence.to_dict()
    assert json.loads(result.stdout) == {
        "model": "transm3e-lite.toy",
        "threshold": 0.5,
        "videos": [
            {
                "video": str(video),
                **doubt,
                "regions": regions,
                "active": [region for region in ranking if expected[region] >= 0.5],
                "windows": [{"start": 0.0, "end": 1.0, **doubt, "regions": regions, "evidence": evidence}],
            }
        ],
    }
    assert list(json.loads(result.stdout)["videos"][0]["regions"]) == list(REGION_IDS)
    assert 0 < len(json.loads(result.stdout)["videos"][0]["active"]) < 20


def test_csv(checkpoint, video, expected):
    result = amge_cli("predict", video, "--model", checkpoint, "--csv")
    assert (result.exit_code, result.stderr) == (0, "")
    header, *rows = csv.reader(io.StringIO(result.stdout))
    assert header == ["video", "start", "end", "region", "probability", "active", "person", "verdict"]
    assert rows == [
        [str(video), "0.000", "1.000", region, f"{p:.4f}", str(int(p >= 0.5)), "", "doubtful"]
        for region, p in expected.items()
    ]


def test_csv_has_a_row_per_region_and_window(checkpoint, video, long_video):
    result = amge_cli("predict", video, long_video, "--model", checkpoint, "--csv")
    _, *rows = csv.reader(io.StringIO(result.stdout))
    assert len(rows) == (1 + 3) * 20
    assert [row[0] for row in rows] == [str(video)] * 20 + [str(long_video)] * 60
    assert [row[1] for row in rows[20::20]] == ["0.000", "0.500", "1.000"]


@pytest.mark.parametrize("threshold, active", [(0, 20), (1, 0)])
def test_threshold(checkpoint, video, threshold, active):
    options = "--model", checkpoint, "--threshold", threshold
    report = json.loads(amge_cli("predict", video, *options, "--json").stdout)
    assert report["threshold"] == threshold
    assert len(report["videos"][0]["active"]) == active
    rows = list(csv.DictReader(io.StringIO(amge_cli("predict", video, *options, "--csv").stdout)))
    assert sum(int(row["active"]) for row in rows) == active


def test_a_region_at_the_threshold_is_active(checkpoint, video, expected):
    region = sorted(expected, key=expected.get)[10]
    options = "--model", checkpoint, "--threshold", repr(expected[region])
    (report,) = json.loads(amge_cli("predict", video, *options, "--json").stdout)["videos"]
    assert report["active"][-1] == region
    rows = csv.DictReader(io.StringIO(amge_cli("predict", video, *options, "--csv").stdout))
    assert [row["active"] for row in rows if row["region"] == region] == ["1"]


def test_several_videos_and_one_that_fails(checkpoint, video, long_video, tmp_path):
    result = amge_cli("predict", video, tmp_path / "none.mp4", long_video, "--model", checkpoint, "--json")
    assert result.exit_code == 2
    assert [entry["video"] for entry in json.loads(result.stdout)["videos"]] == [str(video), str(long_video)]
    assert result.stderr.startswith("error: ")
    assert "none.mp4" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_folder_of_images(checkpoint, tmp_path):
    for i, frame in enumerate(movement(6)):
        Image.fromarray(frame).save(tmp_path / f"{i}.png")
    result = amge_cli("predict", tmp_path, "--model", checkpoint, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["videos"][0]["video"] == str(tmp_path)


# What was expected, and repetitions


def test_what_differs_from_an_exercise_is_marked(checkpoint, video, expected):
    result = amge_cli("predict", video, "--model", checkpoint, "--expect", "barbell-squats")
    assert (result.exit_code, result.stderr) == (0, "")
    assert str(compare(expected, "Barbell Squat")) in result.stdout.splitlines()
    rows = [line.partition("%") for line in result.stdout.splitlines() if "%" in line]
    said = {row.split()[0]: re.split("  +", rest.strip()) if rest.strip() else [] for row, _, rest in rows}
    marks = {name: compare(expected, "Barbell Squat").mark(name) for name in REGION_IDS}
    over = expected.active
    for name, mark in marks.items():
        assert said[name] == ["active"] * (name in over) + [mark.replace("ok", "as expected")] * bool(mark), name


def test_the_body_map_marks_what_differs(checkpoint, video, tmp_path):
    for name, expected in (("plain.svg", []), ("marked.svg", ["--expect", "squat"])):
        done = amge_cli("predict", video, "--model", checkpoint, "--save", tmp_path / name, "--threshold", 1, *expected)
        assert done.exit_code == 0, done.stderr
        assert ("stroke-dasharray" in (tmp_path / name).read_text()) == bool(expected)


def test_csv_says_what_was_expected(checkpoint, video):
    result = amge_cli("predict", video, "--model", checkpoint, "--expect", "squat", "--csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert {row["region"] for row in rows if row["expected"] == "1"} == {"hamstring", "quadriceps", "gluteus"}


def test_a_video_is_like_itself(checkpoint, video, tmp_path):
    result = amge_cli("predict", video, "--model", checkpoint, "--like", video, "--json", "--save", tmp_path / "a.png")
    found = json.loads(result.stdout)["videos"][0]
    assert found["expected"]["score"] == 1 and found["expected"]["matched"] and not found["expected"]["missing"]
    assert found["expected"]["name"] == str(video) and (tmp_path / "a.png").stat().st_size > 10_000


def test_repetitions_are_counted_in_words(capsys):
    found = Repetitions((Repetition(0.0, 2.0), Repetition(2.0, 4.5)))
    answers = (Prediction({"chest": 0.9}, 0.5, (), "toy"), Prediction({"chest": 0.1}, 0.5, (), "toy"))
    said = [Console(width=60).print(each) or capsys.readouterr().out for each in counted(Extras((), found, answers))]
    assert said[0] == "2 repetitions, 2.2 s each\n"
    assert [line.split() for line in said[1].splitlines()[1:]] == [
        ["0.0", "s", "2.0", "s", "chest"],
        ["2.0", "s", "4.5", "s", "–"],
    ]
    assert [str(each) for each in counted(Extras((), Repetitions(())))] == ["0 repetitions"]


def test_repetitions(checkpoint, tmp_path):
    there = movement(12)
    write_video(tmp_path / "steps.mp4", np.concatenate([there, there[::-1], there, there[::-1]]), fps=12)
    result = amge_cli("predict", tmp_path / "steps.mp4", "--model", checkpoint, "--repetitions", "--json")
    found = json.loads(result.stdout)["videos"][0]["repetitions"]
    assert (found["count"], [round(each["end"]) for each in found["repetitions"]]) == (2, [2, 4])
    assert all(list(each["regions"]) == list(REGION_IDS) and "active" in each for each in found["repetitions"])


@pytest.mark.parametrize(
    "options, said",
    [
        (("--expect", "barbel squat"), "did you mean 'Barbell Squat'"),
        (("--expect", "squat", "--like", "a.mp4"), "--expect and --like exclude each other"),
        (("--like", "nowhere.mp4"), "nowhere.mp4: no such file"),
        (("--repetitions", "--csv"), "take --json with --repetitions"),
        (("--expect", "squat", "--out", "a.parquet"), "--out excludes"),
    ],
)
def test_what_can_not_be_compared(checkpoint, video, tmp_path, monkeypatch, options, said):
    monkeypatch.chdir(tmp_path)
    refused(amge_cli("predict", video, "--model", checkpoint, *options), said)


def test_save_one_picture(checkpoint, video, tmp_path):
    picture = tmp_path / "new" / "map.png"
    result = amge_cli("predict", video, "--model", checkpoint, "--save", picture, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    with Image.open(picture) as image:
        assert (image.format, image.size) == ("PNG", (1600, 900))
        assert len(image.getcolors(1 << 24)) > 100


def test_save_draws_bars_for_labels_that_are_no_muscles(tiny_spec, video, tmp_path):
    torch.manual_seed(0)
    model = amge.assemble(tiny_spec.replace(seconds=1.0, tag="toy", labels=("lunge", "row", "rest")))
    folder = model.save_pretrained(tmp_path / "model")
    result = amge_cli("predict", video, "--model", folder, "--save", tmp_path / "map.png")
    assert (result.exit_code, result.stderr) == (0, "")
    assert sum(line.startswith(("lunge ", "row ", "rest ")) for line in result.stdout.splitlines()) == 3
    with Image.open(tmp_path / "map.png") as image:
        assert image.size == (1600, 900)
    frames = next(amge.from_pretrained(folder).predict_windows(video)).frames
    drawn = bars(
        amge.from_pretrained(folder).predict(video),
        frames,
        "side step",
        model.spec.threshold,
        note="doubtful: the picture is small, 48 pixels",
    )
    with Image.open(tmp_path / "map.png") as image:
        assert image.tobytes() == drawn.tobytes()


def test_save_a_picture_per_video(checkpoint, video, long_video, tmp_path):
    result = amge_cli("predict", video, long_video, "--model", checkpoint, "--save", tmp_path / "maps", "--csv")
    assert result.exit_code == 0
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == ["long.png", "side_step.png"]


def test_videos_of_one_name_do_not_overwrite_one_another_s_picture(checkpoint, video, tmp_path):
    copies = [tmp_path / folder / "squat.mp4" for folder in ("monday", "tuesday")]
    for copy in copies:
        copy.parent.mkdir()
        copy.write_bytes(video.read_bytes())
    result = amge_cli("predict", *copies, "--model", checkpoint, "--save", tmp_path / "maps", "--csv")
    assert result.exit_code == 2 or len(list((tmp_path / "maps").iterdir())) == 2


def test_save_a_video_beside_its_body_map(checkpoint, long_video, tmp_path):
    result = amge_cli(
        "predict", long_video, "--model", checkpoint, "--save", tmp_path / "new" / "map.mp4", "--theme", "dark"
    )
    assert (result.exit_code, result.stderr) == (0, "")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["map.mp4"]
    assert duration(tmp_path / "new" / "map.mp4") == pytest.approx(duration(long_video), abs=0.02)


# What it refuses


def refused(result, *parts):
    """One line on standard error, nothing on standard output."""
    assert result.exit_code == 2
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    for part in parts:
        assert part in result.stderr


def no_file(path):
    pass


def empty_file(path):
    path.touch()


def text(path):
    path.write_text("not a video\n" * 200)


def truncated(path):
    write_video(path, movement(40), fps=20)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def sound_only(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        samples = np.zeros((1, 8000), dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def one_frame(path):
    write_video(path, movement(1), fps=20)


def one_pixel(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=20)
        stream.width, stream.height, stream.pix_fmt = 1, 1, "yuv420p"
        for frame in movement(8)[:, :1, :1]:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())


BAD_VIDEOS = {
    no_file: "no such file",
    empty_file: "is empty",
    text: "not a video",
    truncated: "truncated",
    sound_only: "no video in it",
    one_frame: "at least 2 frames",
    one_pixel: "1x1",
}


@pytest.mark.parametrize("make, reason", BAD_VIDEOS.items(), ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize("form", [(), ("--json",), ("--csv",)], ids=["table", "json", "csv"])
def test_bad_videos(checkpoint, tmp_path, capfd, make, reason, form):
    path = tmp_path / "bad.mp4"
    make(path)
    capfd.readouterr()  # what the encoder may have said
    picture = tmp_path / "map.png"
    refused(amge_cli("predict", path, "--model", checkpoint, "--save", picture, *form), str(path), reason)
    assert not picture.exists()
    assert capfd.readouterr() == ("", "")  # FFmpeg itself


def test_an_empty_folder(checkpoint, tmp_path):
    result = amge_cli("predict", tmp_path, "--model", checkpoint)
    refused(result, "a folder without images", "end in .jpg, .jpeg, .png, .webp, .bmp")


@pytest.mark.parametrize("count, said", [(1, "holds 1 video and no images"), (3, "holds 3 videos and no images")])
def test_a_folder_of_videos(tmp_path, count, said):
    folder = tmp_path / "my videos"
    folder.mkdir()
    for number in range(count):
        (folder / f"{number}.MP4").touch()
    (folder / ".hidden.mp4").touch()
    refused(amge_cli("predict", folder), said, f"amge predict '{folder}' --out results.parquet")


def test_all_paths_are_looked_at_before_the_model(tmp_path):
    (tmp_path / "empty.mp4").touch()
    result = amge_cli("predict", tmp_path / "none.mp4", tmp_path / "empty.mp4", "--model", "no-such-model")
    assert (result.exit_code, result.stdout) == (2, "")
    first, second = result.stderr.splitlines()
    assert first == f"error: {tmp_path}/none.mp4: no such file or folder; check the path"
    assert second.startswith(f"error: {tmp_path}/empty.mp4 is empty")


# Where it computes, and at which rate


@pytest.mark.parametrize("name", ["banana", "cuda", "cuda:99", "meta", ""])
def test_a_device_that_is_not_there(video, checkpoint, tmp_path, monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for command in (
        ("predict", video, "--model", "no-such-model"),
        ("predict", video, "--model", "no-such-model", "--out", tmp_path / "results.parquet"),
        ("eval", checkpoint, "folder", tmp_path),
    ):
        refused(amge_cli(*command, "--device", name), f"there is no device '{name}' here; there is cpu")


def test_the_device_reaches_the_model(video, checkpoint, monkeypatch):
    asked = []
    monkeypatch.setattr("amge.builder.load", lambda model, device: asked.append(device) or load(model, device))
    shown = [
        amge_cli("predict", video, "--model", checkpoint, "--json", *options).stdout
        for options in ((), ("--device", "cpu"))
    ]
    assert asked == [None, torch.device("cpu")] and shown[0] == shown[1] != ""


def test_fps_of_keypoints(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", keypoints=rng.uniform(50, 200, (48, 17, 3)), fps=24)
    command = ("predict", tmp_path / "a.npz", "--model", "st-gcn.open-exercise-2d")
    for options, end in (((), 2.0), (("--fps", 12), 4.0)):
        shown = amge_cli(*command, "--json", *options).stdout
        assert json.loads(shown)["videos"][0]["windows"][0]["end"] == end
    refused(amge_cli(*command, "--fps", 0), "fps must be a number over 0")


def test_fps_of_a_folder_of_images(checkpoint, tmp_path):
    for number, frame in enumerate(movement(6)):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    shown = amge_cli("predict", tmp_path, "--model", checkpoint, "--fps", 4, "--json").stdout
    windows = json.loads(shown)["videos"][0]["windows"]
    assert [(w["start"], w["end"]) for w in windows] == [(0, 1.5)]


def test_a_video_has_a_rate_of_its_own(checkpoint, video, tmp_path):
    for options in ((), ("--out", tmp_path / "results.parquet")):
        result = amge_cli("predict", video, "--model", checkpoint, "--fps", 30, *options)
        refused(result, "has frames a second of its own; fps is for keypoints and folders of images")


def test_a_line_break_in_a_name_makes_no_second_line(checkpoint):
    refused(amge_cli("predict", "two\nlines.mp4", "--model", checkpoint), "no such file")


@pytest.mark.parametrize("name", ["[red]none[/red].mp4", "none[/b].mp4", "none :muscle:.mp4"])
def test_an_error_spells_a_file_name_as_it_is(checkpoint, name):
    refused(amge_cli("predict", name, "--model", checkpoint), name)


@pytest.mark.parametrize("name", ["transm3e-litte", "transm3e-lit"])
def test_an_unknown_model(video, tmp_path, name):
    picture = tmp_path / "map.png"
    refused(amge_cli("predict", video, "--model", name, "--save", picture), name, "did you mean 'transm3e-lite'")
    assert not picture.exists()


@pytest.fixture
def broken(checkpoint, tmp_path):
    """A copy of the checkpoint, to be broken."""
    folder = tmp_path / "broken"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes((checkpoint / name).read_bytes())
    return folder


@pytest.mark.parametrize(
    "edit, reason",
    [
        (lambda state: state.pop("head.projection.bias"), "missing head.projection.bias"),
        (lambda state: state.update(extra=torch.zeros(1)), "unexpected extra"),
        (lambda state: state.update({"head.projection.bias": torch.zeros(7)}), "head.projection.bias is (7,)"),
    ],
)
def test_weights_that_do_not_fit(broken, video, edit, reason):
    state = load_file(broken / "model.safetensors")
    edit(state)
    save_file(state, broken / "model.safetensors")
    refused(amge_cli("predict", video, "--model", broken), "does not fit", reason)


@pytest.mark.parametrize(
    "values",
    [{"frames": "many"}, {"fusion": "none"}, {"backbone_args": []}, {"seconds": "long"}, {"mean": 0.5}, {"std": 1}],
    ids=str,
)
def test_a_config_with_wrong_values(broken, video, values):
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(config | values))
    refused(amge_cli("predict", video, "--model", broken))


def test_a_pickle_as_model(video, tmp_path):
    path = tmp_path / "model.pth"
    path.write_bytes(pickle.dumps({"weight": 1}))
    refused(amge_cli("predict", video, "--model", path), "model.pth", "pickle")
    refused(amge_cli("predict", video, "--model", tmp_path), str(tmp_path), "not an amge checkpoint")


def test_a_model_folder_that_is_not_there(video, tmp_path):
    refused(amge_cli("predict", video, "--model", tmp_path / "nowhere"), "nowhere does not exist")


def test_options_that_exclude_each_other(checkpoint, video, tmp_path):
    options = "--model", checkpoint
    refused(amge_cli("predict", video, *options, "--json", "--csv"), "--json and --csv exclude each other")
    refused(amge_cli("predict", video, video, *options, "--save", tmp_path / "a.png"), "give a folder")
    refused(
        amge_cli("predict", video, *options, "--save", tmp_path / "a.gif"), "unknown picture or video format '.gif'"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_place_or_a_theme_that_cannot_be_is_told_before_any_work(video, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    options = "--model", "/tmp"  # which would be refused if anything was loaded
    for saved, *reasons in (
        (video, "is the video that is looked at"),
        (blocked / "map.mp4", "file/map.mp4", "cannot be written"),
        (blocked / "deeper" / "map.svg", "cannot be written"),
    ):
        refused(amge_cli("predict", video, *options, "--save", saved), *reasons)
    refused(amge_cli("predict", tmp_path / "joints.npz", *options, "--save", tmp_path / "a.mp4"), "holds keypoints")
    refused(
        amge_cli("predict", video, *options, "--save", tmp_path / "a.png", "--theme", "drak"), "did you mean 'dark'"
    )
    assert list(tmp_path.iterdir()) == [blocked]


@pytest.mark.parametrize("options", [("--threshold", "1.5"), ("--threshold", "high"), ("--no-such-option",)])
def test_usage_errors(video, options):
    result = amge_cli("predict", video, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert options[0] in result.stderr
    assert "Traceback" not in result.stderr


# The other commands


def test_version():
    result = amge_cli("--version")
    assert (result.exit_code, result.stdout) == (0, f"amge {amge.__version__}\n")


@pytest.mark.parametrize(
    "command",
    [
        ("eval", "transm3e-lite", "folder", "nowhere"),
        ("data", "info", "folder", "nowhere"),
        ("data", "check", "musclemap136", "nowhere"),
        ("data", "info", "folder", ".", "--manifest", "nowhere"),
        ("data", "prepare", "open-exercise", "nowhere", "out"),
        ("data", "prepare", "skeletons", "folder", "nowhere", "out"),
        ("train", "nowhere", "--out", "out"),
        ("convert", "pyslowfast", "nowhere", "-", "out"),
        ("publish", "nowhere", "owner/name"),
        ("skeletons", "nowhere", "out"),
        ("info", "./nowhere"),
    ],
    ids=" ".join,
)
def test_a_path_that_is_not_there(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(amge_cli(*command), "nowhere does not exist")
    assert list(tmp_path.iterdir()) == []


def test_list():
    result = amge_cli("list", "transm3e-l*")
    assert result.exit_code == 0
    assert "transm3e-lite" in result.stdout
    assert "transm3e-lite" not in amge_cli("list", "resnet*").stdout


def test_info(checkpoint):
    result = amge_cli("info", checkpoint)
    report = json.loads(result.stdout)
    model = amge.from_pretrained(checkpoint)
    assert report.pop("parameters") == sum(p.numel() for p in model.parameters())
    assert report == json.loads(model.spec.to_json())
    assert json.loads(amge_cli("info", "transm3e-lite").stdout)["arch"] == "transm3e-lite"
    refused(amge_cli("info", "transm3e-litte"), "did you mean 'transm3e-lite'")


# As a process of its own


def run(*arguments):
    command = [sys.executable, "-m", "amge.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    "command",
    [
        "--help",
        "--version",
        "predict --help",
        "predict nowhere.mp4",
        "predict nowhere.npz --model st-gcn",
        "predict nowhere --out results.parquet",
        "predict examples",
        "predict examples/squat.mp4 --fps 30",
        "predict examples/squat.mp4 --model ./nowhere",
        "eval transm3e-lite folder nowhere",
        "data info synthetic nowhere",
        "info ./nowhere",
        "train nowhere.yaml",
    ],
)
def test_help_and_wrong_paths_are_quick(command):
    """They answer before PyTorch is imported, which takes seconds."""
    code = (
        "import atexit, sys\n"
        "heavy = 'torch', 'av', 'timm', 'huggingface_hub', 'lightning'\n"
        "atexit.register(lambda: print([name for name in heavy if name in sys.modules]))\n"
        f"from amge.cli import app\napp({command.split()})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == (0 if command.endswith(("--help", "--version")) else 2), done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def on_output(stream, monkeypatch, capsys, *arguments):
    """Exit code and errors of the command where that is standard output."""
    monkeypatch.setattr(sys, "argv", ["amge", *map(str, arguments)])
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(os, "dup2", lambda *_: None)
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # which `main` changes
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code, capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_output_that_lacks_characters(checkpoint, video, encoding, monkeypatch, capsys):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, errors="strict")
    assert on_output(stream, monkeypatch, capsys, "predict", video, "--model", checkpoint) == (0, "")
    shown = raw.getvalue().decode(encoding)
    assert "#" in shown and "-" in shown and "?" not in shown
    assert on_output(stream, monkeypatch, capsys, "list") == (0, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize("form", [(), ("--csv",), ("--json",)])
def test_output_that_is_full(checkpoint, video, form, monkeypatch, capsys):
    with suppress(OSError), open("/dev/full", "w", encoding="utf-8") as stream:
        code, said = on_output(stream, monkeypatch, capsys, "predict", video, "--model", checkpoint, *form)
    assert code == 2 and re.fullmatch("error: .*No space left on device.*\n", said)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_the_output_is_named_by_commands_that_catch_errors_themselves(monkeypatch, capsys):
    with suppress(OSError), open("/dev/full", "w", encoding="utf-8") as stream:
        code, said = on_output(stream, monkeypatch, capsys, "list", "--pretrained")
    assert code == 2 and re.fullmatch("error: could not write to standard output: No space left on device; .*\n", said)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_errors_that_cannot_be_written_keep_their_exit_code(tmp_path):
    command = [sys.executable, "-m", "amge.cli", "predict", tmp_path / "none.mp4"]
    with open("/dev/full", "w") as full:
        assert subprocess.run(command, stderr=full, timeout=120).returncode == 2


def test_a_warning_is_one_line(monkeypatch, capsys):
    assert on_output(io.TextIOWrapper(io.BytesIO()), monkeypatch, capsys, "--version") == (0, "")
    assert warnings.formatwarning(UserWarning("two\nlines"), UserWarning, "a.py", 1) == "warning: two lines\n"


def test_a_full_disk_names_the_file(tmp_path):
    with pytest.raises(OSError) as caught, whole(tmp_path / "run.json"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert reason(caught.value) == f"{tmp_path / 'run.json'}: No space left on device"


def test_a_system_s_error_names_its_file_first(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError) as caught:
        (tmp_path / "file").mkdir()
    assert reason(caught.value) == f"{tmp_path / 'file'} is a file where a folder is needed"
    with pytest.raises(OSError) as caught:
        (tmp_path / "gone").read_text()
    assert reason(caught.value) == f"{tmp_path / 'gone'}: No such file or directory"
    assert len(reason(ValueError("x" * 30_000_000))) < 2100


def test_a_process_prints_json_and_a_line_for_a_truncated_video_and_nothing_else(checkpoint, video, expected, tmp_path):
    truncated(tmp_path / "bad.mp4")
    done = run("predict", video, tmp_path / "bad.mp4", "--model", checkpoint, "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["videos"][0]["regions"] == pytest.approx(expected, abs=1e-3)
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
