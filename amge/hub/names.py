"""What a checkpoint's files are called, and a repository on the Hub and its commits."""

import re

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
INDEX = f"{WEIGHTS}.index.json"
SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
"""Of weights over 5 GB: several files, which the index lists."""
REPO = re.compile(r"(?P<repo>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>[\w./-]+))?", re.ASCII)
"""A repository on the Hub, and perhaps a revision."""
COMMIT = re.compile(r"[0-9a-f]{40}")
PICKLES = (".pth", ".pt", ".pyth", ".bin", ".ckpt", ".pkl", ".pickle", ".tar")


def is_weights(name: str) -> bool:
    """Whether a file of that name holds weights of a checkpoint, or lists the files that do."""
    return name in (WEIGHTS, INDEX) or SHARD.fullmatch(name) is not None
