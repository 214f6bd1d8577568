"""Data sets as tables: what is read, what is written back, and one clear line for what does not fit."""

import json
from pathlib import Path

import pytest

from amge.data.manifest import NAMES, read_folder, read_manifest, read_table, write_manifest
from amge.data.sample import Sample


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_csv(tmp_path):
    path = write(
        tmp_path / "m.csv",
        "\ufeffVideo,regions,split,activity,source,start,end,skeletons,note\n"
        "a/squat.v2.mp4,quadriceps; gluteus,val_seen,squat,film,1.5,3,poses.npz#4,hello\n"
        '"s.jpg|e.jpg","[""chest""]",,,,,,e.json,\n'
        "c.mp4,[],,rest,,2,,,\n",
    )
    squat, pictures, rest = read_manifest(path)
    assert squat == Sample(
        id="a/squat.v2@1.5-3",
        video=tmp_path / "a/squat.v2.mp4",
        regions=("quadriceps", "gluteus"),
        activity="squat",
        split="val_seen",
        source="film",
        start=1.5,
        end=3.0,
        skeletons=(tmp_path / "poses.npz", 4),
    )
    assert pictures.video == (tmp_path / "s.jpg", tmp_path / "e.jpg")
    assert (pictures.id, pictures.activity, pictures.split, pictures.regions) == ("s", "s", "train", ("chest",))
    assert pictures.skeletons == tmp_path / "e.json"
    assert (rest.id, rest.regions, rest.end) == ("c@2-", (), None)


def test_json_root_and_labels(tmp_path):
    entries = [{"video": ["1.jpg", "2.jpg"], "regions": ["tail"], "id": 7}, {"video": "/x/b.mp4", "regions": "wing"}]
    one, other = read_manifest(write(tmp_path / "m.json", entries), root="/data", labels=("wing", "tail"))
    assert (one.id, one.video, one.regions) == ("7", (Path("/data/1.jpg"), Path("/data/2.jpg")), ("tail",))
    assert (other.id, other.video) == ("/x/b", Path("/x/b.mp4"))


def test_a_table_gives_the_regions_of_activities_in_any_spelling(tmp_path):
    tables = (
        write(tmp_path / "t.csv", "activity,regions\nPush-up,chest;triceps\nRest,\n"),
        write(tmp_path / "t.json", {"push ups": ["chest", "triceps"], "rest": []}),
        {"push_up": ("chest", "triceps"), "rest": ()},
    )
    path = write(tmp_path / "m.csv", "video,activity\na.mp4,PushUps\nb.mp4,rest\n")
    for table in tables:
        assert [sample.regions for sample in read_manifest(path, table)] == [("chest", "triceps"), ()]


def test_there_and_back(tmp_path):
    samples = [
        Sample(
            id="1", video=tmp_path / "v/a.mp4", regions=(), activity="rest", split="test_unseen", start=0.1, end=0.3
        ),
        Sample(
            id="2",
            video=(tmp_path / "a.jpg", Path("/else/b.jpg")),
            regions=("chest", "wrists"),
            activity='a "b", c',
            split="train",
            source="s",
            skeletons=(tmp_path / "k.npz", 3),
        ),
        Sample(
            id="3", video=tmp_path / "c", regions=("calves",), activity="é", split="train", skeletons=Path("/k.json")
        ),
    ]
    for name in ("m.csv", "m.json"):
        write_manifest(samples, tmp_path / name)
        assert read_manifest(tmp_path / name) == samples
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.csv", "m.json"]
    piped = Sample(id="4", video=tmp_path / "a|b.mp4", regions=(), activity="", split="train")
    with pytest.raises(ValueError, match=r"4: a path with '\|' in it"):
        write_manifest([piped], tmp_path / "m.csv")


