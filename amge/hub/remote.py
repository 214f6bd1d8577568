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

from amge.hub.files import digest

WAITS = (1.0, 2.0)
"""Seconds before each new try after a fault that may pass."""
COMMIT = re.compile(r"[0-9a-f]{40}")
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
        where: dict[str, Any] = {"revision": self.commit, **self.place}
        if COMMIT.fullmatch(self.commit or ""):
            cached = huggingface_hub.try_to_load_from_cache(self.repo, name, **where)
            if cached is not None and not isinstance(cached, str):  # known not to exist
                return None
        asked: dict[str, Any] = {**where, "token": self.token, "local_files_only": self.offline, **agent()}
        with one_error(str(self)):
            try:
                fetched = patiently(lambda: huggingface_hub.hf_hub_download(self.repo, name, **asked))
            except errors.LocalEntryNotFoundError:
                raise
            except errors.EntryNotFoundError:
                return None
        path = Path(fetched)
        self.commit = path.parent.name
        check(path)
        return path

    def names(self) -> list[str]:
        try:
            return huggingface_hub.HfApi(token=self.token).list_repo_files(self.repo, revision=self.commit)
        except Exception:  # it only helps to explain another error
            return []


def agent() -> dict[str, str]:
    """Who asks."""
    from amge import __version__

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
        path.unlink(missing_ok=True)
        blob.unlink(missing_ok=True)
        raise OSError(
            f"{path.name} is not what the Hub says: its hash is {found[:12]}…, not {blob.name[:12]}…; it was damaged "
            f"on the way or on disk, and is removed from the cache; try again"
        )


def patiently(call: Callable[[], Result]) -> Result:
    """Call again after faults that may pass: an answer of 500 and up, a connection that breaks."""
    for wait in (*WAITS, None):
        try:
            return call()
        except Exception as error:
            if wait is None or not may_pass(error):
                raise
            time.sleep(wait)
    raise AssertionError("unreachable")


def may_pass(error: Exception) -> bool:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        return status >= 500
    return type(error).__module__.split(".")[0] in ("httpx", "httpx2", "httpcore", "requests", "urllib3")


@contextmanager
def one_error(repo: str) -> Iterator[None]:
    """Turn what the Hub's client raises into one line that says what would work.

    Raises:
        ValueError: if there is no such repository or revision, or the token is not enough.
        OSError: if the Hub can't be reached, or fails.
    """
    login = "log in with `hf auth login`, or set HF_TOKEN"
    try:
        yield
    except errors.GatedRepoError:
        raise ValueError(f"{repo} asks its users to accept terms: do so on its page on the Hub, then {login}") from None
    except errors.RepositoryNotFoundError:
        raise ValueError(
            f"there is no {repo} on the Hub, or it is private and the token may not see it: check the name, or {login}"
        ) from None
    except errors.RevisionNotFoundError:
        raise ValueError(f"{repo} has no such revision; give a branch, a tag or a commit of it") from None
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status in (401, 403):
            raise ValueError(f"the Hub refuses {repo} with {status}: the token may not do that; {login}") from None
        raise OSError(f"the Hub fails at {repo} with {status}; try again later") from None
    except errors.LocalEntryNotFoundError as error:
        reason = f" ({cause(error.__cause__)})" if error.__cause__ else ""
        raise OSError(
            f"{repo} is not in the cache, and the Hub is not to be reached{reason}; check the network and "
            f"HF_HUB_OFFLINE, or give a folder"
        ) from None
    except (OSError, ValueError) as error:
        raise type(error)(f"{repo}: {cause(error)}") if type(error) in (OSError, ValueError) else error from None
    except Exception as error:
        if not may_pass(error):
            raise
        raise OSError(f"the connection to the Hub broke at {repo} ({cause(error)}); try again") from None


def cause(error: BaseException) -> str:
    """The first line of an error."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
