"""The recipe that fuses a video model and a skeleton model."""

import numpy as np
import pytest
import torch

pytest.importorskip("lightning")
pytest.importorskip("sklearn")

import amge
from amge.recipes.transm3e_lite_pose.recipe import put_together, train

SMALL = {
    "segment": lambda picture: np.zeros(picture.shape[:2], np.uint8),
    "variants": 1,
    "frames": 8,
    "size": 64,
    "length": 8,
    "clips": 16,
    "batch_size": 8,
}


@pytest.fixture(scope="module")
def parts():
    torch.manual_seed(0)
    video = amge.build("mvitv2-tiny-mct", activation="sigmoid").eval()
    poses = amge.build("st-gcn-tiny", activation="sigmoid", tokens=20, frames=16, head_args={}).eval()
    return video, poses


def test_both_models_stay_as_they_are(parts):
    video, poses = parts
    model = put_together(video, poses, "both", 8).eval()
    clip = video.input_spec.example(2)
    torch.testing.assert_close(model(clip), video(clip))
    joints = torch.rand(2, 1, 8, 17, 3)
    tokens = poses.forward_features(joints).fused
    torch.testing.assert_close(model.skeleton.tokens(joints), model.skeleton.project(tokens))
    with pytest.raises(ValueError, match=r"no skeleton model with one bank"):
        put_together(poses, video, "both", 8)


def test_the_fusion_learns_what_both_say(parts, prepared, tmp_path):
    video, poses = parts
    far, near = (train(video, poses, prepared, tmp_path / str(n), steps=n, share=0.5, **SMALL) for n in (1, 60))
    rng = np.random.default_rng(0)
    clip, joints = video.input_spec.example(16), torch.from_numpy(rng.normal(size=(16, 1, 8, 17, 3)).astype("float32"))
    joints[..., 2] = 1
    with torch.no_grad():
        mean = (video(clip) + poses(joints)) / 2
        off = [float((model(clip, joints) - mean).abs().mean()) for model in (far, near)]
    assert off[1] < off[0] / 2
    assert near.spec.skeleton == "st-gcn" and "the mean of the logits" in near.spec.provenance["teacher"]
    torch.testing.assert_close(near(clip), video(clip))
    again = train(video, poses, prepared, tmp_path / "60", steps=60, share=0.5, **SMALL)  # with the tokens kept
    torch.testing.assert_close(again(clip, joints), near(clip, joints))
    with pytest.raises(ValueError, match="belongs to a run with other options"):
        train(video, poses, prepared, tmp_path / "60", steps=61, share=0.5, **SMALL)
