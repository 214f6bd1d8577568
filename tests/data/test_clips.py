"""Clips for training and for tests: the right moments, seen in one way in every modality, by chance that repeats."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

import amge
from amge.data.batch import collate
from amge.data.check import check
from amge.data.clips import Augmentation, Clips
from amge.data.open_exercise import samples as open_exercise
from amge.data.sample import Sample
from amge.errors import VideoError
from amge.muscles import REGION_IDS
from amge.skeleton.layouts import COCO17
from amge.skeleton.sequence import normalise
from amge.video.write import write_video

PLAIN = Augmentation(scale=(1, 1), ratio=(1, 1), mirror=0, jitter=0, operations=0, erase=0)
"""A square picture as it is."""


def coded(count, height=64, width=64):
    """Frame i has brightness 20 + 5 i."""
    codes = (20 + 5 * np.arange(count)).astype(np.uint8)
    return np.broadcast_to(codes[:, None, None, None], (count, height, width, 3))


def numbers(rgb, spec):
    """The frame numbers of coded clips `(..., 3, T, S, S)`."""
    mean, std = (torch.tensor(x).view(3, 1, 1, 1) for x in (spec.mean, spec.std))
    return (((rgb * std + mean) * 255).mean(dim=(-4, -2, -1)) - 20).div(5).round().int().tolist()


def walk(count):
    """Skeletons `(1, T, V, 3)` whose left wrist is as many pixels right of the hips as the frame's number."""
    person = np.zeros((1, count, 17, 3), np.float32)
    person[..., :2] = np.random.default_rng(0).uniform(20, 60, (17, 2))
    for name, place in (("left_hip", (30, 32)), ("right_hip", (30, 32)), ("left_ankle", (70, 60)), ("nose", (10, 4))):
        person[..., COCO17.names.index(name), :2] = place
    person[0, :, COCO17.names.index("left_wrist"), 0] = 30 + np.arange(count)
    person[..., 2] = 1
    return person


def steps(skeleton):
    """The frame numbers of skeletons `(..., T, V, 3)` of a `walk`."""
    x = skeleton[..., 0]
    return (40 * x[..., COCO17.names.index("left_wrist")] / x[..., COCO17.names.index("left_ankle")]).round().int()


class KeptFlow:
    """In place of a cache: ten frames a second, of which frame i has moved i levels to the right."""

    def __init__(self):
        self.asked = []

    def get(self, source, step):
        self.asked.append((source, round(step, 6)))
        stored = np.full((40, 32, 32, 2), 128, np.uint8)
        stored[..., 0] += np.arange(40, dtype=np.uint8)[:, None, None]
        return stored, np.arange(40) / 10


@pytest.fixture(scope="module")
def spec(tiny_spec):
    """4 frames in 2 seconds."""
    return tiny_spec.replace(seconds=2.0, crop="centre")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """4 s of coded frames, ten a second; 1 s of them; and skeletons."""
    at = tmp_path_factory.mktemp("clips")
    write_video(at / "long.mp4", coded(40), 10)
    write_video(at / "short.mp4", coded(10), 10)
    np.savez(at / "walk.npz", keypoints=walk(40), fps=10)
    (at / "text.mp4").write_text("no video")
    return at


def sample(video, id=None, **others):
    values = {"id": id or str(video), "regions": ("gluteus",), "activity": "squat", "split": "train"} | others
    return Sample(video=video, **values)


# Moments


def test_one_view_shows_the_middle_of_a_video_and_all_of_a_short_one(folder, spec):
    clips = Clips([sample(folder / "long.mp4"), sample(folder / "short.mp4")], spec)
    assert numbers(clips[0]["rgb"], spec) == [[12, 17, 22, 27]]  # 1.25, 1.75, ... s
    assert numbers(clips[1]["rgb"], spec) == [[1, 3, 6, 8]]  # 0.125, 0.375, ... s


