"""The MuscleMap benchmark: names of activities, sources, list files, splits and counts."""

import json
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from amge.data.activities import canonical, match_activity, same_activity
from amge.data.musclemap import BENCHMARKS, benchmark, count_report, load, source_of
from amge.data.official_lists import find_lists, place, read_lists
from amge.data.sample import SPLITS, leaks
from amge.muscles import REGION_IDS

# Names


@pytest.mark.parametrize(
    "one, other",
    [
        ("v-ups", "V_up"),
        ("v-ups", "VUps"),
        ("diamond push ups", "DiamondPushUps"),
        ("diamond push ups", "Diamond Pushup"),
        ("pole vault", "PoleVault"),
        ("shaving beard", "ShavingBeard"),
        ("shot put", "Shotput"),
        ("throw discus", "ThrowDiscus"),
        ("salsa spin", "SalsaSpins"),
        ("reverse crunches", "reverse_crunch"),
        ("hops on the spot", "hop-on-the-spot"),
        ("scissors", "Scissor"),
        ("bench presses", "BenchPress"),
        ("sword exercise", "sword_exercise"),
        ("体操", "体操"),
    ],
)
def test_spellings_of_one_activity(one, other):
    assert canonical(one) == canonical(other)
    assert same_activity(other, one)


@pytest.mark.parametrize(
    "one, other",
    [("push", "push up"), ("scissors", "modified scissors"), ("v-ups", "ups"), ("体操", "空手"), ("press", "pres")],
)
def test_different_activities(one, other):
    assert not same_activity(one, other)


def test_no_benchmark_has_two_activities_of_one_spelling():
    for each in BENCHMARKS.values():
        assert len({canonical(name) for name in each.unseen}) == len(each.unseen)


def test_matching():
    assert match_activity("PoleVault", ["pole vault", "diving"]) == "pole vault"
    assert match_activity("push_ups", ["push up", "push_ups"]) == "push_ups"
    with pytest.raises(ValueError, match="'pole valt'; did you mean 'pole vault'"):
        match_activity("pole valt", ["pole vault", "diving"])
    with pytest.raises(ValueError, match="'PushUp' can mean 'push up' or 'push_ups'"):
        match_activity("PushUp", ["push up", "push_ups"])
    with pytest.raises(ValueError, match="'zzz'; there are squat"):
        match_activity("zzz", ["squat"])


def test_what_the_paper_says():
    assert sum(benchmark("musclemap136").samples) == 15007
    assert sum(benchmark("muscle-ucf90").samples) == 10553  # section 3 says so, too
    counts = dict(zip(SPLITS, benchmark("muscle-hmdb41").samples, strict=True))
    assert counts == {"train": 3311, "val_unseen": 552, "val_seen": 422, "test_unseen": 552, "test_seen": 423}
    assert [len(each.unseen) for each in BENCHMARKS.values()] == [20, 9, 1]  # the text breaks off in the last list
    with pytest.raises(ValueError, match="did you mean 'muscle-ucf90'"):
        benchmark("ucf90")


# Sources


@pytest.mark.parametrize(
    "name, file, activity, source",
    [
        ("muscle-ucf90", "v_PoleVault_g03_c02.avi", "PoleVault", "PoleVault_g03"),
        ("muscle-ucf90", "other_g03.avi", "PoleVault", "PoleVault/other_g03"),
        ("muscle-hmdb41", "Film_Name_push_f_cm_np1_ba_bad_3.avi", "push", "Film_Name_push"),
        ("muscle-hmdb41", "6arrows_shoot_bow_u_nm_np2_fr_goo_10.avi", "shoot_bow", "6arrows_shoot_bow"),
        ("musclemap136", "dQw4w9-gXcQ_0012.mp4", "v-ups", "v-ups/dQw4w9-gXcQ"),
        ("musclemap136", "V_ups_12.mp4", "v-ups", "v-ups/V_ups_12"),
        ("musclemap136", "0012.mp4", "v-ups", "v-ups/0012"),
    ],
)
def test_sources(name, file, activity, source):
    assert source_of(name, Path(activity) / file, activity) == source


