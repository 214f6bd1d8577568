"""Queries and their relative terms by kernels, on a GPU or in Triton's interpreter, against those by torch."""

import pytest
import torch

from amge.backbones import query_extension
from amge.backbones.relative_position import RelativePosition

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
pytestmark = pytest.mark.usefixtures("kernels")


def results(module, function, query, *sizes):
    long = function(query, *sizes)
    slope = torch.arange(long.numel(), device=DEVICE).cos().view(long.shape).transpose(1, 2).contiguous()
    return long, *torch.autograd.grad(long, [query, *module.parameters()], slope.transpose(1, 2))


@pytest.mark.parametrize(
    ("query_grid", "key_grid", "tokens"),
    [((2, 3, 5), (2, 2, 3), 1), ((1, 4, 4), (1, 1, 1), 0), ((1, 2, 3), (2, 4, 3), 40)],
)
def test_terms_and_gradients_are_those_of_torch(query_grid, key_grid, tokens):
    """The first grids are what the tables are made for; the others interpolate them, with steps that are no integer."""
    torch.manual_seed(0)
    module = RelativePosition(6, (2, 3, 4), (2, 3, 5), (2, 2, 3)).to(DEVICE)
    n, n_k = (grid[0] * grid[1] * grid[2] for grid in (query_grid, key_grid))
    query = torch.randn(2, tokens + n, 3, 6, device=DEVICE, requires_grad=True)
    key, sizes = torch.randn(2, tokens + n_k, 3, 6, device=DEVICE), (query_grid, key_grid, 0.5)
    made = results(module, module.extend_query, query, *sizes)
    expected = results(module, lambda query, *sizes: module(query, key, *sizes)[0], query, *sizes)
    for ours, theirs in zip(made, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert not made[0][:, :tokens, :, 6:].any()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_torch_accepts_the_operators():
    offsets = [torch.zeros(1, 1, dtype=torch.long, device=DEVICE)] * 2 + [torch.tensor([[1, 0], [2, 1]], device=DEVICE)]
    query, terms = (torch.randn(1, 3, 1, width, device=DEVICE, requires_grad=True) for width in (2, 6))
    torch.library.opcheck(query_extension._extend, (query, terms, offsets, [1, 1, 3], 2.0, 6))
    slopes = torch.randn(1, 3, 1, 6, device=DEVICE)
    torch.library.opcheck(query_extension._gradient, (slopes, offsets, [1, 1, 3], 2.0, 6))
