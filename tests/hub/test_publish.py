import json
import re
from pathlib import Path

import huggingface_hub
import pytest
import torch
from hub_server import Fault, configure, direct, serve, sha256
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import amge
from amge.cli import app
from amge.hub import publish

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content:DeprecationWarning")  # of the client, about itself
ROOT = Path(__file__).parents[2]
REPO = "me/tiny"
WEIGHTS, CONFIG, CARD, INDEX = "model.safetensors", "config.json", "README.md", "model.safetensors.index.json"


@pytest.fixture(scope="module")
def models(tiny_spec):
    """Two of the same kind."""
    torch.manual_seed(0)
    return [amge.assemble(tiny_spec).eval() for _ in range(2)]


@pytest.fixture(scope="module")
def clip():
    return torch.randn(2, 3, 4, 64, 64)


@pytest.fixture
def folder(models, tmp_path):
    """A checkpoint of the first model, without licence."""
    return models[0].save_pretrained(tmp_path / "checkpoint")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """One whose client may write."""
    with serve(token="test") as hub:
        direct(hub, tmp_path, monkeypatch)
        monkeypatch.setenv("HF_TOKEN", "test")
        yield hub


def newest(hub, branch="main", repo=REPO):
    return hub.revision(repo, branch)[1]


def equal(model, other, clip):
    with torch.inference_mode():
        return torch.equal(model(clip), other(clip))


def refused(error, call, *words):
    """It fails with one line that has these words."""
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert type(caught.value) is error and "\n" not in message
    missing = [word for word in words if word not in message]
    assert not missing, message