def test_a_folder(tmp_path):
    with pytest.raises(ValueError, match=r"has none of labels.csv, .* write one, with the columns video and regions"):
        read_folder(tmp_path)
    for name in reversed(NAMES):
        entries = [{"video": "a.mp4", "regions": ["chest"], "id": name}]
        write(tmp_path / name, f"id,video,regions\n{name},a.mp4,chest\n" if name.endswith("csv") else entries)
        assert [sample.id for sample in read_folder(tmp_path)] == [name]
    assert read_folder(tmp_path, tmp_path / "manifest.json")[0].video == tmp_path / "a.mp4"


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("m.csv", "video,regions\na.mp4,chest\nb.mp4,chets\n", r"line 3: unknown muscle region 'chets'; did you mean"),
        ("m.csv", "video,regions\na.mp4,chest\na.avi,chest\n", r"line 3: id 'a' is that of .*line 2 already"),
        ("m.csv", "video,regions\na.mp4,chest;chest\n", r"line 2: muscle region 'chest' is given twice"),
        ("m.csv", "file,regions\na.mp4,chest\n", r"line 1: column 'video' is missing; there is 'file', 'regions'"),
        ("m.csv", "video\na.mp4\n", r"column 'regions' is missing, or 'activity' with a table"),
        ("m.csv", "video;regions\na.mp4;chest\n", r"column 'video' is missing; there is 'video;regions'"),
        ("m.csv", "video,regions,splits\na,chest,train\n", r"unknown column 'splits'; did you mean 'split'"),
        ("m.csv", "video,regions,split\na,chest,val\n", r"line 2: unknown split 'val'; did you mean 'val_seen'"),
        ("m.csv", "video,regions\na.mp4,chest,calves\n", r"line 2: more cells than columns"),
        ("m.csv", "video,regions,activity\na,,squat\n", r"line 2: it has no regions, and there is no table"),
        ("m.csv", "video,regions\na,\n", r"neither regions nor an activity.*'\[\]'"),
        ("m.csv", "video,regions\n,chest\n", r"line 2: it has no video"),
        ("m.csv", "video,regions,start\na,chest,soon\n", r"line 2: start is a number of seconds, not 'soon'"),
        ("m.csv", "video,regions,start,end\na,chest,3,2\n", r"line 2: a@3-2: expected 0 <= start < end"),
        ("m.csv", "video,regions\n", "lists no video"),
        ("m.csv", "", "there is nothing"),
        ("m.json", "[{", "is not JSON"),
        ("m.json", {"samples": []}, "expected a list of objects"),
        ("m.json", [{"video": "a", "regions": 3}], r"entry 1: regions are names separated by ';' or a list"),
        ("m.json", [{"video": "a", "regions": []}, {"regions": []}], r"entry 2: column 'video' is missing"),
        ("m.txt", "a.mp4 chest", r"unknown manifest format '.txt'; .*valid: .csv, .json"),
    ],
)
def test_what_does_not_fit(tmp_path, name, content, message):
    with pytest.raises(ValueError, match=message) as raised:
        read_manifest(write(tmp_path / name, content))
    assert "\n" not in str(raised.value)
    assert name in str(raised.value) or name == "m.txt"


@pytest.mark.parametrize(
    "content, message",
    [
        ("activity,regions\nsquat,quads\n", r"t.csv, line 2: unknown muscle region 'quads'; did you mean 'quadriceps'"),
        ("activity,regions\npush up,chest\nPush-ups,calves\n", r"line 3: 'Push-ups' has other regions than 'push up'"),
        ("name,regions\nsquat,quadriceps\n", r"t.csv: expected the columns activity and regions, got name, regions"),
        ("activity,regions\n,chest\n", r"line 2: it names no activity"),
    ],
)
def test_tables_that_do_not_fit(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        read_table(write(tmp_path / "t.csv", content))


def test_an_activity_that_the_table_lacks(tmp_path):
    path = write(tmp_path / "m.csv", "video,activity\na.mp4,push up\n")
    with pytest.raises(ValueError, match=r"line 2: unknown activity 'push up'; did you mean 'pull up'"):
        read_manifest(path, {"pull up": ("biceps",), "squat": ()})
