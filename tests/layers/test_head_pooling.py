"""Convolutions of heads with their layer norms, on a GPU or in Triton's interpreter, against torch in float64."""

from math import prod

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from amge.layers import head_pooling
from amge.layers.depthwise_pooling import depthwise_pool
from amge.layers.grid import pooled
from amge.layers.head_pooling import has_head_kernels, pool_heads

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
pytestmark = pytest.mark.usefixtures("kernels")


def parts(kernel, head_dim):
    """A convolution and a norm for each of query, key and value."""
    torch.manual_seed(0)
    padding = [size // 2 for size in kernel]
    pools = [nn.Conv3d(head_dim, head_dim, kernel, 1, padding, 1, head_dim, False) for _ in range(3)]
    norms = [nn.LayerNorm(head_dim, eps=1e-6) for _ in range(3)]
    for norm in norms:
        nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    return nn.ModuleList(pools).to(DEVICE), nn.ModuleList(norms).to(DEVICE)


def reference(qkv, pools, norms, marks, grid, *strides):
    """One after another in torch."""
    tokens, made = qkv.shape[1] - prod(grid), []
    for x, pool, norm, stride in zip(qkv.chunk(3, -1), pools, norms, (*strides, strides[-1]), strict=True):
        heads = depthwise_pool(x, pool.weight, grid, stride).unflatten(-1, (-1, pool.in_channels))
        made.append(norm(heads))
    behind = F.pad(marks, (0, 0, tokens, 0))[None, :, None].expand(*made[1].shape[:3], -1).to(qkv.dtype)
    return made[0], torch.cat([made[1], behind], -1), torch.cat([made[2], torch.zeros_like(behind)], -1)


def results(function, qkv, pools, norms, *sizes):
    """Query, key and value, then all gradients; those of key and value come as an attention gives them."""
    outs = function(qkv, pools, norms, *sizes)
    slopes = [torch.arange(out.numel(), device=DEVICE).sin().to(qkv.dtype).view(out.shape) for out in outs]
    slopes[1:] = [slope.transpose(1, 2).contiguous().transpose(1, 2) for slope in slopes[1:]]
    return *outs, *torch.autograd.grad(outs, [qkv, *pools.parameters(), *norms.parameters()], slopes)


@pytest.mark.parametrize(
    ("grid", "stride_q", "stride_kv", "kernel", "tokens", "heads", "dtype"),
    [
        ((1, 3, 5), (1, 1, 1), (1, 2, 2), (1, 3, 3), 1, 2, "float32"),
        ((1, 3, 2), (1, 1, 1), (1, 1, 1), (1, 1, 1), 0, 1, "bfloat16"),
        pytest.param((2, 3, 5), (1, 1, 1), (1, 2, 4), (3, 3, 3), 40, 1, "bfloat16", marks=pytest.mark.slow),
        pytest.param((5, 3, 3), (1, 1, 1), (2, 1, 1), (5, 1, 3), 0, 2, "float32", marks=pytest.mark.slow),
        pytest.param((1, 9, 3), (1, 2, 2), (1, 8, 8), (1, 5, 3), 3, 1, "float16", marks=pytest.mark.slow),
    ],
)
def test_heads_and_gradients_are_those_of_convolutions_and_norms(
    grid, stride_q, stride_kv, kernel, tokens, heads, dtype
):
    pools, norms = parts(kernel, 5)
    dtype = getattr(torch, dtype)
    qkv = torch.randn(2, tokens + prod(grid), 3 * heads * 5, device=DEVICE).to(dtype).requires_grad_()
    marks = torch.arange(3.0 * prod(pooled(grid, stride_kv)), device=DEVICE).view(-1, 3)
    assert has_head_kernels(qkv, 5)
    made = results(pool_heads, qkv, pools, norms, marks, grid, stride_q, stride_kv)
    assert [tensor.dtype for tensor in made] == [dtype] * 4 + [torch.float32] * 9
    exact = qkv.detach().double().requires_grad_()
    expected = results(reference, exact, pools.double(), norms.double(), marks.double(), grid, stride_q, stride_kv)
    atol = {torch.float32: 2e-5, torch.float16: 5e-3, torch.bfloat16: 4e-2}[dtype]
    for ours, theirs in zip(made, expected, strict=True):
        largest = float(theirs.detach().abs().max())
        torch.testing.assert_close(ours.double(), theirs, atol=atol * max(1, largest), rtol=atol)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_torch_accepts_the_operators():
    pools, _ = parts((1, 1, 3), 2)
    qkv, marks = torch.randn(1, 4, 6, device=DEVICE), torch.ones(2, 1, device=DEVICE)
    taps = torch.cat([pool.weight.flatten(1).t() for pool in pools], 1).detach()
    scales, sizes = torch.randn(2, 6, device=DEVICE), [1, 1, 3, 1, 1, 3, 1, 1, 1, 1, 1, 2]
    given = [tensor.requires_grad_() for tensor in (qkv, taps, scales)]
    torch.library.opcheck(head_pooling._pool, (*given, marks, sizes, 1e-6))
    slopes = [torch.randn(out.shape, device=DEVICE) for out in head_pooling._pooled(*given, marks, sizes, 1e-6)]
    given = [tensor.detach() for tensor in given]
    torch.library.opcheck(head_pooling._gradients, (*slopes, *given, sizes, 1e-6))


def test_wide_heads_take_other_ways():
    assert not has_head_kernels(torch.zeros(1, 1, 3 * 257, device=DEVICE), 257)
    assert has_head_kernels(torch.zeros(1, 1, 3 * 256, device=DEVICE), 256)