# Manifests


def ucf(folder, activities, groups=40, split=None):
    """A manifest of two clips of each of some groups of each activity, with no video."""
    rows = ["video,regions,split"]
    for activity in activities:
        for group in range(groups):
            rows += [f"{activity}/v_{activity}_g{group:02}_c{clip:02}.avi,chest,{split or ''}" for clip in (1, 2)]
    (folder / "manifest.csv").write_text("\n".join(rows))
    return folder


UCF_UNSEEN = tuple(canonical(name) for name in benchmark("muscle-ucf90").unseen)


def test_a_manifest_without_splits_is_split_by_activity_and_source(tmp_path):
    samples = load("muscle-ucf90", ucf(tmp_path, [*UCF_UNSEEN, "PushUps", "Rowing"]))
    assert samples == load("muscle-ucf90", tmp_path)
    assert leaks(samples) == []
    counts = Counter(sample.split for sample in samples)
    assert {s.activity for s in samples if s.split.endswith("unseen")} == set(UCF_UNSEEN)
    assert {s.activity for s in samples if not s.split.endswith("unseen")} == {"PushUps", "Rowing"}
    assert counts["val_unseen"] + counts["test_unseen"] == 9 * 80
    assert 0.4 < counts["val_unseen"] / (9 * 80) < 0.6
    assert counts["train"] > 80 and counts["val_seen"] and counts["test_seen"]


def test_given_splits_and_sources_stay(tmp_path):
    samples = load("muscle-hmdb41", ucf(tmp_path, ["push", "hug"], 1, "test_seen"))
    assert {sample.split for sample in samples} == {"test_seen"}


def test_a_folder_gives_the_activity_and_a_table_its_regions(tmp_path):
    rows = [{"video": "a.avi", "activity": "Pole vaults", "source": "film"}, {"video": "HugDog/c.avi"}]
    (tmp_path / "m.json").write_text(json.dumps(rows))
    table = {"pole vault": ("biceps",), "hug dog": ()}
    vault, hug = load("muscle-ucf90", tmp_path, tmp_path / "m.json", table, unseen=["pole vault"])
    assert (vault.source, vault.regions, vault.activity) == ("film", ("biceps",), "Pole vaults")
    assert vault.split in ("val_unseen", "test_unseen")
    assert (hug.source, hug.regions, hug.activity) == ("HugDog/c", (), "HugDog")
    assert hug.split in ("train", "val_seen", "test_seen")
    with pytest.raises(ValueError, match=r"entry 1: it has no regions, and there is no table"):
        load("muscle-ucf90", tmp_path, tmp_path / "m.json")


def test_an_unseen_activity_that_is_spelled_in_an_unknown_way_is_not_trained_on(tmp_path):
    ucf(tmp_path, ["PoleVaulting", *(name for name in UCF_UNSEEN if name != "polevault")])
    with pytest.raises(ValueError, match=r"no sample shows the unseen activity 'pole vault'; did you mean 'PoleVaulti"):
        load("muscle-ucf90", tmp_path)
    samples = load("muscle-ucf90", tmp_path, unseen=["PoleVaulting"])
    assert "PoleVaulting" not in {sample.activity for sample in samples if sample.split == "train"}


def test_the_unseen_activities_of_hmdb41_must_be_named(tmp_path):
    ucf(tmp_path, ["push", "hug"])
    with pytest.raises(ValueError, match=r"muscle-hmdb41 has 6 unseen activities, of which only push is known here"):
        load("muscle-hmdb41", tmp_path)
    assert leaks(load("muscle-hmdb41", tmp_path, unseen=["Push"])) == []
    with pytest.raises(ValueError, match=r"has no manifest\.csv; give manifest, or lists"):
        load("muscle-hmdb41", tmp_path / "nothing")
    with pytest.raises(ValueError, match="give either lists, or a manifest"):
        load("muscle-hmdb41", tmp_path, tmp_path / "manifest.csv", lists=tmp_path)


