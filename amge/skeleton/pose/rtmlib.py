"""RTMPose through rtmlib: several persons, 17 joints; it downloads its weights on first use."""

from typing import Any

import numpy as np

from amge.errors import one_of

MODES = ("lightweight", "balanced", "performance")


class RTMLib:
    """Finds persons in each frame on its own; see `PoseEstimator`.

    Args:
        mode: `lightweight`, `balanced` or `performance`.
        device: of onnxruntime, such as `cpu` or `cuda`.
        body: a `rtmlib.Body` with a detector, in place of one with these settings.

    Raises:
        ValueError: for an unknown mode.
        ImportError: if rtmlib is not installed.
        OSError: if its weights can't be downloaded.
    """

    def __init__(self, mode: str = "lightweight", device: str = "cpu", body: Any = None) -> None:
        if body is None:
            one_of("mode of rtmlib", mode, MODES)
            try:
                from rtmlib import Body
            except ImportError as error:
                raise ImportError(f"poses by rtmlib need it: pip install 'amge[rtmlib]' ({error})") from error
            try:
                body = Body(mode=mode, backend="onnxruntime", device=device)
            except OSError as error:
                raise OSError(
                    f"rtmlib could not download its weights ({error}); with no network, take mediapipe, whose wheel "
                    "carries them"
                ) from error
        self._body = body

    def __call__(self, frames: np.ndarray) -> list[np.ndarray]:
        """Frames uint8 `(T, H, W, 3)` to the persons in each, `T` arrays `(N, 17, 3)`."""
        return [self._persons(np.ascontiguousarray(frame[..., ::-1])) for frame in frames]  # it takes BGR

    def _persons(self, image: np.ndarray) -> np.ndarray:
        boxes = self._body.det_model(image)
        if not len(boxes):  # its pose network would make somebody up
            return np.zeros((0, 17, 3), np.float32)
        points, scores = self._body.pose_model(image, bboxes=boxes)
        return np.concatenate([points, np.clip(scores, 0, 1)[..., None]], axis=-1).astype(np.float32)
