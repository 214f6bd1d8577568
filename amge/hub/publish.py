"""Publishing a checkpoint on the Hugging Face Hub, in one commit."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from amge.files import digest
from amge.hub.card import is_generated, model_card
from amge.hub.files import Folder
from amge.hub.load import load, spec_of
from amge.hub.names import CARD, CONFIG, INDEX, REPO, WEIGHTS, is_weights
from amge.hub.save import StoredAs, config_of, save_pretrained
from amge.hub.weights import Weights, weight_files
from amge.model import MuscleModel


class Commit(NamedTuple):
    """What was published: enough for a row of `amge.list_pretrained()`."""

    repo: str
    revision: str
    """The commit."""
    url: str
    sha256: str
    """Of `model.safetensors`; of the index, where there are several files."""


def push_to_hub(model: MuscleModel, repo: str, dtype: StoredAs | None = None, **options: Any) -> Commit:
    """Publish a model as `owner/name` on the Hub, as `save_pretrained` would write it.

    Args:
        model: one that `amge.assemble` or `amge.build` made.
        repo: `owner/name`; made if need be.
        dtype: store floating-point weights as this, such as `torch.float16` or "int8".
        options: of `publish`.

    Raises:
        ValueError, OSError: as `save_pretrained` and `publish`.
    """
    with tempfile.TemporaryDirectory() as scratch:
        return publish(save_pretrained(model, scratch, dtype), repo, **options)


def publish(
    folder: str | Path,
    repo: str,
    *,
    licence: str | None = None,
    private: bool | None = None,
    branch: str | None = None,
    message: str | None = None,
    token: str | bool | None = None,
    extra: Sequence[str | Path] = (),
    **fields: Any,
) -> Commit:
    """Publish a checkpoint folder: its config, weights and card, and what else is named, in one commit.

    It is loaded first, so that nothing is published that others could not load. Weights of an earlier commit by other
    names are deleted; the repository keeps them in its history. A card that somebody wrote is kept: that in the folder,
    else that on the Hub. The folder stays as it is.

    Args:
        folder: that `save_pretrained` wrote.
        repo: `owner/name`; made if need be.
        licence: of the weights, such as "Apache-2.0"; needed, unless the checkpoint says it.
        private: whether the repository is; default: what its owner's settings say of a new one.
        branch: to publish to, made if need be; default: the main one.
        message: of the commit.
        token: that may write; default: the one of `hf auth login` or `HF_TOKEN`.
        extra: more files to publish beside them, such as the module that registers your parts.
        fields: of the spec, to state what the checkpoint does not: `metrics`, `provenance`, `tag`.

    Raises:
        ValueError: if the checkpoint can't be loaded, there is no licence, or the token may not write there.
        OSError: if a file can't be read, or the Hub can't be reached.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    from amge.hub.remote import Repo, agent, one_error, patiently

    if not (match := REPO.fullmatch(repo)) or match["revision"]:
        raise ValueError(
            f"{repo!r} is no repository's name; give it as owner/name, or save to a folder with save_pretrained"
        )
    files = Folder(Path(folder))
    if not files.path.is_dir():
        raise ValueError(f"{folder} is not a folder; give one that save_pretrained wrote")
    named = [Path(path) for path in extra]
    for path in named:
        if not path.is_file():
            raise ValueError(f"there is no file {path} to publish beside the weights")
        if path.name in (CONFIG, CARD, ".gitattributes") or is_weights(path.name):
            raise ValueError(f"{path} has the name of a file of the checkpoint itself; put it into {folder} instead")
    if len({path.name for path in named}) < len(named):
        raise ValueError("two of the files to publish beside the weights have the same name")
    if licence:
        fields["licence"] = licence
    spec = spec_of(files).replace(**fields)
    if not spec.licence:
        raise ValueError(
            "the weights have no licence, and nobody may use what has none: state one with licence=, --licence"
        )
    load(files, spec)
    with Weights(weight_files(files)) as weights:
        form = weights.form
    card = files.get(CARD)
    text = card.read_text(encoding="utf-8", errors="replace") if card else ""
    own = bool(text) and not is_generated(text)
    contents: dict[str, Path | bytes] = {
        **{path.name: path for path in named},
        **{path.name: path for path in sorted(files.path.iterdir()) if is_weights(path.name)},
        CONFIG: config_of(spec).encode(),
        CARD: (text if own else model_card(spec, repo, form)).encode(),
    }
    api = HfApi(token=token, library_name="amge", library_version=agent()["library_version"])
    with one_error(repo):
        patiently(lambda: api.create_repo(repo, private=private, exist_ok=True))
        if private is not None and api.repo_info(repo).private is not private:
            raise ValueError(f"it exists already and is {'public' if private else 'private'}; change that on the Hub")
        if branch:
            patiently(lambda: api.create_branch(repo, branch=branch, exist_ok=True))
        there = patiently(lambda: api.list_repo_files(repo, revision=branch))
        if not own and CARD in there and is_written(Repo(repo, branch, token).get(CARD)):
            del contents[CARD]
        stale = [name for name in there if is_weights(name) and name not in contents]
        done = api.create_commit(
            repo,
            [
                *(CommitOperationAdd(name, content) for name, content in contents.items()),
                *(CommitOperationDelete(name) for name in stale),
            ],
            commit_message=message or f"Publish {spec.name}",
            revision=branch,
        )
    main = files.path / (WEIGHTS if WEIGHTS in contents else INDEX)
    return Commit(repo, str(done.oid), str(done.commit_url), digest(main))


def is_written(card: Path | None) -> bool:
    """Whether a card has words that are somebody's own; a new repository may have one of metadata alone."""
    from huggingface_hub import RepoCard

    text = card.read_text(encoding="utf-8", errors="replace") if card else ""
    return not is_generated(text) and bool(RepoCard(text, ignore_metadata_errors=True).text.strip())
