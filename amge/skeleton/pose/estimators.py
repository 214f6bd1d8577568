"""What estimates poses: a small protocol, and the estimators that come by name.

Shapes: `T` frames, `N` persons in a frame, `V` joints; the last axis is x and y in pixels and confidence in 0..1, and
in three dimensions the world joint X, Y and Z in metres besides.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Protocol

import numpy as np

from amge.errors import one_of, reason


class PoseEstimator(Protocol):
    """Any callable that finds the persons in frames."""

    def __call__(self, frames: np.ndarray) -> Sequence[np.ndarray]:
        """Frames uint8 RGB `(T, H, W, 3)` to the persons in each, `T` arrays `(N, V, 3)`, or `(N, V, 6)` with the world
        joints, see `amge.skeleton.sequence`; in any order; `N` may be 0.

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
EXTRAS = {"mediapipe": "pose", "rtmlib": "rtmlib"}
"""What to install for each."""


def estimator(pose: "str | PoseEstimator") -> PoseEstimator:
    """A pose estimator by name, or the one given.

    Raises:
        ValueError: for an unknown name.
        ImportError: if its library is not installed, or broken; says what to install.
    """
    if callable(pose):
        return pose
    load = ESTIMATORS[one_of("pose estimator", pose, ESTIMATORS)]
    try:
        return load()
    except (ImportError, OSError):
        raise
    except Exception as error:  # of its libraries, such as a protobuf of another version
        raise ImportError(
            f"{pose} is installed, but broken ({type(error).__name__}: {reason(error, 200)}), as when another package "
            f"changed the version of one it needs: pip install --force-reinstall 'amge[{EXTRAS.get(pose, pose)}]', "
            "or take another pose estimator"
        ) from None
