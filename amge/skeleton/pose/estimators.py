"""What estimates poses: a small protocol, and the estimators that come by name.

Shapes: `T` frames, `N` persons in a frame, `V` joints; the last axis is x and y in pixels and confidence in 0..1.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Protocol

import numpy as np

from amge.errors import one_of


class PoseEstimator(Protocol):
    """Any callable that finds the persons in frames."""

    def __call__(self, frames: np.ndarray) -> Sequence[np.ndarray]:
        """Frames uint8 RGB `(T, H, W, 3)` to the persons in each, `T` arrays `(N, V, 3)`, in any order; `N` may be 0.

        `V` tells the layout of the joints, see `amge.skeleton.layouts`.
        """
        ...


@cache
def _mediapipe() -> PoseEstimator:
    from amge.skeleton.pose.mediapipe import MediaPipe

    return MediaPipe()


@cache
def _rtmlib() -> PoseEstimator:
    from amge.skeleton.pose.rtmlib import RTMLib

    return RTMLib()


ESTIMATORS: dict[str, Callable[[], PoseEstimator]] = {"mediapipe": _mediapipe, "rtmlib": _rtmlib}
"""By name; each loads its library and weights on first use."""


def estimator(pose: "str | PoseEstimator") -> PoseEstimator:
    """A pose estimator by name, or the one given.

    Raises:
        ValueError: for an unknown name.
        ImportError: if its library is not installed; says what to install.
    """
    return pose if callable(pose) else ESTIMATORS[one_of("pose estimator", pose, ESTIMATORS)]()
