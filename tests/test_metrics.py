import numpy as np
import pytest

pytest.importorskip("sklearn")
from sklearn.metrics import average_precision_score

from amge.metrics import mean_average_precision


def test_hand_computed():
    targets = np.array([[1, 0], [0, 1], [1, 0]])
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.3]])
    # region 0: positives at ranks 1 and 3: (1/1 + 2/3) / 2; region 1: positive at rank 2: 1/2
    assert mean_average_precision(targets, scores) == pytest.approx(((1 + 2 / 3) / 2 + 1 / 2) / 2)


@pytest.mark.parametrize("seed", range(5))
def test_equals_the_mean_over_regions_that_occur(seed):
    rng = np.random.default_rng(seed)
    targets, scores = (rng.random((30, 6)) < 0.2).astype(int), rng.random((30, 6))
    targets[:, 3] = 0
    kept = [k for k in range(6) if targets[:, k].any()]
    expected = np.mean([average_precision_score(targets[:, k], scores[:, k]) for k in kept])
    assert mean_average_precision(targets, scores) == pytest.approx(expected)


def test_bad_input():
    with pytest.raises(ValueError, match=r"one shape \(n, K\)"):
        mean_average_precision(np.zeros((2, 3)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="no region occurs"):
        mean_average_precision(np.zeros((2, 3)), np.zeros((2, 3)))
