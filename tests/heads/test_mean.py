import pytest
import torch

from amge.heads import MeanTokens


def test_numbers():
    head = MeanTokens(2, 3)
    head.projection.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, -1.0]])
    head.projection.bias.data = torch.tensor([0.0, 10.0, 0.5])
    tokens = torch.tensor([[[1.0, 2.0], [3.0, 6.0]], [[0.0, 1.0], [0.0, -1.0]]])  # means (2, 4) and (0, 0)
    assert head(tokens).tolist() == [[2.0, 14.0, 0.5], [0.0, 10.0, 0.5]]
    assert head.num_classes == 3


def test_the_order_and_the_number_of_tokens_are_free():
    head, tokens = MeanTokens(4, 3), torch.randn(2, 5, 4)
    assert torch.allclose(head(tokens.flip(1)), head(tokens), atol=1e-6)
    assert torch.allclose(head(tokens.repeat(1, 2, 1)), head(tokens), atol=1e-6)


def test_dropout_only_in_training():
    head, tokens = MeanTokens(64, 1, dropout=0.5), torch.ones(2, 3, 64)
    assert not torch.equal(head(tokens), head(tokens))
    head.eval()
    assert torch.equal(head(tokens), head(tokens))


def test_every_parameter_gets_a_gradient():
    head = MeanTokens(4, 3)
    head(torch.randn(2, 5, 4)).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in head.parameters())


def test_tokens_of_another_width_are_refused():
    with pytest.raises(RuntimeError):
        MeanTokens(4, 3)(torch.randn(2, 5, 6))
