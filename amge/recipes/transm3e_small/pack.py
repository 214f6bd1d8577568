"""All that the recipe needs in one file, made on a CPU: photographs, cut-outs, joints, labels, what other models say,
and the ImageNet weights that give the first stage its targets. To read it takes Pillow and safetensors.

Shapes: `n` exercises of two photographs each, `K` regions.
"""

import io
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import timm
import torch
from PIL import Image
from rich.progress import track
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from amge.builder import load as load_model
from amge.convert.efficientnet_lite0 import load_efficientnet_lite0
from amge.data.datasets import LICENCES
from amge.data.open_exercise import SPLITS, Exercise, load, samples, to_frames
from amge.files import whole
from amge.model import MuscleModel
from amge.recipes.cutouts import cut_outs
from amge.recipes.st_gcn.photographs import estimate

FORM = "transm3e-small pack 1"
LARGEST = 30 * 2**20
"""Bytes."""
SIDE = 224
"""Most pixels of the short side of a photograph."""
IMAGENET = {"name": "EfficientNet-Lite0, ImageNet weights", "licence": "Apache-2.0"}


class Pack(NamedTuple):
    """What a pack holds."""

    photographs: list[np.ndarray]
    """2 n, uint8 `(H, W, 3)`: start and end of each exercise in turn."""
    masks: list[np.ndarray]
    """2 n, uint8 `(H, W)`, 255 where the person is; all 0 where nobody was found."""
    joints: Tensor
    """`(2 n, 17, 3)`: x and y in pixels, visibility in 0..1."""
    targets: Tensor
    """`(n, K)`, 0 or 1."""
    soft: Tensor
    """`(n, K)`, the mean of what other models say; as `targets` without any."""
    about: dict[str, Any]
    """`ids`, `splits` (one an exercise), `teachers` and `sources` with their licences."""
    encoder: dict[str, Tensor]
    """Of timm's `tf_efficientnet_lite0` without its classifier, float16."""


def lite0() -> Any:
    """EfficientNet-Lite0 without its classifier, with random weights."""
    return timm.create_model("tf_efficientnet_lite0", num_classes=0)


def make_pack(data: Path, out: Path, teachers: Sequence[str] = (), quality: int = 75) -> None:
    """Write the pack of a prepared folder; beside it stay the cut-outs, which take a while to make.

    Args:
        data: folder of the prepared open exercise photographs.
        out: the file.
        teachers: names or folders of trained models that say what the photographs show.
        quality: of the JPEGs.

    Raises:
        ValueError: if the folder does not hold the prepared set, or the pack would be over `LARGEST`.
        ImportError: if there is no MediaPipe to cut people out with, or no ImageNet weights.
    """
    found = {exercise.id: exercise for split in SPLITS for exercise in load(data, split)}
    entries = samples(data)
    exercises = [found[entry.id] for entry in entries]
    encoder = lite0()
    load_efficientnet_lite0(encoder)
    said = [verdicts(load_model(name), exercises, data, out) for name in teachers]
    masks = cut_outs(data, out.with_name(f"{out.stem}-cut-outs.npz"))
    photographs, cut, joints = [], [], []
    for entry, exercise in zip(entries, exercises, strict=True):
        for path, picture, pose in zip(entry.files, exercise.photos, exercise.keypoints, strict=True):
            height, width = picture.shape[:2]
            scale = min(1.0, SIDE / min(height, width))
            size = round(width * scale), round(height * scale)
            photographs.append(packed(picture, size, "JPEG", quality))
            cut.append(packed(masks[path.relative_to(data).as_posix()], size, "WEBP", 60))
            joints.append(pose * (scale, scale, 1))
    targets = torch.from_numpy(np.stack([exercise.target for exercise in exercises]))
    tensors = {f"encoder.{key}": value.half() for key, value in encoder.state_dict().items() if value.ndim}
    tensors |= {
        **joined("photographs", photographs),
        **joined("masks", cut),
        "joints": torch.from_numpy(np.stack(joints).astype(np.float32)),
        "targets": targets.byte(),
        "soft": torch.stack(said).mean(0).half() if said else targets.half(),
    }
    about = {
        "ids": [entry.id for entry in entries],
        "splits": [entry.split for entry in entries],
        "teachers": list(teachers),
        "sources": [{"name": "open-exercise", "licence": LICENCES["open-exercise"]}, IMAGENET],
    }
    with whole(out) as part:
        part.write_bytes(save(tensors, {"amge": FORM, "about": json.dumps(about)}))
        if (taken := part.stat().st_size) > LARGEST:
            raise ValueError(f"the pack takes {taken / 2**20:.1f} MiB, over {LARGEST >> 20}; take a lower --quality")


