"""Skeleton data sets that come as one pickle, as a folder of npz files.

The layout is that of PYSKL and MMAction2: `annotations`, a list with `frame_dir`, `keypoint` `(P, T, V, 2)` in pixels,
`keypoint_score` `(P, T, V)` and mostly `label`, and `split`, names of splits to lists of `frame_dir`.
"""

import json
import operator
import pickle
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from amge.errors import VideoError
from amge.files import scratch
from amge.skeleton.sequence import Skeletons


class Kind:
    """Stands in for `numpy.dtype`: numbers and text alone."""

    __slots__ = ("dtype",)

    def __init__(self, code: str, *_: Any) -> None:
        self.dtype = np.dtype(code)
        if self.dtype.kind not in "biufSU":
            raise pickle.UnpicklingError(f"it holds arrays of {self.dtype}, which no skeleton needs")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


class Array:
    """Stands in for `numpy.ndarray`, whose own constructor and state could point anywhere in memory."""

    __slots__ = ("value",)

    def __init__(self, *_: Any) -> None:
        self.value = np.zeros(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, fortran, raw = state
        self.value = FromBuffer(raw, kind, shape, "F" if fortran else "C").value


class FromBuffer(Array):
    """An array by its bytes."""

    __slots__ = ()

    def __init__(self, raw: Any, kind: Kind, shape: Any = -1, order: Any = "C", axis_order: Any = None) -> None:
        if type(kind) is not Kind or type(raw) not in (bytes, bytearray):
            raise pickle.UnpicklingError("an array in it is broken")
        self.value = np.frombuffer(raw, kind.dtype).reshape(shape, order=order)


class Scalar(FromBuffer):
    """A single number."""

    __slots__ = ()

    def __init__(self, kind: Kind, raw: bytes) -> None:
        super().__init__(raw, kind)

    def __index__(self) -> int:
        return int(self.value[0])


STAND_INS: dict[tuple[str, str], Any] = {
    **{(f"numpy.{core}.multiarray", "_reconstruct"): Array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): Scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): FromBuffer for core in ("core", "_core")},
    ("numpy", "ndarray"): Array,
    ("numpy", "dtype"): Kind,
    ("__builtin__", "bytes"): bytes,
    ("_codecs", "encode"): lambda text, _: text.encode("latin1"),
}
"""What a pickle may ask for, and what it gets: nothing of numpy itself."""


class ArraysOnly(pickle.Unpickler):
    """Loads arrays, numbers, text and containers, and refuses whatever else a pickle asks for."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in STAND_INS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no skeleton needs; it may be an attack")
        return STAND_INS[module, name]


def from_pickle(source: str | Path, out: str | Path, allow_pickle: bool = False, fps: float = 30.0) -> int:
    """Convert a skeleton data set once: `NAME.npz` for each sample, as `read_skeletons` takes it, and `index.json`.

    Args:
        source: the pickle.
        out: a folder that does not exist yet, or an empty one; it appears when all is written.
        allow_pickle: must be True: a pickle can hold code. This one is still only searched for arrays.
        fps: frames a second; the pickle does not say.

    Returns:
        how many samples were written. Those that hold nobody, or one frame, have an `error` in the index and no file.

    Raises:
        ValueError: without the word, if the file holds something else, or `out` has files already.
        OSError: if a file can't be read or written.
    """
    source, out = Path(source), Path(out)
    if allow_pickle is not True:
        raise ValueError(f"{source} is a pickle, which can hold code; say allow_pickle (--allow-pickle) to open it")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} exists already; name a new folder")
    if not 0 < fps < float("inf"):
        raise ValueError(f"fps must be a number over 0, got {fps}")
    with source.open("rb") as file:
        try:
            content = ArraysOnly(file).load()
        except OSError:
            raise
        except Exception as error:  # a broken pickle can raise anything
            raise ValueError(f"{source} is not a pickle of skeletons: {error}") from None
    splits: dict[str, list[str]] = defaultdict(list)
    try:
        annotations = list(content["annotations"] if isinstance(content, Mapping) else content)
        for split, names in (content.get("split") or {} if isinstance(content, Mapping) else {}).items():
            for name in names:
                splits[str(name)].append(str(split))
        samples = [_sample(entry, fps) for entry in annotations]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{source} has another layout, without {error}; see {__name__}") from None
    if len({name for name, *_ in samples}) < len(samples):
        raise ValueError(f"{source} has two samples of one name")
    with scratch(out) as part:
        folder = part / "whole"
        folder.mkdir()
        index: list[dict[str, Any]] = []
        for name, skeletons, label in samples:
            index.append({"id": name, "label": label, "split": splits.get(name, [])})
            if isinstance(skeletons, Skeletons):
                np.savez_compressed(folder / f"{name}.npz", keypoints=skeletons.keypoints, times=skeletons.times)
                index[-1]["file"] = f"{name}.npz"
            else:
                index[-1]["error"] = skeletons
        (folder / "index.json").write_text(json.dumps(index, indent=1) + "\n")
        if out.exists():
            out.rmdir()
        folder.rename(out)
    return sum("file" in sample for sample in index)


def _sample(entry: Any, fps: float) -> tuple[str, Skeletons | str, int | None]:
    """Name, skeletons or what is wrong with them, and label."""
    name = str(entry["frame_dir"])
    if name in ("", ".", "..") or "\0" in name or name != Path(name).name or len(name.encode()) > 200:
        raise ValueError(f"the sample {name[:80]!r} has a name that is no file name")
    points, scores = entry["keypoint"], entry.get("keypoint_score")
    shape: tuple[int, ...] = points.value.shape if isinstance(points, Array) else ()
    if len(shape) != 4 or shape[-1] != 2 or not isinstance(scores, Array) or scores.value.shape != shape[:-1]:
        raise ValueError(f"the sample {name!r} has joints {shape}; (P, T, V, 2) with scores (P, T, V) are needed")
    skeletons: Skeletons | str
    try:
        joints = np.concatenate([points.value, scores.value[..., None]], axis=-1)
        skeletons = Skeletons.at_rate(joints.astype(np.float32), fps)
    except (VideoError, ValueError) as error:
        skeletons = str(error)
    label = entry.get("label")
    try:
        return name, skeletons, None if label is None else operator.index(label)
    except TypeError:
        raise ValueError(f"the sample {name!r} has a label that is no whole number") from None
