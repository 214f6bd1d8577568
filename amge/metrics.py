"""Mean average precision over muscle regions."""

import numpy as np


def mean_average_precision(targets: np.ndarray, scores: np.ndarray) -> float:
    """Macro average precision over the regions that occur, in 0..1 (scikit-learn; extra `train`).

    Args:
        targets: multi-hot `(n, K)`.
        scores: any increasing function of the probabilities, `(n, K)`.

    Raises:
        ValueError: if shapes differ or no region occurs.
    """
    from sklearn.metrics import average_precision_score

    targets, scores = np.asarray(targets), np.asarray(scores)
    if targets.shape != scores.shape or targets.ndim != 2:
        raise ValueError(f"expected targets and scores of one shape (n, K), got {targets.shape} and {scores.shape}")
    occurs = targets.any(axis=0)
    if not occurs.any():
        raise ValueError("no region occurs in the targets")
    return float(average_precision_score(targets[:, occurs], scores[:, occurs], average="macro"))