def test_five_views_are_spread_evenly_and_a_short_video_has_one(folder, spec):
    clips = Clips([sample(folder / "short.mp4"), sample(folder / "long.mp4")], spec, clips=5)
    batch = collate([clips[0], clips[1]])
    shown = numbers(batch["rgb"], spec)
    assert shown[0] == [1, 3, 6, 8]
    assert [each[0] for each in shown[1:]] == [2, 7, 12, 17, 22]  # starts 0, 0.5, ... s
    assert batch["sample"].tolist() == [0, 1, 1, 1, 1, 1]
    assert batch["index"].tolist() == [0, 1] and batch["target"].shape == (2, 20) and batch["broken"] == []


def test_training_clips_come_in_pairs_from_anywhere(folder, spec):
    clips = Clips([sample(folder / "long.mp4")], spec, train=PLAIN, clips=2)
    starts = []
    for epoch in range(30):
        first, second = numbers(clips[epoch, 0]["rgb"], spec)
        assert first[0] <= second[0]
        assert np.diff([first, second]).tolist() == [[5, 5, 5]] * 2
        starts += [first[0], second[0]]
    assert min(starts) <= 4 and max(starts) >= 20 and len(set(starts)) > 10
    assert all(2 <= start <= 22 for start in starts)


def test_a_part_of_a_video_is_a_video(folder, spec):
    parts = [
        sample(folder / "long.mp4", "end", start=2.0),
        sample(folder / "long.mp4", "begin", end=2.0),
        sample(folder / "long.mp4", "middle", start=1.0, end=2.0),
        sample(folder / "long.mp4", "over", start=2.0, end=99.0),
    ]
    clips = Clips(parts, spec, clips=5)
    assert numbers(clips[0]["rgb"], spec) == [[22, 27, 32, 37]]
    assert numbers(clips[1]["rgb"], spec) == [[2, 7, 12, 17]]
    assert numbers(clips[2]["rgb"], spec) == [[11, 13, 16, 18]]
    assert numbers(clips[3]["rgb"], spec) == numbers(clips[0]["rgb"], spec)
    train = Clips(parts[2:3], spec, train=PLAIN, clips=2)
    assert numbers(train[0]["rgb"], spec) == [[11, 13, 16, 18]] * 2


def test_views_of_a_long_video_are_searched_for(tmp_path, spec):
    write_video(tmp_path / "a.mp4", coded(45), 1.5)  # 30 s
    clips = Clips([sample(tmp_path / "a.mp4")], spec.replace(seconds=4.0), clips=3)
    assert numbers(clips[0]["rgb"], spec) == [[0, 2, 3, 5], [20, 21, 23, 24], [39, 41, 42, 44]]


# Modalities


@pytest.mark.parametrize("train", [None, PLAIN])
def test_every_modality_is_of_the_same_moments(folder, spec, train):
    flow = KeptFlow()
    given = [sample(folder / "long.mp4", skeletons=folder / "walk.npz")]
    clips = Clips(given, spec, ("rgb", "flow", "skeleton"), train, 2, flow=flow)
    for epoch in range(5 if train else 1):
        item = clips[epoch, 0]
        shown = torch.tensor(numbers(item["rgb"], spec))
        assert torch.equal(steps(item["skeleton"])[:, 0], shown)
        moved = item["flow"][:, 0].mean(dim=(-2, -1)) * 127 * 32 / 64  # levels, of pictures half as wide
        moved[:, 0] = shown[:, 0]
        assert (moved - shown).abs().max() < 0.01
        assert item["flow"][:, :, 0].abs().sum() == 0
    assert set(flow.asked) == {(folder / "long.mp4", 0.5)}
    assert {name: tuple(item[name].shape) for name in clips.loads} == {
        "rgb": (2, 3, 4, 64, 64),
        "flow": (2, 3, 4, 64, 64),
        "skeleton": (2, 1, 4, 17, 3),
    }


