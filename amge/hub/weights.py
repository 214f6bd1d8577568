"""The weights that come with the package, and how a request for weights becomes a folder."""

import os
from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).parent.parent / "weights"


def shipped() -> dict[str, Path]:
    """`arch.tag` to folder, for every checkpoint inside the package."""
    return {path.parent.name: path.parent for path in sorted(SHIPPED.glob("*/config.json"))}


def find(name: str, pretrained: bool | str | Path) -> Path:
    """The folder that holds the weights of model `name`.

    Args:
        name: `arch` or `arch.tag`; the bare arch means its first shipped tag.
        pretrained: True, a tag of the arch, or a folder.

    Raises:
        ValueError: if there is no such checkpoint; says which exist.
    """
    folders = shipped()
    arch = name.split(".")[0]
    if isinstance(pretrained, (str, Path)):
        if f"{arch}.{pretrained}" in folders:
            return folders[f"{arch}.{pretrained}"]
        if (Path(pretrained) / "config.json").is_file():
            return Path(pretrained)
        raise ValueError(
            f"{pretrained!s} is neither a tag of {arch!r} nor a folder with a config.json; "
            f"shipped weights: {', '.join(folders) or 'none'}"
        )
    for full, folder in folders.items():
        if name == full or name == full.split(".")[0]:
            return folder
    raise ValueError(
        f"there are no trained weights for {name!r}; shipped weights: {', '.join(folders) or 'none'}. "
        f"Pass the folder of a checkpoint as pretrained=, or build it untrained"
    )


def load(model: str) -> Any:
    """A model with trained weights, by name or folder; `ValueError` if there is none."""
    import amge

    return amge.from_pretrained(model) if is_path(model) else amge.build(model, pretrained=True)


def is_path(model: str) -> bool:
    """Whether a model is meant by its folder; a known name is not, even where a file is called the same."""
    import amge

    return model not in amge.list_models() and (os.path.exists(model) or os.sep in model)
