"""Linear layers that compute their input again, as they do on a GPU."""

import pytest
import torch
from torch import nn

from amge.layers.recomputing import linear, normed_linear

pytestmark = pytest.mark.usefixtures("kernels")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture
def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 32), nn.GELU(), nn.Linear(32, 8, bias=False)).to(DEVICE)


def light(mlp, x):
    return linear(mlp[3], mlp[2], normed_linear(mlp[1], mlp[0], x))


def gradients(mlp, function, x):
    y = function(x)
    wanted = [x for x in (x, *mlp.parameters()) if x.requires_grad]
    return y, *torch.autograd.grad(y.float().square().sum(), wanted)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("frozen", [(), ("0.weight", "3.weight"), ("input", "0.weight", "0.bias", "1.bias")])
def test_gradients_are_those_of_the_layers(mlp, half, frozen):
    """Under autocast too, and where something needs none."""
    x = torch.randn(2, 3, 8, device=DEVICE, requires_grad="input" not in frozen)
    for name, parameter in mlp.named_parameters():
        parameter.requires_grad_(name not in frozen)
    with torch.autocast(DEVICE, torch.bfloat16, half):
        made, expected = gradients(mlp, lambda x: light(mlp, x), x), gradients(mlp, mlp, x)
    for ours, theirs in zip(made, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-2 if half else 1e-5)


def test_only_inputs_and_the_hidden_layer_are_kept(mlp):
    kept = set()
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.add(tuple(x.shape)) or x, lambda x: x):
        light(mlp, torch.randn(5, 8, device=DEVICE, requires_grad=True))
    assert kept == {(5, 8), (5, 32), (8,), (32, 8), (8, 32)}


def test_what_stands_in_for_a_layer_is_called(mlp):
    """As an adapter does, which wraps the layer."""
    mlp[1] = nn.Sequential(mlp[1], nn.Tanh())
    x = torch.randn(5, 8, device=DEVICE)
    assert torch.equal(light(mlp, x), mlp(x))
