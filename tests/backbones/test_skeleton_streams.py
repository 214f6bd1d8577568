"""Joints, bones and their motion."""

import pytest
import torch

import amge
from amge.backbones.skeleton import st_gcn
from amge.backbones.streams import STREAMS, stream
from amge.skeleton.layouts import COCO17

PARENTS = COCO17.parents()


def skeletons(confidence=0.8):
    given = torch.rand(2, 1, 5, 17, 3, generator=torch.Generator().manual_seed(0))
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
    backbone = st_gcn(width=8, streams=STREAMS, with_tokens=False, frames=8).eval()
    assert backbone.encoder.norm.num_features == 17 * 3 * len(STREAMS)
    seen = []
    backbone.encoder.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    backbone(skeletons())
    expected = torch.cat([stream(skeletons(), name, PARENTS) for name in STREAMS], dim=-1)
    torch.testing.assert_close(seen[0], expected)


@pytest.mark.parametrize("streams", [("bone",), ("joint", "bone"), STREAMS])
@pytest.mark.parametrize("name", ["st-gcn-tiny", "ctr-gcn-tiny", "hd-gcn-tiny"])
def test_any_streams_build_save_and_load(name, streams, tmp_path):
    arguments = {**amge.spec(name).backbone_args, "streams": streams}
    model = amge.build(name, backbone_args=arguments).eval()
    again = amge.from_pretrained(model.save_pretrained(tmp_path))
    assert again.backbone.streams == streams
    assert torch.equal(again(skeletons()), model(skeletons()))


@pytest.mark.parametrize(
    "streams, message",
    [((), "must be a tuple of some of"), ("bone", "must be a tuple"), (("bonny",), "unknown skeleton stream 'bonny'")],
)
def test_other_streams_are_refused(streams, message):
    with pytest.raises(ValueError, match=message):
        amge.build("st-gcn-tiny", backbone_args={"width": 16, "streams": streams})
    with pytest.raises(ValueError, match="bones need a graph"):
        amge.backbones.Skeleton(amge.backbones.JointMixer(5), streams=("bone",))