def amge_cli(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_pushed_and_pulled_logits_are_equal_to_the_bit(hub, models, clip):
    done = models[0].push_to_hub(REPO, licence="Apache-2.0")
    files = newest(hub)
    assert set(files) == {WEIGHTS, CONFIG, CARD}
    assert done.repo == REPO and done.revision == hub.repos[REPO].refs["main"] and done.revision in done.url
    assert done.sha256 == sha256(files[WEIGHTS])
    assert [request.split(" ")[0] for request in hub.stored] == ["PUT"] and not hub.repos[REPO].private
    assert json.loads(files[CONFIG])["licence"] == "Apache-2.0"
    assert equal(amge.from_pretrained(REPO), models[0], clip)

    again = models[0].push_to_hub(REPO, licence="Apache-2.0")
    assert again == done and len(hub.repos[REPO]) == 2, "what did not change is no new commit"

    half = models[1].push_to_hub(REPO, torch.float16, licence="Apache-2.0", message="Halved")
    assert half.revision != done.revision and len(newest(hub)[WEIGHTS]) < 0.6 * len(files[WEIGHTS])
    assert equal(amge.from_pretrained(REPO, done.revision), models[0], clip)
    assert not equal(amge.from_pretrained(REPO), models[0], clip)
    row = amge.hub.Pretrained(
        name="transm3e-lite", tag="x", repo=REPO, revision=done.revision, sha256=done.sha256, licence="Apache-2.0"
    )
    assert row.files().get(WEIGHTS).read_bytes() == files[WEIGHTS]


def test_the_command_line_publishes(hub, folder, models, clip, tmp_path):
    parts = tmp_path / "my_parts.py"
    parts.write_text("import amge\n")
    arguments = ("publish", folder, REPO, "--licence", "Apache-2.0", "--private", "--branch", "next", "--with", parts)
    result = amge_cli(*arguments, "--message", "First")
    assert result.exit_code == 0, result.output
    url, revision, digest = result.stdout.splitlines()
    assert revision == f"revision {hub.repos[REPO].refs['next']}" and revision.split()[1] in url
    assert digest == f"sha256 {sha256((folder / WEIGHTS).read_bytes())}" and "metrics" in result.stderr
    assert hub.repos[REPO].private and newest(hub, "main") == {}
    assert set(newest(hub, "next")) == {WEIGHTS, CONFIG, CARD, "my_parts.py"}
    assert equal(amge.from_pretrained(f"{REPO}@next"), models[0], clip)
    assert amge_cli(*arguments).exit_code == 0 and len(hub.repos[REPO]) == 2
    failed = amge_cli("publish", folder, REPO)
    assert failed.exit_code == 2 and failed.output.startswith("error: ") and failed.output.count("\n") == 1


def test_shards_go_up_and_a_single_file_later_takes_their_place(hub, models, clip, tmp_path):
    parts = models[0].save_pretrained(tmp_path / "parts", max_shard_size="200KB")
    shards = {path.name for path in parts.glob("model-*.safetensors")}
    done = publish(parts, REPO, licence="MIT")
    assert len(shards) > 1 and set(newest(hub)) == {CONFIG, CARD, INDEX} | shards
    assert done.sha256 == sha256(newest(hub)[INDEX])
    assert equal(amge.from_pretrained(REPO), models[0], clip)
    huggingface_hub.HfApi().create_tag(REPO, tag="v1")

    hub.commit(REPO, "main", b'{"key": "file", "value": {"path": "notes.txt", "content": ""}}')
    models[1].push_to_hub(REPO, licence="MIT")
    assert set(newest(hub)) == {CONFIG, CARD, WEIGHTS, "notes.txt"}
    assert equal(amge.from_pretrained(REPO), models[1], clip)
    assert equal(amge.from_pretrained(REPO, done.revision), models[0], clip)
    assert equal(amge.from_pretrained(f"{REPO}@v1"), models[0], clip)

    publish(parts, REPO, licence="MIT")
    assert set(newest(hub)) == {CONFIG, CARD, INDEX, "notes.txt"} | shards
    assert equal(amge.from_pretrained(REPO), models[0], clip)


def test_what_nobody_could_use_is_refused_before_any_request(hub, models, folder, tmp_path):
    def attempt(source=folder, repo=REPO, **options):
        return lambda: publish(source, repo, **options)

    refused(ValueError, attempt(), "no licence", "licence=", "--licence")
    refused(ValueError, lambda: models[0].push_to_hub(REPO), "no licence")
    refused(ValueError, attempt(repo="tiny", licence="MIT"), "'tiny'", "owner/name")
    refused(ValueError, attempt(repo=f"{REPO}@v1", licence="MIT"), "owner/name")
    refused(ValueError, attempt(repo="./tiny", licence="MIT"), "owner/name")
    refused(ValueError, attempt(repo=str(tmp_path), licence="MIT"), "owner/name", "save_pretrained")
    refused(ValueError, attempt(tmp_path / "no", licence="MIT"), "not a folder", "save_pretrained")
    refused(ValueError, attempt(tmp_path, licence="MIT"), "no config.json")
    refused(ValueError, attempt(licence="MIT", extra=[tmp_path / "none.py"]), "none.py")
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[:-100])
    refused(ValueError, attempt(licence="MIT"), WEIGHTS, "safetensors")
    (folder / WEIGHTS).write_bytes(whole)
    tensors = load_file(folder / WEIGHTS)
    key = "head.projection.weight"
    save_file({**tensors, key: tensors[key] * float("nan")}, folder / WEIGHTS)
    refused(ValueError, attempt(licence="MIT"), "NaN", key)
    save_file({name: value for name, value in tensors.items() if name != key}, folder / WEIGHTS)
    refused(ValueError, attempt(licence="MIT"), f"missing {key}")
    (folder / WEIGHTS).unlink()
    refused(ValueError, attempt(licence="MIT"), f"no {WEIGHTS}")
    assert hub.requests == [] and hub.repos == {}


@pytest.mark.parametrize(
    "place, kind",
    [("/preupload/main", "status"), ("/objects/batch", "status"), ("/upload", "reset"), ("/commit/main", "reset")],
)
def test_publishing_that_breaks_leaves_the_repository_as_it_was(hub, models, clip, place, kind):
    models[0].push_to_hub(REPO, licence="MIT")
    before = dict(hub.repos[REPO]), dict(hub.repos[REPO].refs)
    hub.faults += [Fault("PUT" if place == "/upload" else "POST", place, kind)]
    said = "500" if kind == "status" else "connection"
    refused(OSError, lambda: models[1].push_to_hub(REPO, licence="MIT"), REPO, said, "try again")
    assert (hub.repos[REPO], hub.repos[REPO].refs) == before
    assert equal(amge.from_pretrained(REPO), models[0], clip)
    hub.faults.clear()
    models[1].push_to_hub(REPO, licence="MIT")
    assert equal(amge.from_pretrained(REPO), models[1], clip)


def test_faults_that_pass_do_not_stop_it(hub, models, clip):
    places = {"/create": "POST", "/branch/next": "POST", "/tree/next": "GET"}
    hub.faults += [Fault(method, place, kind, 1) for place, method in places.items() for kind in ("status", "reset")]
    models[0].push_to_hub(REPO, licence="MIT", branch="next")
    assert all(fault.times == 0 for fault in hub.faults)
    assert equal(amge.from_pretrained(REPO, "next"), models[0], clip)


