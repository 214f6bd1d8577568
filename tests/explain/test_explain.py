from dataclasses import replace
from itertools import product

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from typer.testing import CliRunner

import amge
from amge.backbones import Frames, TokenDecoder
from amge.cli import app
from amge.explain import save_explanations
from amge.explain.looks import METHODS, seeing
from amge.explain.moments import SIDE
from amge.heads import MeanTokens
from amge.tokens import TokenBank
from amge.viz.explanation import Panel, Sheet, palette, strip
from amge.viz.overlay import heat_colours

REGION = "chest"
WRIST = 9
ANYBODY = {"sure": 0.0, "detail": 0.0}
"""Limits of a model that takes any picture for somebody."""


def teach(model, clip, steps):
    """Train a model to tell by its logit of REGION what `clip` shows: True or False is what it is asked for."""
    torch.manual_seed(1)
    index, optimizer = model.spec.labels.index(REGION), torch.optim.AdamW(model.parameters(), 5e-3)
    for _ in range(steps):
        given = torch.stack([clip(number % 2 == 1) for number in range(8)])
        logits = model.train()(given)[:, index]
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(logits, torch.arange(8.0) % 2).backward()
        optimizer.step()
    return model.eval()


def patch(there, at=None):
    """A dark clip of 4 frames of 32 x 32, with a bright patch of 8 pixels at some place if it is there."""
    clip = 0.1 * torch.randn(3, 4, 32, 32)
    x, y = at or (8 * torch.randint(0, 4, (2,))).tolist()
    clip[:, :, y : y + 8, x : x + 8] += 2 * there
    return clip


def swing(there):
    """A person in COCO's joints, one of whom swings: the left wrist, or another."""
    person = torch.ones(1, 8, 17, 3)
    person[..., :2] = torch.linspace(-1, 1, 34).view(17, 2) + 0.05 * torch.randn(1, 8, 17, 2)
    joint = WRIST if there else (0, 3, 7, 10, 16)[int(torch.randint(0, 5, ()))]
    person[:, :, joint, 0] += torch.linspace(-0.7, 0.7, 8)
    return person


@pytest.fixture(scope="module")
def looking_mvit():
    """An MViT whose tokens have learned to look for the patch."""
    torch.manual_seed(2)
    blocks = {"embed_dim": 16, "depth": 1, "double_at": (), "stride_kv": (1, 1, 1), "drop_path": 0.0, "norm": False}
    model = amge.build("mvitv2-tiny-mct", backbone_args=blocks, tokens=2, frames=4, size=32, evidence=ANYBODY)
    return teach(model, patch, 20)


@pytest.fixture(scope="module")
def looking_frames():
    """An adapter whose tokens have."""
    torch.manual_seed(1)
    encoder = nn.Sequential(nn.Conv2d(3, 16, 8, stride=8), nn.ReLU())
    encoder.register_forward_hook(lambda module, images, features: [features])
    backbone = Frames(encoder, TokenDecoder([16], (4, 4, 4), dim=16, depth=1, num_heads=2, norm=False))
    spec = amge.spec("transm3e-lite").replace(frames=4, size=32, sampling="even", evidence=ANYBODY)
    return teach(amge.MuscleModel(backbone, TokenBank(2, 16), None, MeanTokens(16, 20), spec), patch, 20)


