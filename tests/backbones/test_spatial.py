"""Convolutions of torch_geometric in a skeleton network."""

import sys
from functools import partial

import pytest
import torch
from torch import nn

import amge
from amge.backbones.skeleton import ctr_gcn, st_gcn
from amge.backbones.spatial import GraphConvolution, spatial_layers
from amge.skeleton.layouts import LAYOUTS

COCO17 = LAYOUTS["coco-17"]
MEAN = {"spatial": "SimpleConv", "spatial_args": {"aggr": "mean", "combine_root": "self_loop"}}


@pytest.fixture(scope="module", autouse=True)
def conv():
    return pytest.importorskip("torch_geometric.nn.conv")


def layer(name, in_channels=6, channels=8, **arguments):
    return spatial_layers(name, arguments, COCO17)(in_channels, channels).eval()


def build(spatial="GATv2Conv", **arguments):
    given = {"width": 8, "spatial": spatial, "spatial_args": arguments}
    return amge.build("st-gcn-tiny", backbone_args=given, tokens=3).eval()


def test_the_mean_of_neighbours_is_the_plain_layer_with_one_weight_for_all_subsets():
    """The subsets of ST-GCN add up to the mean over a joint and its neighbours."""
    torch.manual_seed(0)
    plain, other = (st_gcn(width=8, with_tokens=False, frames=8, **more).eval() for more in ({}, MEAN))
    tied = plain.state_dict()
    for key in [key for key in tied if ".graph." in key]:
        own = tied[key].chunk(3)[0]
        tied[key] = own.repeat(3, *[1] * (own.ndim - 1))
    plain.load_state_dict(tied)
    taken = {key.replace(".graph.", ".graph.0."): value for key, value in tied.items() if ".importance" not in key}
    taken = {key: value[: len(value) // 3] if ".graph." in key else value for key, value in taken.items()}
    other.load_state_dict(taken)
    given = torch.rand(2, 2, 8, 17, 3)
    torch.testing.assert_close(other(given).patches, plain(given).patches, atol=1e-5, rtol=0)


def test_gcnconv_is_a_product_with_the_normalised_adjacency():
    torch.manual_seed(0)
    gcn, x = layer("GCNConv"), torch.randn(2, 6, 3, 17)
    near = (COCO17.hops() <= 1).float()
    root = near.sum(dim=0).rsqrt()
    mixed = torch.einsum("bctv,vw->bctw", x, root[:, None] * near * root)
    weight = gcn.convolution.lin.weight
    torch.testing.assert_close(gcn(x), torch.einsum("bctw,dc->bdtw", mixed, weight), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["GATv2Conv", "SAGEConv", "AGNNConv"])
def test_frames_and_samples_do_not_mix_and_neighbours_do(name):
    torch.manual_seed(0)
    network, x = layer(name), torch.randn(2, 6, 3, 17)
    whole = network(x)
    alone = torch.cat([network(x[1:, :, t : t + 1]) for t in range(3)], dim=2)
    torch.testing.assert_close(whole[1:], alone)
    moved = x.clone()
    moved[0, :, 1, 9] += 1  # the left wrist
    changed = (network(moved) != whole).any(dim=1)
    assert changed.nonzero().tolist() == [[0, 1, 7], [0, 1, 9]]  # it and the elbow


def test_a_convolution_over_all_nodes_is_told_which_frame_each_is_of(conv):
    def make(in_channels, channels):
        return conv.GPSConv(in_channels, conv.GCNConv(in_channels, channels), norm=None)

    torch.manual_seed(0)
    network, x = spatial_layers(make, {}, COCO17)(8, 8).eval(), torch.randn(1, 8, 3, 17)
    torch.testing.assert_close(network(x)[:, :, :1], network(x[:, :, :1]))


def test_a_model_with_tokens_is_saved_and_loaded(tmp_path):
    model = build(heads=2)
    given = model.input_spec.example(batch=2)
    loaded = amge.from_pretrained(model.save_pretrained(tmp_path))
    assert loaded.spec.backbone_args["spatial_args"] == {"heads": 2}
    assert torch.equal(loaded(given), model(given))
    model.train()(given).sum().backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []


def test_a_module_of_one_s_own(registry, conv, tmp_path):
    def make(in_channels, channels):
        return conv.GINConv(nn.Sequential(nn.Linear(in_channels, channels), nn.ReLU()))

    amge.register("backbone", "gin")(partial(st_gcn, spatial=make))
    model = amge.build("st-gcn-tiny", backbone="gin", backbone_args={"width": 8}, tokens=3).eval()
    assert isinstance(model.backbone.encoder.layers[0].graph.convolution, conv.GINConv)
    given = model.input_spec.example()
    assert torch.equal(amge.from_pretrained(model.save_pretrained(tmp_path))(given), model(given))


def test_ctr_gcn_takes_one_in_place_of_its_topology():
    network = ctr_gcn(width=8, with_tokens=False, frames=8, spatial="GCNConv")
    names = {name.rpartition(".")[2] for name, _ in network.named_parameters()}
    assert network(torch.rand(1, 1, 8, 17, 3)).patches.shape == (1, 34, 32) and not names & {"alpha", "shared"}


@pytest.mark.parametrize(
    ("spatial", "arguments", "message"),
    [
        ("GATv2Convs", {}, r"unknown convolution of torch_geometric 'GATv2Convs'; did you mean 'GATv2Conv'"),
        ("MessagePassing", {}, "unknown convolution"),
        ("GINConv", {}, "GINConv needs nn; a function in place of the name gives what JSON can't hold"),
        ("PointNetConv", {}, "PointNetConv needs pos; a skeleton has x, edge_index, batch"),
        ("GMMConv", {"dim": 1, "kernel_size": 2}, "GMMConv fails on joints and bones, which have no features of edges"),
        ("GATv2Conv", {"edge_dim": 4}, "GATv2Conv can't have edge_dim=4: bones have no features"),
        ("GATv2Conv", {"haeds": 4}, "unknown argument of GATv2Conv 'haeds'; did you mean 'heads'"),
        ("GATv2Conv", {"heads": 3}, "heads side by side share 8 channels, so their number divides that; got 3"),
        ("GCNConv", {"cached": True}, "GCNConv can't have cached=True"),
        ("SAGEConv", {"aggr": "most"}, "SAGEConv does not take {'aggr': 'most'}"),
        ("MixHopConv", {}, r"MixHopConv must make 8 channels of 3, it gave \(1, 24, 2, 17\)"),
        (None, {"heads": 2}, r"spatial_args={'heads': 2} go with the name of a convolution, got spatial=None"),
        (3, {}, "spatial is the name of a convolution of torch_geometric, or a function .* got 3"),
    ],
)
def test_what_does_not_fit_is_one_line(spatial, arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        build(spatial, **arguments)
    assert "\n" not in str(error.value)


def test_without_the_package_the_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_geometric.nn", None)
    with pytest.raises(ImportError, match=r"spatial='GATv2Conv' needs torch-geometric: pip install 'amge\[graph\]'"):
        build()


def test_a_layer_that_is_tried_keeps_training(conv):
    assert GraphConvolution(conv.GCNConv(3, 4), COCO17, 3, 4).training
