"""What made a run: written into its folder, so that a result can be made again."""

import dataclasses
import json
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from amge.data.datasets import LICENCES
from amge.files import read_json, whole
from amge.train.config import TrainConfig
from amge.version import __version__

PACKAGES = (
    "amge",
    "torch",
    "torchvision",
    "timm",
    "lightning",
    "numpy",
    "av",
    "opencv-python-headless",
    "pytorchvideo",
)


def environment() -> dict[str, Any]:
    """Versions, commit and machine of this process."""
    import torch

    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "python": platform.python_version(),
        "system": platform.platform(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "packages": found,
        "commit": commit(),
    }


def without_root(source: dict[str, Any]) -> dict[str, Any]:
    """A data set of a config without its place and licence, which may change: the fingerprint tells whether it is the
    same."""
    return {name: value for name, value in source.items() if name not in ("root", "licence")}


def commit() -> str | None:
    """The commit of amge's source, with `+` where it was changed since; None outside a checkout."""
    source = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=source, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", __file__)  # not a repository that amge is merely installed in
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--", str(source.parent)) else "")
    except (OSError, subprocess.SubprocessError):
        return None


def provenance(config: TrainConfig, teacher: str | None, start: str | None = None) -> dict[str, Any]:
    """What a checkpoint says of how it was trained: a spec's `provenance`.

    Args:
        config: of the run.
        teacher: modality of the teacher that it learned from, and how, if there was one.
        start: what it started from and kept of it; None: the config's `init` says it.
    """
    who = "the weights that it started from" if config.teacher == "self" else "one"
    taught = f"{who} on {teacher} taught it, in training alone; it is not in this checkpoint" if teacher else "none"
    init = {"init": start or Path(config.init).name} if config.init else {}
    data = [
        (source["name"], source.get("licence", LICENCES.get(source["name"])))
        for source in config.data
        if "train" in source.get("splits", ["train"])
    ]
    return made_of(data, config.seed, teacher=taught, epochs=" + ".join(map(str, config.epochs)), **init)


def made_of(data: Sequence[tuple[str, str | None]], seed: int, **more: Any) -> dict[str, Any]:
    """A spec's `provenance`: data sets and their licences, seed, commit, and what else there is to say."""
    sets = [{"name": name, "licence": licence} for name, licence in dict.fromkeys(data)]
    made = {"commit": found} if (found := commit()) else {}
    return {"data": sets, "seed": seed, **made, "amge": __version__, **more}


FREE = ("workers", "logs", "accelerator")
"""Fields that may change when a run goes on: they do not change its result."""


def claim(folder: Path, config: dict[str, Any], data: str, start: bool = True) -> None:
    """Note in `run.json` what a run folder is made with, and this start of it; without `start`, only see that it fits.

    Args:
        folder: of the run.
        config: plain values.
        data: fingerprint of the samples.

    Raises:
        ValueError: if the folder belongs to a run with another config, but for `FREE` and the place of the data, or
            other data.
    """
    path = folder / "run.json"
    config = json.loads(json.dumps(config))
    starts = []
    if path.exists():
        remedy = "delete it to go on in this folder with the same config and data, or take another folder"
        known = read_json(path, remedy)
        try:
            starts = [*known["starts"]]
            before, now = ({**c, "data": [without_root(s) for s in c["data"]]} for c in (known["config"], config))
            there = known["data"]
        except (TypeError, KeyError, AttributeError):
            raise ValueError(f"{path} is not what a run writes; {remedy}") from None
        defaults = {each.name: each.default for each in dataclasses.fields(TrainConfig)}
        before = {name: before.get(name, defaults.get(name)) for name in before | now}  # an older version wrote fewer
        changed = sorted(name for name in before | now if name not in FREE and before.get(name) != now.get(name))
        changed += ["data"] * (there != data and "data" not in changed)
        if changed:
            values = [f"{name} ({before.get(name)!r:.60} there, {now.get(name)!r:.60} here)" for name in changed]
            raise ValueError(
                f"{folder} belongs to a run with another {', '.join(values)}; give this run a folder of its own"
            )
    if not start:
        return
    content = {"config": config, "data": data, "starts": [*starts, environment()]}
    with whole(path) as part:
        part.write_text(json.dumps(content, indent=2) + "\n")
