"""Loading: to what type and place, in parts, beside other threads, in how much memory; and saving that goes wrong."""

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

import amge
from amge.files import digest
from amge.hub import describe, lean
from amge.hub.card import GENERATED
from amge.hub.files import Folder
from amge.hub.published import Pinned
from amge.hub.weights import weight_files


def clip(seed=0, dtype=torch.float32):
    return torch.randn(2, 3, 4, 64, 64, generator=torch.Generator().manual_seed(seed)).to(dtype)


@pytest.fixture(scope="module")
def saved(first_tiny_model, tmp_path_factory):
    """The model in one file and in several."""
    place = tmp_path_factory.mktemp("saved")
    return {size: first_tiny_model.save_pretrained(place / str(size), max_shard_size=size) for size in ("5GB", 200_000)}


@pytest.fixture
def folder(saved, tmp_path):
    return Path(shutil.copytree(saved["5GB"], tmp_path / "checkpoint"))


@pytest.fixture
def sharded(saved, tmp_path):
    return Path(shutil.copytree(saved[200_000], tmp_path / "sharded"))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def equal(one, other):
    return all(torch.equal(value, other.state_dict()[key]) for key, value in one.state_dict().items())


# Type and place


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_type_to_load(tiny_model, folder, dtype):
    model = amge.from_pretrained(folder, dtype=dtype)
    expected = tiny_model.to(dtype)
    for key, value in expected.state_dict().items():
        again = model.state_dict()[key]
        assert again.dtype == value.dtype and torch.equal(again, value), key
    with torch.no_grad():
        assert torch.equal(model(clip(dtype=dtype)), expected(clip(dtype=dtype)))


def test_predict_in_bfloat16(tiny_model, folder):
    video = np.random.default_rng(0).integers(0, 256, (12, 40, 48, 3), dtype=np.uint8)
    probabilities = amge.from_pretrained(folder, dtype=torch.bfloat16).predict(video)
    assert probabilities == pytest.approx(tiny_model.predict(video), abs=0.05)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_a_type_without_fractions_is_refused(tiny_model, folder, dtype, tmp_path):
    with pytest.raises(ValueError, match=f"floating-point weights, .* got {dtype}"):
        amge.from_pretrained(folder, dtype=dtype)
    with pytest.raises(ValueError, match=f"floating-point weights, .* got {dtype}"):
        tiny_model.save_pretrained(tmp_path / "new", dtype=dtype)


def test_a_device_to_load_to(folder):
    assert {value.device.type for value in amge.from_pretrained(folder, device="cpu").state_dict().values()} == {"cpu"}
    outline = amge.from_pretrained(folder, device="meta")
    assert all(value.is_meta for value in [*outline.parameters(), *outline.buffers()])


