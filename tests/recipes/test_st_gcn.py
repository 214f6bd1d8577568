"""The recipe for skeleton models: pairs of poses, trees that teach, motion, and a run."""

import numpy as np
import pytest
import torch

pytest.importorskip("lightning")
pytest.importorskip("sklearn")

import amge
from amge.muscles import REGION_IDS
from amge.recipes.joints import LIMBS
from amge.recipes.st_gcn import recipe as poses
from amge.recipes.st_gcn.figures import figure_pairs
from amge.recipes.st_gcn.motion import move, weights
from amge.recipes.st_gcn.pairs import KINDS, distort, from_the_side, load_pairs, make_up, views
from amge.recipes.st_gcn.trees import PoseTrees, features, world_features
from amge.skeleton.layouts import BODY19, COCO17, NTU25
from amge.skeleton.sequence import normalise
from amge.synthetic import EXERCISES

SMALL = {"pool": 32, "epochs": 2, "batches": 3, "batch_size": 4, "trees": 3}
SPEC = amge.spec("st-gcn-tiny").replace(activation="sigmoid")


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def pairs(prepared):
    return load_pairs(prepared, "train")[0]


@pytest.fixture(scope="module")
def trained(prepared, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    return out, poses.train(SPEC, prepared, out, **SMALL)


def test_pairs_are_normalised_and_labelled(prepared):
    pairs, targets = load_pairs(prepared, "train")
    assert pairs.shape == (8, 2, 17, 3) and targets.shape == (8, 20) and (targets.sum(axis=1) == 2).all()
    np.testing.assert_allclose(pairs[:, :, [11, 12], :2].mean(axis=2), 0, atol=1e-6)
    with pytest.raises(ValueError, match="unknown split 'test'"):
        load_pairs(prepared, "test")
    with pytest.raises(ValueError, match="does not hold the prepared"):
        load_pairs(prepared / "images", "train")


def test_views_show_the_same(pairs):
    own, backwards, mirrored, both = views(pairs)
    assert own is pairs
    np.testing.assert_array_equal(backwards[:, 0], pairs[:, 1])
    np.testing.assert_array_equal(mirrored[:, :, 9, 0], -pairs[:, :, 10, 0])  # the left wrist where the right one was
    np.testing.assert_array_equal(views(mirrored)[2], pairs)
    np.testing.assert_array_equal(both, mirrored[:, ::-1])


def test_made_up_pairs(pairs, monkeypatch):
    monkeypatch.setattr("amge.recipes.st_gcn.pairs.distort", lambda made, rng, graph: made)
    for kind in KINDS:
        monkeypatch.setattr("amge.recipes.st_gcn.pairs.KINDS", {kind: 1.0})
        made = make_up(pairs, 40, rng())
        given = np.concatenate(views(pairs))
        same = np.array([[np.allclose(one, other) for other in given] for one in made])
        start = np.array([[np.allclose(one[0], other[0]) for other in given] for one in made])
        assert made.shape == (40, 2, 17, 3) and np.isfinite(made).all()
        assert same.any(axis=1).all() == (kind == "itself")
        assert start.any(axis=1).all() == (kind in ("itself", "crossed"))
        if kind == "limbs":  # the trunk is one's own, limbs hang on it
            trunk = [0, 1, 2, 3, 4, 5, 6, 11, 12]
            assert all(any(np.allclose(one[:, trunk], other[:, trunk]) for other in given) for one in made)
            lengths = lambda p: np.linalg.norm(p[..., [7, 9], :2] - p[..., [5, 7], :2], axis=-1)  # noqa: E731
            known = lengths(given).reshape(-1, 2)
            assert all(np.isclose(known, length, atol=1e-5).all(axis=1).any() for length in lengths(made)[:, 0])
        if kind == "turned":
            sizes = np.linalg.norm(made[..., :2], axis=-1), np.linalg.norm(given[..., :2], axis=-1)
            assert all(any(np.allclose(one, other, atol=1e-5) for other in sizes[1]) for one in sizes[0])
    assert sum(KINDS.values()) == pytest.approx(1) and {joint for limb in LIMBS for joint in limb} == {*range(5, 17)}


def test_distortion_is_small_and_new_each_time(pairs):
    first, second = distort(pairs, rng(1)), distort(pairs, rng(2))
    assert not np.allclose(first, second) and first.dtype == np.float32
    closest = np.min([np.abs(first - view)[..., :2].mean(axis=(1, 2, 3)) for view in views(pairs)], axis=0)
    assert (closest < 0.35).all()
    np.testing.assert_array_equal(distort(pairs, rng(1)), first)


def test_trees_remember_what_they_were_taught_in_every_view(pairs, prepared):
    targets = load_pairs(prepared, "train")[1]
    trees = PoseTrees(pairs, targets, trees=20)
    predicted = trees.predict(pairs)
    np.testing.assert_allclose(predicted, targets, atol=0.01)
    for view in views(pairs):
        np.testing.assert_allclose(trees.predict(view, chunk=3), predicted, atol=1e-6)
    assert np.isfinite(features(np.zeros_like(pairs))).all()


def test_figures_take_the_poses_of_exercises():
    pairs, targets = figure_pairs(3, 0, BODY19, names=["squat", "jab"])
    assert pairs.shape == (6, 2, 19, 6) and targets.shape == (6, 20) and pairs.dtype == np.float32
    assert np.abs(pairs[:, 0] - pairs[:, 1]).max(axis=(1, 2)).min() > 0.05
    assert [set(np.flatnonzero(row)) for row in targets[::3]] == [
        {REGION_IDS.index(region) for region in EXERCISES[name].regions} for name in ("squat", "jab")
    ]
    hips = pairs[:, :, BODY19.indices("left_hip", "right_hip")].mean(axis=2)
    np.testing.assert_allclose(hips[..., 3:], 0, atol=1e-5)
    for flat, world in ((0, 3), (1, 4)):
        assert np.corrcoef(pairs[..., flat].ravel(), pairs[..., world].ravel())[0, 1] > 0.9
    np.testing.assert_array_equal(figure_pairs(3, 0, BODY19, names=["jab"])[0], pairs[3:])
    assert figure_pairs(1, 0, COCO17, axes=3)[0].shape == (len(EXERCISES), 2, 17, 3)
    with pytest.raises(ValueError, match=r"no joint .*; take one of coco-17 and body-19"):
        figure_pairs(1, 0, NTU25)


def test_weights_go_there_and_back():
    given = weights(400, 16, rng())
    assert given.shape == (400, 16) and given.min() >= 0 and given.max() <= 1
    jumps = np.isin(given, (0, 1)).all(axis=1)
    assert 0.15 < jumps.mean() < 0.35
    assert (np.ptp(given, axis=1) > 0.5).mean() > 0.9


def test_motion_stays_between_the_poses_and_is_normalised(pairs):
    clips = move(pairs, 12, rng(), noise=0, dropout=0)
    assert clips.shape == (8, 12, 17, 3) and clips.dtype == np.float32
    np.testing.assert_allclose(normalise(clips, COCO17)[..., :2], clips[..., :2], atol=1e-5)
    low, high = pairs[..., 0].min(axis=1), pairs[..., 0].max(axis=1)
    scale = np.abs(pairs[..., :2]).max() * 0.6
    assert (clips[..., 0] > low[:, None] - scale).all() and (clips[..., 0] < high[:, None] + scale).all()
    missing = (move(pairs, 12, rng(), dropout=0.5)[..., 2] == 0).mean()
    assert 0.05 < missing < 0.6
    np.testing.assert_array_equal(move(pairs, 12, rng(3)), move(pairs, 12, rng(3)))


def test_batches_are_new_in_every_epoch_and_the_same_for_a_seed(pairs):
    clips = poses.PoseClips(pairs, np.zeros((8, 20), np.float32), 8, 4, 3, seed=5)
    first = clips[0][0]
    assert first.shape == (4, 1, 8, 17, 3) and torch.equal(clips[0][0], first) and not torch.equal(clips[1][0], first)
    clips.epoch = 1
    assert not torch.equal(clips[0][0], first)


def test_what_the_model_spares_does_not_decay():
    model = amge.build("st-gcn-tiny", tokens=3, backbone_args={"width": 16, "dim": 16, "num_heads": 2})
    groups = poses.PoseStage(model, steps=4).configure_optimizers()["optimizer"].param_groups
    spared = {id(p) for group in groups if group["weight_decay"] == 0 for p in group["params"]}
    named = dict(model.named_parameters())
    for name in (
        "bank.tokens.main",
        "backbone.adapter.position_time",
        "backbone.adapter.position_space",
        "head.projection.bias",
    ):
        assert id(named[name]) in spared
    assert id(named["head.projection.weight"]) not in spared


def test_a_run_gives_a_model(trained):
    out, model = trained
    assert not model.training and model.spec.untrained() == SPEC
    assert model.spec.provenance["seed"] == 0 and "trees" in model.spec.provenance["teacher"]
    again = amge.from_pretrained(out)
    skeletons = model.input_spec.example()
    assert torch.equal(again(skeletons), model(skeletons)) and (out / "options.json").exists()


def test_a_cut_run_goes_on_to_the_same_weights(trained, prepared, tmp_path, monkeypatch):
    step, seen = poses.PoseStage.training_step, []

    def recorded(self, batch, index):
        seen.append(self.current_epoch)
        if len(seen) == 5:
            raise RuntimeError("cut")
        return step(self, batch, index)

    monkeypatch.setattr(poses.PoseStage, "training_step", recorded)
    with pytest.raises(RuntimeError, match="cut"):
        poses.train(SPEC, prepared, tmp_path, **SMALL)
    resumed = poses.train(SPEC, prepared, tmp_path, **SMALL).state_dict()
    assert seen == [0, 0, 0, 1, 1, 1, 1, 1]
    for key, value in trained[1].state_dict().items():
        torch.testing.assert_close(resumed[key], value, rtol=1e-3, atol=1e-4)
    monkeypatch.setattr(poses, "fit", None)
    poses.train(SPEC, prepared, tmp_path, **SMALL)  # a finished run is loaded
    with pytest.raises(ValueError, match="other options"):
        poses.train(SPEC, prepared, tmp_path, **(SMALL | {"lr": 1.0}))


def test_a_run_can_stop_early_on_its_way(prepared, tmp_path):
    poses.train(SPEC, prepared, tmp_path, **(SMALL | {"epochs": 5}), stop=1)
    saved = torch.load(tmp_path / "last.ckpt", weights_only=False)
    assert saved["epoch"] == 0 and saved["global_step"] == 3
    assert saved["lr_schedulers"][0]["total_steps"] == 15


def test_other_models_are_refused(prepared, tmp_path):
    for name in ("transm3e-lite", "st-gcn-tiny"):
        with pytest.raises(ValueError, match="trains skeleton models with activation='sigmoid'"):
            poses.train(amge.spec(name), prepared, tmp_path, **SMALL)
    with pytest.raises(ValueError, match="the photographs show the 20 regions"):
        poses.train(SPEC.replace(labels=("a",)), prepared, tmp_path, **SMALL)


def in_three_dimensions(frames):
    """Somebody in each frame, MediaPipe's joints with world joints."""
    chance = np.random.default_rng(len(frames))
    return [
        np.concatenate([chance.uniform(5, 25, (1, 33, 2)), np.ones((1, 33, 1)), chance.normal(0, 0.4, (1, 33, 3))], -1)
        for _ in frames
    ]


def test_a_model_in_three_dimensions_learns_from_the_joints_that_are_found(prepared, tmp_path):
    streams = ("joint", "world-direction", "body-joint", "world-angle")
    spec = SPEC.replace(backbone_args={**SPEC.backbone_args, "graph": "body-19", "streams": streams})
    model = poses.train(spec, prepared, tmp_path, **SMALL, pose=in_three_dimensions)
    assert model.input_spec.shape[3:] == (19, 6)
    assert np.load(tmp_path / "joints.npz")["keypoints"].shape[1:] == (2, 33, 6)


def test_features_of_the_world_do_not_change_when_the_body_turns():
    pairs = normalise(np.concatenate([np.ones((5, 2, 19, 3)), rng().normal(size=(5, 2, 19, 3))], axis=-1), BODY19)
    turned = from_the_side(pairs, np.full(5, 1.2), BODY19)
    assert np.abs(turned - pairs).max() > 0.5
    np.testing.assert_allclose(world_features(turned, BODY19), world_features(pairs, BODY19), atol=1e-4)
    np.testing.assert_allclose(turned[..., :2], normalise(turned[..., [3, 4, 2]], BODY19)[..., :2], atol=1e-5)


def test_figures_are_among_the_data_of_a_run(prepared, tmp_path):
    model = poses.train(SPEC, prepared, tmp_path / "figures", figures=1, **SMALL)
    assert [row["name"] for row in model.spec.provenance["data"]] == ["open-exercise", "synthetic"]
    with pytest.raises(ValueError, match="a run with other options"):
        poses.train(SPEC, prepared, tmp_path / "figures", figures=2, **SMALL)