def test_the_mirror_is_in_every_modality(tmp_path, spec):
    frames = coded(40).copy()
    frames[..., 40:, :] = 250  # bright on the right, where the left wrist is
    write_video(tmp_path / "a.mp4", frames, 10)
    np.savez(tmp_path / "a.npz", keypoints=walk(40), fps=10)
    augmentation = Augmentation(scale=(0.8, 1), jitter=0, operations=0, erase=0)
    given = [sample(tmp_path / "a.mp4", skeletons=tmp_path / "a.npz")]
    clips = Clips(given, spec, ("rgb", "flow", "skeleton"), augmentation, flow=KeptFlow())
    mirrored = 0
    for epoch in range(16):
        item = {name: value[0] for name, value in clips[epoch, 0].items() if name in clips.loads}
        right = item["rgb"][..., 48:].mean() > item["rgb"][..., :16].mean()
        ankle = COCO17.names.index("left_ankle" if right else "right_ankle")
        assert (item["skeleton"][0, :, ankle, 0] > 0).all() == right
        assert (item["flow"][0, 1:].mean() > 0) == right and (item["flow"][2, 1:] > 0).all()
        mirrored += not right
    assert 2 <= mirrored <= 14


def test_flow_without_a_cache_is_that_of_the_clip(folder, spec):
    pytest.importorskip("cv2")
    from amge.video.flow import optical_flow

    item = Clips([sample(folder / "long.mp4")], spec, ("rgb", "flow"))[0]
    torch.testing.assert_close(item["flow"], optical_flow(item["rgb"]), atol=0.02, rtol=0)
    assert set(Clips([sample(folder / "long.mp4")], spec, ("rgb", "rgb_diff")).loads) == {"rgb"}


def test_pictures_are_shown_in_turn(prepared, tiny_spec):
    given = open_exercise(prepared)
    test = Clips(given, tiny_spec, ("rgb", "skeleton"), clips=5)
    poses = np.load(prepared / "keypoints.npz")["keypoints"]
    for index in (0, 7):
        item = test[index]
        (clip,), (skeleton,) = item["rgb"], item["skeleton"]
        assert torch.equal(clip[:, :2], clip[:, 2:]) and not torch.equal(clip[:, 0], clip[:, 1])
        expected = normalise(poses[index][[0, 1, 0, 1]], COCO17)
        np.testing.assert_allclose(skeleton[0], expected, atol=1e-5)
    train = Clips(given, tiny_spec, ("rgb",), PLAIN, clips=2)
    pair = set()
    for epoch in range(8):
        for clip in train[epoch, 0]["rgb"]:
            assert torch.equal(clip[:, :2], clip[:, 2:])
            pair.add(clip[:, 0].sum().item())
    assert len(pair) == 2  # either picture comes first


# Chance


@pytest.fixture
def varied(folder, spec):
    given = [sample(folder / f"{name}.mp4", f"{name} {i}") for i in range(2) for name in ("long", "short")]
    return Clips(given, spec, train=Augmentation(), clips=2)


def test_chance_is_that_of_seed_epoch_and_item_whatever_process_loads(varied):
    keys = [(epoch, index) for epoch in range(2) for index in range(4)]
    alone = list(DataLoader(varied, 3, sampler=keys, collate_fn=collate))
    together = list(DataLoader(varied, 3, sampler=keys, num_workers=2, collate_fn=collate))
    for ours, theirs in zip(alone, together, strict=True):
        assert ours.keys() == theirs.keys() and len(ours["rgb"]) == 2 * len(ours["target"])
        for name in ("rgb", "target", "sample", "index"):
            assert torch.equal(ours[name], theirs[name])
    assert torch.equal(varied[1, 3]["rgb"], together[2]["rgb"][2:])  # out of order


def test_epochs_items_seeds_and_clips_differ(varied):
    first = varied[0, 0]["rgb"]
    assert torch.equal(varied[0]["rgb"], first)
    for other in (varied[1, 0]["rgb"], varied[0, 2]["rgb"]):  # items 0 and 2 are of one video
        assert not torch.equal(other, first)
    assert not torch.equal(first[0], first[1])
    seeded = Clips(varied.samples, varied.spec, train=Augmentation(), clips=2, seed=1)
    assert not torch.equal(seeded[0, 0]["rgb"], first)


