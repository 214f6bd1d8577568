"""The open exercise photographs as samples, and their preparation from a checkout of the source."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from amge.data import open_exercise
from amge.data.prepare.families import RULES, UNSEEN, family_of
from amge.data.prepare.open_exercise import derived_split, prepare, read_splits, regions_of
from amge.data.sample import leaks
from amge.muscles import REGION_IDS

SHARED = Path(__file__).parents[3] / "shared" / "open_exercise"
shared = pytest.mark.skipif(not SHARED.exists(), reason="the prepared photographs are not here")


def exercise(name, primary, secondary=(), **others):
    id = name.replace(" ", "_").replace("/", "_")
    images = [f"{id}/0.jpg", f"{id}/1.jpg"]
    return {"id": id, "name": name, "primaryMuscles": primary, "secondaryMuscles": secondary, "images": images} | others


EXERCISES = (
    exercise("Russian Twist", ["abdominals"], ["lower back"], category="strength", equipment="body only"),
    exercise("Bench Dips", ["triceps"], ["chest", "shoulders"]),
    exercise("Barbell Squat", ["quadriceps"], ["glutes", "quadriceps"]),
    exercise("Same Picture", ["calves"]),
    exercise("Other Size", ["calves"]),
    exercise("One Picture", ["calves"], images=["One_Picture/0.jpg"]),
)


@pytest.fixture
def checkout(tmp_path):
    """A source of six exercises, three of which are a pair of photographs."""
    source = tmp_path / "free-exercise-db"
    (source / "dist").mkdir(parents=True)
    (source / "dist/exercises.json").write_text(json.dumps(EXERCISES))
    for number, each in enumerate(EXERCISES):
        (source / "exercises" / each["id"]).mkdir(parents=True)
        for picture, image in enumerate(each["images"]):
            seed = 0 if each["id"] == "Same_Picture" else 2 * number + picture
            width = 460 if (each["id"], picture) == ("Other_Size", 1) else 450
            pixels = np.random.default_rng(seed).integers(0, 256, (30, width // 10, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((width, 300)).save(source / "exercises" / image)
    return source


class Two:
    """A pose estimator that finds a child and then an adult, BlazePose joints."""

    def __call__(self, frames):
        (frame,) = frames
        joints = np.arange(33, dtype=np.float32)
        self.size = frame.shape
        return [np.stack([np.stack([scale * joints, scale * joints, joints / 33], axis=-1) for scale in (1, 3)])]


# Samples


def test_samples_of_a_prepared_folder(prepared):
    samples = open_exercise.samples(prepared)
    assert Counter(sample.split for sample in samples) == {"train": 8, "val_seen": 1, "val_unseen": 1}
    for row, sample in enumerate(samples):
        assert sample.video == (prepared / f"images/{row}_0.png", prepared / f"images/{row}_1.png")
        assert sample.skeletons == (prepared / "keypoints.npz", row)
        assert (sample.id, sample.source, sample.activity) == (str(row), str(row), str(row))
        assert sample.regions == (REGION_IDS[row], REGION_IDS[row + 5])
    with pytest.raises(ValueError, match="does not hold the prepared open exercise photographs"):
        open_exercise.samples(prepared / "images")


def test_samples_and_load_agree(prepared):
    loaded = {
        exercise.id: exercise for split in open_exercise.SPLITS for exercise in open_exercise.load(prepared, split)
    }
    for sample in open_exercise.samples(prepared):
        path, row = sample.skeletons
        np.testing.assert_array_equal(np.load(path)["keypoints"][row], loaded[sample.id].keypoints)
        np.testing.assert_array_equal(np.asarray(Image.open(sample.video[1])), loaded[sample.id].photos[1])


@shared
def test_the_shared_set_does_not_leak():
    samples = open_exercise.samples(SHARED)
    assert Counter(sample.split for sample in samples) == {"train": 562, "val_seen": 82, "val_unseen": 72}
    assert leaks(samples) == []
    assert {s.activity for s in samples if s.split == "val_unseen"} == set(UNSEEN)
    assert {s.activity for s in samples if s.split == "val_seen"} <= {s.activity for s in samples if s.split == "train"}


# Families and regions


@pytest.mark.parametrize(
    "name, family",
    [
        ("Dumbbell Rear Lunge", "lunge"),
        ("Smith Machine Squat", "squat"),
        ("Incline Hammer Curls", "hammer_curl"),
        ("Palms-Down Wrist Curl Over A Bench", "wrist"),
        ("Bench Dips", "dip"),
        ("Side Bridge", "oblique_twist"),
        ("Standing Two-Arm Overhead Throw", "throw_slam"),
        ("Bent Over Barbell Row", "row"),
        ("Hamstring-SMR", "foam_roll"),
        ("Tie Shoes", "other"),
    ],
)
def test_families(name, family):
    assert family_of(name) == family


def test_every_unseen_family_has_a_rule():
    assert {family for family, _ in RULES} >= set(UNSEEN)


@shared
def test_families_and_regions_by_name_agree_with_the_shared_set():
    samples = json.loads((SHARED / "labels.json").read_text())["samples"]
    agree = sum(family_of(sample["name"]) == sample["family"] for sample in samples)
    assert agree / len(samples) > 0.92
    both = sum((family_of(sample["name"]) in UNSEEN) == (sample["family"] in UNSEEN) for sample in samples)
    assert both / len(samples) > 0.97
    for sample in samples:
        by_name = {"obliques", "feet_ankles", "wrists"} & set(sample["regions"])
        assert set(regions_of([], sample["name"])) == by_name


def test_regions_of_muscles():
    assert regions_of(["glutes", "abdominals"]) == ("upper_abdominis", "lower_abdominis", "gluteus")
    assert regions_of(["traps", "middle back"], "Ankle Hops with WRIST twist") == (
        *("upper_back", "obliques", "feet_ankles", "wrists"),
    )
    with pytest.raises(ValueError, match="unknown muscle 'bicep'; did you mean 'biceps'"):
        regions_of(["bicep"])


def test_derived_splits_hold_out_families_and_an_eighth():
    assert derived_split("any", "Plank") == ("plank", "val_unseen")
    splits = Counter(derived_split(f"Squat_{i}", "Squat")[1] for i in range(800))
    assert set(splits) == {"train", "val_seen"} and 70 < splits["val_seen"] < 130


# Preparing


def test_prepare(checkout, tmp_path):
    out, find, seen = tmp_path / "out", Two(), []
    samples = prepare(checkout, out, pose=find, progress=lambda done, of: seen.append((done, of)))
    assert [sample.id for sample in samples] == ["Barbell_Squat", "Bench_Dips", "Russian_Twist"]
    squat, dips, twist = samples
    assert (squat.activity, squat.regions) == ("squat", ("quadriceps", "gluteus"))
    assert (dips.activity, dips.split) == ("dip", "val_unseen")
    assert twist.regions == ("obliques", "upper_abdominis", "lower_abdominis", "lower_back")
    assert find.size == (224, 336, 3) and len(seen) == 6
    assert sorted(path.name for path in (out / "images").iterdir()) == [
        f"{sample.id}_{picture}.jpg" for sample in samples for picture in range(2)
    ]
    keypoints = np.load(out / "keypoints.npz")["keypoints"]
    assert keypoints.shape == (3, 2, 17, 3) and keypoints.dtype == np.float32
    np.testing.assert_array_equal(keypoints[0, 0, 5], [33, 33, np.float32(11 / 33)])  # the adult's left shoulder
    labels = json.loads((out / "labels.json").read_text())
    assert tuple(labels["regions"]) == REGION_IDS and "dip" in labels["unseen_families"]
    entry = labels["samples"][2]
    assert (entry["name"], entry["category"], entry["equipment"]) == ("Russian Twist", "strength", "body only")
    assert entry["primary"] == ["upper_abdominis", "lower_abdominis"]
    assert not list(out.rglob(".part*"))


def test_prepare_goes_on_and_takes_splits(checkout, tmp_path):
    out = tmp_path / "out"
    prepare(checkout, out, pose="none")
    assert not np.load(out / "keypoints.npz")["keypoints"].any()
    kept = out / "images/Bench_Dips_0.jpg"
    before = kept.stat().st_mtime_ns
    splits = tmp_path / "splits.json"
    splits.write_text(json.dumps({"Bench_Dips": ["dip", "test_unseen"], "Barbell_Squat": ["squat", "train"]}))
    samples = prepare(checkout, out, splits, "none")
    assert [(s.id, s.activity, s.split) for s in samples] == [
        ("Barbell_Squat", "squat", "train"),
        ("Bench_Dips", "dip", "test_unseen"),
    ]
    assert kept.stat().st_mtime_ns == before
    assert read_splits(out / "labels.json") == read_splits(splits)
    assert prepare(checkout, tmp_path / "new", out / "labels.json", "none") == [
        *prepare(checkout, tmp_path / "new", read_splits(splits), "none")
    ]


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda source: (source / "dist/exercises.json").unlink(), "has no dist/exercises.json; give a checkout"),
        (lambda source: (source / "dist/exercises.json").write_text("[{}]"), "is not the list of yuhonas/free-ex"),
        (lambda source: (source / "dist/exercises.json").write_text("[]"), "has no exercise with two photographs"),
        (lambda source: (source / "exercises/Bench_Dips/1.jpg").unlink(), r"1.jpg is missing; is the checkout whole\?"),
        (
            lambda source: (source / "exercises/Bench_Dips/1.jpg").write_text("x"),
            r"1.jpg: .*is the checkout whole\?",
        ),
        (
            lambda source: (source / "dist/exercises.json").write_text(
                json.dumps([exercise("A", ["bicep"]), exercise("B", [])])
            ),
            "unknown muscle 'bicep'",
        ),
        (
            lambda source: (source / "dist/exercises.json").write_text(
                json.dumps([exercise("A", []) | {"id": "../a"}])
            ),
            "is no file name",
        ),
    ],
)
def test_a_source_that_is_not_whole(checkout, tmp_path, change, message):
    change(checkout)
    with pytest.raises(ValueError, match=message):
        prepare(checkout, tmp_path / "out", pose="none")
    assert not (tmp_path / "out/labels.json").exists()


def test_splits_that_do_not_fit(checkout, tmp_path):
    path = tmp_path / "splits.json"
    for content in ('["a"]', '{"a": "train"}', '{"a": ["dip", "val"]}', "{"):
        path.write_text(content)
        with pytest.raises(ValueError, match=r"splits.json: expected an object of id: \[family, split\]"):
            prepare(checkout, tmp_path / "out", path, "none")
    with pytest.raises(ValueError, match="unknown pose estimator 'mediapip'"):
        prepare(checkout, tmp_path / "out", pose="mediapip")
