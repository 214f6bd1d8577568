"""One video to its rows, whatever happens to it."""

import hashlib
from pathlib import Path

import pyarrow as pa
import torch

from amge.builder import load
from amge.bulk.files import Video, printable
from amge.bulk.table import failure, rows, schema_of
from amge.devices import usable_device
from amge.errors import VideoError
from amge.model import MuscleModel
from amge.prediction import Threshold, check_threshold
from amge.version import __version__


class Predictor:
    """A model that turns a video into its rows, or into one that says what was wrong with it. It can be pickled.

    Args:
        model: a name with published weights, the folder or Hub repository of a checkpoint, or a model.
        threshold: probability from which a region is active, one for all or by name one for each; None: the model's.
        pose: name of the pose estimator of a skeleton model.
        fps: frames a second of files of keypoints, whatever they say.
        device: that the model is brought to for its first video, in the process that predicts; None: none.

    Raises:
        ValueError: if no video can be done by this: an unknown model, a label that clashes with a column.
    """

    def __init__(
        self,
        model: str | Path | MuscleModel,
        threshold: Threshold | None = None,
        pose: str | None = None,
        fps: float | None = None,
        device: str | torch.device | None = None,
    ) -> None:
        self.fps = fps
        self.device = None if device is None else usable_device(str(device))
        self.model: MuscleModel = load(str(model)) if isinstance(model, str | Path) else model
        if (spec := self.model.spec) is None:
            raise ValueError("this model was put together by hand; without a spec it does not know its labels or input")
        if pose is not None and spec.modality != "skeleton" and not spec.skeleton:
            raise ValueError(f"{spec.name} looks at pictures; a pose estimator is for models that see joints")
        self.threshold = check_threshold(spec.threshold if threshold is None else threshold, spec.labels)
        self.modality = spec.modality
        self.pose = (pose or "mediapipe") if spec.modality == "skeleton" else pose
        about = {
            "model": spec.name,
            "weights": fingerprint(self.model),
            "threshold": self.threshold,
            "labels": spec.labels,
            "version": __version__,
        }
        about |= {"pose": self.pose} if self.pose else {}
        about |= {"fps": fps} if fps is not None else {}
        self.schema = schema_of(spec.labels, about)

    def __call__(self, video: Video) -> pa.Table:
        try:
            if self.device:
                self.model.to(self.device)
            windows = self.model.predict_windows(video.path, pose=self.pose, fps=self.fps)
            return rows(self.schema, video.id, windows, self.threshold)
        except Exception as error:
            reason = printable(str(error)).replace(printable(video.path), video.id)
            kind = "" if isinstance(error, VideoError) else f"{type(error).__name__}: "
            return failure(self.schema, video.id, kind + reason)


def fingerprint(model: MuscleModel) -> str:
    """A SHA-256 of the spec and the weights of a model."""
    digest = hashlib.sha256(model.spec.to_json().encode() if model.spec else b"")
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
