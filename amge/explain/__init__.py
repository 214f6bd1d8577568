"""Where in a video a model sees what speaks for a region."""

from amge.explain.explanation import Explanation, explain, save_explanations
from amge.explain.looks import METHODS
from amge.explain.moments import Moment

__all__ = ["METHODS", "Explanation", "Moment", "explain", "save_explanations"]