def test_the_default_device_is_where_a_model_comes(tiny_model, folder):
    with torch.device("meta"):
        assert all(value.is_meta for value in amge.from_pretrained(folder).state_dict().values())
        assert equal(tiny_model, amge.from_pretrained(folder, device="cpu"))
        with pytest.warns(UserWarning, match="was not loaded whole. Untrained: the head"):
            fresh = amge.from_pretrained(folder, device="cpu", num_classes=3)
        assert {value.device.type for value in fresh.state_dict().values()} == {"cpu"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_loading_to_a_gpu(tiny_model, folder):
    before = torch.cuda.get_rng_state()
    for context, options in ((torch.device("cuda"), {}), (torch.device("cpu"), {"device": "cuda"})):
        with context:
            model = amge.from_pretrained(folder, **options)
        assert all(value.is_cuda for value in [*model.parameters(), *model.buffers()])
        assert equal(tiny_model, model.cpu())
    assert torch.equal(torch.cuda.get_rng_state(), before)


# Parts of a checkpoint


def test_another_number_of_classes_has_a_fresh_head(tiny_model, folder):
    with pytest.warns(UserWarning, match="Untrained: the head, for 3 classes") as said:
        model = amge.from_pretrained(folder, num_classes=3)
    text = str(said[0].message)
    assert all(f"head.{key} {tuple(value.shape)}" in text for key, value in tiny_model.head.state_dict().items())
    assert said[0].filename == __file__ and len(said) == 1
    assert model.spec.labels == ("class_0", "class_1", "class_2") and not model.training
    with torch.no_grad():
        assert model(clip()).shape == (2, 3)
    kept = {key: value for key, value in tiny_model.state_dict().items() if not key.startswith("head.")}
    assert all(torch.equal(model.state_dict()[key], value) for key, value in kept.items())


def test_the_same_number_of_classes_keeps_the_head(tiny_model, folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert equal(tiny_model, amge.from_pretrained(folder, num_classes=20))


@pytest.mark.parametrize("number", [0, -1, True, "3", 2.0])
def test_no_number_of_classes(folder, number):
    with pytest.raises(ValueError, match="num_classes must be a whole number"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        amge.from_pretrained(folder, num_classes=number)


@pytest.mark.parametrize(
    "overrides",
    [
        {"labels": ("chest", "calves")},
        {"tokens": 7},
        {"fusion": "concat"},
        {"fusion": "sum"},
        {"banks": ("main",), "fusion": None, "distill": None},
        {"head": "class-aligned", "tokens": 20},
    ],
    ids=str,
)
def test_what_does_not_fit_is_fresh_and_named(tiny_model, folder, overrides):
    with pytest.raises(
        ValueError, match=r"does not fit.*strict=False (starts these parts afresh|keeps the rows of the labels)"
    ):
        amge.from_pretrained(folder, **overrides)
    with pytest.warns(UserWarning, match="was not loaded whole") as said:
        model = amge.from_pretrained(folder, strict=False, **overrides)
    stored, own = tiny_model.state_dict(), model.state_dict()
    fits = {key for key in stored.keys() & own.keys() if stored[key].shape == own[key].shape}
    text = (
        str(said[0].message).split(" was not loaded whole. ")[1].removeprefix("Untrained: ").removeprefix("Not used: ")
    )
    named = text.replace(". Not used: ", "; ").split("; ")
    assert "missing" not in text and "unexpected" not in text
    assert len(named) == len((stored.keys() | own.keys()) - fits)
    for key in (stored.keys() | own.keys()) - fits:
        assert any(key in each.split(" ") for each in named), key
    assert all(torch.equal(own[key], stored[key]) for key in fits)
    assert {key for key in stored if key.startswith("backbone.")} <= fits and not model.training
    with torch.no_grad():
        assert model(clip()).isfinite().all()


def test_what_is_partly_fresh_has_no_metrics(folder):
    describe(folder, metrics={"val_mAP": 50.0}, tag="toy", licence="MIT")
    with pytest.warns(UserWarning, match="not loaded whole"):
        spec = amge.from_pretrained(folder, strict=False, labels=("chest", "calves")).spec
    assert (spec.metrics, spec.tag, spec.licence) == ({}, None, "MIT")


@pytest.mark.parametrize("strict", [True, False])
def test_the_backbone_fits_whole_or_not_at_all(folder, strict):
    arguments = {"encoder": "test_efficientnet", "dim": 32, "depth": 3, "num_heads": 2}
    with pytest.raises(ValueError, match=r"does not fit.*missing backbone\.adapter") as refused:
        amge.from_pretrained(folder, strict=strict, backbone_args=arguments)
    assert "strict=False" not in str(refused.value)


# What loading leaves alone


@pytest.mark.parametrize("options", [{}, {"dtype": torch.float16}, {"num_classes": 20}], ids=str)
def test_chance_goes_on_as_if_nothing_was_loaded(folder, options):
    def draw():
        return torch.rand(1).item(), np.random.rand(), random.random()

    def seed():
        torch.manual_seed(4)
        np.random.seed(4)
        random.seed(4)

    seed()
    expected = draw()
    seed()
    amge.from_pretrained(folder, **options).save_pretrained(folder)
    assert draw() == expected


def test_several_threads_load_while_another_builds(tiny_model, folder):
    done, plain = threading.Event(), []

    def build():
        while not done.is_set():
            plain.append(nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8)))

    other = threading.Thread(target=build)
    other.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            models = list(pool.map(lambda _: amge.from_pretrained(folder), range(6)))
    finally:
        done.set()
        other.join()
    assert all(equal(tiny_model, model) for model in models)
    assert plain and not any(value.is_meta for part in plain for value in [*part.parameters(), *part.buffers()])
    assert len({value.data_ptr() for model in models for value in model.parameters()}) == 6 * len(
        list(tiny_model.parameters())
    )


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError])
@pytest.mark.parametrize("call", [1, 2])
def test_an_interruption_leaves_no_hook(folder, registry, tiny_spec, error, call, tmp_path):
    calls = [float("nan")]

    @amge.register("fusion", "mine")
    class Mine(nn.Module):
        def __init__(self, dim):
            super().__init__()
            self.out_channels = dim
            calls[0] -= 1
            if calls[0] == 0:
                raise error

        def forward(self, main, receiver):
            return main + receiver

    folder = amge.assemble(tiny_spec.replace(fusion="mine", distill=None)).save_pretrained(tmp_path / "mine")
    calls[0] = call
    with pytest.raises(error) if error is not MemoryError else warnings.catch_warnings():
        amge.from_pretrained(folder)
    assert (lean._watchers.parameter, lean._watchers.buffer) == (None, None)
    assert not nn.Linear(2, 2).weight.is_meta
    calls[0] = float("nan")
    assert amge.from_pretrained(folder).spec.fusion == "mine"