# Official lists

LISTS = {
    "train": (["/home/x/trimmed/squats/id1_0001.mp4", "/home/x/trimmed/squats/id1_0002.mp4"], [[13, 17]] * 2),
    "val_seen": (["/home/x/trimmed/squats/id2_0001.mp4"], [[17, 13]]),
    "val_unseen": (["/home/x/trimmed/v-ups/id3_0001.mp4"], [[]]),
    "test_seen": (["/home/x/trimmed/squats/id4_0001.mp4"], [[13]]),
    "test_unseen": (["C:\\data\\v-ups\\id5_0001.mp4"], [[9, 10]]),
}  # fmt: skip


def write_pickles(folder, convert=lambda value: value, protocol=4):
    for split, pair in LISTS.items():
        for kind, content in zip(("video", "label"), pair, strict=True):
            (folder / f"{split}_{kind}_list.pkl").write_bytes(pickle.dumps(convert(content), protocol))


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize(
    "convert",
    [
        lambda value: value,
        tuple,
        lambda value: [np.array(v, np.int64) if isinstance(v, list) else np.str_(v) for v in value],
        lambda value: [[np.int64(i) for i in v] if isinstance(v, list) else v for v in value],
        lambda value: np.array(value) if isinstance(value[0], str) else value,
    ],
    ids=["lists", "tuple", "arrays", "scalars", "array of text"],
)
def test_pickles(tmp_path, convert, protocol):
    write_pickles(tmp_path, convert, protocol)
    samples = load("musclemap136", tmp_path / "videos", lists=tmp_path, allow_pickle=True)
    assert [sample.split for sample in samples] == ["train", "train", *SPLITS[1:]]
    assert samples[0].regions == ("quadriceps", "gluteus") == samples[2].regions
    assert samples[3].regions == ()
    assert (samples[0].id, samples[0].activity, samples[0].source) == ("squats/id1_0001", "squats", "squats/id1")
    assert samples[0].video == tmp_path / "videos/squats/id1_0001.mp4"
    assert samples[-1].video == tmp_path / "videos/v-ups/id5_0001.mp4"
    assert leaks(samples) == []


def test_json_and_text_are_read_like_pickles(tmp_path):
    for folder in ("pickles", "json", "text"):
        (tmp_path / folder).mkdir()
    write_pickles(tmp_path / "pickles")
    for split, (videos, labels) in LISTS.items():
        nested = tmp_path / "json" / split.replace("_", "-")
        nested.mkdir()
        (nested / "video list.json").write_text(json.dumps(videos))
        (nested / "labels.json").write_text(json.dumps([[REGION_IDS[i] for i in each] for each in labels]))
        (tmp_path / "text" / f"{split}_videos.txt").write_text("\n".join(videos) + "\n")
        (tmp_path / "text" / f"{split}_labels.txt").write_text("".join(f"{' '.join(map(str, e))}\n" for e in labels))
    expected = read_lists(tmp_path / "pickles", allow_pickle=True)
    assert read_lists(tmp_path / "json") == expected
    assert read_lists(tmp_path / "text") == expected
    assert set(find_lists(tmp_path / "text")) == set(SPLITS)


def test_paths_are_found_by_their_last_parts(tmp_path):
    (tmp_path / "b/c").mkdir(parents=True)
    (tmp_path / "b/c/1.mp4").touch()
    (tmp_path / "2.mp4").touch()
    found = place(tmp_path, ["a/b/c/1.mp4", "a/b/c/2.mp4", "a/b/c/3.mp4"])
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["b/c/1.mp4", "2.mp4", "c/3.mp4"]


def test_pickles_need_a_word(tmp_path):
    write_pickles(tmp_path)
    with pytest.raises(ValueError, match="is a pickle, which can hold code; say allow_pickle"):
        load("musclemap136", tmp_path, lists=tmp_path)


class Attack:
    def __reduce__(self):
        return (Path.touch, (Path("attacked"),))


