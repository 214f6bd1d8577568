import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
import torch
from hub_server import Fault, configure, direct, git_hash, serve, sha256
from typer.testing import CliRunner

import amge
from amge.cli import app
from amge.hub.published import Pretrained, register_pretrained

ROOT = Path(__file__).parents[2]
REPO = "me/tiny"
WEIGHTS, CONFIG, INDEX = "model.safetensors", "config.json", "model.safetensors.index.json"


@pytest.fixture(scope="module")
def clip():
    return torch.randn(2, 3, 4, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def models(tiny_spec):
    """Three models of the same kind."""
    torch.manual_seed(0)
    return [amge.assemble(tiny_spec.replace(licence="Apache-2.0")).eval() for _ in range(3)]


@pytest.fixture(scope="module")
def logits(models, clip):
    with torch.inference_mode():
        return [model(clip) for model in models]


@pytest.fixture(scope="module")
def files(models, tmp_path_factory):
    """Those of the checkpoint of each model."""
    folders = [model.save_pretrained(tmp_path_factory.mktemp("saved")) for model in models]
    return [contents(folder) for folder in folders]


@pytest.fixture(scope="module")
def shards(models, tmp_path_factory):
    """The files of the first model in several shards."""
    return contents(models[0].save_pretrained(tmp_path_factory.mktemp("shards"), max_shard_size="200KB"))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with serve(token="test") as hub:
        direct(hub, tmp_path, monkeypatch)
        yield hub


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "hub"


def intact(cache):
    """The names of what is in the cache, all of it whole: nothing half-written, and each blob what its name says.

    Only older clients may keep the half of a file, by its hash, to go on from there.
    """
    halves = {path for path in cache.rglob("*") if path.name.endswith((".incomplete", ".tmp"))}
    assert all(re.fullmatch(r"[0-9a-f]{40,64}\.incomplete", half.name) for half in halves)
    for blob in {*cache.glob("models--*/blobs/*")} - halves:
        content = blob.read_bytes()
        assert blob.name == (sha256(content) if len(blob.name) == 64 else git_hash(content))
    links = list(cache.glob("models--*/snapshots/*/*"))
    assert all(link.exists() for link in links)
    return {link.name for link in links}


def refused(error, *words, source=REPO, **options):
    """Loading fails with one line that names the repository and has these words."""
    with pytest.raises(error) as caught:
        amge.from_pretrained(source, **options)
    message = str(caught.value)
    assert type(caught.value) is error and "\n" not in message and caught.value.__cause__ is None
    missing = [word for word in (source.split("@")[0], *words) if word not in message]
    assert not missing, message
    return message


@pytest.fixture
def same(clip, logits):
    def same(model, which=0):
        assert not model.training
        with torch.inference_mode():
            assert torch.equal(model(clip), logits[which])

    return same


def test_rows_go_with_their_labels_from_a_repository_and_shards(hub, models, files, shards, clip, logits):
    order = models[0].spec.labels[::-1]
    for content in (files[0], shards):
        hub.put(REPO, content)
        model = amge.from_pretrained(REPO, labels=order)
        with torch.inference_mode():
            torch.testing.assert_close(model(clip).flip(1), logits[0], rtol=0, atol=1e-6)


def test_a_run_starts_from_a_repository(hub, models, files):
    from amge.train.config import TrainConfig
    from amge.train.start import initialise

    hub.put(REPO, files[0])
    config = TrainConfig(model=REPO, init="pretrained", data=({"name": "folder", "root": "x"},), teacher="none")
    assert config.spec().backbone_args == models[0].spec.backbone_args
    for init, model in (("pretrained", REPO), (REPO, "transm3e-lite")):
        fresh = amge.assemble(models[0].spec.replace(labels=models[0].spec.labels[::-1]))
        assert initialise(fresh, init, model) == (
            f"starts from {REPO} (Apache-2.0): keeps backbone, bank.tokens.main, bank.tokens.receiver, fusion, head"
        )
        assert torch.equal(fresh.head.projection.bias.flip(0), models[0].head.projection.bias)


def test_branch_tag_commit_and_name_give_the_same_logits_to_the_bit_and_fetch_nothing_else(hub, files, same, cache):
    first = hub.put(REPO, files[0])
    hub.repos[REPO].refs["v1.0"] = first
    hub.put(REPO, files[1], branch="trials/other")
    newest = hub.put(REPO, {**files[2], "backbone.safetensors": b"", "other.py": b""})

    same(amge.from_pretrained(REPO), 2)
    same(amge.from_pretrained(f"{REPO}@main"), 2)
    same(amge.from_pretrained(REPO, "v1.0"), 0)
    same(amge.from_pretrained(f"{REPO}@v1.0"), 0)
    same(amge.from_pretrained(f"{REPO}@trials/other"), 1)
    same(amge.from_pretrained(REPO, revision="trials/other"), 1)
    same(amge.from_pretrained(REPO, first), 0)
    same(amge.from_pretrained(f"{REPO}@{newest}"), 2)
    same(amge.build("transm3e-lite", pretrained=REPO), 2)
    same(amge.build("transm3e-lite", pretrained=f"{REPO}@v1.0"), 0)
    same(amge.build("transm3e-lite", pretrained=REPO, revision=first, token=False), 0)
    asked = {request.rsplit("/", 1)[-1] for request in [*hub.requests, *hub.stored]}
    assert asked == {CONFIG, WEIGHTS} == intact(cache)
    assert len(hub.stored) == 3 and not any("GET" in request and WEIGHTS in request for request in hub.requests)
    with pytest.raises(ValueError, match=f"{REPO} holds a 'transm3e-lite', not a 'st-gcn'"):
        amge.build("st-gcn", pretrained=REPO)
    with pytest.raises(ValueError, match="leave one out"):
        amge.from_pretrained(f"{REPO}@v1.0", "v1.0")


def test_the_commit_of_the_config_is_that_of_the_weights(hub, files, same, monkeypatch):
    """Though the branch moves between the two."""
    hub.put(REPO, files[0])
    spec_of = amge.hub.load.spec_of

    def moved(files_of_repo):
        spec = spec_of(files_of_repo)
        hub.put(REPO, files[1])
        return spec

    monkeypatch.setattr("amge.hub.load.spec_of", moved)
    same(amge.from_pretrained(REPO), 0)


def test_a_second_load_asks_for_the_commit_alone_and_a_pinned_one_for_nothing(hub, files, shards, same, cache):
    for present in (files[0], shards):
        commit = hub.put(REPO, present)
        amge.from_pretrained(REPO)
        hub.requests.clear()
        hub.stored.clear()
        same(amge.from_pretrained(REPO))
        assert hub.requests == [f"HEAD /{REPO}/resolve/main/{CONFIG}"] and hub.stored == []
        same(amge.from_pretrained(REPO, commit))
        assert len(hub.requests) == 1
    assert {CONFIG, INDEX} < intact(cache)
    changed = hub.put(REPO, {**files[0], CONFIG: files[0][CONFIG].replace(b"0.5", b"0.25")})
    assert amge.from_pretrained(REPO).spec.threshold == 0.25
    assert hub.stored == [], "weights that did not change are not fetched again"
    assert (cache / "models--me--tiny" / "snapshots" / changed / WEIGHTS).exists()


@pytest.mark.parametrize("kind", ["whole", "shards"])
def test_without_network_what_is_in_the_cache_loads_and_nothing_is_asked(
    hub, files, shards, same, kind, monkeypatch, tmp_path
):
    commit = hub.put(REPO, files[0] if kind == "whole" else shards)
    amge.from_pretrained(REPO)
    huggingface_hub.snapshot_download(REPO, cache_dir=tmp_path / "snapshot")  # which never asked for what is not there
    hub.requests.clear()
    for cache in (None, tmp_path / "snapshot"):
        for source in (REPO, f"{REPO}@{commit}"):
            same(amge.from_pretrained(source, cache_dir=cache, local_files_only=True))
            with monkeypatch.context() as patched:
                configure(patched, HF_HUB_OFFLINE=True)
                same(amge.from_pretrained(source, cache_dir=cache))
    same(amge.build("transm3e-lite", pretrained=REPO, local_files_only=True))
    refused(OSError, "not in the cache", "network", "HF_HUB_OFFLINE", cache_dir=tmp_path / "no", local_files_only=True)
    refused(OSError, "not in the cache", source="me/other", local_files_only=True)
    refused(OSError, "not in the cache", source=f"{REPO}@v9", local_files_only=True)
    assert hub.requests == []

    hub.faults += [Fault("HEAD", ""), Fault("GET", "")]
    same(amge.from_pretrained(REPO))
    url = "http://127.0.0.1:9"  # where nobody listens
    configure(monkeypatch, ENDPOINT=url, HUGGINGFACE_CO_URL_TEMPLATE=url + "/{repo_id}/resolve/{revision}/{filename}")
    for cache in (None, tmp_path / "snapshot"):
        same(amge.from_pretrained(REPO, cache_dir=cache))
        same(amge.from_pretrained(REPO, commit, cache_dir=cache))
    refused(OSError, "Hub", cache_dir=tmp_path / "no")


def test_private_repositories_need_a_token_that_may_read(hub, files, same, monkeypatch, tmp_path):
    hub.put(REPO, files[0], private=True)
    refused(ValueError, "private", "hf auth login", "HF_TOKEN")
    refused(ValueError, "private", token=False)
    refused(ValueError, "401", "Invalid credentials", "hf auth login", token="wrong")
    same(amge.from_pretrained(REPO, token="reader"))
    monkeypatch.setenv("HF_TOKEN", "reader")
    same(amge.from_pretrained(REPO))
    same(amge.from_pretrained(REPO, token=False))  # what is in the cache is there for whoever may read the cache
    Path(huggingface_hub.constants.HF_TOKEN_PATH).write_text("test")
    monkeypatch.delenv("HF_TOKEN")
    same(amge.build("transm3e-lite", pretrained=REPO, token=True))
    hub.faults.append(Fault("HEAD", CONFIG, status=403))
    refused(ValueError, "403", "HF_TOKEN", token="reader", cache_dir=tmp_path / "cold")


def test_what_is_not_there_or_not_for_everyone(hub, files, shards, cache):
    refused(ValueError, "no me/tiny on the Hub", "check the name")
    refused(ValueError, "no me/tiny on the Hub", "check the name", token="reader")
    refused(ValueError, "no me/tiny@v1 on the Hub", source=f"{REPO}@v1")
    hub.put(REPO, files[0])
    refused(ValueError, "no such revision", "branch, a tag, or all 40 digits", source=f"{REPO}@v1")
    refused(ValueError, "no such revision", revision="0" * 40)
    hub.put("me/empty", {"README.md": b"# nothing"})
    refused(ValueError, "has no config.json", "not an amge checkpoint", source="me/empty")
    hub.put("me/pickle", {CONFIG: files[0][CONFIG], "old.pth": b"", "notes.txt": b""})
    refused(ValueError, f"has no {WEIGHTS}", "old.pth is a pickle", "amge convert", source="me/pickle")
    hub.put("me/bare", {CONFIG: files[0][CONFIG]})
    assert "pickle" not in refused(ValueError, f"has no {WEIGHTS}", source="me/bare")
    hub.put("me/foreign", {**files[0], CONFIG: b'{"model_type": "bert"}'})
    refused(ValueError, CONFIG, source="me/foreign")
    shard = next(name for name in shards if re.match(r"model-00002", name))
    hub.put("me/gap", {name: content for name, content in shards.items() if name != shard})
    refused(ValueError, f"lacks {shard}", source="me/gap")
    hub.put("me/gated", files[0])
    hub.repos["me/gated"].gated = True
    refused(ValueError, "accept terms", "its page on the Hub", "hf auth login", source="me/gated")
    refused(ValueError, "accept terms", source="me/gated", token="reader")
    amge.from_pretrained("me/gated", token="test")
    for source in ("./missing", "../missing", "no/such/folder", "name"):
        with pytest.raises(ValueError, match=r"does not exist; give the folder .* or a repository on the Hub"):
            amge.from_pretrained(source)
    intact(cache)


@pytest.mark.parametrize("where", [("HEAD", CONFIG), ("GET", CONFIG), ("HEAD", WEIGHTS), ("GET", WEIGHTS)])
@pytest.mark.parametrize("kind", ["status", "reset"])
def test_an_answer_of_500_or_none_at_all_is_tried_again(hub, files, same, cache, where, kind):
    hub.put(REPO, files[0])
    hub.faults.append(fault := Fault(*where, kind, times=2))
    same(amge.from_pretrained(REPO, token="reader"))
    assert fault.times == 0 and intact(cache) == {CONFIG, WEIGHTS}


@pytest.mark.parametrize(
    ("kind", "method"), [("status", "HEAD"), ("status", "GET"), ("reset", "HEAD"), ("reset", "GET"), ("cut", "GET")]
)
@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_what_fails_for_good_is_one_error_and_leaves_a_cache_that_works_later(
    hub, files, same, cache, kind, method, name
):
    hub.put(REPO, files[0])
    hub.faults.append(Fault(method, name, kind))
    refused(OSError, *(("500", "try again") if kind == "status" else ()))
    intact(cache)
    hub.faults.clear()
    same(amge.from_pretrained(REPO))
    assert intact(cache) == {CONFIG, WEIGHTS}


def test_too_many_requests_is_said(hub, files):
    hub.put(REPO, files[0])
    hub.faults.append(Fault("HEAD", CONFIG, status=429))
    refused(OSError, "429", "try again later")


def test_a_connection_cut_at_half_goes_on_from_there(hub, files, same, cache):
    hub.put(REPO, files[0])
    hub.faults.append(Fault("GET", WEIGHTS, "cut", times=2))
    same(amge.from_pretrained(REPO, token="reader"))
    starts = [int(match[1]) for request in hub.stored if (match := re.search(r"bytes=(\d+)-$", request))]
    half, size = len(files[0][WEIGHTS]) // 2, len(files[0][WEIGHTS])
    assert len(hub.stored) == 3 and half - (1 << 14) < starts[0] <= half < starts[1] < size
    assert intact(cache) == {CONFIG, WEIGHTS}


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_what_is_not_what_the_hub_says_is_refused_and_leaves_the_cache(hub, files, same, cache, name):
    hub.put(REPO, files[0])
    hub.faults.append(Fault("GET", name, "spoil", times=1))
    refused(OSError, name, "not what the Hub says", "removed from the cache", "try again")
    assert intact(cache) == {CONFIG} - {name}
    same(amge.from_pretrained(REPO))


@pytest.mark.parametrize("shared", [False, True])
def test_a_file_damaged_on_disk_is_refused_once(hub, files, same, cache, shared):
    commit = hub.put(REPO, files[0])
    same(amge.from_pretrained(REPO))
    blob = cache / "models--me--tiny" / "blobs" / sha256(files[0][WEIGHTS])
    if shared:  # by repositories with the same file, as newer clients do
        blob.rename(cache / "shared")
        blob.symlink_to(Path("..", "..", "shared"))
    blob.write_bytes(files[1][WEIGHTS])
    refused(OSError, WEIGHTS, "not what the Hub says", revision=commit, local_files_only=True)
    assert intact(cache) == {CONFIG} and not (cache / "shared").exists()
    same(amge.from_pretrained(REPO, commit))


@pytest.mark.parametrize("where", [("HEAD", CONFIG), ("HEAD", WEIGHTS), ("GET", CONFIG), ("GET", WEIGHTS)])
def test_a_length_of_10_gb_is_not_believed(hub, files, same, cache, where, recwarn):
    hub.put(REPO, files[0])
    hub.faults.append(Fault(*where, "huge"))
    refused(OSError)
    intact(cache)
    hub.faults.clear()
    same(amge.from_pretrained(REPO))


LOAD_AT_ONCE = f"""
import hashlib, os, sys, amge
amge.from_pretrained(sys.argv[1])  # imports what it takes, once
children = []
for _ in range(4):
    if not (child := os.fork()):
        state = amge.from_pretrained({REPO!r}).state_dict()
        os.write(1, hashlib.sha1(b"".join(t.numpy().tobytes() for t in state.values())).hexdigest().encode() + b"\\n")
        os._exit(0)
    children.append(child)
assert all(os.waitpid(child, 0)[1] == 0 for child in children)
"""


@pytest.mark.filterwarnings("ignore:.*cache-system uses symlinks")
def test_a_cache_without_links_works(hub, files, same, cache, monkeypatch):
    """As where the file system has none."""
    hub.put(REPO, files[0])
    commit = hub.put(REPO, files[1])
    monkeypatch.setattr("os.symlink", lambda *_: (_ for _ in ()).throw(PermissionError("no links here")))
    for _ in range(2):
        same(amge.from_pretrained(REPO), 1)
        same(amge.from_pretrained(REPO, commit, local_files_only=True), 1)
    snapshot = cache / "models--me--tiny" / "snapshots" / commit
    assert not any(path.is_symlink() for path in snapshot.iterdir())


@pytest.mark.slow
def test_several_processes_load_at_once_into_one_cold_cache(hub, files, models, cache, tmp_path):
    hub.put(REPO, files[0])
    models[1].save_pretrained(tmp_path / "other")
    hub.faults.append(Fault("GET", WEIGHTS, "slow"))
    ours = {"HF_ENDPOINT": hub.url, "HF_HUB_CACHE": str(cache), "HF_TOKEN": "reader", "HF_HUB_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(
        [sys.executable, "-c", LOAD_AT_ONCE, tmp_path / "other"],
        cwd=ROOT,
        env=os.environ | ours | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    state = b"".join(tensor.numpy().tobytes() for tensor in models[0].state_dict().values())
    assert done.returncode == 0 and done.stdout == f"{hashlib.sha1(state).hexdigest()}\n" * 4, done.stderr
    assert hub.requests.count(f"HEAD /{REPO}/resolve/main/{CONFIG}") == 4
    assert intact(cache) == {CONFIG, WEIGHTS}


def test_published_weights_are_those_of_their_commit_and_no_others(hub, files, shards, same, registry):
    row = {"name": "transm3e-lite", "repo": REPO, "licence": "Apache-2.0"}
    pinned = hub.put(REPO, files[0])
    sharded = hub.put(REPO, shards)
    hub.put(REPO, files[1])
    register_pretrained(Pretrained(**row, tag="mine", revision=pinned, sha256=sha256(files[0][WEIGHTS])))
    register_pretrained(Pretrained(**row, tag="parts", revision=sharded, sha256=sha256(shards[INDEX])))
    register_pretrained(Pretrained(**row, tag="wrong", revision=pinned, sha256=sha256(files[1][WEIGHTS])))
    same(amge.build("transm3e-lite", pretrained="mine"))
    same(amge.build("transm3e-lite.mine", pretrained=True))
    same(amge.build("transm3e-lite", pretrained="parts"))
    same(amge.build("transm3e-lite", pretrained="mine", local_files_only=True))
    same(amge.build("transm3e-lite", pretrained=REPO), 1)
    with pytest.raises(ValueError, match="not what was published") as caught:
        amge.build("transm3e-lite", pretrained="wrong")
    assert "tiny" in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=f"the commit of {REPO}"):
        register_pretrained(Pretrained(**row, tag="loose", sha256="0" * 64))


def amge_cli(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_line_takes_repositories(hub, files, models):
    hub.put(REPO, files[0])
    hub.repos[REPO].refs["v1.0"] = hub.repos[REPO].refs["main"]
    shown = amge_cli("info", f"{REPO}@v1.0")
    assert shown.exit_code == 0 and json.loads(shown.stdout)["arch"] == "transm3e-lite", shown.output
    video = ROOT / "examples" / "squat.mp4"
    predicted = amge_cli("predict", video, "--model", REPO, "--json")
    assert predicted.exit_code == 0, predicted.output
    expected = models[0].predict(video)
    (found,) = json.loads(predicted.stdout)["videos"]
    assert found["regions"] == pytest.approx(dict(expected), abs=1e-4)
    for command in (("info", "me/other"), ("predict", video, "--model", "me/other")):
        failed = amge_cli(*command)
        assert failed.exit_code == 2 and failed.output.count("\n") == 1 and "no me/other on the Hub" in failed.output


def test_what_is_in_the_cache_is_taken_when_the_connection_breaks(hub, files, same):
    hub.put(REPO, files[0])
    amge.from_pretrained(REPO)
    hub.faults.append(Fault("HEAD", CONFIG, "reset"))
    same(amge.from_pretrained(REPO))