def test_loading_leaves_the_chance_of_training_alone(varied, monkeypatch):
    before = torch.get_rng_state()
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: pytest.fail("the GPU was seeded"))
    varied[0, 0]
    assert torch.equal(torch.get_rng_state(), before)


def test_augmentation_changes_clips_and_none_leaves_them(folder, spec):
    given = [sample(folder / "short.mp4")]  # one moment only
    test = Clips(given, spec)[0]["rgb"]
    torch.testing.assert_close(Clips(given, spec, train=PLAIN)[0]["rgb"], test)
    for change in ({"jitter": 0.4}, {"erase": 1.0}, {"operations": 4}):
        clips = Clips(given, spec, train=Augmentation(**{**vars(PLAIN), **change}))
        assert any(not torch.allclose(clips[epoch, 0]["rgb"], test, atol=0.02) for epoch in range(8)), change


def test_photographs_with_skeletons_are_not_moved_about(prepared, tiny_spec):
    from amge.data.augment import GEOMETRIC

    given = open_exercise(prepared)
    for modalities, moved in ((("rgb",), True), (("rgb", "skeleton"), False), (("flow", "rgb"), False)):
        augment = Clips(given, tiny_spec, modalities, Augmentation()).appearance.transforms[1]
        assert bool(set(GEOMETRIC) & set(augment._AUGMENTATION_SPACE)) == moved


# What a model takes


@pytest.mark.parametrize("crop", ["movement", "centre"])
def test_a_test_clip_is_what_the_model_makes_of_the_video(tmp_path, tiny_spec, crop):
    frames = np.random.default_rng(0).integers(60, 90, (1, 180, 320, 3), dtype=np.uint8).repeat(24, axis=0)
    for t, frame in enumerate(frames):
        frame[60:120, 180 + 4 * t : 220 + 4 * t] = 240
    write_video(tmp_path / "a.mp4", frames, 12)
    spec = tiny_spec.replace(crop=crop)
    (expected,) = amge.assemble(spec).preprocess(tmp_path / "a.mp4")
    (clip,) = Clips([sample(tmp_path / "a.mp4")], spec)[0]["rgb"]
    assert clip.is_contiguous() and clip.dtype == expected.dtype
    torch.testing.assert_close(clip, expected)


def test_a_test_skeleton_is_what_the_model_makes_of_the_file(tmp_path):
    model = amge.build("st-gcn-tiny", frames=8)
    rng = np.random.default_rng(0)
    one = np.concatenate([rng.uniform(0, (300, 100), (20, 17, 2)), np.ones((20, 17, 1))], axis=-1)  # wider than high
    bystander = one[::-1] * (0.2, 0.2, 1)
    np.savez(tmp_path / "a.npz", keypoints=np.stack([bystander, one]), fps=10)
    gone = [sample(tmp_path / "gone.mp4", skeletons=tmp_path / "a.npz")]  # skeletons alone will do
    clips = Clips(gone, model.spec, ("skeleton",), graph=model.backbone.graph, joints=17)
    torch.testing.assert_close(clips[0]["skeleton"], model.preprocess(tmp_path / "a.npz"), atol=1e-5, rtol=1e-5)
    model = amge.build("st-gcn-tiny", frames=8, backbone_args={"width": 16, "streams": ("body-joint",)})
    flat = Clips(gone, model.spec, ("skeleton",), graph=model.backbone.graph, joints=17, axes=6)
    assert "the model takes 3-D joints, these are 2-D" in str(flat[0]["broken"])
    np.savez(tmp_path / "b.npz", keypoints=np.stack([bystander, one]), world=rng.uniform(-1, 1, (2, 20, 17, 3)), fps=10)
    solid = [sample(tmp_path / "gone.mp4", skeletons=tmp_path / "b.npz")]
    clips = Clips(solid, model.spec, ("skeleton",), graph=model.backbone.graph, joints=17, axes=6)
    assert clips[0]["skeleton"].shape == (1, 1, 8, 17, 6)
    torch.testing.assert_close(clips[0]["skeleton"], model.preprocess(tmp_path / "b.npz"), atol=1e-5, rtol=1e-5)