@pytest.mark.parametrize(
    "content, message",
    [
        ([Attack()], r"is not a pickle of lists: it asks for pathlib.*, which no list needs; it may be an attack"),
        ([np.array([{}], dtype=object)], "is not a pickle of lists"),
        ({"a": 1}, "holds no list"),
        ([3], r"entry 1: expected the path of a video, got 3"),
        (["../../etc/passwd"], "is no path of a video in a data set"),
        (["a/b.mp4", "a/c.mp4"], "lists 2 videos, .* labels of 1"),
        (["b.mp4"], "a path ends in ACTIVITY/FILE"),
    ],
)
def test_bad_video_lists(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train_video.pkl").write_bytes(pickle.dumps(content))
    (tmp_path / "train_label.json").write_text("[[1]]")
    with pytest.raises(ValueError, match=message):
        load("musclemap136", tmp_path, lists=tmp_path, allow_pickle=True)
    assert not (tmp_path / "attacked").exists()


@pytest.mark.parametrize(
    "label, message",
    [
        ([20], "entry 1: region 20 is not one of 0..19"),
        ([-1], "region -1 is not one of"),
        ([0, 1] * 10, "expected the numbers of its regions, got 0 and 1 for each region"),
        ([3, 3], "muscle region 'biceps' is given twice"),
        ([1.5], "unknown muscle region 1.5"),
        (["chets"], "did you mean 'chest'"),
        (4, "expected a list of regions, got 4"),
    ],
)
def test_bad_labels(tmp_path, label, message):
    (tmp_path / "train_video.json").write_text('["a/b.mp4"]')
    (tmp_path / "train_label.json").write_text(json.dumps([label]))
    with pytest.raises(ValueError, match=message):
        read_lists(tmp_path)


def test_which_list_is_which_must_be_clear(tmp_path):
    with pytest.raises(ValueError, match=r"has no lists like train_video_list.pkl .* there is no file of the kind"):
        find_lists(tmp_path)
    (tmp_path / "train_video.json").write_text("[]")
    with pytest.raises(ValueError, match=r"has no label list of train; name it like train_label_list.pkl"):
        find_lists(tmp_path)
    (tmp_path / "train_videos_2.json").write_text("[]")
    with pytest.raises(ValueError, match=r"can both be the video list of train; leave one there"):
        find_lists(tmp_path)


# Counts


def test_the_counts_of_the_paper_and_of_what_is_there(tmp_path):
    write_pickles(tmp_path)
    samples = load("musclemap136", tmp_path, lists=tmp_path, allow_pickle=True)
    report = count_report(samples, benchmark("musclemap136"))
    rows = [line.split() for line in report.splitlines()]
    assert ["samples", "in", "train", "8837", "2", "-8835"] in rows
    assert ["activities", "136", "2", "-134"] in rows
    assert ["unseen", "activities", "20", "1", "-19"] in rows
    assert "unseen activity 'diamond push ups' is missing" in report
    assert "'v-ups' is missing" not in report


def test_counts_tell_of_unseen_activities_in_train_and_of_spellings(tmp_path):
    activities = ["PoleVault", "Pole_vaults", "Bowlin", "Rowing"]
    samples = load("muscle-ucf90", ucf(tmp_path, activities, 1, "train"))
    report = count_report(samples, benchmark("muscle-ucf90"))
    assert "unseen activity 'pole vault' is in train" in report
    assert "unseen activity 'pole vault' is spelled in 2 ways: PoleVault, Pole_vaults" in report
    assert "unseen activity 'bowling' is missing; closest: Bowlin" in report
    assert "only 1 of the 6 unseen activities is known" in count_report(samples, benchmark("muscle-hmdb41"))
    assert "known by name" not in count_report(samples, benchmark("muscle-hmdb41"), ["push"])
    whole = count_report([], benchmark("muscle-hmdb41"), [])
    assert "-3311" in whole
    lone = load("muscle-ucf90", ucf(tmp_path, ["Rowing"], 1, "val_seen"))
    assert "seen activity 'Rowing' is not in train" in count_report(lone, benchmark("muscle-ucf90"))
