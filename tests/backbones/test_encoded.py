"""Backbones that end in a feature map: CNNs, Video Swin and graph networks, with and without muscle tokens."""

import sys

import pytest
import torch

import amge
from amge.backbones import Graph
from amge.backbones.temporal import PersonNorm
from amge.backbones.video import SlowFastFeatures
from amge.skeleton.graph import hierarchy
from amge.skeleton.layouts import COCO17, NTU25

ADAPTER = {"dim": 16, "depth": 2, "num_heads": 2}
VIDEO = {"c2d-tiny": 256, "i3d-tiny": 256, "slow-tiny": 256, "slowfast-tiny": 288, "videoswin-tiny": 128}
GCNS = {"st-gcn-tiny": 64, "ctr-gcn-tiny": 64, "hd-gcn-tiny": 64}


def build(name, **overrides):
    if name.split("-")[0] in ("c2d", "i3d", "slow", "slowfast"):
        pytest.importorskip("pytorchvideo")
    torch.manual_seed(0)
    return amge.build(name, **overrides)


def given(name, batch=2, frames=8, size=64):
    generator = torch.Generator().manual_seed(1)
    if name in GCNS:
        skeletons = torch.rand(batch, 1, frames, 17, 3, generator=generator)
        skeletons[..., 2] = 1
        return skeletons
    return torch.randn(batch, 3, frames, size, size, generator=generator)


@pytest.mark.parametrize("name", [*VIDEO, *GCNS])
def test_without_tokens_the_head_takes_the_mean_of_the_features(name):
    model = build(name).eval()
    channels = (VIDEO | GCNS)[name]
    with torch.no_grad():
        features = model.forward_features(given(name))
        pooled = features.patches.mean(dim=1)
        assert features.patches.shape[2] == model.backbone.out_channels == channels and features.tokens == {}
        torch.testing.assert_close(model(given(name)), model.head.projection(pooled))
    with pytest.raises(ValueError, match="no decoder for tokens; build it with a bank, such as tokens=20"):
        model.backbone(given(name), torch.zeros(2, 3, channels))


@pytest.mark.parametrize("name", [*VIDEO, *GCNS])
def test_tokens_give_any_of_them_a_bank(name, tmp_path):
    spec = amge.spec(name)
    model = build(name, tokens=5, backbone_args={**spec.backbone_args, **ADAPTER})
    assert model.spec.banks == ("main",) and model.backbone.embed_dims == (16, 16)
    features = model.forward_features(given(name))
    assert features.tokens["main"].shape == (2, 5, 16) and len(features.block_tokens["main"]) == 2
    model(given(name)).square().sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    model.eval()
    with torch.no_grad():
        whole = model(given(name))
        torch.testing.assert_close(torch.cat([model(one[None]) for one in given(name)]), whole, atol=1e-4, rtol=1e-4)
        assert torch.equal(amge.from_pretrained(model.save_pretrained(tmp_path))(given(name)), whole)


@pytest.mark.parametrize("name", ["st-gcn-tiny", "videoswin-tiny"])
@pytest.mark.parametrize("wrong", [{"bogus": 1}, {"stream": ("joint",)}, {"dim": 16}])
def test_arguments_that_nothing_takes_are_refused(name, wrong):
    args = {**amge.spec(name).backbone_args, **wrong}
    with pytest.raises(ValueError, match=r"does not take these arguments.*without tokens it has no decoder"):
        build(name, backbone_args=args)
    if "dim" not in wrong:
        with pytest.raises(ValueError, match="does not take these arguments"):
            build(name, backbone_args=args, tokens=3)


def test_any_of_them_becomes_a_student_with_mctkd_and_mctf():
    args = {**amge.spec("videoswin-tiny").backbone_args, **ADAPTER}
    student = build(
        "videoswin-tiny",
        backbone_args=args,
        banks=("main", "receiver"),
        tokens=4,
        fusion="mctf",
        distill="dense-token",
    )
    teacher = amge.distill.Teacher(amge.assemble(amge.teacher_spec(student.spec)))
    clip = given("videoswin-tiny")
    loss = amge.distillation(student)(student.forward_signals(clip), teacher(clip))
    loss.backward()
    assert loss > 0 and student.bank.tokens["receiver"].grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["c2d-tiny", "i3d-tiny", "slow-tiny", "slowfast-tiny", "videoswin-tiny"])
def test_other_lengths_and_sizes(name):
    model = build(name, tokens=3, backbone_args={**amge.spec(name).backbone_args, **ADAPTER}).eval()
    with torch.no_grad():
        assert model(torch.randn(1, 3, 12, 80, 96)).shape == (1, 20)


def test_slowfast_looks_at_a_quarter_of_the_frames_and_at_all():
    pathways = SlowFastFeatures([Together()])
    clip = torch.arange(16.0).reshape(1, 1, 16, 1, 1)
    slow, fast = pathways(clip)[0, :, :, 0, 0]
    assert slow.tolist() == [0, 5, 10, 15] and fast.tolist() == [1.5, 5.5, 9.5, 13.5]
    with pytest.raises(ValueError, match="a number of frames that 4 divides, got 6"):
        pathways(torch.zeros(1, 3, 6, 8, 8))


