import pytest
import torch

from amge.distill import pair_auxiliary


def test_cases_of_table_13():
    first, second = torch.full((2, 3, 1, 1, 1), 1.0), torch.full((2, 3, 1, 1, 1), 2.0)
    seen = {
        case: tuple(clip.unique().tolist() for clip in pair_auxiliary(first, second, case)) for case in (1, 2, 3, 4)
    }
    assert seen == {1: ([1], [2]), 2: ([2], [1]), 3: ([2], [0]), 4: ([0], [0])}
    assert all(clip.shape == first.shape for clip in pair_auxiliary(first, second, 4))
    assert torch.equal(pair_auxiliary(first, second)[0], second)


def test_clips_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"one shape, got \(1, 3\) and \(2, 3\)"):
        pair_auxiliary(torch.zeros(1, 3), torch.zeros(2, 3))


@pytest.mark.parametrize("case", [0, 5, "3", None])
def test_other_cases_are_refused(case):
    with pytest.raises(ValueError, match=r"unknown pairing case .*; valid: 1, 2, 3, 4"):
        pair_auxiliary(torch.zeros(1), torch.zeros(1), case)
