import pytest
import torch

import amge
from amge.backbones.contract import EncodesFrames
from amge.live.reuse import Remembering, remembering


@pytest.fixture
def clips():
    """Four clips of four frames; each shares three with the one before."""
    frames = torch.randn(3, 7, 64, 64, generator=torch.Generator().manual_seed(0))
    return [frames[:, start : start + 4][None] for start in range(4)]


@torch.inference_mode()
def test_answers_are_those_of_the_model(tiny_model, clips):
    quick = remembering(tiny_model)
    for clip in clips:
        torch.testing.assert_close(quick(clip), tiny_model(clip), atol=1e-5, rtol=0)
    assert (quick.backbone.encoded, quick.backbone.looked_at) == (7, 16)


@torch.inference_mode()
def test_a_frame_whose_crop_has_moved_is_encoded_again(tiny_model, clips):
    quick, moved = remembering(tiny_model), clips[0].roll(1, dims=-1)
    quick(clips[0])
    torch.testing.assert_close(quick(moved), tiny_model(moved), atol=1e-5, rtol=0)
    assert quick.backbone.encoded == 8


@torch.inference_mode()
def test_what_is_kept_does_not_grow(tiny_model):
    quick = remembering(tiny_model)
    for _ in range(10):
        quick(torch.randn(1, 3, 4, 64, 64))
    assert len(quick.backbone.known) == 16


@torch.inference_mode()
def test_frames_twice_in_a_clip_and_batches(tiny_model, clips):
    quick, still = remembering(tiny_model), torch.cat([clips[0][:, :, :1].expand(-1, -1, 4, -1, -1), clips[0]])
    torch.testing.assert_close(quick(still), tiny_model(still), atol=1e-5, rtol=0)
    assert quick.backbone.encoded == 4


def test_the_model_itself_stays_as_it_is(tiny_model):
    backbone, quick = tiny_model.backbone, remembering(tiny_model)
    assert tiny_model.backbone is backbone
    assert isinstance(quick.backbone, Remembering)
    assert quick.head is tiny_model.head


def test_a_backbone_that_mixes_frames_is_left_alone():
    model = amge.build("transm3e-tiny")
    assert not isinstance(model.backbone, EncodesFrames)
    assert remembering(model).backbone is model.backbone
