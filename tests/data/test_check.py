"""Reading a data set once: what is broken is found, with the reason, and the rest is counted."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from amge.data.check import Contents, check, counts
from amge.data.sample import SPLITS, Sample, fingerprint
from amge.video.write import write_video


def sample(id, video, **others):
    return Sample(**{"id": id, "video": video, "regions": ("chest",), "activity": "press", "split": "train"} | others)


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A video of one second, one of a frame, one cut off, a folder of images, pictures, and skeletons."""
    folder = tmp_path_factory.mktemp("set")
    write_video(folder / "a.mp4", noise(10, 32, 48, 3), 10)
    write_video(folder / "one.mp4", noise(1, 32, 48, 3), 10)
    (folder / "cut.mp4").write_bytes((folder / "a.mp4").read_bytes()[:4000])
    (folder / "frames").mkdir()
    for i in range(3):
        Image.fromarray(noise(40, 30, 3)).save(folder / f"frames/{i}.png")
        Image.fromarray(noise(40, 30 + 2 * (i == 2), 3)).save(folder / f"{i}.png")
    (folder / "broken.png").write_bytes((folder / "0.png").read_bytes()[:500])
    person = np.ones((10, 17, 3), np.float32)
    np.savez(folder / "person.npz", keypoints=person)
    np.savez(folder / "nobody.npz", keypoints=0 * person)
    np.savez(folder / "poses.npz", keypoints=np.stack([np.ones((2, 17, 3)), np.zeros((2, 17, 3))]))
    return folder


def test_what_is_in_a_set(folder):
    samples = [
        sample("a", folder / "a.mp4", skeletons=folder / "person.npz"),
        sample("part", folder / "a.mp4", start=0.2, end=1.2, split="val_seen", regions=("calves", "tail")),
        sample("frames", folder / "frames", activity="b"),
        sample("pair", (folder / "0.png", folder / "1.png"), skeletons=(folder / "poses.npz", 0)),
    ]
    done = []
    report = check(samples, workers=2, progress=lambda *step: done.append(step))
    assert report.ok and report.broken == ()
    assert report.leaks == (f"file {folder / 'a.mp4'} is in train, val_seen",)
    assert report.contents["a"] == report.contents["part"] == Contents(10, pytest.approx(1), 48, 32)
    assert report.contents["frames"] == Contents(3, pytest.approx(0.1), 30, 40)
    assert report.contents["pair"] == Contents(2, None, 30, 40)
    assert done == [(1, 3), (2, 3), (3, 3)]
    assert report.splits == {"train": 3, "val_seen": 1, **dict.fromkeys(SPLITS[2:], 0)}
    assert report.activities["train"] == 2
    assert (report.regions["chest"]["train"], report.regions["tail"]["val_seen"]) == (3, 1)
    assert set(report.warnings) == {f"region {name} is in no training sample" for name in ("calves", "tail")}
    assert report.fingerprint == fingerprint(samples)
    assert json.loads(json.dumps(report.as_json()))["contents"]["a"]["frames"] == 10


@pytest.mark.parametrize(
    "video, others, reason",
    [
        ("none.mp4", {}, "none.mp4: no such file or folder; check the path"),
        ("cut.mp4", {}, "cut.mp4 is a truncated or damaged MP4/MOV file"),
        ("one.mp4", {}, "one.mp4 has 1 frame: a movement needs at least 2 frames"),
        ("a.mp4", {"start": 2.0}, "it starts at 2 s, a.mp4 ends at 1.00 s"),
        ("a.mp4", {"skeletons": "nobody.npz"}, "nobody is in these skeletons"),
        ("a.mp4", {"skeletons": "gone.npz"}, "gone.npz: no such file; check the path"),
        (("0.png", "gone.png"), {}, "gone.png: no such file; check the path"),
        (("0.png", "broken.png"), {}, "broken.png: not a readable image"),
        (("0.png", "2.png"), {}, "2.png is 32x40, 0.png 30x40: pictures of one movement must have one size"),
        (("0.png", "a.mp4"), {}, "a.mp4 is not called like a picture"),
        (("0.png", "1.png"), {"skeletons": ("poses.npz", 2)}, "has poses 0..1, none of row 2"),
        (("0.png",), {"skeletons": ("poses.npz", 0)}, "has poses of 2 pictures, the sample has 1"),
        (("0.png", "1.png"), {"skeletons": ("person.npz", 0)}, r"expected keypoints \(n, pictures, V, 3\)"),
        (("0.png", "1.png"), {"skeletons": ("0.png", 0)}, "0.png holds no poses"),
    ],
)
def test_what_is_broken(folder, video, others, reason):
    path = folder / video if isinstance(video, str) else tuple(folder / name for name in video)
    if isinstance(skeletons := others.get("skeletons"), str):
        others = {"skeletons": folder / skeletons}
    elif skeletons:
        others = {"skeletons": (folder / skeletons[0], skeletons[1])}
    report = check([sample("good", folder / "a.mp4"), sample("bad", path, **others)])
    (broken,) = report.broken
    assert not report.ok and (broken.id, broken.split) == ("bad", "train")
    assert re.search(reason, broken.reason), broken.reason
    assert "\n" not in broken.reason


def test_warnings_and_leaks(folder):
    samples = [
        sample("a", folder / "a.mp4", end=9.0, source="film"),
        sample("b", (folder / "0.png", folder / "1.png"), skeletons=(folder / "poses.npz", 1), split="test_unseen"),
        sample("c", folder / "a.mp4", source="film", split="val_seen"),
    ]
    report = check(samples)
    assert report.ok
    assert report.warnings == ("a ends at 9 s, a.mp4 at 1.00 s", "b: nobody is in its poses")
    assert report.leaks == (
        "activity 'press' is in train and in test_unseen",
        "source 'film' is in train, val_seen",
    )


def test_nothing_to_check():
    with pytest.raises(ValueError, match="expected at least one sample and one worker, got 0 and 1"):
        check([])
    assert set(counts([])[0].values()) == {0}
