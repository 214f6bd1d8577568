import pytest
import torch

from amge import TokenBank


def test_forward_gives_every_sample_all_banks_in_order():
    bank = TokenBank(3, 4, ("main", "receiver"))
    tokens = bank(2)
    assert tokens.shape == (2, 6, 4)
    for sample in tokens:
        assert torch.equal(sample[:3], bank.tokens["main"])
        assert torch.equal(sample[3:], bank.tokens["receiver"])


def test_split_cuts_a_sequence_back_by_name():
    bank = TokenBank(3, 4, ("main", "receiver"))
    sequence = torch.arange(2 * 6 * 8.0).view(2, 6, 8)  # the channels of a later block may differ from `dim`
    split = bank.split(sequence)
    assert list(split) == ["main", "receiver"]
    assert torch.equal(split["main"], sequence[:, :3])
    assert torch.equal(split["receiver"], sequence[:, 3:])


def test_split_refuses_a_sequence_of_another_length():
    with pytest.raises(ValueError, match=r"expected 6 tokens \(2 banks of 3\), got 7"):
        TokenBank(3, 4, ("main", "receiver")).split(torch.zeros(1, 7, 4))


def test_tokens_start_apart_and_small():
    torch.manual_seed(0)
    tokens = TokenBank(20, 64, ("main", "receiver"))(1)[0]
    assert tokens.std().item() == pytest.approx(0.02, rel=0.1)
    assert len(tokens.unique(dim=0)) == 40


def test_every_bank_learns_from_every_sample():
    bank = TokenBank(3, 4, ("main", "receiver"))
    bank(5).sum().backward()
    assert [parameter.grad.unique().tolist() for parameter in bank.parameters()] == [[5.0], [5.0]]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((3, 4, ()), "at least one"),
        ((3, 4, ("main", "main")), "distinct"),
        ((0, 4), "positive; got 0 and 4"),
        ((3, 0), "positive; got 3 and 0"),
    ],
)
def test_refused_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        TokenBank(*arguments)
