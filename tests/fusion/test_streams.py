"""Two-stream models: late fusion of tokens and fusion of patch embeddings."""

import numpy as np
import pytest
import torch
from torch import nn

import amge
from amge.backbones import Frames, TokenDecoder, joint_mixer, mvitv2
from amge.fusion import Concat, CrossAttention, LateFusion, PatchFusion, Product, Sum
from amge.video.modality import rgb_diff

TINY = {"embed_dim": 8, "depth": 3, "double_at": (1, 2), "frames": 4, "size": 32, "drop_path": 0.0}


def trunk(seed=0, **sizes):
    torch.manual_seed(seed)
    return mvitv2(**TINY | sizes).eval()


def frames(dim):
    return Frames(
        nn.Sequential(nn.Conv2d(3, 6, 8, stride=8), Maps()), TokenDecoder([6], (4, 4, 4), dim=dim, num_heads=2)
    ).eval()


class Maps(nn.Module):
    def forward(self, features):
        return [features]


@pytest.fixture
def clips():
    generator = torch.Generator().manual_seed(3)
    return torch.randn(2, 3, 4, 32, 32, generator=generator), torch.randn(2, 3, 4, 32, 32, generator=generator)


def test_late_fusion_is_the_two_backbones_side_by_side(clips):
    major, auxiliary = trunk(0), trunk(1)
    tokens = torch.randn(2, 6, 8)
    out = LateFusion(major, auxiliary)(torch.cat(clips, dim=1), tokens)
    a, b = major(clips[0], tokens[:, :3]), auxiliary(clips[1], tokens[:, 3:])
    assert torch.equal(out.tokens, torch.cat([a.tokens, b.tokens], dim=1))
    assert torch.equal(out.patches, a.patches) and out.grid == a.grid
    assert torch.equal(out.patch_embedding, a.patch_embedding)
    for both, one, other in zip(out.block_tokens, a.block_tokens, b.block_tokens, strict=True):
        assert torch.equal(both, torch.cat([one, other], dim=1))


def test_any_two_backbones_whose_tokens_come_out_alike(clips):
    late = LateFusion(trunk(), frames(dim=32)).eval()
    assert late.out_channels == 32 and late.embed_dims == () and late.input_layout == ("B", 6, "T", "H", "W")
    model = amge.MuscleModel(late, amge.TokenBank(5, 8, ("rgb", "flow")), CrossAttention(32), nn.Flatten())
    features = model.forward_features(torch.cat(clips, dim=1))
    assert features.fused.shape == (2, 5, 32) and features.block_tokens == {"rgb": (), "flow": ()}
    model(torch.cat(clips, dim=1)).square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_each_stream_sees_its_own_modality(clips):
    late = LateFusion(trunk(0), trunk(1))
    tokens = torch.randn(2, 6, 8)
    before = late(torch.cat(clips, dim=1), tokens).tokens
    after = late(torch.cat([clips[0], clips[1] + 1], dim=1), tokens).tokens
    assert torch.equal(before[:, :3], after[:, :3]) and not torch.allclose(before[:, 3:], after[:, 3:], atol=1e-3)


@pytest.mark.parametrize("fusion", [Sum, Concat, Product])
def test_patch_fusion_is_one_trunk_behind_two_embeddings(clips, fusion):
    backbone = trunk()
    fused = PatchFusion(backbone, fusion(8)).eval()
    tokens = torch.randn(2, 3, 8)
    major, grid = backbone.patch_embed(clips[0])
    auxiliary, _ = fused.auxiliary_embed(clips[1])
    expected = {Sum: lambda: major + auxiliary, Product: lambda: major * auxiliary}.get(
        fusion, lambda: fused.proj(torch.cat([major, auxiliary], dim=-1))
    )()
    out = fused(torch.cat(clips, dim=1), tokens)
    assert torch.equal(out.patch_embedding, expected)
    assert torch.equal(out.tokens, backbone.encode(expected, grid, tokens).tokens)
    assert isinstance(fused.proj, nn.Linear) == (fusion is Concat)