@torch.inference_mode()
def verdicts(model: MuscleModel, exercises: Sequence[Exercise], data: Path, out: Path) -> Tensor:
    """What a model says of exercises, probabilities `(n, K)`; of joints alone, half where nobody was found."""
    spec: Any = model.eval().spec
    poses = {exercise.id: exercise.keypoints for exercise in exercises}
    if spec.modality == "skeleton" and model.input_spec.shape[-1] != 3:
        with np.load(estimate(data, out.with_name(f"{out.stem}-joints.npz"))) as kept:
            poses = dict(zip(kept["ids"].tolist(), kept["keypoints"], strict=True))
    rows = []
    for exercise in track(exercises, f"what {spec.name} says of {len(exercises)} exercises"):
        given = to_frames(exercise, spec.frames) if spec.modality != "skeleton" else poses[exercise.id]
        if spec.modality == "skeleton" and not given[..., 2].any():
            rows.append(torch.full((len(spec.labels),), 0.5))
        else:
            rows.append(model.probabilities(model(model.preprocess(given))).mean(0))
    return torch.stack(rows)


def packed(picture: np.ndarray, size: tuple[int, int], form: str, quality: int) -> bytes:
    """A picture as a compressed file of a width and height."""
    file = io.BytesIO()
    Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS).save(file, form, quality=quality)
    return file.getvalue()


def joined(name: str, files: Sequence[bytes]) -> dict[str, Tensor]:
    """Files behind one another, and where each ends."""
    data = torch.frombuffer(bytearray(b"".join(files)), dtype=torch.uint8)
    return {name: data, f"{name}.ends": torch.tensor([len(file) for file in files]).cumsum(0)}


def read_pack(path: Path) -> Pack:
    """What `make_pack` wrote, decoded (300 MB for the 716 exercises).

    Raises:
        ValueError: for another file, or a damaged one.
        OSError: if there is none.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no pack {path}; python -m amge.recipes pack makes it")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("amge") != FORM:
                raise ValueError(f"it says {metadata.get('amge')!r} of itself, not {FORM!r}")
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        photographs, masks = (
            [np.array(Image.open(io.BytesIO(each))) for each in apart(name, tensors)]
            for name in ("photographs", "masks")
        )
        encoder = {key.removeprefix("encoder."): tensors.pop(key) for key in [*tensors] if key.startswith("encoder.")}
        pack = Pack(
            photographs,
            [mask if mask.ndim == 2 else mask[..., 0] for mask in masks],  # WebP has no grey
            tensors["joints"],
            tensors["targets"].float(),
            tensors["soft"].float(),
            json.loads(metadata["about"]),
            encoder,
        )
        if not len(photographs) == len(masks) == len(pack.joints) == 2 * len(pack.targets) == 2 * len(pack.soft):
            raise ValueError("its parts differ in number")
        return pack
    except Exception as error:  # of safetensors, JSON and Pillow
        raise ValueError(
            f"{path} is not a whole pack ({error}); make it again with python -m amge.recipes pack"
        ) from None


def apart(name: str, tensors: dict[str, Tensor]) -> list[bytes]:
    """The files that `joined` put together."""
    data, ends = tensors[name].numpy().tobytes(), tensors[f"{name}.ends"].tolist()
    return [data[start:end] for start, end in pairwise([0, *ends])]


def teacher_of_features(pack: Pack) -> nn.Module:
    """EfficientNet-Lite0 with the weights of a pack: normalised pictures `(B, 3, H, W)` to features `(B, 1280, h, w)`
    by its method `forward_features`."""
    encoder = lite0()
    encoder.load_state_dict({key: value.float() for key, value in pack.encoder.items()}, strict=False)
    return encoder.eval().requires_grad_(False)
