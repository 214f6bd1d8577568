import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from amge.video.flow import BOUND, METHODS, as_clip, optical_flow, pair_flow


def pictures(right, down, height=120, width=160):
    """A textured picture and the same moved, uint8 `(H, W, 3)`."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.random((1, 3, 40, 50), dtype=np.float32))
    wide = nn.functional.interpolate(coarse, size=(height + 40, width + 40), mode="bicubic").clamp(0, 1)
    wide = (wide[0].permute(1, 2, 0) * 255).byte().numpy()
    return tuple(wide[20 - y : 20 - y + height, 20 - x : 20 - x + width] for x, y in ((0, 0), (right, down)))


@pytest.fixture(scope="module")
def raft():
    from torchvision.models.optical_flow import raft_small

    torch.manual_seed(0)
    return raft_small()


class Shift(nn.Module):
    """A RAFT that finds the same movement everywhere and remembers the pictures."""

    def __init__(self):
        super().__init__()
        self.moved = nn.Parameter(torch.tensor([3.0, -2.0]))

    def forward(self, previous, following):
        self.seen = previous
        wrong = torch.zeros_like(previous[:, :2])
        return [wrong, wrong + self.moved[:, None, None]]


@pytest.mark.parametrize("method", ["dis", "tv-l1"])
def test_a_known_movement_is_found(method):
    cv2 = pytest.importorskip("cv2")
    if method == "tv-l1" and not hasattr(cv2, "optflow"):
        pytest.skip("no opencv-contrib")
    flow = pair_flow(method)(*pictures(3, -2))
    assert flow.shape == (120, 160, 2) and flow.dtype == np.float32
    assert np.median(flow[16:-16, 16:-16], axis=(0, 1)).tolist() == pytest.approx([3, -2], abs=0.5)


@pytest.mark.parametrize(("height", "width"), [(128, 136), (112, 199), (131, 140), (40, 60)])
def test_raft_takes_pictures_of_any_size(height, width):
    model = Shift()
    flow = pair_flow(model)(*pictures(3, -2, height, width))
    assert flow.shape == (height, width, 2) and flow.dtype == np.float32 and not model.training
    assert model.seen.shape[1] == 3 and min(model.seen.shape[2:]) >= 128
    assert all(side % 8 == 0 for side in model.seen.shape[2:]) and -1 <= model.seen.min() < model.seen.max() <= 1
    scale = max(1, 128 / min(height, width))  # a small picture is enlarged, and what moves in it with it
    np.testing.assert_allclose(flow, np.broadcast_to(np.array([3, -2]) / scale, flow.shape), rtol=0.01)


def test_a_built_raft(raft):
    flow = pair_flow(raft)(*pictures(3, -2, 112, 130))
    assert flow.shape == (112, 130, 2) and np.isfinite(flow).all()


def test_raft_without_its_weights_says_where_they_belong(monkeypatch, tmp_path):
    from torchvision.models import optical_flow as models

    def offline(**options):
        raise OSError("no network")

    monkeypatch.setattr(models, "raft_small", offline)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(
        OSError, match=r"\(no network\); torch looks for them at .*checkpoints.raft_small\S*\.pth"
    ) as caught:
        pair_flow("raft")
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_unknown_methods_and_missing_packages(monkeypatch):
    assert METHODS == ("dis", "tv-l1", "raft")
    with pytest.raises(ValueError, match="unknown flow method 'tvl1'; did you mean 'tv-l1'"):
        pair_flow("tvl1")
    monkeypatch.setitem(sys.modules, "cv2", SimpleNamespace())
    with pytest.raises(ImportError, match="pip install opencv-contrib-python-headless"):
        pair_flow("tv-l1")
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match=r"pip install 'amge\[flow\]'"):
        pair_flow("tv-l1")


def test_a_clip_by_another_method():
    clip = torch.rand(2, 3, 3, 40, 48)
    model = Shift()
    flow = optical_flow(clip, model) * BOUND
    assert flow.shape == clip.shape and flow[:, :, 0].abs().max() == 0
    expected = np.array([3, -2, np.hypot(3, 2)]) * 40 / 128
    assert flow[:, :, 1:].mean(dim=(0, 2, 3, 4)).tolist() == pytest.approx(expected, rel=0.01)
    assert not torch.equal(model.seen[:, 0], model.seen[:, 1])  # RAFT sees colours
    with pytest.raises(ValueError, match="unknown flow method"):
        optical_flow(clip, "farneback")


def test_flow_in_pixels_as_a_clip():
    moved = torch.tensor([3.0, -4.0]).expand(1, 2, 5, 6, 2)
    clip = as_clip(moved)
    assert clip.shape == (1, 3, 2, 5, 6) and clip.is_contiguous()
    assert (clip[0, :, 1, 2, 3] * BOUND).tolist() == pytest.approx([3, -4, 5])
    assert as_clip(moved * 100)[0, :, 0, 0, 0].tolist() == [1, -1, 1]