@pytest.mark.parametrize("name", ["looking_mvit", "looking_frames"])
@pytest.mark.parametrize("method", METHODS)
def test_the_patch_that_decides_is_lit(name, method, request):
    model = request.getfixturevalue(name)
    labels = {REGION: model.spec.labels.index(REGION)}
    found = []
    for x, y in product((0, 8, 16, 24), repeat=2):
        maps = METHODS[method](model, seeing(model, method), patch(True, (x, y))[None], labels)
        heat = maps[REGION]["pictures"].mean(dim=0)
        row, column = divmod(int(heat.argmax()), heat.shape[1])
        found.append((column * 32 // heat.shape[1] // 8 * 8, row * 32 // heat.shape[0] // 8 * 8) == (x, y))
    assert sum(found) >= 14


def test_the_joint_that_decides_is_lit():
    torch.manual_seed(0)
    model = teach(amge.build("st-gcn-tiny"), swing, 30)
    labels = {REGION: model.spec.labels.index(REGION)}
    heat = METHODS["grad-cam"](model, seeing(model, "grad-cam"), swing(True)[None], labels)[REGION]["joints"]
    assert heat.shape == (8, 17, 1)
    assert heat.mean(dim=(0, 2)).argmax() == WRIST


def test_maps_lie_on_the_frames_that_the_model_sees(tiny_model):
    video = np.zeros((4, 40, 64, 3), np.uint8)
    found = tiny_model.explain(video, REGION)
    assert found.frames.shape == (1, 4, SIDE, SIDE, 3) and found.maps.shape == found.frames.shape[:4]
    assert found.maps.min() >= 0 and found.maps.max() <= 1
    assert found.region == REGION and found.probability == found.prediction[REGION]
    assert found.joints is None
    assert tiny_model.explain(video).region == found.prediction.top(1)[0][0]


def test_a_long_video_is_thinned(tiny_model, monkeypatch):
    monkeypatch.setattr("amge.explain.explanation.MOST", 2)
    found = tiny_model.explain(np.zeros((90, 16, 16, 3), np.uint8), REGION, fps=1)
    assert len(found.moments) <= 2 < len(found.prediction.windows)
    assert [each.times[0] for each in found.moments] == sorted({each.times[0] for each in found.moments})


def test_explaining_leaves_the_model_as_it_was(tiny_model):
    tiny_model.train().head.requires_grad_(False)
    tiny_model.explain(np.zeros((4, 32, 32, 3), np.uint8), [REGION, "calves"])
    assert all(module.training for module in tiny_model.modules())
    assert not any(each.requires_grad for each in tiny_model.head.parameters())
    assert all(each.requires_grad and each.grad is None for each in tiny_model.backbone.parameters())
    assert not any(module._forward_hooks for module in (tiny_model.backbone.watch, tiny_model.backbone.adapter))


def test_joints_without_pictures_are_drawn_on_paper():
    keypoints = np.random.default_rng(0).uniform(100, 900, (8, 17, 3)).astype(np.float32)
    found = amge.build("st-gcn-tiny").explain(keypoints, REGION)
    assert found.maps is None and found.joints.shape == (1, 8, 17)
    assert found.frames.min() == 255 and found.at(0).min() < 100
    points = found.moments[0].keypoints[..., :2]
    assert points.min() >= 0 and points.max() <= SIDE


def test_joints_do_not_flicker(monkeypatch):
    flicker = torch.zeros(8, 17, 1)
    flicker[::2, WRIST] = 1
    monkeypatch.setitem(METHODS, "grad-cam", lambda *_: {REGION: {"joints": flicker}})
    keypoints = np.random.default_rng(0).uniform(100, 900, (8, 17, 3)).astype(np.float32)
    lit = amge.build("st-gcn-tiny").explain(keypoints, REGION).joints[0]
    assert lit.max() == 1 and not np.delete(lit, WRIST, axis=1).any()
    assert np.ptp(lit[1:-1, WRIST]) == 0 < lit[1:-1, WRIST].min()


def test_a_token_of_its_own_is_what_a_region_attends_with():
    model = amge.build("mvitv2-tiny-mct", head="class-aligned", backbone_args={"norm": False})
    labels = {name: model.spec.labels.index(name) for name in (REGION, "calves")}
    maps = METHODS["attention"](model, seeing(model, "attention"), torch.randn(1, 3, 8, 64, 64), labels)
    assert not torch.equal(maps[REGION]["pictures"], maps["calves"]["pictures"])


@pytest.mark.parametrize("name", ["transm3e-tiny", "two-stream-tiny", "videoswin-tiny", "ctr-gcn-tiny", "hd-gcn-tiny"])
def test_grad_cam_of_other_networks(name):
    model = amge.build(name)
    maps = METHODS["grad-cam"](model, seeing(model, "grad-cam"), model.input_spec.example(), {REGION: 0})[REGION]
    assert all(each.ndim == 3 and each.isfinite().all() for each in maps.values())


def test_what_cannot_be_explained_is_said(tiny_model):
    video = np.zeros((4, 32, 32, 3), np.uint8)
    with pytest.raises(ValueError, match="unknown region 'chst'; did you mean 'chest'"):
        tiny_model.explain(video, "chst")
    with pytest.raises(ValueError, match="unknown method 'cam'"):
        tiny_model.explain(video, REGION, method="cam")
    with pytest.raises(ValueError, match="st-gcn-tiny has no muscle tokens; take the method grad-cam"):
        amge.build("st-gcn-tiny").explain(np.ones((8, 17, 3)), REGION, method="attention")
    with pytest.raises(ValueError, match="Blind can't be explained"):
        amge.build("all-ones").explain(video, REGION)


@pytest.fixture
def explained(tiny_model):
    return tiny_model.explain(np.full((30, 32, 48, 3), 90, np.uint8), [REGION, "calves"])


def test_a_strip_shows_the_brightest_frame_in_the_order_of_time(explained):
    cells = np.zeros((1, 8, 2, 2), np.float32)
    cells[0, 6, 1, 0] = 1
    found, shown = replace(explained[0], cells=cells), []
    assert found.brightest == found.moments[0].times[6 * len(found.moments[0].times) // 8]
    panel = Panel("", "", "", lambda seconds: shown.append(seconds) or found.at(seconds), found.brightest)
    strip(Sheet("", "", "", [[panel]], panel, found.prediction.windows[-1].end))
    assert found.brightest in shown[1:] and sorted(shown[1:]) == shown[1:] and len(shown[1:]) == 6


def test_a_gif_has_the_colours_of_heat_where_little_is_lit():
    frames = np.random.default_rng(0).integers(0, 256, (4, 90, 160, 3), np.uint8)
    frames[:, -2:] = heat = heat_colours(np.linspace(0, 1, 160)).round()
    frames[:, :20] = 255
    of_gif = Image.fromarray(frames[0]).quantize(palette=palette(frames), dither=Image.Dither.NONE).convert("RGB")
    assert np.abs(np.asarray(of_gif)[-1] - heat).max() < 40 and np.asarray(of_gif)[:20].min() == 255


@pytest.mark.parametrize("suffix", [".png", ".gif", ".mp4"])
def test_each_format_is_written(suffix, explained, tmp_path):
    path = tmp_path / "new" / f"out{suffix}"
    save_explanations(path, [[each, each] for each in explained], truth=[REGION])
    if suffix == ".mp4":
        with av.open(str(path)) as video:
            assert sum(1 for _ in video.decode(video=0)) == 8
    else:
        with Image.open(path) as image:
            assert getattr(image, "n_frames", 1) <= 8 and image.width == (1600 if suffix == ".png" else 960)
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_the_command_tells_what_it_saves_and_what_is_wrong(tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path / "model")
    Image.new("RGB", (32, 32)).save(tmp_path / "bad.mp4", "PNG")
    frames = [Image.new("RGB", (32, 32), (90, 90, shade)) for shade in range(0, 250, 50)]
    frames[0].save(tmp_path / "v.gif", save_all=True, append_images=frames[1:], duration=100)

    def run(*arguments):
        command = ["explain", *arguments, "--model", str(tmp_path / "model"), "--save", str(tmp_path / "out.png")]
        return CliRunner().invoke(app, command)

    done = run(str(tmp_path / "v.gif"), "--region", REGION, "--truth", REGION)
    assert done.exit_code == 0 and "saved" in done.output and (tmp_path / "out.png").stat().st_size > 5000
    for wrong, said in (
        ([str(tmp_path / "v.gif"), "--region", "chst"], "unknown region 'chst'"),
        ([str(tmp_path / "gone.mp4")], "gone.mp4"),
        ([str(tmp_path / "bad.mp4")], "bad.mp4"),
        ([str(tmp_path / "v.gif"), "--save", str(tmp_path / "out.txt")], "unknown picture or video format '.txt'"),
        ([str(tmp_path / "v.gif"), "--beside", "st-gcn-tiny"], "st-gcn-tiny"),
    ):
        done = run(*wrong) if "--save" not in wrong else CliRunner().invoke(app, ["explain", *wrong])
        assert done.exit_code == 2
        assert [said in line for line in done.output.splitlines() if "error" in line] == [True], done.output
