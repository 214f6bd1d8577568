import json

import numpy as np
import pytest
import torch

pytest.importorskip("lightning")

import amge
from amge.data.open_exercise import load
from amge.heads.person import PARTS
from amge.recipes.person.recipe import targets, train
from amge.recipes.person.scenes import SOURCES, Scenes, box, person_mask


@pytest.fixture(scope="module")
def photographs(prepared, tmp_path_factory):
    """Photographs of noise, with joints in the shape of somebody who stands."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("standing")
    (folder / "images").mkdir()
    content = json.loads((prepared / "labels.json").read_text())
    rng = np.random.default_rng(0)
    person = np.zeros((len(content["samples"]), 2, 17, 3), np.float32)
    person[..., 0] = 110 + 25 * rng.standard_normal((17,))
    person[..., 1], person[..., 2] = np.linspace(60, 190, 17), 1.0
    for sample in content["samples"]:
        for frame in sample["frames"]:
            Image.fromarray(rng.integers(0, 256, (240, 320, 3), dtype=np.uint8)).save(folder / frame)
    (folder / "labels.json").write_text(json.dumps(content))
    np.savez(folder / "keypoints.npz", ids=[sample["id"] for sample in content["samples"]], keypoints=person)
    return folder


def test_person_mask_covers_joints_and_leaves_corners():
    joints = np.ones((17, 3), np.float32)
    joints[:, 0] = 80 + np.random.default_rng(0).uniform(-20, 20, 17)
    joints[:, 1] = np.linspace(24, 96, 17)
    joints[[5, 6, 11, 12], :2] = [[70, 40], [90, 40], [72, 70], [88, 70]]
    mask = np.asarray(person_mask(joints, (120, 160)))
    assert all(mask[int(y), int(x)] > 100 for x, y, _ in joints)
    assert mask[0, 0] == mask[0, -1] == mask[-1, 0] == 0


def test_scenes_of_every_source(photographs):
    exercises = load(photographs, "train")
    for source in SOURCES:
        scene = source(exercises, np.random.default_rng(1))
        assert scene.frames.dtype == np.uint8 and scene.frames.shape[0] == scene.persons.shape[1] == 2
        there = len(scene.persons)
        assert there == {"photographs": 1, "figures": 1, "two_persons": 2}.get(source.__name__, 0)
        if there:
            assert box(scene.persons) is not None


def test_the_same_index_gives_the_same_clip(photographs):
    scenes = Scenes(load(photographs, "train"), 60, 48, seed=3)
    assert torch.equal(scenes[7]["clip"], scenes[7]["clip"])
    items = [scenes[index] for index in range(60)]
    assert {item["clip"].shape for item in items} == {(3, 2, 48, 48)}
    assert {int(item["turned"]) for item in items} == {0, 1, 2, 3}
    people = [bool((item["persons"][..., 2] > 0.3).any()) for item in items]
    assert 0.3 < np.mean(people) < 0.8


def test_joints_turn_with_the_picture(photographs):
    """A joint keeps the colour that lies under it."""
    scenes = Scenes(load(photographs, "train"), 200, 64, seed=0)
    exercise = scenes.exercises[0]
    from amge.recipes.person import scenes as module

    joint = np.zeros((1, 2, 17, 3), np.float32)
    joint[..., 0], joint[..., 1], joint[..., 2] = 100.0, 140.0, 1.0
    joint[0, :, 0, :2] = (60, 60)
    frames = np.zeros_like(exercise.photos)
    frames[:, 130:150, 90:110] = 255
    for seed in range(20):
        clip, joints = module.framed(module.Scene(frames, joint), 64, np.random.default_rng(seed))
        x, y, seen = joints[0, 0, 5]
        if seen:
            assert clip[0, :, int(y), int(x)].min() > 0.5


def test_targets_lie_at_the_joints():
    persons = torch.zeros(1, 2, 2, 17, 3)
    persons[0, 0, :, 0] = torch.tensor([20.0, 4.0, 1.0])  # a nose in the upper right cell
    person, parts = targets(persons, (2, 4, 4), 24)
    assert person.shape == (1, 2, 4, 4) and parts.shape == (1, 2, 4, 4, len(PARTS))
    assert person[0, 0, 0, 3] == 1 and person[0, 0, 0, 2] == -1 and person[0, 0, 3, 0] == 0
    assert parts[0, 1, 0, 3, 0] == 1 and (parts[..., 1:] <= 0).all()
    nobody, none = targets(torch.zeros(1, 2, 2, 17, 3), (2, 4, 4), 24)
    assert not nobody.any() and not none.any()


def test_a_model_gets_a_head_and_limits_and_keeps_its_answers(photographs, tiny_spec, tmp_path):
    torch.manual_seed(0)
    model = amge.assemble(tiny_spec).eval()
    before = model.state_dict()
    trained = train(model, photographs, tmp_path, clips=64, epochs=2)
    limits = trained.spec.evidence
    assert {"person", "sure", "part", "sideways"} <= limits.keys() and limits["person"] == 0.7
    after = trained.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    again = train(model, photographs, tmp_path, clips=64, epochs=2)  # from the patches on disk
    assert torch.equal(again.person.cells.weight, trained.person.cells.weight)
    assert trained.save_pretrained(tmp_path / "model")
    with pytest.raises(ValueError, match="models that look at RGB"):
        train(amge.build("st-gcn-tiny"), photographs, tmp_path / "other")
