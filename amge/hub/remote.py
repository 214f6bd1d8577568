"""Files of a repository on the Hugging Face Hub, from the local cache where they are in it; each hash is checked."""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import huggingface_hub
from huggingface_hub import errors

from amge.files import digest
from amge.hub.names import COMMIT, INDEX, WEIGHTS
from amge.version import __version__

WAITS = (1.0, 2.0)
"""Seconds before each new try after a fault that may pass."""
LONG = 15.0
"""Seconds that a client has tried itself."""
Result = TypeVar("Result")


class Repo:
    """A checkpoint on the Hub. The first file fetched settles the commit that the others come from.

    Args:
        repo: `owner/name`.
        revision: branch, tag or commit; default: the main branch.
        token: to read with; default: the one of `hf auth login` or `HF_TOKEN`.
        cache_dir: default: that of `huggingface_hub`.
        local_files_only: never use the network, as with `HF_HUB_OFFLINE=1`.
    """

    def __init__(
        self,
        repo: str,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
    ) -> None:
        self.repo, self.revision, self.commit = repo, revision, revision
        self.token, self.place, self.offline = token, {"cache_dir": cache_dir}, local_files_only

    def __str__(self) -> str:
        return f"{self.repo}@{self.revision}" if self.revision else self.repo

    def get(self, name: str) -> Path | None:
        """A file by name, None if the repository has none.

        Raises:
            ValueError: if there is no such repository or revision, or the token may not read it.
            OSError: if it can't be fetched, or is not what the Hub says it is; then the cache is rid of it.
        """
        if COMMIT.fullmatch(self.commit or "") and self._cached(name) == "":
            return None
        asked: dict[str, Any] = {"token": self.token, "local_files_only": self.offline, **self._where(), **agent()}
        with one_error(str(self)):
            try:
                fetched = patiently(lambda: huggingface_hub.hf_hub_download(self.repo, name, **asked))
            except errors.LocalEntryNotFoundError:
                if name == WEIGHTS and self._cached(INDEX):
                    return None  # several files are in the cache, and nobody to ask whether there is one as well
                raise
            except errors.EntryNotFoundError:
                return None
            except Exception as error:
                if not may_pass(error) or not (
                    fetched := self._cached(name)
                ):  # the client looks after some faults only
                    raise
            check(path := Path(fetched))
        self.commit = path.parent.name
        return path

    def _where(self) -> dict[str, Any]:
        return {"revision": self.commit, **self.place}

    def _cached(self, name: str) -> str | None:
        """Where a file is in the cache; nothing, if it is known that there is none; None, if nothing is known."""
        found = huggingface_hub.try_to_load_from_cache(self.repo, name, **self._where())
        return found if found is None or isinstance(found, str) else ""

    def names(self) -> list[str]:
        try:
            return huggingface_hub.HfApi(token=self.token).list_repo_files(self.repo, revision=self.commit)
        except Exception:  # it only helps to explain another error
            return []


def agent() -> dict[str, str]:
    """Who asks."""
    return {"library_name": "amge", "library_version": __version__}


def check(path: Path) -> None:
    """Compare a file in the cache with its hash, which is its name there; one that differs is removed.

    Raises:
        OSError: if it differs.
    """
    if not path.is_symlink():  # a cache without symbolic links has no names of hashes
        return
    blob = path.parent / os.readlink(path)
    if re.fullmatch(r"[0-9a-f]{64}", blob.name):
        found = digest(blob)
    elif COMMIT.fullmatch(blob.name):
        found = digest(blob, "sha1", b"blob %d\0" % blob.stat().st_size)
    else:
        return
    if found != blob.name:
        for damaged in (blob.resolve(), blob, path):  # the first is another where repositories share their files
            damaged.unlink(missing_ok=True)
        raise OSError(
            f"{path.name} is not what the Hub says: its hash is {found[:12]}…, not {blob.name[:12]}…; it was damaged "
            f"on the way or on disk, and is removed from the cache; try again"
        )


def patiently(call: Callable[[], Result]) -> Result:
    """Call again after faults that may pass: an answer of 500 and up, a connection that breaks.

    Newer clients try for long themselves to find where a file is; that is not tried again.
    """
    start = time.monotonic()
    for wait in (*WAITS, None):
        try:
            return call()
        except Exception as error:
            over = isinstance(error, errors.LocalEntryNotFoundError) and time.monotonic() - start > LONG
            if wait is None or over or not may_pass(error):
                raise
            time.sleep(wait)
    raise AssertionError("unreachable")


def may_pass(error: BaseException) -> bool:
    if isinstance(error, errors.LocalEntryNotFoundError):  # after a request that failed
        return error.__cause__ is not None and may_pass(error.__cause__)
    if (status := status_of(error)) is not None:
        return status >= 500
    return type(error).__module__.split(".")[0] in ("httpx", "httpx2", "httpcore", "requests", "urllib3")


def status_of(error: BaseException) -> int | None:
    """That of the answer which an error is about."""
    return getattr(getattr(error, "response", None), "status_code", None)


@contextmanager
def one_error(repo: str) -> Iterator[None]:
    """Turn what the Hub's client raises into one line that says what would work.

    Raises:
        ValueError: if there is no such repository or revision, or the token is not enough.
        OSError: if the Hub can't be reached, or fails.
    """
    try:
        yield
    except Exception as error:
        raise explained(repo, error) from None


def explained(repo: str, error: BaseException) -> BaseException:
    """The error that says in one line what an error of the Hub's client means; others as they are."""
    login = "log in with `hf auth login`, or set HF_TOKEN"
    if isinstance(error, errors.GatedRepoError):
        return ValueError(f"{repo} asks its users to accept terms: do so on its page on the Hub, then {login}")
    if isinstance(error, errors.RepositoryNotFoundError):
        return ValueError(
            f"there is no {repo} on the Hub, nor a folder of that name, or it is private and the token may not see it: "
            f"check the name, or {login}"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return ValueError(f"{repo} has no such revision; give a branch, a tag, or all 40 digits of a commit")
    if isinstance(error, errors.OfflineModeIsEnabled):
        return OSError(f"{repo} is not to be reached while HF_HUB_OFFLINE is set; unset it")
    status, wrapped = status_of(error), error.__cause__
    if isinstance(error, (errors.LocalEntryNotFoundError, RuntimeError)) and wrapped and status_of(wrapped):
        return explained(repo, wrapped)
    if isinstance(error, errors.LocalEntryNotFoundError):
        reason = f" ({cause(wrapped)})" if wrapped else ""
        return OSError(
            f"{repo} is not in the cache, and the Hub is not to be reached{reason}; check the network and "
            f"HF_HUB_OFFLINE, or give a folder"
        )
    if status is not None:
        message = getattr(error, "server_message", None)
        said = f" ({message.splitlines()[0]:.200})" if message else ""
        if status in (401, 403):
            return ValueError(f"the Hub refuses {repo} with {status}{said}: the token may not do that; {login}")
        later = "; try again later" if status >= 500 or status == 429 else ""
        return OSError(f"the Hub fails at {repo} with {status}{said}{later}")
    broken = isinstance(error, RuntimeError) and (
        may_pass(wrapped) if wrapped else "client has been closed" in str(error)  # by 1.10, after a refused connection
    )
    if may_pass(error) or broken:
        return OSError(f"the connection to the Hub broke at {repo} ({cause(wrapped or error)}); try again")
    if type(error) in (OSError, ValueError):
        return type(error)(f"{repo}: {cause(error)}")
    return error


def cause(error: BaseException) -> str:
    """An error in one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__
