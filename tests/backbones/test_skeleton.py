import pytest
import torch

import amge
from amge.backbones import JointMixer, joint_mixer

ARGS = {"joints": 5, "channels": (8, 16), "dim": 16, "depth": 2, "num_heads": 2}


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    return joint_mixer(**ARGS, frames=6).eval()


def skeletons(batch=2, persons=3, frames=6, joints=5):
    given = torch.rand(batch, persons, frames, joints, 3, generator=torch.Generator().manual_seed(1))
    given[..., 2] = 0.5 + given[..., 2] / 2
    return given


def test_meets_the_contract(backbone):
    out = backbone(skeletons(), torch.randn(2, 4, 16))
    assert out.patches.shape == (2, 30, 16) and out.grid == (6, 5, 1)
    assert out.tokens.shape == (2, 4, 16) and len(out.block_tokens) == len(backbone.embed_dims) == 2
    assert backbone.input_layout == ("B", "P", "T", 5, 3) and backbone.token_dim == backbone.out_channels == 16
    assert torch.equal(out.patch_embedding, out.patches)


def test_persons_who_are_not_there_do_not_count(backbone):
    alone = skeletons(persons=1)
    absent = torch.rand_like(alone)
    absent[..., 2] = 0
    together = backbone(torch.cat([alone, absent, absent], dim=1)).patches
    torch.testing.assert_close(together, backbone(alone).patches)


def test_persons_who_are_not_there_do_not_count_in_training_either():
    torch.manual_seed(0)
    alone, padded = (joint_mixer(**ARGS, frames=6) for _ in range(2))
    padded.load_state_dict(alone.state_dict())
    given = skeletons(persons=1)
    absent = torch.zeros_like(given)
    torch.testing.assert_close(padded(torch.cat([absent, given, absent], dim=1)).patches, alone(given).patches)
    torch.testing.assert_close(padded.encoder.norm.running_mean, alone.encoder.norm.running_mean)
    assert padded(torch.cat([absent, absent], dim=1)).patches.isfinite().all()


def test_the_order_of_persons_does_not_count_but_each_does(backbone):
    given = skeletons()
    patches = backbone(given).patches
    torch.testing.assert_close(backbone(given.flip(1)).patches, patches)
    assert not torch.allclose(backbone(given[:, :2]).patches, patches, atol=1e-3)


def test_nobody_gives_finite_features_that_say_nothing_of_the_joints(backbone):
    nobody = skeletons()
    nobody[..., 2] = 0
    tokens = torch.randn(2, 4, 16)
    out = backbone(nobody, tokens)
    assert out.patches.isfinite().all() and out.tokens.isfinite().all()
    assert torch.equal(backbone(torch.zeros_like(nobody), tokens).patches, out.patches)


def test_every_joint_and_frame_counts(backbone):
    given = skeletons(persons=1)
    patches = backbone(given).patches
    for frame, joint in ((0, 0), (5, 4), (2, 3)):
        moved = given.clone()
        moved[:, :, frame, joint, 0] += 1
        assert not torch.allclose(backbone(moved).patches, patches, atol=1e-4)


def test_gradients_and_a_batch_is_its_samples():
    backbone = joint_mixer(**ARGS, frames=6)
    out = backbone(skeletons(), torch.randn(2, 4, 16))
    (out.tokens.square().sum() + out.patches.square().sum()).backward()
    assert [name for name, p in backbone.named_parameters() if p.grad is None] == []
    backbone.eval()
    whole = backbone(skeletons()).patches
    torch.testing.assert_close(torch.cat([backbone(one[None]).patches for one in skeletons()]), whole)


def test_a_skeleton_model_takes_skeletons_and_no_video(tmp_path):
    spec = amge.spec("mvitv2-tiny-mct").replace(
        backbone="joint-mixer", backbone_args=ARGS, modality="skeleton", frames=6, activation="sigmoid"
    )
    model = amge.assemble(spec).eval()
    given = skeletons()
    expected = model(given).sigmoid().mean(dim=0).tolist()
    assert list(model.predict(given).values()) == pytest.approx(expected, abs=1e-6)
    assert torch.equal(amge.from_pretrained(model.save_pretrained(tmp_path))(given), model(given))
    with pytest.raises(ValueError, match=r"expected skeletons \(B, P, T, 5, 3\), got \(2, 3, 6, 64, 64\)"):
        model(torch.zeros(2, 3, 6, 64, 64))
    with pytest.raises(ValueError, match=r"the skeletons have 17 joints, the model takes 5"):
        model.predict(torch.rand(8, 17, 3))


def test_other_encoders_are_refused():
    with pytest.raises(ValueError, match=r"an odd kernel, got .* kernel=4"):
        JointMixer(5, kernel=4)
    with pytest.raises(ValueError, match="needs layers"):
        JointMixer(5, channels=())
