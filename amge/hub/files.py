"""Where the files of a checkpoint come from: a folder, or a repository on the Hugging Face Hub."""

from pathlib import Path
from typing import Protocol

from amge.hub.names import CONFIG, PICKLES, REPO, WEIGHTS


class Files(Protocol):
    """The files of a checkpoint; as text, where they are."""

    def get(self, name: str) -> Path | None:
        """A file by name, fetched if need be; None if there is none."""

    def names(self) -> list[str]:
        """What files there are."""


class Folder:
    """A checkpoint in a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def get(self, name: str) -> Path | None:
        path = self.path / name
        return path if path.exists() else None

    def names(self) -> list[str]:
        return [path.name for path in self.path.iterdir()]


def locate(source: str | Path, revision: str | None = None, **fetching: object) -> Files:
    """The files of a checkpoint.

    Args:
        source: a folder, or `owner/name` of a repository on the Hub, or `owner/name@revision`. What exists on disk is
            a folder.
        revision: branch, tag or commit of the repository; default: its main branch.
        fetching: arguments of `amge.hub.remote.Repo`.

    Raises:
        ValueError: if it is neither.
    """
    if not isinstance(source, (str, Path)) or not str(source):
        raise ValueError(f"a checkpoint is a folder or a repository on the Hub as owner/name, got {source!r}")
    path = Path(source).expanduser()
    if path.is_dir():
        if revision is not None:
            raise ValueError(f"{path} is a folder, which has no revisions; leave revision={revision!r} out")
        return Folder(path)
    if path.suffix in PICKLES and path.is_file():
        raise ValueError(
            f"{path} is a pickle, which can run code and is never opened; give a folder with {WEIGHTS}. `amge convert` "
            f"makes one of its tensors"
        )
    match = REPO.fullmatch(source) if isinstance(source, str) else None
    if path.exists() or not match:
        kind = "is not a folder" if path.exists() else "does not exist"
        raise ValueError(
            f"{path} {kind}; give the folder that holds {CONFIG} and {WEIGHTS}, or a repository on the Hub as "
            f"owner/name; a model by its name is amge.build(name, pretrained=True)"
        )
    if revision is not None and match["revision"] is not None:
        raise ValueError(f"{source!r} names a revision, and so does revision={revision!r}; leave one out")
    from amge.hub.remote import Repo

    return Repo(match["repo"], revision or match["revision"], **fetching)  # type: ignore[arg-type]
