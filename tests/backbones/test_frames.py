import pytest
import torch
from torch import nn

from amge.backbones import Decoders, Frames, TokenDecoder
from amge.backbones.frames import timm_frames

TOY = {"frames": 4, "size": 64, "dim": 32, "depth": 2, "num_heads": 2}


@pytest.fixture(scope="module")
def toy():
    torch.manual_seed(0)
    return timm_frames("test_efficientnet", **TOY).eval()


@pytest.fixture
def clip():
    return torch.randn(2, 3, 4, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def tokens():
    return torch.randn(2, 10, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("encoder", ["test_efficientnet", "test_resnet", "test_convnext", "test_mambaout", "test_vit"])
def test_contract(encoder, clip, tokens):
    backbone = timm_frames(encoder, **TOY).eval()
    assert (backbone.token_dim, backbone.out_channels) == (32, 32)
    assert (backbone.embed_dims, backbone.reduces) == ((32, 32), (False, False))
    out = backbone(clip, tokens)
    assert out.grid == (4, 4, 4)
    assert out.patches.shape == (2, 4 * 4 * 4, 32)
    assert [block.shape for block in out.block_tokens] == [(2, 10, 32)] * 2
    assert not torch.equal(*out.block_tokens)
    assert torch.equal(out.tokens, backbone.adapter.norm(out.block_tokens[-1]))


def test_without_tokens_there_are_patches_only(toy, clip, tokens):
    out = toy(clip)
    assert (out.tokens, out.block_tokens) == (None, ())
    assert torch.equal(out.patches, toy(clip, tokens).patches)


@pytest.mark.parametrize("encoder", ["test_efficientnet", "test_vit"])
@pytest.mark.parametrize("frames, height, width", [(1, 64, 64), (7, 64, 64), (4, 96, 32), (2, 32, 128)])
def test_other_clips_than_built_for(encoder, frames, height, width, tokens):
    backbone = timm_frames(encoder, **TOY).eval()
    out = backbone(torch.randn(2, 3, frames, height, width), tokens)
    assert out.grid == (frames, height // 16, width // 16)
    assert out.patches.shape == (2, frames * height // 16 * width // 16, 32)
    assert out.tokens.isfinite().all()


def test_a_size_that_is_no_multiple_of_the_stride():
    backbone = timm_frames("test_resnet", **TOY | {"size": 70}).eval()
    out = backbone(torch.randn(1, 3, 4, 70, 70), torch.randn(1, 3, 32))
    assert out.grid == (4, *backbone.adapter.position_space.shape[-2:])


def test_samples_do_not_see_one_another(toy, clip, tokens):
    both, alone = toy(clip, tokens), toy(clip[1:], tokens[1:])
    assert torch.allclose(both.tokens[1:], alone.tokens, atol=1e-5)
    assert torch.allclose(both.patches[1:], alone.patches, atol=1e-5)


def test_the_order_of_frames_counts_by_the_time_table_alone(toy, clip, tokens):
    order = torch.tensor([2, 0, 3, 1])
    given = toy.adapter.position_time.data
    try:
        toy.adapter.position_time.data = torch.zeros_like(given)
        assert torch.allclose(toy(clip[:, :, order], tokens).tokens, toy(clip, tokens).tokens, atol=1e-5)
        toy.adapter.position_time.data = torch.randn_like(given)
        assert not torch.allclose(toy(clip[:, :, order], tokens).tokens, toy(clip, tokens).tokens, atol=1e-2)
    finally:
        toy.adapter.position_time.data = given


def test_what_stands_still_is_not_in_the_motion_view(toy, clip):
    still = clip[:, :, :1].expand(-1, -1, 4, -1, -1)
    weights = [motion.weight.data for motion in toy.adapter.motion]
    with_motion = toy(still).patches, toy(clip).patches
    try:
        for motion in toy.adapter.motion:
            motion.weight.data = torch.zeros_like(motion.weight)
        assert torch.allclose(toy(still).patches, with_motion[0], atol=1e-4)
        assert not torch.allclose(toy(clip).patches, with_motion[1], atol=1e-2)
    finally:
        for motion, weight in zip(toy.adapter.motion, weights, strict=True):
            motion.weight.data = weight


def test_every_parameter_gets_a_gradient(clip, tokens):
    backbone = timm_frames("test_efficientnet", **TOY)
    out = backbone(clip, tokens.requires_grad_())
    out.tokens.square().sum().backward()
    assert [name for name, p in backbone.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
    assert tokens.grad.abs().sum() > 0


def test_patches_are_frame_by_frame_row_by_row():
    class Maps(nn.Module):
        def forward(self, images):
            return [images[:, :, ::2, ::2]]

    backbone = Frames(Maps(), TokenDecoder([3], (2, 2, 3), dim=3, depth=1, num_heads=1)).eval()
    adapter = backbone.adapter
    adapter.appearance[0].weight.data = torch.eye(3).view(3, 3, 1, 1)
    adapter.appearance[0].bias.data.zero_()
    adapter.motion[0].weight.data.zero_()
    adapter.position_space.data.zero_()
    adapter.position_time.data.zero_()
    adapter.norm_patches = nn.Identity()
    clip = torch.arange(1 * 3 * 2 * 4 * 6.0).view(1, 3, 2, 4, 6)
    out = backbone(clip)
    assert out.grid == (2, 2, 3)
    expected = [clip[0, :, t, y, x].tolist() for t in (0, 1) for y in (0, 2) for x in (0, 2, 4)]
    assert out.patches[0].tolist() == expected


def test_motion_is_the_difference_from_the_mean_over_time():
    adapter = TokenDecoder([1], (2, 1, 1), dim=1, depth=1, num_heads=1)
    adapter.appearance[0].weight.data.zero_()
    adapter.appearance[0].bias.data.zero_()
    adapter.motion[0].weight.data.fill_(1)
    adapter.position_space.data.zero_()
    adapter.position_time.data.zero_()
    adapter.norm_patches = nn.Identity()
    maps = torch.tensor([1.0, 5.0, 10.0, 10.0]).view(4, 1, 1, 1)  # two clips of two frames
    assert adapter([maps], frames=2).patches.flatten().tolist() == [-2, 2, 0, 0]


def test_position_tables_are_interpolated():
    adapter = TokenDecoder([1], (2, 1, 2), dim=1, depth=1, num_heads=1)
    adapter.appearance[0].weight.data.zero_()
    adapter.appearance[0].bias.data.zero_()
    adapter.position_space.data = torch.tensor([0.0, 8.0]).view(1, 1, 1, 2)
    adapter.position_time.data = torch.tensor([0.0, 400.0]).view(1, 1, 2)
    adapter.norm_patches = nn.Identity()
    as_built, twice = (adapter([torch.zeros(n, 1, 1, n)], frames=n).patches.view(n, n) for n in (2, 4))
    assert as_built.tolist() == [[0, 8], [400, 408]]
    assert twice[0].tolist() == [0, 2, 6, 8]
    assert twice[:, 0].tolist() == [0, 100, 300, 400]


def test_coarser_maps_are_added_on_the_grid_of_the_first():
    adapter = TokenDecoder([1, 1], (1, 2, 2), dim=1, depth=1, num_heads=1)
    for level, factor in zip(adapter.appearance, (1, 10), strict=True):
        level.weight.data.fill_(factor)
        level.bias.data.zero_()
    adapter.position_space.data.zero_()
    adapter.position_time.data.zero_()
    adapter.norm_patches = nn.Identity()
    out = adapter([torch.arange(4.0).view(1, 1, 2, 2), torch.ones(1, 1, 1, 1)], frames=1)
    assert out.grid == (1, 2, 2)
    assert out.patches.flatten().tolist() == [10, 11, 12, 13]


def test_an_unknown_encoder_is_refused_with_the_closest_names():
    with pytest.raises(ValueError, match="unknown timm model 'test_resnett'; did you mean 'test_resnet'"):
        timm_frames("test_resnett")


@pytest.mark.parametrize("encoder", ["test_resnet", "test_vit"])
def test_levels_that_the_encoder_lacks_are_refused(encoder):
    with pytest.raises(ValueError, match=f"timm model '{encoder}' gives no feature maps at levels"):
        timm_frames(encoder, levels=(9,), **TOY)


def test_a_decoder_has_blocks_and_heads():
    with pytest.raises(ValueError, match="depth and num_heads must be at least 1, got 0 and 5"):
        TokenDecoder((8,), (1, 2, 2), depth=0)
    with pytest.raises(ValueError, match="depth and num_heads must be at least 1, got 4 and 0"):
        TokenDecoder((8,), (1, 2, 2), num_heads=0)


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="num_heads=5 does not divide dim=32"):
        TokenDecoder([8], (4, 4, 4), dim=32, num_heads=5)


def test_each_bank_is_read_by_decoders_of_its_own(clip):
    backbone = timm_frames("test_efficientnet", **TOY, banks=2, decoders=3).eval()
    tokens = torch.randn(2, 10, 3 * 32)
    out = backbone(clip, tokens)
    assert backbone.token_dim == 96 and backbone.out_channels == 32 and backbone.embed_dims == (96, 96)
    assert [after.shape for after in out.block_tokens] == [(2, 10, 96)] * 2
    alone = [
        Frames(backbone.encoder, decoder)(clip, part)
        for decoder, part in zip(
            backbone.adapter.decoders, [p for bank in tokens.chunk(2, dim=1) for p in bank.chunk(3, dim=2)], strict=True
        )
    ]
    means = [sum(each.tokens for each in alone[start : start + 3]) / 3 for start in (0, 3)]  # until it is trained
    torch.testing.assert_close(out.tokens, torch.cat(means, dim=1))
    assert torch.equal(out.patches, alone[0].patches) and torch.equal(backbone(clip).patches, out.patches)


def test_decoders_that_cannot_be_shared_out():
    with pytest.raises(ValueError, match="3 decoders can't be shared out among 2 banks"):
        Decoders([TokenDecoder([8], (1, 2, 2), 8, 1, 1) for _ in range(3)], banks=2)


def test_decoders_attend_as_each_of_them_does(clip):
    backbone = timm_frames("test_efficientnet", **TOY, banks=2, decoders=2).eval()
    tokens = torch.randn(2, 10, 64)
    maps = backbone.encode_frames(clip.transpose(1, 2).flatten(0, 1))
    seen = backbone.adapter.attention(maps, 4, tokens)
    first, second = (
        backbone.adapter.decoders[n].attention(maps, 4, tokens[:, :5, 32 * n : 32 * n + 32]) for n in (0, 1)
    )
    torch.testing.assert_close(seen[:, :5], (first + second) / 2)