def test_no_network(folder, sharded, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("opened a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert equal(amge.from_pretrained(folder), amge.from_pretrained(sharded))


@pytest.mark.parametrize("change", ["overwritten", "truncated", "removed"])
def test_weights_are_in_memory_of_their_own(tiny_model, folder, change):
    path, model = folder / "model.safetensors", amge.from_pretrained(folder)
    with path.open("r+b") as file:
        if change == "overwritten":
            file.write(b"\xff" * path.stat().st_size)
        elif change == "truncated":
            file.truncate(100)
    if change == "removed":
        path.unlink()
    assert equal(tiny_model, model)


def test_an_edit_of_a_model_leaves_the_file(folder):
    before, model = (folder / "model.safetensors").read_bytes(), amge.from_pretrained(folder)
    with torch.no_grad():
        for value in model.parameters():
            value.fill_(3)
    assert (folder / "model.safetensors").read_bytes() == before


PEAK = """
import re, sys, threading, time, torch, amge
torch.set_num_threads(1)
def status(name):
    return int(re.search(name + r":\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024
amge.from_pretrained(sys.argv[2])  # what libraries take once
before, peak, done = status("RssAnon"), 0, False
def watch():
    global peak
    while not done:
        peak = max(peak, status("RssAnon"))
        time.sleep(0.001)
thread = threading.Thread(target=watch); thread.start()
model = amge.from_pretrained(sys.argv[1])
done = True; thread.join()
weights = sum(v.numel() * v.element_size() for v in model.state_dict().values())
print((max(peak, status("RssAnon")) - before) / weights, weights)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_loading_takes_the_memory_of_one_copy(tmp_path):
    model = amge.build("transm3e-tiny", backbone_args={"embed_dim": 104, "depth": 10, "double_at": (1, 3, 8)})
    size = sum(value.numel() * 4 for value in model.parameters())
    assert 120e6 < size < 250e6
    folder = model.save_pretrained(tmp_path / "wide")
    warm = amge.build("transm3e-tiny").save_pretrained(tmp_path / "tiny")
    del model
    done = subprocess.run([sys.executable, "-c", PEAK, folder, warm], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ratio, weights = map(float, done.stdout.split())
    assert weights >= size and ratio < 1.35


# Several files


def test_several_files(tiny_model, folder, sharded):
    shards = [name for name in names(sharded) if name.endswith(".safetensors")]
    assert len(shards) > 2 and "model.safetensors" not in shards and "model.safetensors.index.json" in names(sharded)
    assert equal(tiny_model, amge.from_pretrained(sharded))


def test_a_single_file_goes_before_an_index(tiny_model, folder, sharded):
    tiny_model.bank.tokens["main"].data.fill_(7)
    single = tiny_model.save_pretrained(folder)
    shutil.copy(single / "model.safetensors", sharded)
    assert amge.from_pretrained(sharded).bank.tokens["main"].unique().tolist() == [7]


@pytest.mark.parametrize("sizes", [(200_000, "5GB"), ("5GB", 200_000), (200_000, 400_000)])
def test_saving_over_a_checkpoint_leaves_nothing_of_it(tiny_model, tmp_path, sizes):
    tiny_model.save_pretrained(tmp_path / "one", max_shard_size=sizes[0])
    tiny_model.bank.tokens["main"].data.fill_(7)
    tiny_model.save_pretrained(tmp_path / "one", max_shard_size=sizes[1])
    fresh = tiny_model.save_pretrained(tmp_path / "other", max_shard_size=sizes[1])
    assert names(tmp_path / "one") == names(fresh)
    assert equal(tiny_model, amge.from_pretrained(tmp_path / "one"))


def test_files_are_as_readable_as_any(tiny_model, tmp_path):
    (tmp_path / "plain").touch()
    folder = tiny_model.save_pretrained(tmp_path / "one", max_shard_size=200_000)
    assert {path.stat().st_mode for path in folder.iterdir()} == {(tmp_path / "plain").stat().st_mode}


# Saving that goes wrong


def outcome(folder):
    """Which model a folder loads as, or what it says."""
    try:
        model = amge.from_pretrained(folder)
    except ValueError as error:
        assert str(folder) in str(error)
        return "refused"
    return model.spec.threshold, model.bank.tokens["main"].unique().tolist()


def stamp(model, threshold, token):
    """The model with another config and other weights."""
    model.spec = model.spec.replace(threshold=threshold)
    model.bank.tokens["main"].data.fill_(token)
    return model


@pytest.mark.parametrize("sizes", [(400_000, "5GB"), ("5GB", 400_000), (400_000, 200_000)])
def test_a_crash_never_leaves_a_mixture(tiny_model, tmp_path, monkeypatch, sizes):
    seen = []
    for call in range(1, 30):
        folder, left = tmp_path / str(call), [call]
        stamp(tiny_model, 0.4, 1).save_pretrained(folder, max_shard_size=sizes[0])
        stamp(tiny_model, 0.6, 2)
        with monkeypatch.context() as patched:

            def broken(*arguments, left=left, replace=os.replace):
                left[0] -= 1
                if left[0] == 0:
                    raise OSError("the disk went away")
                return replace(*arguments)

            patched.setattr(os, "replace", broken)
            with suppress(OSError):
                tiny_model.save_pretrained(folder, max_shard_size=sizes[1])
        assert not list(folder.glob(".part-*"))
        seen.append(outcome(folder))
        assert seen[-1] in ("refused", (0.4, [1]), (0.6, [2]))
        if left[0] > 0:
            break
    assert seen[-1] == (0.6, [2]) and len(seen) > 2


def test_a_full_disk_keeps_the_old_checkpoint(tiny_model, folder, monkeypatch):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(*_, **__):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("huggingface_hub.save_torch_state_dict", full)
    tiny_model.bank.tokens["main"].data.fill_(7)
    with pytest.raises(OSError, match=r"model\.safetensors could not be written: .*No space left"):
        tiny_model.save_pretrained(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_numbers_too_large_for_half_precision(tiny_model, folder, tmp_path):
    tiny_model.bank.tokens["main"].data[0, 0] = 1e6
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ValueError, match=r"tokens\.main holds numbers up to 1e\+06, too large for torch\.float16"):
        tiny_model.save_pretrained(folder, dtype=torch.float16)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    with pytest.raises(ValueError, match="too large"):
        tiny_model.save_pretrained(tmp_path / "new", dtype=torch.float16)
    assert not (tmp_path / "new").exists()
    folder = tiny_model.save_pretrained(tmp_path / "whole")
    with pytest.raises(ValueError, match=r"infinity in bank\.tokens\.main, as torch\.float16"):
        amge.from_pretrained(folder, dtype=torch.float16)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tiny_model, folder):
    folder.chmod(0o500)
    try:
        with pytest.raises(PermissionError, match=folder.name):
            tiny_model.save_pretrained(folder)
    finally:
        folder.chmod(0o700)
    assert equal(tiny_model, amge.from_pretrained(folder))


def test_a_folder_that_refuses(tiny_model, folder, monkeypatch):
    def refuse(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("tempfile._os.mkdir", refuse)
    with pytest.raises(PermissionError, match="Permission denied"):
        tiny_model.save_pretrained(folder)
    monkeypatch.undo()
    assert equal(tiny_model, amge.from_pretrained(folder))


def test_a_file_in_the_way(tiny_model, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        tiny_model.save_pretrained(tmp_path / "file")


# Config and card


def test_what_a_save_left_that_was_killed_goes_with_the_next(tiny_model, folder):
    left = folder / ".part-checkpoint"
    left.mkdir()
    (left / "model.safetensors").write_bytes(b"half")
    tiny_model.save_pretrained(folder)
    assert not list(folder.glob(".part-*")) and equal(tiny_model, amge.from_pretrained(folder))


@pytest.mark.parametrize("own", [b"# My model\n", "# Mit Muskeln, größer\n".encode("latin-1"), b""])
def test_a_card_of_one_s_own_is_kept(tiny_model, folder, own):
    (folder / "README.md").write_bytes(own)
    tiny_model.save_pretrained(folder)
    describe(folder, tag="toy")
    assert (folder / "README.md").read_bytes() == own


def test_describe_changes_config_and_card(tiny_model, folder):
    before = (folder / "model.safetensors").read_bytes()
    spec = describe(folder, licence="CC-BY-4.0", metrics={"val_seen_mAP": 12.5}, tag="toy")
    config = json.loads((folder / "config.json").read_text())
    assert (config["licence"], config["metrics"], config["tag"]) == ("CC-BY-4.0", {"val_seen_mAP": 12.5}, "toy")
    card = (folder / "README.md").read_text()
    assert GENERATED in card and "| val_seen | mAP | 12.5 |" in card and "license: cc-by-4.0" in card
    model = amge.from_pretrained(folder)
    assert model.spec == spec and equal(tiny_model, model)
    assert (folder / "model.safetensors").read_bytes() == before and not list(folder.glob(".part-*"))


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"licens": "MIT"}, "did you mean 'licence'"),
        ({"metrics": {"mAP": float("nan")}}, "metrics"),
        ({"metrics": {"mAP": "high"}}, "metrics must be numbers"),
        ({"licence": 3}, "licence must be text"),
        ({"provenance": {"when": set()}}, "provenance must hold plain values"),
    ],
    ids=str,
)
def test_describe_refuses_and_leaves_all_as_it_was(folder, fields, message):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ValueError, match=message):
        describe(folder, **fields)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_describe_is_of_folders_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for place in ("owner/name", "nowhere"):
        with pytest.raises(ValueError, match=f"{place} is not a folder"):
            describe(place, tag="toy")
    assert list(tmp_path.iterdir()) == []


def test_saved_half_precision_equals_what_it_rounds_to(tiny_model, tmp_path):
    folder = tiny_model.save_pretrained(tmp_path, dtype=torch.bfloat16)
    stored = load_file(folder / "model.safetensors")
    assert {value.dtype for value in stored.values()} <= {torch.bfloat16, torch.int64}
    for key, value in amge.from_pretrained(folder).state_dict().items():
        assert torch.equal(value, stored[key].to(value.dtype)), key


def test_the_index_of_published_shards_is_compared(tiny_model, tmp_path):
    folder = tiny_model.save_pretrained(tmp_path, max_shard_size="200KB")
    index = folder / "model.safetensors.index.json"
    pinned = Pinned(Folder(folder), digest(index))
    assert weight_files(pinned)
    index.write_text(index.read_text() + " ")
    with pytest.raises(ValueError, match=r"index\.json is not what was published"):
        weight_files(pinned)


@pytest.mark.parametrize("options", [{"num_classes": 0}, {"dtype": "float16"}, {"dtype": torch.float8_e4m3fn}], ids=str)
def test_options_that_make_no_sense_are_refused(folder, options):
    with pytest.raises(ValueError, match=r"num_classes must be|dtype is of floating-point"):
        amge.from_pretrained(folder, **options)


@pytest.mark.parametrize("source", ["", None, 3])
def test_what_is_no_place_is_refused(source):
    with pytest.raises(ValueError, match="a checkpoint is a folder or a repository"):
        amge.from_pretrained(source)


@pytest.mark.parametrize("pretrained", ["", 2])
def test_build_never_takes_a_strange_request_for_none(pretrained):
    with pytest.raises(ValueError):
        amge.build("st-gcn", pretrained=pretrained)


def test_metrics_go_when_the_model_changes(folder):
    describe(folder, metrics={"val_mAP": 50.0})
    assert amge.from_pretrained(folder, threshold=0.1, tag="new").spec.metrics == {"val_mAP": 50.0}
    assert amge.from_pretrained(folder, seconds=2.0).spec.metrics == {}
    assert describe(folder, seconds=2.0, metrics={"val_mAP": 40.0}).metrics == {"val_mAP": 40.0}


def test_describe_refuses_what_the_weights_do_not_fit(folder):
    before = (folder / "config.json").read_text()
    with pytest.raises(ValueError, match=r"do not fit that: bank\.tokens\.main"):
        describe(folder, tokens=7)
    assert (folder / "config.json").read_text() == before and amge.from_pretrained(folder)
