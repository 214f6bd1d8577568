"""How well probabilities fit the truth (scikit-learn; extra `train`).

Shapes: `n` samples, `K` regions.
"""

from itertools import islice

import numpy as np

FEW = 30
"""Samples below which an interval of the bootstrap is too narrow to be trusted: they are drawn from too few."""


def check(targets: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays.

    Raises:
        ValueError: if shapes differ, or targets are not 0 and 1, or scores not finite.
    """
    targets, scores = np.asarray(targets), np.asarray(scores)
    if targets.shape != scores.shape or targets.ndim != 2:
        raise ValueError(f"expected targets and scores of one shape (n, K), got {targets.shape} and {scores.shape}")
    if not np.isin(targets, (0, 1)).all():
        raise ValueError("targets hold only 0 and 1")
    if not np.isfinite(scores).all():
        raise ValueError("scores hold NaN or infinity")
    return targets, scores


def average_precisions(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Average precision of each region, `(K,)` in 0..1, NaN where it does not occur.

    Args:
        targets: multi-hot `(n, K)`.
        scores: any increasing function of the probabilities, `(n, K)`.

    Raises:
        ValueError: if they do not fit one another.
    """
    from sklearn.metrics import average_precision_score

    targets, scores = check(targets, scores)
    precisions = np.full(targets.shape[1], np.nan)
    if (occurs := targets.any(axis=0)).any():
        precisions[occurs] = average_precision_score(targets[:, occurs], scores[:, occurs], average=None)
    return precisions


def mean_average_precision(targets: np.ndarray, scores: np.ndarray) -> float:
    """Macro average precision over the regions that occur, in 0..1, as the official code computes it.

    Args:
        targets: multi-hot `(n, K)`.
        scores: any increasing function of the probabilities, `(n, K)`.

    Raises:
        ValueError: if they do not fit one another, or no region occurs.
    """
    precisions = average_precisions(targets, scores)
    if np.isnan(precisions).all():
        raise ValueError("no region occurs in the targets")
    return float(np.nanmean(precisions))


def bootstrap(
    targets: np.ndarray, scores: np.ndarray, resamples: int = 500, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Interval of the mean average precision, by drawing the samples anew with replacement (basic bootstrap).

    Drawn twice, a sample makes its region easier to find, so that the draws lie too high: the interval is theirs
    mirrored at the value itself, kept within 0..1, and reaches to that value at least. Draws in which no region occurs
    are left out. Of fewer than `FEW` samples it says little.

    Args:
        targets: multi-hot `(n, K)`.
        scores: `(n, K)`.
        resamples: how often.
        level: share of the draws that the interval holds.
        seed: of all chance.

    Raises:
        ValueError: if they do not fit one another, or no region occurs.
    """
    targets, scores = check(targets, scores)
    value = mean_average_precision(targets, scores)
    rng = np.random.default_rng(seed)
    draws = (rng.integers(len(targets), size=len(targets)) for _ in range(resamples))
    means: list[float] = []
    while some := list(islice(draws, 50)):  # whose memory grows with the samples
        times = np.stack([np.bincount(draw, minlength=len(targets)) for draw in some])
        columns = zip(targets.T, scores.T, strict=True)
        precisions = np.stack([_precisions_of_draws(*column, times) for column in columns])
        means += np.nanmean(precisions[:, (times @ targets).any(axis=1)], axis=0).tolist()
    low, high = np.quantile(means, ((1 - level) / 2, (1 + level) / 2))
    return float(np.clip(2 * value - high, 0, value)), float(np.clip(2 * value - low, value, 1))


def _precisions_of_draws(target: np.ndarray, score: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Average precision of one region in draws that hold each sample so many times, `(draws, n)`; NaN where it does not
    occur. As `average_precisions`, but the samples are sorted once for all of these draws."""
    order = np.argsort(score)[::-1]
    last = np.flatnonzero(np.diff(score[order], append=-np.inf))  # of the samples with one score
    found, drawn = ((times * weight)[:, order].cumsum(axis=1)[:, last] for weight in (target, np.ones_like(target)))
    with np.errstate(invalid="ignore"):
        precision, recall = np.nan_to_num(found / drawn), found / found[:, -1:]
    return (precision * np.diff(recall, prepend=0.0, axis=1)).sum(axis=1)


def f1_scores(targets: np.ndarray, probabilities: np.ndarray, threshold: float | np.ndarray) -> dict[str, float]:
    """`micro`, over all decisions, and `macro`, the mean over the regions that occur, in 0..1; a region counts as
    active from the threshold on, which is one for all or `(K,)`."""
    from sklearn.metrics import f1_score

    targets, probabilities = check(targets, probabilities)
    active = probabilities >= threshold
    occurs = targets.any(axis=0)
    return {
        "micro": float(f1_score(targets, active, average="micro", zero_division=0)),
        "macro": float(f1_score(targets[:, occurs], active[:, occurs], average="macro", zero_division=0)),
    }


def calibration(targets: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> tuple[np.ndarray, float]:
    """How often what is called probable is true, over all regions together.

    Args:
        targets: multi-hot `(n, K)`.
        probabilities: `(n, K)` in 0..1.
        bins: equal parts of 0..1.

    Returns:
        `(bins, 3)`: of each part the mean probability, the share that is true and the count, NaN where it is empty; and
        the mean distance of the first two, weighted by the third.

    Raises:
        ValueError: if they do not fit one another, or lie outside 0..1.
    """
    targets, probabilities = check(targets, probabilities)
    if probabilities.min() < 0 or probabilities.max() > 1:
        raise ValueError("probabilities lie in 0..1")
    place = np.minimum((probabilities.ravel() * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        said = np.bincount(place, probabilities.ravel(), bins) / count
        true = np.bincount(place, targets.ravel(), bins) / count
    error = np.nansum(np.abs(said - true) * count) / count.sum()
    return np.stack([said, true, count], axis=1), float(error)


def expected_calibration_error(targets: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> float:
    """How far what is said is from what is true, 0..1: the mean over `bins` equal parts of 0..1, by their counts, of
    the distance of mean probability and share that is true, over all regions together (Guo et al., 2017).

    Raises:
        ValueError: as `calibration`.
    """
    return calibration(targets, probabilities, bins)[1]
