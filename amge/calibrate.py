"""Probabilities that are as often right as they say, and from which one a region counts as active: found on validation.

Shapes: `n` samples, `R` views of them, `K` regions.
"""

from typing import NamedTuple

import numpy as np

from amge.metrics import check

TEMPERATURES = 0.1, 10.0
"""Between which one is looked for."""
GRID = np.arange(1, 200) / 200
"""Thresholds that are tried."""
FEWEST = 10
"""Positives of a region below which it takes the common threshold."""
PRIOR = 100
"""Positives that the curve of all regions counts as in that of each."""


class Calibration(NamedTuple):
    """What turns logits into answers."""

    temperature: float
    thresholds: np.ndarray
    """`(K,)`."""


def calibrate(targets: np.ndarray, logits: np.ndarray, row: np.ndarray | None = None) -> Calibration:
    """The temperature that minimises binary cross-entropy (Guo et al., 2017), and then the thresholds.

    Args:
        targets: multi-hot `(n, K)`.
        logits: `(R, K)`, of sigmoids.
        row: `(R,)`, to which sample each view belongs; the probabilities of its views are averaged. None: one each.

    Raises:
        ValueError: if they do not fit one another, or no region occurs.
    """
    logits = np.asarray(logits, np.float64)
    row = np.arange(len(logits)) if row is None else np.asarray(row)
    targets, _ = check(targets, probabilities(logits, 1.0, row))
    low, high = TEMPERATURES
    for _ in range(3):  # to 0.03 %
        tried = np.geomspace(low, high, 41)
        best = int(np.argmin([cross_entropy(targets, probabilities(logits, each, row)) for each in tried]))
        low, high = tried[max(best - 1, 0)], tried[min(best + 1, 40)]
    temperature = round(float(tried[best]), 4)
    return Calibration(temperature, thresholds(targets, probabilities(logits, temperature, row)))


def probabilities(logits: np.ndarray, temperature: float, row: np.ndarray) -> np.ndarray:
    """Of samples `(n, K)`: the means over their views `(R, K)`."""
    each, order = 0.5 + 0.5 * np.tanh(logits / temperature / 2), np.argsort(row, kind="stable")
    _, first, views = np.unique(row[order], return_index=True, return_counts=True)
    return np.add.reduceat(each[order], first) / views[:, None]


def cross_entropy(targets: np.ndarray, scores: np.ndarray) -> float:
    """The mean binary cross-entropy of probabilities `(n, K)`."""
    return -float(np.log(np.where(targets, scores, 1 - scores).clip(min=1e-12)).mean())


def thresholds(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """From which probability each region should count as active, `(K,)`.

    The common threshold is that of the highest F1 over all decisions together. A region's own is that of its highest F1
    after the counts of all regions, shrunk to `PRIOR` positives, are added to its counts; of equals the nearest to the
    common one. With fewer than `FEWEST` positives it takes the common one.

    Args:
        targets: multi-hot `(n, K)`.
        scores: probabilities `(n, K)`.

    Raises:
        ValueError: if they do not fit one another, or no region occurs.
    """
    targets, scores = check(targets, scores)
    positives = targets.sum(axis=0)
    if not positives.any():
        raise ValueError("no region occurs in the targets")
    called, right = (
        np.stack([len(column) - np.searchsorted(np.sort(column), GRID) for column in columns])
        for columns in (scores.T, [score[target == 1] for target, score in zip(targets.T, scores.T, strict=True)])
    )
    common = _best(_f1(right.sum(axis=0), called.sum(axis=0), positives.sum()))
    share = PRIOR / positives.sum()
    own = [
        _best(_f1(*(counts + share * every.sum(axis=0) for counts, every in pairs)), common)
        for pairs in (((right[k], right), (called[k], called), (positives[k], positives)) for k in range(len(right)))
    ]
    return GRID[np.where(positives >= FEWEST, own, common)]


def _f1(right: np.ndarray, called: np.ndarray, positives: np.ndarray) -> np.ndarray:
    return 2 * right / (called + positives)


def _best(scores: np.ndarray, near: int | None = None) -> int:
    """The place of the highest score; of equals that nearest to another, or the middle one."""
    best = np.flatnonzero(scores >= scores.max() - 1e-9)
    return int(best[len(best) // 2] if near is None else best[np.argmin(np.abs(best - near))])
