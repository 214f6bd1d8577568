from dataclasses import replace
from pathlib import Path

import pytest

from amge.data.sample import Sample, combined, fingerprint, leaks, of_split


def sample(id, split="train", activity="squat", video=None, **others):
    return Sample(
        id=id, video=video or Path(f"{id}.mp4"), regions=("gluteus",), activity=activity, split=split, **others
    )


@pytest.mark.parametrize(
    "wrong, reason",
    [
        ({"id": ""}, "needs an id; gone.mp4"),
        ({"split": "test"}, "unknown split 'test'; did you mean"),
        ({"start": 2.0, "end": 2.0}, "0 <= start < end"),
        ({"start": -1.0}, "0 <= start < end"),
        ({"end": 0.0}, "0 <= start < end"),
        ({"start": float("nan")}, "0 <= start < end"),
    ],
)
def test_samples_that_make_no_sense(wrong, reason):
    with pytest.raises(ValueError, match=reason):
        sample(**{"id": "a", "video": Path("gone.mp4")} | wrong)


def test_samples_of_splits_in_their_order():
    samples = [sample("a"), sample("b", "val_seen"), sample("c", "test_seen"), sample("d")]
    assert [each.id for each in of_split(samples, "test_seen", "train")] == ["a", "c", "d"]
    assert of_split(samples) == []
    with pytest.raises(ValueError, match="did you mean 'val_seen'"):
        of_split(samples, "val_sen")


def test_unseen_activities_and_sources_must_not_be_in_train():
    clean = [
        sample("a", source="film 1"),
        sample("b", source="film 1"),
        sample("c", "val_seen"),
        sample("d", "test_unseen", "plank"),
        sample("e", "val_unseen", "plank"),
    ]
    assert leaks(clean) == []
    assert leaks([*clean, sample("f", activity="plank")]) == [
        "activity 'plank' is in train and in val_unseen",
        "activity 'plank' is in train and in test_unseen",
    ]
    assert leaks([*clean, sample("f", "test_seen", source="film 1")]) == ["source 'film 1' is in test_seen, train"]
    assert leaks([*clean, sample("f", "test_seen", source="a")]) == []  # sample a is of film 1


def test_one_file_on_both_sides_is_a_leak_whatever_its_samples_are_called():
    film = Path("film.mp4")
    cut = [sample("a", video=film, end=5.0), sample("b", "test_seen", video=film, start=5.0), sample("c", video=film)]
    assert leaks(cut) == ["file film.mp4 is in test_seen, train"]
    assert leaks([replace(each, source="film") for each in cut]) == ["source 'film' is in test_seen, train"]
    assert leaks(cut[::2]) == []
    pictures = [sample("a", video=(film, Path("1.png"))), sample("b", "val_seen", video=(Path("1.png"), Path("2.png")))]
    assert leaks(pictures) == ["file 1.png is in train, val_seen"]


def test_the_fingerprint_is_of_the_data_wherever_it_lies(tmp_path):
    def at(folder, content=b"video", **changes):
        folder = tmp_path / folder
        folder.mkdir(exist_ok=True, parents=True)
        (folder / "a.mp4").write_bytes(content)
        samples = [sample("a", video=folder / "a.mp4"), sample("b", video=folder)]
        return fingerprint([replace(samples[0], **changes), samples[1]])

    known = at("here")
    assert at("there/here") == known
    changes = [
        {"id": "c"},
        {"regions": ("calves",)},
        {"activity": "lunge"},
        {"split": "val_seen"},
        {"start": 1.0},
        {"end": 1.0},
        {"content": b"longer"},
    ]
    assert len({known, *(at("here", **change) for change in changes)}) == 8


def test_the_fingerprint_does_not_depend_on_order():
    samples = [replace(sample(id), regions=("calves", "gluteus")) for id in "abc"]
    turned = [replace(each, regions=each.regions[::-1]) for each in reversed(samples)]
    assert fingerprint(turned) == fingerprint(samples)


def test_sets_are_told_apart_by_their_names():
    both = combined({"one": [sample("a"), sample("b", source="film")], "two": [sample("a", "val_seen")]})
    assert [(each.id, each.source) for each in both] == [("one/a", "one/a"), ("one/b", "one/film"), ("two/a", "two/a")]
    assert "source" not in "".join(leaks(both))
    alone = [sample("a")]
    assert combined({"one": alone}) == alone


def test_spelling_hides_no_leak():
    found = leaks([sample("a", activity="Push ups"), sample("b", "val_unseen", activity="PushUp")])
    assert found == ["activity 'PushUp' is in train and in val_unseen"]
    there, again = (
        sample(id, split, video=Path(video))
        for id, split, video in (("a", "train", "x/v.mp4"), ("b", "val_seen", "x/y/../v.mp4"))
    )
    assert leaks([there, again]) == ["file x/v.mp4 is in train, val_seen"]