def test_training_turns_3d_skeletons(folder, spec, tmp_path):
    world = np.random.default_rng(0).uniform(-1, 1, (1, 40, 17, 3))
    np.savez(tmp_path / "a.npz", keypoints=walk(40), world=world, fps=10)
    solid = [sample(folder / "short.mp4", skeletons=tmp_path / "a.npz")]  # one moment only

    def seen(augmentation, axes=6, given=solid, epochs=1):
        clips = Clips(given, spec, ("skeleton",), augmentation, graph=COCO17, joints=17, axes=axes)
        return torch.cat([clips[epoch, 0]["skeleton"] for epoch in range(epochs)])

    plain, many = seen(PLAIN), seen(replace(PLAIN, turn=30), epochs=30)
    torch.testing.assert_close(many[..., 4], plain[..., 4].expand_as(many[..., 4]))  # the vertical
    torch.testing.assert_close(many[..., 3:].norm(dim=-1), plain[..., 3:].norm(dim=-1).expand_as(many[..., 0]))
    far = plain[0, 0, :, :, [3, 5]].norm(dim=-1) > 0.5
    before, after = (torch.atan2(each[..., 5], each[..., 3])[:, 0][:, far] for each in (plain, many))
    angles = torch.rad2deg((after - before + torch.pi) % (2 * torch.pi) - torch.pi)
    torch.testing.assert_close(
        angles, angles[:, :1].expand_as(angles), atol=0.01, rtol=0
    )  # one of all joints and frames
    assert angles.min() < -15 and angles.max() > 15 and angles.abs().max() <= 30.01
    assert not torch.allclose(seen(replace(PLAIN, turn=30), axes=3), seen(PLAIN, axes=3), atol=0.1)  # x and y as well
    flat = [sample(folder / "short.mp4", skeletons=folder / "walk.npz")]
    with pytest.raises(VideoError, match="2-D skeletons can't be turned about the vertical"):
        seen(replace(PLAIN, turn=30), axes=3, given=flat)


def test_rows_of_poses_may_have_a_world(prepared, tiny_spec, tmp_path):
    poses = np.load(prepared / "keypoints.npz")["keypoints"]
    world = np.random.default_rng(0).uniform(-1, 1, poses.shape)
    np.savez(tmp_path / "poses.npz", keypoints=poses, world=world)
    given = [replace(each, skeletons=(tmp_path / "poses.npz", each.skeletons[1])) for each in open_exercise(prepared)]
    expected = normalise(np.concatenate([poses[7], world[7]], axis=-1)[[0, 1, 0, 1]], COCO17)
    clips = Clips(given, tiny_spec, ("skeleton",), graph=COCO17, joints=17, axes=6)
    np.testing.assert_allclose(clips[7]["skeleton"][0, 0], expected, atol=1e-5)
    assert check(given[:1]).ok


def test_targets_are_labels_or_activities(folder, spec):
    given = [
        sample(folder / "short.mp4", "a", regions=("wrists", "neck_head")),
        sample(folder / "short.mp4", "b", regions=(), activity="plank"),
    ]
    labels = Clips(given, spec)
    assert np.flatnonzero(labels[0]["target"]).tolist() == [0, 19] and labels[1]["target"].sum() == 0
    assert labels[0]["target"].dtype == torch.float32
    few = Clips(given, spec.replace(labels=("wrists", "neck_head", "chest")))
    assert few[0]["target"].tolist() == [1, 1, 0]
    activities = Clips(given, spec, activities=("lunge", "plank", "squat"))
    assert [activities[i]["target"].tolist() for i in range(2)] == [[0, 0, 1], [0, 1, 0]]


