import numpy as np
import pytest
import torch

import amge
from amge.video.flow import BOUND
from amge.video.modality import MODALITIES, from_rgb, rgb_diff


def moving_texture(step=(3, 0), frames=3, size=96):
    """A clip `(1, 3, T, H, W)` of a smooth texture that moves by `step` pixels a frame, right and down."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.random((1, 3, 20, 20), dtype=np.float32))
    wide = torch.nn.functional.interpolate(coarse, size=(160, 160), mode="bicubic")
    x, y = 32, 32
    return torch.stack(
        [wide[..., y - t * step[1] :, x - t * step[0] :][..., :size, :size] for t in range(frames)], dim=2
    )


def test_differences():
    clip = torch.randn(2, 3, 4, 5, 6)
    change = rgb_diff(clip)
    assert change[:, :, 0].abs().max() == 0
    for t in range(1, 4):
        assert torch.equal(change[:, :, t], (clip[:, :, t] - clip[:, :, t - 1]).abs())


@pytest.mark.parametrize("step", [(3, 0), (0, 2), (-2, 4), (0, 0)])
def test_flow_measures_the_movement(step):
    pytest.importorskip("cv2")
    flow = from_rgb(moving_texture(step), "flow") * BOUND
    assert flow.shape == (1, 3, 3, 96, 96) and flow.dtype == torch.float32
    assert flow[:, :, 0].abs().max() == 0
    inner = flow[..., 1:, 16:-16, 16:-16].mean(dim=(0, 2, 3, 4))
    assert inner.tolist() == pytest.approx([*step, np.hypot(*step)], abs=0.4)


def test_flow_is_clipped_and_does_not_mind_normalisation_or_a_still_clip():
    pytest.importorskip("cv2")
    clip = moving_texture()
    flow = from_rgb(clip, "flow")
    assert flow.abs().max() <= 1
    torch.testing.assert_close(from_rgb(clip * 3 - 1, "flow"), flow, atol=0.02, rtol=0)
    assert from_rgb(torch.full((1, 3, 2, 32, 32), 0.5), "flow").abs().max() == 0
    batch = from_rgb(torch.cat([clip, clip.flip(2)]), "flow")
    assert torch.equal(batch[:1], flow) and not torch.equal(batch[1:], flow)
    dim = torch.cat([clip, clip * 0.01])  # each clip is scaled by itself
    torch.testing.assert_close(from_rgb(dim, "flow")[1:], flow, atol=0.02, rtol=0)
    assert from_rgb(clip.bfloat16(), "flow").dtype == torch.bfloat16


def test_flow_without_opencv_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(ImportError, match=r"pip install 'amge\[flow\]'"):
        from_rgb(moving_texture(), "flow")


def test_modalities():
    clip = torch.randn(1, 3, 2, 4, 4)
    assert MODALITIES == ("rgb", "rgb_diff", "flow", "skeleton")
    assert from_rgb(clip, "rgb") is clip and torch.equal(from_rgb(clip, "rgb_diff"), rgb_diff(clip))
    with pytest.raises(ValueError, match="unknown modality of an RGB clip 'skeleton'; valid: rgb, rgb_diff, flow"):
        from_rgb(clip, "skeleton")


def test_a_model_of_any_modality_predicts_from_video():
    pytest.importorskip("cv2")
    video = (moving_texture(frames=8)[0].clamp(0, 1) * 255).permute(1, 2, 3, 0).byte().numpy()
    seen = amge.build("mvitv2-tiny-mct").preprocess(video)
    for modality in ("rgb", "rgb_diff", "flow"):
        torch.manual_seed(0)
        model = amge.build("mvitv2-tiny-mct", modality=modality).eval()
        given = model.preprocess(video)
        assert torch.equal(given, from_rgb(seen, modality))
        with torch.no_grad():
            expected = model(given).softmax(dim=-1)[0].tolist()
        for source in (video, given):
            assert list(model.predict(source).values()) == pytest.approx(expected, abs=1e-6)
