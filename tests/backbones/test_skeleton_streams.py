"""Joints, bones and their motion."""

import pytest
import torch

import amge
from amge.backbones.skeleton import st_gcn
from amge.backbones.streams import PICTURE, STREAMS, WORLD, axes, channels, stream
from amge.skeleton.layouts import COCO17, TRUNK

PARENTS = COCO17.parents()
BODY = COCO17.indices(*TRUNK)


def skeletons(confidence=0.8, axes=3):
    given = torch.rand(2, 1, 5, 17, axes, generator=torch.Generator().manual_seed(0))
    given[..., 2] = confidence
    return given


def test_streams():
    given = skeletons()
    assert torch.equal(stream(given, "joint", PARENTS), given)
    bone = stream(given, "bone", PARENTS)
    torch.testing.assert_close(bone[..., 9, :2], given[..., 9, :2] - given[..., 7, :2])  # wrist from elbow
    assert not bone[..., 0, :2].any()  # the centre
    for name, moving in (("joint-motion", given), ("bone-motion", bone)):
        motion = stream(given, name, PARENTS)
        torch.testing.assert_close(motion[:, :, :-1, :, :2], moving[:, :, 1:, :, :2] - moving[:, :, :-1, :, :2])
        assert not motion[:, :, -1].any()
        torch.testing.assert_close(motion[:, :, :-1, :, 2], torch.full_like(motion[:, :, :-1, :, 2], 0.8))


def test_angles():
    given = torch.zeros(1, 1, 1, 17, 3)
    given[..., 2] = 1
    given[0, 0, 0, 5, :2], given[0, 0, 0, 7, :2], given[0, 0, 0, 9, :2] = map(
        torch.tensor, ([0.0, 1], [0.0, 3], [1.0, 3])
    )
    direction, angle = stream(given, "direction", PARENTS), stream(given, "angle", PARENTS)
    torch.testing.assert_close(direction[0, 0, 0, [7, 9], :2], torch.tensor([[0.0, 1], [1, 0]]))
    torch.testing.assert_close(
        angle[0, 0, 0, [7, 9], :2], torch.tensor([[1.0, 0], [0, -1]])
    )  # turned back by a quarter
    for name in ("direction", "angle"):
        assert stream(given.half(), name, PARENTS).isfinite().all()


def test_what_is_missing_has_no_bone_and_no_motion():
    given = skeletons()
    given[:, :, 2, 7] = 0  # an elbow
    given[:, :, 3, 0, 2] = 0.1
    bone, motion = stream(given, "bone", PARENTS), stream(given, "joint-motion", PARENTS)
    for joint in (7, 9):
        assert not bone[:, :, 2, joint].any() and bone[:, :, 1, joint].any()
    for frame in (1, 2):
        assert not motion[:, :, frame, 7].any() and motion[:, :, frame, 9].any()
    assert (motion[:, :, [2, 3], 0, 2] == 0.1).all()


def test_a_network_sees_them_side_by_side():
    torch.manual_seed(0)
    for streams, features in ((PICTURE, 18), (WORLD, 18), (STREAMS, 36), (("angle", "world-angle"), 5)):
        backbone = st_gcn(width=8, streams=streams, with_tokens=False, frames=8).eval()
        assert backbone.encoder.norm.num_features == 17 * features == 17 * channels(streams)
        given = skeletons(axes=axes(streams))
        seen = []
        backbone.encoder.register_forward_pre_hook(lambda module, args, seen=seen: seen.append(args[0]))
        backbone(given)
        expected = torch.cat([stream(given, name, PARENTS, BODY) for name in streams], dim=-1)
        torch.testing.assert_close(seen[0], expected)
        assert backbone.input_layout == ("B", "P", "T", 17, 3 if streams == PICTURE else 6)


@pytest.mark.parametrize(
    "name, streams",
    [
        ("st-gcn-tiny", ("bone",)),
        ("st-gcn-tiny", STREAMS),
        ("ctr-gcn-tiny", STREAMS),
        ("hd-gcn-tiny", ("joint", "bone")),
    ],
)
def test_any_streams_build_save_and_load(name, streams, tmp_path):
    arguments = {**amge.spec(name).backbone_args, "streams": streams}
    model = amge.build(name, backbone_args=arguments).eval()
    again = amge.from_pretrained(model.save_pretrained(tmp_path))
    given = skeletons(axes=axes(streams))
    assert again.backbone.streams == streams and model.input_spec.shape[-1] == given.shape[-1]
    assert torch.equal(again(given), model(given))


@pytest.mark.parametrize(
    "streams, message",
    [((), "must be a tuple of some of"), ("bone", "must be a tuple"), (("bonny",), "unknown skeleton stream 'bonny'")],
)
def test_other_streams_are_refused(streams, message):
    with pytest.raises(ValueError, match=message):
        amge.build("st-gcn-tiny", backbone_args={"width": 16, "streams": streams})
    with pytest.raises(ValueError, match="bones need a graph"):
        amge.backbones.Skeleton(amge.backbones.JointMixer(5), streams=("bone",))
    with pytest.raises(ValueError, match="bones need a graph"):
        amge.backbones.Skeleton(amge.backbones.JointMixer(5), streams=("body-joint",))
    bird = {"joints": 3, "bones": ((1, 0), (2, 0)), "centre": 0, "names": ("beak", "left_wing", "right_wing")}
    with pytest.raises(
        ValueError, match=r"the stream body-joint needs joints named .*; the graph has no left_shoulder"
    ):
        st_gcn(bird, streams=("world-joint", "body-joint"))
    assert st_gcn(bird, width=8, streams=("world-joint", "world-angle"), frames=8).input_layout[3:] == (3, 6)


