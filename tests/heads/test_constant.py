"""Predictions that look at nothing."""

import pytest
import torch

import amge
from amge.heads import Constant


def test_constants_and_guesses():
    tokens = torch.zeros(2, 1, 1)
    for probability in (0.0, 0.3, 1.0):
        assert torch.allclose(Constant(4, probability)(tokens).sigmoid(), torch.full((2, 4), probability), atol=2e-6)
    guess = Constant(2000)
    torch.manual_seed(0)
    first, second = guess(tokens).sigmoid(), guess(tokens).sigmoid()
    assert not torch.equal(first, second) and not torch.equal(first[0], first[1])
    assert abs(first.mean() - 0.5) < 0.02 and abs(first.std() - 12**-0.5) < 0.02
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"probability must lie in 0\.\.1"):
            Constant(4, wrong)


def test_the_baselines_of_table_2_predict():
    video = torch.zeros(4, 32, 32, 3, dtype=torch.uint8)
    for name, constant in (("all-ones", 1), ("all-zeros", 0)):
        assert list(amge.build(name).predict(video).values()) == pytest.approx([constant] * 20, abs=1e-5)
    guesses = amge.build("random").predict(video).values()
    assert len(set(guesses)) == 20 and all(0 < p < 1 for p in guesses)
    with pytest.raises(ValueError, match="takes no tokens"):
        amge.build("random").backbone(torch.zeros(1, 3, 2, 16, 16), torch.zeros(1, 2, 1))
