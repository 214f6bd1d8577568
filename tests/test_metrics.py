from functools import partial

import numpy as np
import pytest

pytest.importorskip("sklearn")
from sklearn.metrics import average_precision_score

from amge.metrics import average_precisions, bootstrap, calibration, f1_scores, mean_average_precision


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


def official(scores, targets):
    """What the official code does: leave out regions that never occur, then scikit-learn's precision of each."""
    kept = ~np.all(targets == 0, axis=0)
    return np.mean(average_precision_score(targets[:, kept], scores[:, kept], average=None))


@pytest.mark.parametrize("seed", range(20))
def test_equals_the_official_code_on_random_cases(seed):
    """Rare and absent regions, regions that are always there, ties, few samples."""
    rng = np.random.default_rng(seed)
    samples, regions = int(rng.integers(1, 40)), int(rng.integers(2, 21))
    targets = (rng.random((samples, regions)) < rng.random(regions)).astype(np.int64)
    targets[:, 0], targets[:, 1] = 0, 1
    scores = np.round(rng.random((samples, regions)), int(rng.integers(1, 4)))
    assert mean_average_precision(targets, scores) == pytest.approx(official(scores, targets), abs=1e-12)
    each = average_precisions(targets, scores)
    assert each[1] == pytest.approx(1)
    assert (np.isnan(each) == ~targets.any(axis=0)).all()


@pytest.mark.parametrize("seed", range(5))
def test_bootstrap_is_that_of_the_mean_average_precision_of_each_draw(seed):
    rng = np.random.default_rng(seed)
    targets, scores = (rng.random((25, 6)) < 0.1).astype(int), np.round(rng.random((25, 6)), seed % 3 + 1)
    targets[0, 0], targets[:, 5] = 1, 0
    value, draws = mean_average_precision(targets, scores), np.random.default_rng(3)
    chosen = [draws.integers(25, size=25) for _ in range(60)]
    means = [mean_average_precision(targets[draw], scores[draw]) for draw in chosen if targets[draw].any()]
    low, high = np.quantile(means, (0.05, 0.95))
    expected = np.clip(2 * value - high, 0, value), np.clip(2 * value - low, value, 1)
    assert bootstrap(targets, scores, 60, 0.9, seed=3) == pytest.approx(expected, abs=1e-12)


def test_bootstrap_holds_the_value_and_narrows_with_samples():
    rng = np.random.default_rng(0)
    targets = (rng.random((400, 4)) < 0.4).astype(int)
    scores = targets * 0.3 + rng.random((400, 4))
    narrow, wide = bootstrap(targets, scores, 200), bootstrap(targets[:40], scores[:40], 200)
    assert narrow[0] < mean_average_precision(targets, scores) < narrow[1]
    assert wide[1] - wide[0] > 2 * (narrow[1] - narrow[0])
    assert bootstrap(targets, scores, 50) == bootstrap(targets, scores, 50)
    assert bootstrap(np.eye(2), np.eye(2), 50) == (1, 1)  # draws of one sample alone still have a region
    for seed in range(20):
        few = np.random.default_rng(seed).random((6, 3))
        truth = (np.random.default_rng(seed + 99).random((6, 3)) < 0.5).astype(int) | np.eye(6, 3, dtype=int)
        low, high = bootstrap(truth, few, 50)
        assert 0 <= low <= mean_average_precision(truth, few) <= high <= 1


def test_f1_by_hand():
    targets = np.array([[1, 0, 0], [1, 1, 0]])
    probabilities = np.array([[0.5, 0.6, 0.1], [0.2, 0.7, 0.2]])
    # from 0.5 on: region 0 one hit, one miss: 2/3; region 1 one hit, one false: 2/3; region 2 does not occur
    assert f1_scores(targets, probabilities, 0.5) == pytest.approx({"micro": 4 / 6, "macro": 2 / 3})


def test_calibration_by_hand():
    targets = np.array([[1, 0], [0, 1]])
    probabilities = np.array([[0.9, 0.1], [0.9, 1.0]])
    binned, error = calibration(targets, probabilities, bins=2)
    assert binned[0].tolist() == pytest.approx([0.1, 0, 1])
    assert binned[1].tolist() == pytest.approx([2.8 / 3, 2 / 3, 3])
    assert error == pytest.approx((0.1 * 1 + (2.8 - 2) / 3 * 3) / 4)
    assert np.isnan(calibration(targets, probabilities, bins=3)[0][1, 0])  # an empty part


@pytest.mark.parametrize(
    ("targets", "scores", "reason"),
    [
        (np.full((2, 2), 0.5), np.zeros((2, 2)), "0 and 1"),
        (np.ones((2, 2)), np.array([[0, np.nan], [0, 0]]), "NaN"),
        (np.ones(3), np.ones(3), r"\(n, K\)"),
    ],
)
def test_what_is_no_truth_or_score_is_refused(targets, scores, reason):
    for metric in (average_precisions, bootstrap, calibration, partial(f1_scores, threshold=0.5)):
        with pytest.raises(ValueError, match=reason):
            metric(targets, scores)
    with pytest.raises(ValueError, match=r"0\.\.1"):
        calibration(np.ones((1, 1)), np.full((1, 1), 1.5))