def test_the_second_embedding_starts_from_weights_of_its_own():
    fused = PatchFusion(trunk(), Sum(8))
    assert fused.auxiliary_embed.weight.shape == fused.backbone.patch_embed.weight.shape
    assert not torch.equal(fused.auxiliary_embed.weight, fused.backbone.patch_embed.weight)


def test_streams_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"tokens of one width, got out_channels=32 and 16; .*such as dim=32"):
        LateFusion(trunk(), frames(dim=16))
    with pytest.raises(ValueError, match="two-stream models take clips"):
        LateFusion(trunk(), joint_mixer(dim=32, num_heads=2))
    with pytest.raises(ValueError, match=r"Frames has no patch embedding to fuse; .*late fusion fits any"):
        PatchFusion(frames(dim=32), Sum(32))
    with pytest.raises(ValueError, match="give it a bank for each stream"):
        LateFusion(trunk(), trunk())(torch.zeros(1, 6, 4, 32, 32))


def test_predict_gives_each_stream_its_modality(clips):
    torch.manual_seed(0)
    model = amge.build("two-stream-tiny", frames=4, size=32, activation="sigmoid").eval()
    video = np.random.default_rng(0).integers(0, 256, (12, 40, 48, 3), dtype=np.uint8)
    given = model.preprocess(video)
    assert given.shape == (1, 6, 4, 32, 32) and torch.equal(given[:, 3:], rgb_diff(given[:, :3]))
    with torch.no_grad():
        expected = model(given).sigmoid()[0].tolist()
    assert list(model.predict(video).values()) == pytest.approx(expected, abs=1e-6)
    assert list(model.predict(given).values()) == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ValueError, match=r"expected a clip \(B, 6, T, H, W\), got \(2, 3, 4, 32, 32\)"):
        model(clips[0])


def test_streams_start_from_imagenet_and_recompute_blocks(clips, monkeypatch):
    from amge.convert import imagenet

    filled = []

    def fill(backbone):
        filled.append(backbone)
        torch.nn.init.constant_(backbone.patch_embed.weight, 0.5)

    for fused in (LateFusion(trunk(0), trunk(1)), PatchFusion(trunk(), Sum(8))):
        with monkeypatch.context() as patch:
            start = imagenet.start_from_imagenet
            patch.setattr(imagenet, "start_from_imagenet", fill)
            start(fused)
        fused.set_grad_checkpointing()
    assert len(filled) == 3 and filled[0].grad_checkpointing and filled[2].grad_checkpointing
    assert fused.auxiliary_embed.weight.unique().tolist() == [0.5]
    fused.train()(torch.cat(clips, dim=1), torch.randn(2, 3, 8)).tokens.sum().backward()


def test_the_builder_makes_streams_of_any_two_backbones(clips):
    decoder = {"encoder": "test_efficientnet", "dim": 128, "num_heads": 2, "depth": 2}
    mixed = {"auxiliary_backbone": "timm-frames", "auxiliary_backbone_args": decoder}
    model = amge.build("two-stream-tiny", fusion="bottleneck", **mixed).eval()
    assert isinstance(model.backbone.auxiliary, Frames)
    assert model(torch.randn(1, 6, 8, 64, 64)).shape == (1, 20)
    with pytest.raises(ValueError, match="got out_channels=128 and 64"):
        amge.build("two-stream-tiny", **mixed | {"auxiliary_backbone_args": decoder | {"dim": 64}})
    for auxiliary in ("rgb", "skeleton"):
        with pytest.raises(ValueError, match=f"two different kinds of clips, got rgb and {auxiliary}"):
            amge.build("two-stream-tiny", auxiliary=auxiliary)
    with pytest.raises(
        ValueError, match=r"unknown streams 'patch-summ'; did you mean 'patch-sum'.*valid: late, patch-"
    ):
        amge.build("mvitv2-tiny-mct", streams="patch-summ")
    with pytest.raises(ValueError, match="late streams need a bank each"):
        amge.build("mvitv2-tiny-mct", streams="late")
    with pytest.raises(ValueError, match="fused patch embeddings enter one trunk"):
        amge.build("mvitv2-tiny-mct", streams="patch-sum", auxiliary_backbone="mvitv2")
    with pytest.raises(ValueError, match="Frames has no patch embedding"):
        amge.build("transm3e-lite", streams="patch-sum")
