"""The pooling kernels, on a GPU or in Triton's interpreter, against torch's convolution in float64."""

import os
import subprocess
import sys
from math import prod
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from amge.backbones import mvitv2
from amge.layers import depthwise_pooling
from amge.layers.depthwise_pooling import depthwise_pool
from amge.layers.grid import pool_patches, to_clip, to_pictures

ROOT = Path(__file__).parents[2]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
pytestmark = pytest.mark.usefixtures("kernels")


def reference(x, weight, grid, stride):
    channels = x.shape[-1]
    weight = weight.repeat(channels // weight.shape[0], 1, 1, 1, 1)
    padding = [size // 2 for size in weight.shape[2:]]
    return pool_patches(x, grid, lambda clip: F.conv3d(clip, weight, None, stride, padding, 1, channels))


def pooling(grid, tokens, channels, rows, kernel, dtype=torch.float32):
    """Tokens as a slice of wider ones, as a projection to query, key and value gives them, and a weight."""
    torch.manual_seed(0)
    wide = torch.randn(2, tokens + prod(grid), channels + 16, device=DEVICE).to(dtype)
    weight = torch.randn(rows, 1, *kernel, device=DEVICE)
    return wide[..., 8 : 8 + channels].requires_grad_(), weight.requires_grad_()


def gradients(function, x, weight, *sizes, dtype=torch.float32):
    y = function(x, weight, *sizes)
    slope = torch.arange(y.numel(), device=DEVICE).sin().to(dtype).view(y.shape)
    return y, *torch.autograd.grad(y, (x, weight), slope.to(y.dtype))


@pytest.mark.parametrize(
    ("grid", "stride", "kernel", "tokens", "channels", "rows", "dtype"),
    [
        ((3, 4, 3), (1, 1, 1), (3, 3, 3), 1, 24, 12, "float32"),
        ((2, 3, 5), (1, 1, 1), (3, 3, 3), 0, 24, 24, "bfloat16"),
        ((2, 5, 3), (1, 2, 2), (3, 3, 3), 40, 40, 8, "float32"),
        ((2, 3, 9), (1, 2, 2), (3, 3, 3), 1, 16, 8, "float16"),
        ((1, 9, 6), (1, 4, 4), (3, 3, 3), 0, 8, 8, "bfloat16"),
        ((1, 9, 11), (1, 8, 8), (3, 3, 3), 1, 8, 8, "float32"),
        ((5, 3, 4), (2, 1, 4), (5, 1, 3), 3, 6, 3, "float32"),
        ((2, 3, 3), (1, 1, 2), (1, 5, 1), 1, 33, 33, "float32"),
        ((1, 1, 1), (1, 1, 1), (1, 1, 1), 0, 1, 1, "float32"),
    ],
)
def test_tokens_and_gradients_are_those_of_a_convolution(grid, stride, kernel, tokens, channels, rows, dtype):
    x, weight = pooling(grid, tokens, channels, rows, kernel, getattr(torch, dtype))
    assert depthwise_pooling.has_kernels(x)
    made = gradients(depthwise_pool, x, weight, grid, stride, dtype=x.dtype)
    expected = gradients(reference, x.double(), weight.double(), grid, stride, dtype=x.dtype)
    atol = {"float32": 1e-5, "float16": 2e-3, "bfloat16": 2e-2}[dtype]
    assert [tensor.dtype for tensor in made] == [x.dtype, x.dtype, torch.float32]
    for ours, theirs in zip(made, expected, strict=True):
        torch.testing.assert_close(ours.double(), theirs, atol=atol, rtol=atol)


@pytest.mark.filterwarnings("ignore:.*double precision")
def test_gradients_are_those_of_small_steps():
    """Of any size, since the tokens are linear in both inputs."""
    inputs, sizes = pooling((1, 2, 3), 1, 2, 1, (1, 3, 3)), ((1, 2, 3), (1, 2, 2))
    options = {"eps": 0.1, "atol": 1e-3, "rtol": 1e-3, "fast_mode": True}
    assert torch.autograd.gradcheck(lambda *inputs: depthwise_pool(*inputs, *sizes), inputs, **options)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_torch_accepts_the_operators():
    x, weight = pooling((1, 2, 2), 1, 2, 1, (1, 1, 3))
    sizes = ((1, 2, 2), (1, 2, 2))
    torch.library.opcheck(depthwise_pooling._pool, (x, weight, *sizes))
    slope = torch.randn(2, 2, 2, device=DEVICE)
    torch.library.opcheck(depthwise_pooling._gradients, (slope, x.detach(), weight.detach(), *sizes))


def test_second_derivatives_are_refused_in_words():
    x, weight = pooling((1, 1, 2), 0, 1, 1, (1, 1, 3))
    y = depthwise_pool(x, weight, (1, 1, 2), (1, 1, 1))
    (slope,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="no second derivatives on a GPU; compute them in float64"):
        slope.sum().backward()
    grid = ((1, 1, 2), (1, 1, 1))
    inputs = (x.double().detach().requires_grad_(), weight.double().detach().requires_grad_())
    assert torch.autograd.gradgradcheck(lambda *inputs: depthwise_pool(*inputs, *grid), inputs)


@pytest.fixture
def trunk():
    torch.manual_seed(0)
    trunk = mvitv2(embed_dim=8, depth=1, double_at=(0,), stride_kv=(1, 4, 4), frames=2, size=16, drop_path=0)
    return trunk.to(DEVICE)


def outputs(trunk, model):
    """Tokens and all gradients of one pass."""
    generator = torch.Generator().manual_seed(1)
    clip, tokens = torch.randn(1, 3, 2, 16, 16, generator=generator), torch.randn(1, 2, 8, generator=generator)
    out = model(clip.to(DEVICE), tokens.to(DEVICE))
    loss = out.tokens.square().sum() + out.patches.sin().sum()
    return out.tokens, *torch.autograd.grad(loss, list(trunk.parameters()))


@pytest.mark.slow
def test_a_model_is_the_same_with_kernels_with_checkpoints_and_compiled(trunk, monkeypatch):
    made = outputs(trunk, trunk.train())
    trunk.grad_checkpointing = True
    again = outputs(trunk, trunk)
    trunk.grad_checkpointing = False
    compiled = outputs(trunk, torch.compile(trunk, fullgraph=True, backend="aot_eager"))
    monkeypatch.setattr(depthwise_pooling, "DEVICES", ())
    expected = outputs(trunk, trunk)
    for different, same in ((made, expected), (again, made), (compiled, made)):
        for ours, theirs in zip(different, same, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3)


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_what_is_exported_knows_torch_alone(trunk):
    clip = torch.randn(1, 3, 2, 16, 16, device=DEVICE)
    trunk.eval().requires_grad_(False)
    exported = torch.export.export(trunk, (clip,))
    assert "amge::" not in str(exported.graph) and "conv3d" in str(exported.graph)
    traced = torch.jit.trace(
        lambda x: trunk.blocks[0](x, (1, 4, 4))[0], torch.randn(1, 16, 8, device=DEVICE), check_trace=False
    )
    assert "amge::" not in str(traced.graph)


def test_a_machine_that_triton_does_not_work_on_takes_convolutions(monkeypatch):
    def fail(*inputs):
        raise RuntimeError("Failed to find C compiler.\nMore")

    monkeypatch.setattr("amge.layers.depthwise_pooling_triton.forward", fail)
    depthwise_pooling._works.cache_clear()
    x, weight = pooling((1, 3, 3), 1, 2, 2, (3, 3, 3))
    with pytest.warns(UserWarning, match=r"takes slower convolutions \(RuntimeError: Failed to find C compiler\.\)"):
        pooled = depthwise_pool(x, weight, (1, 3, 3), (1, 1, 1))
    depthwise_pooling._works.cache_clear()
    torch.testing.assert_close(pooled, reference(x, weight, (1, 3, 3), (1, 1, 1)))


@pytest.mark.parametrize("stride", [(1, 1, 1), (1, 2, 2), (2, 1, 2), (1, 4, 4)])
@pytest.mark.parametrize("kernel", [(3, 3, 3), (5, 1, 3)])
def test_convolutions_of_frames_are_one_of_the_clip(stride, kernel):
    x, weight = pooling((5, 6, 7), 2, 4, 4, kernel)

    def by_frame(x, weight, grid, stride):
        return pool_patches(x, grid, lambda clip: depthwise_pooling._convolve_on_gpu(clip, weight, stride))

    made, expected = (gradients(function, x, weight, (5, 6, 7), stride) for function in (by_frame, reference))
    for ours, theirs in zip(made, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_pictures_are_the_frames_of_a_clip():
    clip = torch.randn(2, 3, 5, 6, 4).permute(0, 4, 1, 2, 3)
    pooled = to_clip(F.max_pool2d(to_pictures(clip), 3, 2, 1), 3)
    assert torch.equal(pooled, F.max_pool3d(clip, (1, 3, 3), (1, 2, 2), (0, 1, 1)))


@pytest.mark.slow
def test_kernels_compile_for_gpus_that_are_not_here():
    script = [sys.executable, str(ROOT / "benchmarks" / "pooling_resources.py"), "--stride", "2"]
    table = subprocess.run(
        script, env=os.environ | {"TRITON_INTERPRET": "0"}, capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split() for line in table.splitlines()[1:]]
    assert len(rows) == 2 * 2 * 7 and {row[0] for row in rows} == {"80", "90"}
    assert all(int(row[6]) <= 200 and row[7] == "0" for row in rows)  # registers; none spilled
