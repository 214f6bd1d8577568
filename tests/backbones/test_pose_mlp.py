import pytest
import torch

import amge
from amge.backbones.pose_mlp import PoseMLP, statistics
from amge.backbones.skeleton import pose_mlp
from amge.explain.looks import seeing

ARGS = {"width": 4, "parts": 6, "dim": 16, "depth": 2, "num_heads": 2}


def skeletons(batch=2, persons=2, frames=7):
    given = torch.rand(batch, persons, frames, 17, 3, generator=torch.Generator().manual_seed(1))
    given[..., 2] = 0.5 + given[..., 2] / 2
    return given


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    return pose_mlp(**ARGS).eval()


@pytest.mark.parametrize("frames", [1, 2, 16, 21])
def test_statistics_are_the_mean_and_quantiles_of_torch(frames):
    x, levels = torch.randn(3, 4, frames, 5), (0.0, 0.05, 0.5, 0.95, 1.0)
    found = statistics(x, levels)
    assert found.shape == (3, 6, 4, 5)
    torch.testing.assert_close(found[:, 0], x.mean(dim=2))
    torch.testing.assert_close(found[:, 1:], x.quantile(torch.tensor(levels), dim=2).transpose(0, 1))


def test_meets_the_contract(backbone):
    out = backbone(skeletons(), torch.randn(2, 5, 16))
    assert out.grid == (1, 6, 1) and out.patches.shape == (2, 6, 16)
    assert out.tokens.shape == (2, 5, 16) and len(out.block_tokens) == len(backbone.embed_dims) == 2
    assert backbone.input_layout == ("B", "P", "T", 17, 3) and backbone.token_dim == backbone.out_channels == 16
    plain = pose_mlp(width=4, parts=6, with_tokens=False).eval()
    assert plain(skeletons()).patches.shape == (2, 6, 4)


def test_when_a_pose_is_taken_does_not_count_but_how_far_it_goes_does(backbone):
    given = skeletons()
    patches = backbone(given).patches
    torch.testing.assert_close(backbone(given[:, :, torch.randperm(7)]).patches, patches)
    further = given.clone()
    further[:, :, 3, 4, 0] += 1
    assert not torch.allclose(backbone(further).patches, patches, atol=1e-4)


@pytest.mark.parametrize("frames, through", [(16, 0.25), (20, 0.05), (21, 0.0), (30, 0.0)])
def test_how_much_of_a_frame_that_is_far_off_gets_through(frames, through):
    x = torch.rand(1, 3, frames, 17, generator=torch.Generator().manual_seed(0))
    off = x.clone()
    off[:, :, 11] += 1000
    apart = statistics(off, (0.05, 0.95, 1.0)) - statistics(x, (0.05, 0.95, 1.0))
    torch.testing.assert_close(apart[:, 2] / 1000, torch.full((1, 3, 17), through), atol=2e-3, rtol=0)
    assert apart[:, 1].abs().max() < 1 and apart[:, 3].min() > 900


def test_clips_of_any_length_and_a_batch_is_its_samples(backbone):
    assert backbone(skeletons(frames=1)).patches.isfinite().all()
    whole = backbone(skeletons(frames=40)).patches
    torch.testing.assert_close(torch.cat([backbone(one[None]).patches for one in skeletons(frames=40)]), whole)


def test_persons_who_are_not_there_do_not_count(backbone):
    alone = skeletons(persons=1)
    together = torch.cat([alone, torch.zeros_like(alone)], dim=1)
    torch.testing.assert_close(backbone(together).patches, backbone(alone).patches)


def test_one_person_can_train_alone():
    given = skeletons(persons=1)
    given[1] = 0
    for batch in (given, given[:1]):
        backbone = pose_mlp(**ARGS).train()
        backbone(batch, torch.randn(len(batch), 5, 16)).tokens.square().sum().backward()
        assert all(p.grad.isfinite().all() for p in backbone.parameters())
        assert torch.equal(backbone.encoder.norm_statistics.running_var, torch.ones(51 * 3))


@pytest.mark.parametrize("levels", [(-0.1,), (0.5, 1.01), (float("nan"),)])
def test_refuses_what_is_no_level(levels):
    with pytest.raises(ValueError, match=r"quantiles lie in 0\.\.1"):
        PoseMLP(17, levels=levels)


@pytest.mark.parametrize("sizes", [{"width": 0}, {"parts": 0}])
def test_refuses_what_is_no_size(sizes):
    with pytest.raises(ValueError, match="at least 1, got parts="):
        PoseMLP(17, **sizes)


def test_can_be_the_skeleton_of_a_model_of_both():
    spec = amge.spec("transm3e-lite-pose").replace(skeleton="pose-mlp", skeleton_args=ARGS, frames=2)
    model = amge.assemble(spec).eval()
    seen = model.input_spec.example()
    one, other = (model(seen, joints) for joints in torch.rand(2, 1, 1, 2, 17, 3))
    assert model.skeleton.backbone.encoder.parts == 6 and not torch.allclose(one, other)


def test_joints_can_be_explained_by_gradients_but_not_by_attention():
    model = amge.build("pose-mlp", backbone_args=ARGS).eval()
    with pytest.warns(UserWarning, match="untrained"):
        explanation = model.explain(skeletons(batch=1)[0].numpy() * 100)
    assert explanation.joints.shape[1:] == (16, 17) and explanation.joints.max() > 0
    with pytest.raises(ValueError, match="pose-mlp has tokens that attend to nothing that can be shown; take"):
        model.explain(skeletons(batch=1)[0].numpy() * 100, method="attention")


def test_attention_of_a_model_of_both_shows_its_pictures():
    model = amge.build("transm3e-lite", skeleton="pose-mlp", skeleton_args=ARGS, skeleton_fusion="cross-attention")
    assert list(seeing(model.eval(), "attention")) == ["pictures"]
    assert list(seeing(model, "grad-cam")) == ["pictures", "joints"]