def test_those_who_may_not_write_are_told_so(hub, models, monkeypatch):
    def push(**options):
        return lambda: models[0].push_to_hub(REPO, licence="MIT", **options)

    refused(ValueError, push(token="reader"), REPO, "403", "rights to write", "HF_TOKEN")
    refused(ValueError, push(token="wrong"), REPO, "401", "Invalid credentials", "hf auth login")
    refused(ValueError, push(token=False), REPO, "401", "hf auth login")
    assert hub.repos == {}
    hub.put(REPO, {"notes.txt": b""})
    refused(ValueError, push(token="reader"), REPO, "403", "rights to write")
    assert len(hub.repos[REPO]) == 2
    hub.faults.append(Fault("POST", "/commit/main", status=413))
    refused(OSError, push(), REPO, "413", "as planned")
    configure(monkeypatch, HF_HUB_OFFLINE=True)
    refused(OSError, push(), REPO, "HF_HUB_OFFLINE", "unset it")


def test_a_card_in_your_own_words_stays_and_a_generated_one_names_the_repository(hub, folder):
    assert "from_pretrained('.')" in (folder / CARD).read_text()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    publish(folder, REPO, licence="Apache-2.0", metrics={"val_mAP": 61.5})
    card = newest(hub)[CARD].decode()
    assert f"from_pretrained('{REPO}')" in card and "license: apache-2.0" in card and "| val | mAP | 61.5 |" in card
    assert json.loads(newest(hub)[CONFIG])["metrics"] == {"val_mAP": 61.5}
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}, "the folder stays as it is"

    hub.put(REPO, {**newest(hub), CARD: b"---\nlicense: mit\n---\n"})  # as the site makes them
    publish(folder, REPO, licence="Apache-2.0", metrics={"val_mAP": 61.5})
    assert newest(hub)[CARD].decode() == card
    written = b"---\nlicense: apache-2.0\n---\n# Written on the Hub\n"
    hub.put(REPO, {**newest(hub), CARD: written})
    publish(folder, REPO, licence="Apache-2.0", metrics={"val_mAP": 62.5})
    assert newest(hub)[CARD] == written and json.loads(newest(hub)[CONFIG])["metrics"] == {"val_mAP": 62.5}

    (folder / CARD).write_text("---\nlicense: mit\n---\n# Muscles × mine\n", encoding="utf-8")
    publish(folder, REPO, licence="MIT")
    assert newest(hub)[CARD] == (folder / CARD).read_bytes()
    (folder / CARD).write_text("---\nlicense: [\n---\n# Mine\n")
    refused(ValueError, lambda: publish(folder, REPO, licence="MIT"), REPO, CARD, "must be a string")


def test_the_snippet_of_the_card_runs(hub, models, tmp_path, monkeypatch, capsys):
    models[0].push_to_hub(REPO, licence="MIT")
    snippet = re.search(r"```python\n(.*?)```", newest(hub)[CARD].decode(), re.DOTALL)[1]
    (tmp_path / "video.mp4").write_bytes((ROOT / "examples" / "squat.mp4").read_bytes())
    monkeypatch.chdir(tmp_path)
    exec(compile(snippet, "card", "exec"), {})
    expected = models[0].predict(tmp_path / "video.mp4")
    assert capsys.readouterr().out.strip().endswith(f" {expected.active}")


def test_other_files_may_not_take_the_names_of_the_checkpoint(hub, tmp_path, models):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="has the name of a file of the checkpoint itself"):
        models[0].push_to_hub(REPO, extra=[tmp_path / "config.json"])
    assert hub.requests == []


def test_a_repository_stays_as_private_as_it_is(hub, models):
    models[0].push_to_hub(REPO, private=True, licence="MIT")
    models[1].push_to_hub(REPO, licence="MIT")
    with pytest.raises(ValueError, match="it exists already and is private; change that on the Hub"):
        models[0].push_to_hub(REPO, private=False, licence="MIT")
    assert hub.repos[REPO].private


def test_a_card_on_the_branch_alone_stays(hub, models):
    models[0].push_to_hub(REPO, branch="trials", licence="MIT")
    hub.put(REPO, newest(hub, "trials") | {"README.md": b"# In my own words\n"}, "trials")
    models[0].push_to_hub(REPO, branch="trials", licence="MIT", message="again")
    models[0].push_to_hub(REPO, licence="MIT")
    assert newest(hub, "trials")["README.md"] == b"# In my own words\n" != newest(hub)["README.md"]