# The world


def standing(turn=0.0):
    """Somebody who faces the camera, turned about the vertical, the left forearm held forwards."""
    places = {"nose": (0, -7, -1), "left_shoulder": (2, -5, 0), "right_shoulder": (-2, -5, 0), "left_hip": (1, 0, 0)}
    places |= {"right_hip": (-1, 0, 0), "left_elbow": (4, -5, 0), "left_wrist": (4, -5, -3)}  # of the camera's left
    given = torch.zeros(1, 1, 1, 17, 6)
    for name, place in places.items():
        given[..., COCO17.names.index(name), 2:] = torch.tensor((1.0, *place))
    angle = torch.tensor(turn)
    about_y = torch.tensor([[angle.cos(), 0, angle.sin()], [0, 1, 0], [-angle.sin(), 0, angle.cos()]])
    given[..., 3:] = given[..., 3:] @ about_y.T
    return given


def of(name, given, joint):
    return stream(given, name, PARENTS, BODY)[0, 0, 0, COCO17.names.index(joint)].tolist()


def near(*numbers):
    return pytest.approx(numbers, abs=1e-5)


@pytest.mark.parametrize("turn", [0.0, 0.7, 3.0])
def test_the_world_by_hand(turn):
    """Left is to the right of the picture, of somebody who faces the camera; forwards is towards it."""
    given = standing(turn)
    if not turn:
        assert of("world-joint", given, "left_wrist") == near(4, -5, -3, 1)
        assert of("world-direction", given, "left_elbow") == near(1, 0, 0, 1)
        assert of("world-direction", given, "left_wrist") == near(0, 0, -1, 1)
    assert of("body-joint", given, "left_wrist") == near(-4, 5, 3, 1)
    assert of("body-joint", given, "nose") == near(0, 7, 1, 1)
    assert of("body-direction", given, "left_wrist") == near(0, 0, 1, 1)
    assert of("body-direction", given, "left_elbow") == near(-1, 0, 0, 1)
    assert of("world-angle", given, "left_wrist") == near(0, 1)  # a right angle
    assert of("world-angle", given, "left_elbow") == near(2 / 3, 1)  # of (2, 0, 0) and (2, 2, 1)
    for name in WORLD:
        assert not any(of(name, given, "right_knee")), name  # which is missing


@pytest.mark.parametrize("name", WORLD)
def test_a_mirrored_body_has_mirrored_streams(name):
    given = skeletons(axes=6)
    given[..., 3:] -= 0.5
    other = list(COCO17.mirrored())
    mirrored = given[..., other, :] * torch.tensor([1, 1, 1, -1, 1, 1])
    flip = torch.tensor([1.0, 1] if name == "world-angle" else [-1.0, 1, 1, 1])
    expected = stream(given, name, PARENTS, BODY)[..., other, :] * flip
    torch.testing.assert_close(stream(mirrored, name, PARENTS, BODY), expected)


@pytest.mark.parametrize("name", WORLD)
def test_bodies_without_a_frame_give_zeros_and_finite_gradients(name):
    given = skeletons(axes=6)
    given[0, 0, 0, BODY[2]] = 0  # a hip is missing
    given[0, 0, 1, :, 3:] = 0.25  # a point
    given[0, 0, 2, list(BODY), 3:] = torch.tensor([[0.0, 1, 2], [0, 2, 4], [0, 3, 6], [0, 4, 8]])  # a line
    given[0, 0, 3] = 0
    given.requires_grad_()
    seen = stream(given, name, PARENTS, BODY)
    assert seen.isfinite().all() and seen.shape == (2, 1, 5, 17, channels([name]))
    if name.startswith("body"):
        assert not seen[0, 0, :4].any() and seen[0, 0, 4].any()
    seen.square().sum().backward()
    assert given.grad.isfinite().all()
    assert stream(given.half(), name, PARENTS, BODY).isfinite().all()


class Seen(torch.nn.Module):
    def forward(self, given):
        return torch.cat([stream(given, name, PARENTS, BODY) for name in STREAMS], dim=-1)


@pytest.mark.slow
def test_streams_export_for_any_batch_and_compile_in_one_piece():
    given, more = skeletons(axes=6), skeletons(axes=6).repeat(3, 1, 1, 1, 1) - 0.5
    shapes = {0: torch.export.Dim("batch", min=1, max=64)}
    program = torch.export.export(Seen(), (given,), dynamic_shapes=(shapes,), strict=False).module()
    compiled = torch.compile(Seen(), fullgraph=True, backend="eager")
    for network in (program, compiled):
        torch.testing.assert_close(network(more), Seen()(more), atol=1e-5, rtol=1e-5)
