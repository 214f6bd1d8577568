import pytest
import timm.models.mvitv2 as timm_mvitv2
import torch
from safetensors.torch import save_file

import amge

TINY = {
    "backbone_args": {"embed_dim": 16, "depth": 10, "double_at": (1, 3, 8)},
    "frames": 4,
    "size": 64,
    "tokens": 3,
}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub that holds timm's picture model of the tiny model's sizes."""
    torch.manual_seed(0)
    sizes = {"depths": (1, 2, 5, 2), "embed_dim": (16, 32, 64, 128), "num_heads": (1, 2, 4, 8)}
    model = timm_mvitv2.MultiScaleVit(timm_mvitv2.MultiScaleVitCfg(**sizes), img_size=64, num_classes=7)
    state = {key: torch.randn_like(value) for key, value in model.state_dict().items()}
    save_file(state, tmp_path / "model.safetensors")
    asked = []

    def download(repository, filename, **options):
        asked.append((repository, filename))
        return tmp_path / filename

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    return state, asked


@pytest.mark.parametrize("name", ["transm3e-small", "mvitv2-small-mct"])
def test_both_branches_start_from_imagenet(hub, name):
    state, asked = hub
    torch.manual_seed(3)
    model = amge.build(name, init="imagenet", **TINY)
    torch.manual_seed(3)
    random = amge.build(name, **TINY)
    assert asked == [("timm/mvitv2_tiny.fb_in1k", "model.safetensors")]
    trunk = model.backbone
    assert torch.equal(trunk.patch_embed.weight.sum(dim=2), state["patch_embed.proj.weight"])
    assert torch.equal(trunk.blocks[3].attn.qkv.weight, state["stages.2.blocks.0.attn.qkv.weight"])
    assert torch.equal(trunk.blocks[3].shortcut.bias, state["stages.2.blocks.0.shortcut_proj_attn.bias"])
    assert torch.equal(trunk.blocks[9].mlp[2].weight, state["stages.3.blocks.1.mlp.fc2.weight"])
    assert not trunk.blocks[4].attn.rel_pos.t.any()
    assert torch.equal(model.bank.tokens["main"], random.bank.tokens["main"])
    assert torch.equal(model.head.projection.weight, random.head.projection.weight)
    assert model.training and all(p.requires_grad for p in model.parameters())


def test_without_network_there_is_one_clear_error(monkeypatch):
    def offline(repository, filename, **options):
        raise OSError("no route to host")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    with pytest.raises(ValueError, match=r"timm/mvitv2_tiny.fb_in1k.*could not be fetched.*check the network"):
        amge.build("transm3e-small", init="imagenet", **TINY)


def test_what_can_not_start_from_imagenet_says_so(hub):
    with pytest.raises(ValueError, match="no ImageNet weights for this Frames"):
        amge.build("transm3e-lite", init="imagenet")
    with pytest.raises(ValueError, match="unknown init 'imagnet'; did you mean 'imagenet'"):
        amge.build("transm3e-small", init="imagnet")
    with pytest.raises(ValueError, match="exclude each other"):
        amge.build("transm3e-lite", pretrained=True, init="imagenet")
    with pytest.raises(ValueError, match="do not fit"):
        amge.build(
            "transm3e-small",
            init="imagenet",
            **TINY | {"backbone_args": {"embed_dim": 8, "depth": 10, "double_at": (1, 3, 8)}},
        )
