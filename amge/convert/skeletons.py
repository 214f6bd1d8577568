"""Skeleton data sets that come as one pickle, as a folder of npz files.

The layout is that of PYSKL and MMAction2: `annotations`, a list with `frame_dir`, `keypoint` `(P, T, V, 2)` in pixels,
`keypoint_score` `(P, T, V)` and mostly `label`, and `split`, names of splits to lists of `frame_dir`.
"""

import json
import os
import pickle
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from amge.data.frames import VideoError
from amge.data.skeleton import Skeletons

ALLOWED = {
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    *(("numpy", name) for name in ("ndarray", "dtype")),
    *(("collections", name) for name in ("OrderedDict", "defaultdict")),
    ("_codecs", "encode"),
}
"""What arrays and plain containers are made of: all that is loaded from a pickle."""


class ArraysOnly(pickle.Unpickler):
    """Loads arrays, numbers, text and containers, and refuses whatever else a pickle asks for."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no skeleton needs; it may be an attack")
        return super().find_class(module, name)


def from_pickle(source: str | Path, out: str | Path, allow_pickle: bool = False, fps: float = 30.0) -> int:
    """Convert a skeleton data set once: `NAME.npz` for each sample, as `read_skeletons` takes it, and `index.json`.

    Args:
        source: the pickle.
        out: a folder that does not exist yet, or an empty one.
        allow_pickle: must be True: a pickle can hold code. This one is still only searched for arrays.
        fps: frames a second; the pickle does not say.

    Returns:
        how many samples were written. Those that hold nobody, or one frame, have an `error` in the index and no file.

    Raises:
        ValueError: without the word, if the file holds something else, or `out` has files already.
    """
    source, out = Path(source), Path(out)
    if allow_pickle is not True:
        raise ValueError(f"{source} is a pickle, which can hold code; say allow_pickle (--allow-pickle) to open it")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} exists already; name a new folder")
    try:
        with source.open("rb") as file:
            content = ArraysOnly(file).load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, IndexError, ImportError) as error:
        raise ValueError(f"{source} is not a pickle of skeletons: {error}") from None
    splits: dict[str, list[str]] = defaultdict(list)
    try:
        annotations = list(content["annotations"] if isinstance(content, Mapping) else content)
        for split, names in (content.get("split") or {} if isinstance(content, Mapping) else {}).items():
            for name in names:
                splits[str(name)].append(str(split))
        samples = list(_samples(annotations, fps))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{source} has another layout, without {error}; see {__name__}") from None
    if len({name for name, *_ in samples}) < len(samples):
        raise ValueError(f"{source} has two samples of one name")
    out.mkdir(parents=True, exist_ok=True)
    index: list[dict[str, Any]] = []
    for name, skeletons, label in samples:
        index.append({"id": name, "label": label, "split": splits.get(name, [])})
        if isinstance(skeletons, Skeletons):
            np.savez_compressed(out / f"{name}.npz", keypoints=skeletons.keypoints, times=skeletons.times)
            index[-1]["file"] = f"{name}.npz"
        else:
            index[-1]["error"] = skeletons
    (out / "index.json").write_text(json.dumps(index, indent=1) + "\n")
    return sum("file" in sample for sample in index)


def _samples(annotations: list[Any], fps: float) -> Iterator[tuple[str, Skeletons | str, int | None]]:
    """Name, skeletons or what is wrong with them, and label."""
    for entry in annotations:
        name = str(entry["frame_dir"])
        if name in ("", ".", "..") or any(mark in name for mark in ("/", os.sep, "\0")) or name != Path(name).name:
            raise ValueError(f"the sample {name!r} has a name that is no file name")
        points = np.asarray(entry["keypoint"])
        if points.ndim != 4 or points.shape[-1] != 2 or "keypoint_score" not in entry:
            raise ValueError(f"the sample {name!r} has joints {points.shape}; (P, T, V, 2) with scores are needed")
        scores = np.asarray(entry["keypoint_score"])[..., None]
        skeletons: Skeletons | str
        try:
            skeletons = Skeletons.at_rate(np.concatenate([points, scores], axis=-1).astype(np.float32), fps)
        except VideoError as error:
            skeletons = str(error)
        label = entry.get("label")
        yield name, skeletons, None if label is None else int(label)
