"""The networks of Table 2 against their references: golden numbers where they are at hand, the libraries themselves."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torchvision.models.video.swin_transformer import SwinTransformer3d

import amge
from amge.convert import from_reference

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "golden"
golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="no golden numbers beside the project")


class Case:
    def __init__(self, name):
        tensors = load_file(GOLDEN / f"{name}.safetensors")
        self.tensors = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
        self.about = json.loads((GOLDEN / f"{name}.json").read_text())
        self.weights = {k[8:]: v for k, v in self.tensors.items() if k.startswith("weights/")}

    def same(self, name, ours):
        atol = self.about["outputs"][name]["atol"]
        torch.testing.assert_close(ours, self.tensors[f"output/{name}"], atol=atol, rtol=1e-4)

    def all_layers(self, model, skeletons, layer, prefix=""):
        """Compare every layer's output that is there, whole or its mean over frames and joints; returns how many."""
        seen, hooks = [], []
        for module in model.backbone.encoder.layers:
            hooks.append(module.register_forward_hook(lambda _m, _i, out: seen.append(out)))
        with torch.no_grad():
            features = model.forward_features(skeletons)
            logits = model.forward_head(features)
        for hook in hooks:
            hook.remove()
        compared = 0
        for number, out in enumerate(seen):
            for name, ours in ((layer(number), out), (f"{layer(number)}/mean_tv", out.mean(dim=(2, 3)))):
                if f"output/{prefix}{name}" in self.tensors:
                    self.same(f"{prefix}{name}", ours)
                    compared += 1
        self.same(f"{prefix}pooled", features.patches.mean(dim=1))
        return logits, compared


def skeletons(case, name):
    """`(N, 3, T, V, M)` of the references to `(B, P, T, V, 3)`."""
    return case.tensors[f"input/{name}"].permute(0, 4, 2, 3, 1)


@golden
@pytest.mark.parametrize("name", ["st_gcn", "full/st_gcn_full"])
def test_st_gcn(name):
    case = Case(name)
    model = from_reference("st-gcn", case.weights)
    for persons in ("m1", "m2"):
        given = skeletons(case, f"skeleton_{persons}")
        logits, compared = case.all_layers(model, given, lambda i: f"block{i}", f"{persons}/")
        case.same(f"logits_{persons}", logits)
        assert compared >= 10


@golden
@pytest.mark.parametrize(
    ("name", "source", "config"),
    [
        ("ctr_gcn_1p", "ctr-gcn", {}),
        ("ctr_gcn_2p", "ctr-gcn", {}),
        ("full/ctr_gcn_2p_full", "ctr-gcn", {}),
        ("hd_gcn_1p", "hd-gcn", {}),
        ("hd_gcn_2p", "hd-gcn", {}),
        ("full/hd_gcn_2p_full", "hd-gcn", {}),
        ("hd_gcn_1p_ntu", "hd-gcn", {"CoM": 21}),
    ],
)
def test_gcns_that_refine_their_graph(name, source, config):
    case = Case(name)
    model = from_reference(source, case.weights, config)
    logits, compared = case.all_layers(model, skeletons(case, "skeleton"), lambda i: f"l{i + 1}")
    case.same("logits", logits)
    assert compared >= 10
    assert torch.equal(model(skeletons(case, "skeleton")), logits)


@golden
def test_graphs_start_as_the_references_do():
    for name, arch in (("ctr_gcn_1p", "ctr-gcn"), ("hd_gcn_1p", "hd-gcn")):
        shared = amge.build(arch).backbone.encoder.layers[0].graph.shared
        torch.testing.assert_close(shared.data, Case(name).tensors["aux/A_initial"])
    torch.testing.assert_close(amge.build("st-gcn").backbone.encoder.layers[0].adjacency, Case("st_gcn").weights["A"])


@golden
def test_video_swin():
    case = Case("swin3d")
    model = from_reference("torchvision-swin3d", case.weights, case.about["config"])
    with torch.no_grad():
        features = model.forward_features(case.tensors["input/video"])
        case.same("norm", features.patches.unflatten(1, features.grid))
        case.same("avgpool", features.patches.mean(dim=1))
        case.same("logits", model.forward_head(features))


def test_video_swin_equals_torchvisions():
    torch.manual_seed(0)
    theirs = SwinTransformer3d([2, 4, 4], 8, [1, 1, 2, 1], [1, 2, 2, 4], [2, 4, 4], num_classes=6).eval()
    ours = from_reference("torchvision-swin3d", theirs.state_dict(), {"window_size": [2, 4, 4]})
    clip = torch.randn(2, 3, 4, 48, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(clip), theirs(clip))
    assert ours.spec.backbone_args["depths"] == (1, 1, 2, 1)


@pytest.mark.parametrize("kind", ["c2d", "i3d", "slow", "slowfast"])
def test_cnns_equal_pytorchvideos(kind):
    hub = pytest.importorskip("pytorchvideo.models.hub")
    torch.manual_seed(0)
    widths = {"stem_dim_outs": (8, 1)} if kind == "slowfast" else {"stem_dim_out": 8}
    theirs = getattr(hub, f"{kind}_r50")(pretrained=False, model_num_class=6, **widths)
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm3d):  # fresh ones of the last of a block are zero, which hides the rest
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.running_mean, std=0.1)
    theirs.eval()
    ours = from_reference("pytorchvideo", theirs.state_dict())
    assert ours.spec.arch == f"{kind}-r50"
    clip = torch.randn(2, 3, {"slow": 8, "slowfast": 32}.get(kind, 8), 224, 224)
    given = [clip[:, :, torch.linspace(0, 31, 8).long()], clip] if kind == "slowfast" else clip
    with torch.no_grad():
        before = clip.clone()
        torch.testing.assert_close(ours(clip), theirs(given), atol=1e-4, rtol=1e-4)
        assert torch.equal(clip, before) and torch.equal(ours(clip), ours(clip))


@pytest.mark.parametrize("source", ["st-gcn", "ctr-gcn", "hd-gcn", "torchvision-swin3d", "pytorchvideo"])
def test_other_weights_are_refused(source):
    with pytest.raises(ValueError, match="the state dict is not of this model; it lacks"):
        from_reference(source, {"fc.weight": torch.zeros(2, 2)})


def test_a_graph_of_ones_own_and_keys_that_do_not_fit():
    graph = {"joints": 5, "bones": [[1, 0], [2, 1], [3, 0], [4, 3]], "centre": 0}
    model = amge.build("st-gcn", backbone_args={"graph": graph, "width": 8, "masking": False})
    encoder = model.backbone.encoder.state_dict()
    assert encoder["layers.0.importance"].shape == (3, 5, 5)
    theirs = {
        "data_bn.weight": torch.ones(15),
        "A": torch.zeros(3, 5, 5),
        "st_gcn_networks.0.tcn.2.bias": torch.ones(8),
    }
    theirs |= {"fcn.weight": torch.ones(4, 32, 1, 1), "fcn.bias": torch.ones(4)}
    with pytest.raises(ValueError, match="no named graph of 5 joints; give its joints, bones and centre"):
        from_reference("st-gcn", theirs)
    with pytest.raises(ValueError, match=r"keys do not fit this configuration: missing: backbone.encoder"):
        from_reference("st-gcn", theirs, {"graph": graph})
