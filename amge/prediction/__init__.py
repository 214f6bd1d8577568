"""What a model says of a video: its windows, the prediction they make together, and from when on a label is active."""

from amge.prediction.prediction import Prediction, of_windows, overall, rounded
from amge.prediction.thresholds import Threshold, check_threshold, in_words, ranked, reaching, threshold_of
from amge.prediction.window import WindowPrediction, by_prominence, light

__all__ = [
    "Prediction",
    "Threshold",
    "WindowPrediction",
    "by_prominence",
    "check_threshold",
    "in_words",
    "light",
    "of_windows",
    "overall",
    "ranked",
    "reaching",
    "rounded",
    "threshold_of",
]