@pytest.mark.parametrize(
    "samples, options, reason",
    [
        ([], {}, "no samples"),
        ([sample(Path("a.mp4"))], {"modalities": ("rbg",)}, "did you mean 'rgb'"),
        ([sample(Path("a.mp4"))], {"modalities": ("skeleton",)}, "1 samples lack skeletons, such as a.mp4"),
        ([sample(Path("a.mp4"), regions=("glutes",))], {}, "glutes"),
        ([sample(Path("a.mp4"))], {"activities": ("squats",)}, "did you mean 'squats'"),
    ],
)
def test_sets_that_make_no_sense(spec, samples, options, reason):
    with pytest.raises(ValueError, match=reason):
        Clips(samples, spec, **options)


# What is broken


def broken_samples(folder, tmp_path):
    for name, side in (("a", 32), ("b", 40)):
        Image.new("RGB", (side, 32)).save(tmp_path / f"{name}.png")
    np.savez(tmp_path / "poses.npz", keypoints=np.ones((1, 2, 17, 3)))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "poses.npz").read_bytes()[:-30])
    pair = (tmp_path / "a.png", tmp_path / "a.png")
    return {
        "text.mp4": sample(folder / "text.mp4"),
        "no such file": sample(folder / "gone.mp4"),
        "ends at 4.0 s, before .* starts": sample(folder / "long.mp4", start=7.0),
        "differ in size": sample((tmp_path / "a.png", tmp_path / "b.png")),
        "not a readable image": sample((tmp_path / "a.png", folder / "text.mp4")),
        "poses.*none in row 1": sample(pair, skeletons=(tmp_path / "poses.npz", 1)),
        "none in row 0 for the pictures": sample((*pair, pair[0]), skeletons=(tmp_path / "poses.npz", 0)),
        "cut.npz holds no poses": sample(pair, skeletons=(tmp_path / "cut.npz", 0)),
        "40 poses for 2 pictures": sample(pair, skeletons=folder / "walk.npz"),
        "not an npz file": sample(folder / "long.mp4", skeletons=folder / "text.mp4"),
    }


def test_a_broken_sample_is_reported_and_in_training_replaced(folder, tmp_path, spec):
    good = sample(folder / "long.mp4", "good", regions=("chest",), skeletons=folder / "walk.npz")
    for reason, bad in broken_samples(folder, tmp_path).items():
        modalities = ("rgb", "skeleton") if bad.skeletons else ("rgb",)
        item = Clips([bad, good], spec, modalities, PLAIN)[0]
        assert item["index"] == 1 and item["target"][REGION_IDS.index("chest")] == 1
        ((name, why),) = item["broken"]
        assert name == bad.id
        assert re.search(reason, why), why
        tested = Clips([bad, good], spec, modalities)
        assert tested[0] == {"index": 0, "broken": item["broken"]}
        batch = collate([tested[0], tested[1]])
        assert batch["index"].tolist() == [1] and batch["sample"].tolist() == [0] and len(batch["target"]) == 1
        assert batch["broken"] == item["broken"]
        assert collate([tested[0]] * 2) == {"broken": 2 * item["broken"]}


def test_the_last_sample_is_replaced_by_the_first(folder, spec):
    clips = Clips([sample(folder / "long.mp4"), sample(folder / "text.mp4")], spec, train=PLAIN)
    assert clips[1]["index"] == 0


@pytest.mark.parametrize("bad, tried", [(12, 10), (3, 3)])
def test_training_gives_up_when_nothing_can_be_read(folder, spec, bad, tried):
    given = [sample(folder / "text.mp4", f"bad {i}") for i in range(bad)]
    with pytest.raises(
        VideoError, match=rf"{tried} samples .* can't be read: bad 1: .*; bad 2: .*; run amge data check"
    ):
        Clips(given, spec, train=PLAIN)[1]
    batches = iter(DataLoader(Clips(given, spec, train=PLAIN), 2, num_workers=1, collate_fn=collate))
    with pytest.raises(VideoError, match=rf"{tried} samples .* can't be read"):  # from a worker, too
        next(batches)
    batches._shutdown_workers()  # the caught error holds them otherwise, and their end takes 5 s
    nine = [*given[:9], sample(folder / "long.mp4", "good")]
    item = Clips(nine, spec, train=PLAIN)[0]
    assert item["index"] == len(nine) - 1 and len(item["broken"]) == len(nine) - 1