class Together(torch.nn.Module):
    """Stands for stages: gives the list back as it is."""

    def forward(self, pathways):
        return pathways


def test_cnns_say_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorchvideo.models", None)
    with pytest.raises(ImportError, match=r"pip install 'amge\[baselines\]'"):
        amge.build("i3d-r50")


# Graph networks


@pytest.mark.parametrize("name", GCNS)
def test_persons_who_are_not_there_do_not_count_unless_asked_for(name):
    persons = {} if name == "st-gcn-tiny" else {"persons": 2}
    args = {**amge.spec(name).backbone_args, **persons}
    model, reference = (build(name, backbone_args=args | {"masking": masking}).eval() for masking in (True, False))
    two = torch.cat([given(name), torch.zeros_like(given(name))], dim=1)
    with torch.no_grad():
        features = model.backbone.encoder(two).unflatten(0, (2, 2))
        torch.testing.assert_close(model.backbone.features(two)[..., 0], features[:, 0])
        torch.testing.assert_close(reference.backbone.features(two)[..., 0], features.mean(dim=1))
        assert model(torch.zeros_like(two)).isfinite().all()


def test_slots_of_persons_are_those_that_the_network_was_built_for():
    model = build("ctr-gcn-tiny")
    with pytest.raises(ValueError, match=r"expected skeletons \(B, 1, T, 17, 3\), got \(2, 2, 8, 17, 3\)"):
        model(torch.zeros(2, 2, 8, 17, 3))
    assert build("st-gcn-tiny").eval()(torch.rand(2, 3, 8, 17, 3)).shape == (2, 20)


def test_a_norm_of_slots_and_one_of_all_persons():
    skeletons = torch.randn(4, 2, 5, 3, 3) * torch.tensor([1.0, 10.0])[:, None, None, None]
    apart, alike = PersonNorm(3, persons=2)(skeletons), PersonNorm(3)(skeletons)
    assert apart.shape == alike.shape == (8, 3, 5, 3)
    slots = apart.unflatten(0, (4, 2))
    torch.testing.assert_close(slots.var(dim=(0, 3), unbiased=False), torch.ones(2, 3, 3), atol=1e-2, rtol=0)
    assert alike.unflatten(0, (4, 2))[:, 0].std() < 0.3 * alike.unflatten(0, (4, 2))[:, 1].std()


def test_partitions_by_hand():
    """Three joints in a row around the middle one."""
    graph = Graph(3, ((0, 1), (2, 1)), centre=1)
    assert graph.hops().tolist() == [[0, 1, 2], [1, 0, 1], [2, 1, 0]]
    third, half = 1 / 3, 1 / 2
    own, far, near = (part.tolist() for part in graph.by_distance())
    assert own == [[half, 0, 0], [0, pytest.approx(third), 0], [0, 0, half]]
    assert far == [[0, pytest.approx(third), 0], [0, 0, 0], [0, pytest.approx(third), 0]]
    assert near == [[0, 0, 0], [half, 0, half], [0, 0, 0]]
    _, inwards, outwards = graph.by_direction()
    assert inwards.tolist() == [[0, 0, 0], [1, 0, 1], [0, 0, 0]]
    assert outwards.tolist() == [[0, half, 0], [0, 0, 0], [0, half, 0]]
    assert graph.levels() == ((1,), (0, 2))
    own, outwards, inwards = hierarchy(3, graph.levels())[0]
    assert torch.equal(own, torch.eye(3)) and outwards.tolist() == [[0, half, 0], [0, 0, 0], [0, half, 0]]
    assert inwards.tolist() == [[0, 0, 0], [1, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize("graph", [COCO17, NTU25])
def test_named_graphs_are_trees(graph):
    assert len(graph.bones) == graph.joints - 1 and graph.hops().isfinite().all()
    assert torch.allclose(graph.by_distance().sum(dim=(0, 1)), torch.ones(graph.joints))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"graph": "coco17"}, "unknown skeleton graph 'coco17'; did you mean 'coco-17'"),
        ({"graph": {"joints": 3, "bones": [[0, 1]], "centre": 0}}, "the bones must connect all joints"),
        ({"graph": {"joints": 2, "bones": [[0, 5]], "centre": 0}}, "name joints outside"),
        ({"graph": {"joints": 2, "bones": [[0, 1]], "centre": 2}}, "the centre must be one of them"),
        ({"graph": {"joints": 2, "edges": [[0, 1]]}}, "a graph is a name, or has joints, bones and a centre"),
        ({"levels": ((0,), (1, 2))}, "each of 17 joints in one"),
        ({"width": 6}, "4 branches need a number of channels that 4 divides, got 6"),
    ],
)
def test_graphs_that_are_none(arguments, message):
    with pytest.raises(ValueError, match=message):
        amge.build("hd-gcn-tiny", backbone_args=arguments)
