"""Checkpoints that are broken or meant ill: one clear error each, and nothing done."""

import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from typer.testing import CliRunner

import amge
from amge.cli import app
from amge.hub import published
from amge.hub.published import PUBLISHED, SHIPPED, Pretrained, register_pretrained

WAVES = torch.complex64 if int(huggingface_hub.__version__.split(".")[0]) > 1 else torch.float32
"""Clients below 2.0 can't save complex numbers."""

CLIP = Path(__file__).parents[2] / "examples" / "squat.mp4"


@pytest.fixture(scope="module")
def saved(tiny_spec, tmp_path_factory):
    """The same random model in one file and in several."""
    torch.manual_seed(0)
    model, place = amge.assemble(tiny_spec).eval(), tmp_path_factory.mktemp("saved")
    return {size: model.save_pretrained(place / str(size), max_shard_size=size) for size in ("5GB", 200_000)}


@pytest.fixture
def folder(saved, tmp_path):
    return Path(shutil.copytree(saved["5GB"], tmp_path / "checkpoint"))


@pytest.fixture
def sharded(saved, tmp_path):
    return Path(shutil.copytree(saved[200_000], tmp_path / "checkpoint"))


def listing(place):
    return sorted((str(path), path.lstat().st_size, path.lstat().st_mtime_ns) for path in place.rglob("*"))


def refused(folder, *parts, seconds=5.0):
    """One error that names the folder and says `parts`, soon, from the library and in one line from the commands;
    nothing is written anywhere."""
    around = folder.parent
    before = listing(around)
    start = time.perf_counter()
    with pytest.raises((ValueError, OSError)) as error:
        amge.from_pretrained(folder)
    assert time.perf_counter() - start < seconds
    text = str(error.value)
    assert str(folder) in text and "\n" not in text.strip() and 20 < len(text) < 600 + len(str(folder))
    for part in parts:
        assert part in text, text
    result = CliRunner().invoke(app, ["predict", str(CLIP), "--model", str(folder)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert listing(around) == before
    return text


def info(folder):
    """What `amge info` says of a config."""
    result = CliRunner().invoke(app, ["info", str(folder)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    return result.stderr


def configured(folder, **values):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))
    return folder


def changed(folder, edit):
    state = load_file(folder / "model.safetensors")
    edit(state)
    save_file(state, folder / "model.safetensors")
    return folder


def raw(folder, header, data=b"", length=None, size=None):
    """Weights of any header, which may claim another length; of any size, which costs no disk."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = folder / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    if size:
        os.truncate(path, size)


def entry(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


# Code


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


SUFFIXES = (".pth", ".pt", ".pyth", ".bin", ".ckpt", ".pkl", ".pickle", ".tar")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_pickles_are_never_opened(folder, tmp_path, suffix):
    (folder / f"model{suffix}").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    (folder / "model.safetensors").unlink()
    refused(folder, f"has no model.safetensors; model{suffix} is a pickle")
    refused(folder / f"model{suffix}", "is a pickle", "never opened")
    (folder / "config.json").unlink()
    refused(folder, "has no config.json")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "model.safetensors.index.json"])
@pytest.mark.parametrize("zipped", [True, False])
def test_pickles_by_another_name_are_never_opened(sharded, tmp_path, name, zipped):
    if name == "model.safetensors" and not zipped:
        (sharded / name).write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    elif zipped:
        torch.save({"weight": Trap(tmp_path / "sprung")}, sharded / name)
    else:
        (sharded / name).write_bytes(pickle.dumps(Trap(tmp_path / "sprung"), protocol=0))
    refused(sharded, name)
    assert not (tmp_path / "sprung").exists()


def test_code_in_a_checkpoint_is_never_run(folder, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(folder)
    for name in ("evil", "config", "modeling", "__init__", "conftest", "sitecustomize"):
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')")
    configured(folder, imports={"fusion mctf": "evil", "fusion gate": "evil"}, fusion="gate", fusion_args={})
    refused(folder, "fusion 'gate'", "first `import evil`, which registers them")
    assert not (tmp_path / "sprung").exists() and "evil" not in sys.modules


@pytest.mark.parametrize("home", ["os; rm -rf /", "os\nimport evil", "os as x", "", ".", "../evil", 5, None, ["os"]])
def test_what_is_no_module_is_not_offered_for_import(folder, home):
    configured(folder, imports={"fusion mine": home}, fusion="mine", fusion_args={})
    text = refused(folder, "config.json: imports must map parts to names of modules")
    assert "rm -rf" not in text and "evil" not in text


# Weights


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**40, 0, 1])
def test_a_header_of_a_wrong_length(folder, length):
    raw(folder, {}, length=length)
    refused(folder, "model.safetensors is not a readable safetensors file")


def test_a_header_that_claims_100_MB_of_a_sparse_file(folder):
    raw(folder, {}, length=100_000_000, size=200_000_000)
    refused(folder, "its header claims to have 100,000,000 bytes, 10,000,000 are allowed", seconds=1)


def test_a_header_of_20_MB(folder):
    raw(folder, b'{"__metadata__": {"a": "' + b"x" * 20_000_000 + b'"}}', b"\0" * 100)
    refused(folder, "10,000,000 are allowed", seconds=1)


@pytest.mark.parametrize(
    "header, data",
    [
        (b"[" * 100_000 + b"]" * 100_000, 0),
        (b'{"a": ' * 100_000 + b"1" + b"}" * 100_000, 0),
        (b"not JSON", 0),
        (b"\xff\xfe", 0),
        (b"", 0),
        (b"null", 0),
        ({"a": entry([1], 0, 4), "b": entry([1], 0, 4)}, 4),
        ({"a": entry([1], 0, 4), "b": entry([1], 8, 12)}, 12),
        ({"a": entry([1], 0, 400)}, 4),
        ({"a": entry([1], 4, 0)}, 4),
        ({"a": entry([-1], 0, 4)}, 4),
        ({"a": entry([2**62, 4], 0, 4)}, 4),
        ({"a": entry([2**40], 0, 2**42)}, 4),
        ({"a": entry([2_500_000_000], 0, 10_000_000_000)}, 4),
        ({"a": entry([1], 0, 4, "F99")}, 4),
        ({"a": entry([1.5], 0, 4)}, 4),
        ({"a": {"dtype": "F32"}}, 4),
        ({"a": entry([1], 0, 4)}, 8),
    ],
)
def test_a_header_that_lies(folder, header, data):
    raw(folder, header, b"\0" * data)
    refused(folder, "model.safetensors is not a readable safetensors file")


def test_names_that_are_there_twice_are_one(folder):
    part = b'"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}'
    raw(folder, b"{" + part + b", " + part + b"}", b"\0" * 4)
    refused(folder, "does not fit", "missing")


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31mred", "a\0b", "\u202egnp"])
def test_odd_names_of_tensors(folder, name):
    changed(folder, lambda state: state.update({name: torch.zeros(1)}))
    text = refused(folder, "has a tensor of the odd name")
    assert name not in text


@pytest.mark.parametrize("dtype, size", [("F4", 10), ("F6_E2M3", 15), ("F8_E4M3", 20), ("F8_E8M0", 20)])
def test_types_that_few_know(folder, dtype, size):
    path = folder / "model.safetensors"
    state = load_file(path)
    del state["head.projection.bias"]
    save_file(state, path)
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header, rest = json.loads(data[8 : 8 + length]), data[8 + length :]
    header["head.projection.bias"] = entry([20], len(rest), len(rest) + size, dtype)
    raw(folder, header, rest + b"\xff" * size)
    refused(folder, "model.safetensors", "head.projection.bias" if dtype.startswith("F8") else "could not be read")


def test_ten_gigabytes_that_cost_no_disk(folder):
    raw(folder, {"a": entry([2_500_000_000], 0, 10_000_000_000)})
    os.truncate(folder / "model.safetensors", (folder / "model.safetensors").stat().st_size + 10_000_000_000)
    assert (folder / "model.safetensors").stat().st_blocks < 1000
    refused(folder, "does not fit", "missing")


@pytest.mark.parametrize(
    "edit, message",
    [
        (lambda state: state.pop("head.projection.bias"), "missing head.projection.bias"),
        (lambda state: state.update(extra=torch.zeros(1)), "unexpected extra"),
        (lambda state: state.update({"head.projection.bias": torch.zeros(3)}), "bias is (3,), the model has (20,)"),
        (lambda state: state.clear(), "and "),
        (lambda state: state.update({"head.projection.bias": torch.zeros(20).long()}), "holds whole numbers"),
        (lambda state: state.update({"head.projection.bias": torch.zeros(20).bool()}), "holds whole numbers"),
        (lambda state: state.update({"head.projection.bias": torch.zeros(20).cfloat()}), "holds whole numbers"),
    ],
)
def test_weights_that_do_not_fit(folder, edit, message):
    refused(changed(folder, edit), "does not fit 'transm3e-lite'", message)


def counter(state):
    return next(key for key in state if key.endswith("num_batches_tracked"))


@pytest.mark.parametrize("dtype", [torch.int32, torch.bool, torch.uint8, torch.complex64, torch.float32])
def test_whole_numbers_of_another_type(folder, dtype):
    changed(folder, lambda state: state.update({counter(state): state[counter(state)].to(dtype)}))
    refused(folder, "num_batches_tracked")


def test_double_precision_is_rounded(folder):
    changed(folder, lambda state: state.update({"head.projection.bias": torch.full((20,), 0.1, dtype=torch.float64)}))
    bias = amge.from_pretrained(folder).head.projection.bias
    assert bias.dtype == torch.float32 and torch.equal(bias, torch.full((20,), 0.1))
    changed(folder, lambda state: state.update({"head.projection.bias": torch.full((20,), 1e99, dtype=torch.float64)}))
    refused(folder, "NaN or infinity in head.projection.bias, as torch.float32")


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_nan_and_infinity_in_parameters(folder, value, dtype):
    bias = torch.zeros(20, dtype=dtype)
    bias[7] = float(value)
    changed(folder, lambda state: state.update({"head.projection.bias": bias}))
    refused(folder, "model.safetensors holds NaN or infinity in head.projection.bias", "no model works")


@pytest.fixture
def masked(registry, tiny_spec):
    """A random model with a buffer and complex parameters."""

    @amge.register("fusion", "masked")
    class Masked(nn.Module):
        def __init__(self, dim):
            super().__init__()
            self.out_channels = dim
            self.register_buffer("mask", torch.zeros(dim))
            self.waves = nn.Parameter(torch.ones(dim, dtype=WAVES))

        def forward(self, main, receiver):
            return main + receiver + self.mask

    return amge.assemble(tiny_spec.replace(fusion="masked", distill=None))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_nan_in_buffers_is_refused_and_infinity_is_not(masked, tmp_path, dtype):
    folder = masked.save_pretrained(tmp_path / "checkpoint")
    mask = torch.zeros(32, dtype=dtype)
    mask[3] = -torch.inf
    changed(folder, lambda state: state.update({"fusion.mask": mask}))
    assert amge.from_pretrained(folder).fusion.mask[3] == -torch.inf
    mask[5] = torch.nan
    changed(folder, lambda state: state.update({"fusion.mask": mask}))
    refused(folder, "NaN or infinity in fusion.mask")


def test_a_buffer_too_large_for_the_type_asked_for(masked, tmp_path):
    masked.fusion.mask[2], masked.fusion.mask[3] = -torch.inf, -1e9
    folder = masked.save_pretrained(tmp_path / "checkpoint")
    with pytest.raises(ValueError, match=r"infinity in fusion\.mask, as torch\.float16"):
        amge.from_pretrained(folder, dtype=torch.float16)
    assert amge.from_pretrained(folder, dtype=torch.bfloat16).fusion.mask[3].isfinite()


@pytest.mark.skipif(not WAVES.is_complex, reason="needs huggingface_hub 2")
def test_nan_in_complex_numbers(masked, tmp_path):
    masked.fusion.waves.data[3] = complex(0, float("nan"))
    refused(masked.save_pretrained(tmp_path / "checkpoint"), "NaN or infinity in fusion.waves")


# Several files


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../checkpoint/model-00001-of-00002.safetensors",
        "model-00001-of-00002.safetensors/../../x",
        "model-00001-of-00002.safetensors\n",
        "model-1-of-2.safetensors",
        "model.pth",
        "..",
        "",
        5,
        None,
        ["a"],
    ],
)
def test_an_index_that_names_other_files(sharded, name):
    index = json.loads((sharded / "model.safetensors.index.json").read_text())
    index["weight_map"]["head.projection.bias"] = name
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(sharded, "model.safetensors.index.json is broken")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": 5}', '{"weight_map": []}', "[" * 100_000, "NaN"])
def test_a_broken_index(sharded, text):
    (sharded / "model.safetensors.index.json").write_text(text)
    refused(sharded, "model.safetensors.index.json is broken")


def test_an_index_of_nothing_and_one_that_is_too_large(sharded):
    (sharded / "model.safetensors.index.json").write_text('{"weight_map": {}}')
    refused(sharded, "does not fit", "missing")
    os.truncate(sharded / "model.safetensors.index.json", 20_000_000)
    refused(sharded, "it has 20,000,000 bytes, 10,000,000 are allowed")


def test_a_shard_that_is_missing_or_there_twice(sharded):
    first, second = sorted(sharded.glob("model-*.safetensors"))[:2]
    shutil.copy(first, second)
    refused(sharded, f"{second} holds", f"which {first.name} holds as well")
    second.unlink()
    refused(sharded, f"lacks {second.name}, which its index lists")


# Configs


GIANTS = [
    {"tokens": 10**9},
    {"frames": 10**8},
    {"size": 10**9},
    {"tokens": 10**30},
    {"tokens": 10_000, "frames": 64, "size": 1024},
    {"frames": 10_000, "size": 10_000},
    {"labels": [str(i) for i in range(10**5)]},
    *({"backbone_args": {name: value}} for name in ("dim", "depth") for value in (10**6, 10**30)),
    {"backbone_args": {"dim": 2, "num_heads": 1, "depth": 10**9}},
    {"backbone_args": {"dim": -4}},
    {"backbone_args": {"dim": 0}},
    {"backbone_args": {"num_heads": 0}},
    {"backbone_args": {"depth": -1}},
    {"backbone_args": {"encoder": "hf-hub:owner/name"}},
    {"backbone_args": {"encoder": "vit_giant_patch14_dinov2"}},
]


@pytest.mark.parametrize("values", GIANTS, ids=lambda values: str(values)[:60])
def test_giants_are_refused_soon(folder, values):
    config = json.loads((folder / "config.json").read_text())
    if "backbone_args" in values:
        values = {"backbone_args": config["backbone_args"] | values["backbone_args"]}
    refused(configured(folder, **values))


@pytest.mark.skipif(sys.platform != "linux", reason="reads VmHWM")
@pytest.mark.slow
def test_giants_take_no_memory(tmp_path):
    folders = []
    for i, arguments in enumerate(({"embed_dim": 10**6}, {"depth": 10**5}, {"embed_dim": 1, "depth": 10**5}, None)):
        folders.append(amge.build("transm3e-tiny").save_pretrained(tmp_path / str(i)))
        if arguments is None:
            configured(folders[-1], size=2_000, frames=16)
        else:
            configured(folders[-1], backbone_args={"embed_dim": 16, "depth": 4, "double_at": [1, 2, 3]} | arguments)
    code = (
        "import re, sys, time, timm, amge\n"
        "def peak(): return int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) / 1e3\n"
        "before, start = peak(), time.time()\n"
        "for folder in sys.argv[1:]:\n"
        "    try: amge.from_pretrained(folder)\n"
        "    except ValueError: pass\n"
        "    else: raise SystemExit('loaded ' + folder)\n"
        "print(peak() - before, time.time() - start)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *folders], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    megabytes, seconds = map(float, done.stdout.split())
    assert megabytes < 500 and seconds < 20


@pytest.mark.parametrize(
    "text, message",
    [
        (b"", "not JSON"),
        (b'{"arch": ', "not JSON"),
        (b"\xff\xfe", "can't decode byte 0xff"),
        (b'\xef\xbb\xbf{"arch": "a", "backbone": "b"}', "BOM"),
        (b"[]", "a spec is a JSON object, got list"),
        (b"null", "a spec is a JSON object, got NoneType"),
        (b"5", "a spec is a JSON object, got int"),
        (b"{}", "'arch' and 'backbone'"),
        (b'{"arch": "a", "bakbone": "b"}', "did you mean 'backbone'"),
        (b'{"arch": "a", "arch": "b", "backbone": "b"}', "a name is there twice"),
        (b'{"arch": "a", "backbone": "b", "threshold": NaN}', "NaN is no number"),
        (b'{"arch": "a", "backbone": "b", "fusion_args": {"scale": -Infinity}}', "-Infinity is no number"),
        (b'{"arch": "a", "backbone": "b", "seconds": 1e999}', "Infinity is no number"),
        (b'{"arch": "a", "backbone": "b", "seconds": 1' + b"0" * 400 + b"}", "seconds must be a number"),
        (b'{"arch": "a", "backbone": "b", "seconds": 1' + b"0" * 5000 + b"}", "not JSON"),
        (b'{"arch": "a", "backbone": "b", "head_args": {"a": 1e999}}', "Infinity is no number"),
        (b"[" * 100_000 + b"]" * 100_000, "not JSON"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "not JSON"),
        (b'{"architectures": ["BertForMaskedLM"], "model_type": "bert", "hidden_size": 768}', "unknown spec field"),
        (b'{"architecture": "resnet18", "num_classes": 1000, "pretrained_cfg": {}}', "unknown spec field"),
        (b'{"' + b"a" * 1_000_000 + b'": 1}', "unknown spec field"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_broken_configs(folder, text, message):
    (folder / "config.json").write_bytes(text)
    refused(folder, "config.json", message)
    assert message in info(folder)


@pytest.mark.parametrize("depth", [50, 300, 450, 900, 2000])
@pytest.mark.parametrize("field", ["provenance", "backbone_args", "labels", "arch"])
def test_deep_values(folder, depth, field):
    value = json.loads("[" * min(depth, 900) + "]" * min(depth, 900)) if depth < 900 else None
    if value is None:
        text = (folder / "config.json").read_text()
        deep = '{"a": ' + "[" * depth + "]" * depth + "}"
        (folder / "config.json").write_text(text.replace('"amge"', f'"{field}x": {deep}, "amge"', 1))
        refused(folder, "config.json")
        return
    configured(folder, **{field: {"a": value} if field.endswith(("e", "args")) else value})
    try:
        amge.from_pretrained(folder)
        assert field == "provenance"
    except ValueError:
        refused(folder)


@pytest.mark.parametrize(
    "values",
    [
        *({"frames": value} for value in ("8", 8.0, True, 0, -1, None, [8])),
        *({"threshold": value} for value in ("high", None, -0.1, 2, [])),
        *({"labels": value} for value in (20, None, [], ["a", "a"], [1], "chest", {"a": 1}, [[]])),
        *({"banks": value} for value in (None, ["main"], "main", [["main"]], ["main", "main", "other"])),
        *({name: value} for name in ("modality", "activation", "crop") for value in (["rgb"], None, 5, {})),
        *({name: value} for name in ("fusion", "streams", "distill") for value in ("none", {"a": 1}, ["mctf"], 5)),
        *({"backbone": value} for value in (None, "", 5, ["mvit"], {"a": 1}, "mvit3")),
        *({"auxiliary_backbone": value} for value in (5, {"a": 1}, "mvit3")),
        *({"backbone_args": value} for value in ([], ["test_resnet"], None, {"encoder": 5}, {"encoder": "../x"})),
        {"backbone_args": {"encoder": "test_efficientnet", "pretrained": True}},
        {"backbone_args": {"encoder": "test_efficientnet", "checkpoint_path": "model.pth"}},
        {"backbone_args": {"encoder": "test_efficientnet", "frames": 4}},
        *({"fusion_args": value} for value in ({"dim": 32}, None, "x", {"self": 1})),
        *({"head_args": value} for value in ({"dropout": "much"}, {"dropout": 7}, {"dropout": [1]}, {"labels": 3})),
        *({name: value} for name in ("mean", "std") for value in (0.5, [1, 1], [0, None, 0], "abc", [10**400] * 3)),
        *({"seconds": value} for value in ("long", 0, -1, None, True)),
        *({"pairing": value} for value in (0, 5, "3", 3.0, True, {}, [3])),
        *({name: 5} for name in ("tag", "licence")),
        *({name: value} for name in ("metrics", "provenance", "imports") for value in (5, [], "x", None)),
        *({"metrics": {"mAP": value}} for value in ("high", None, [1], True)),
    ],
    ids=lambda values: str(values)[:60],
)
def test_wrong_values(folder, values):
    configured(folder, **values)
    with pytest.raises(ValueError) as error:
        amge.from_pretrained(folder)
    assert str(folder) in str(error.value) and len(str(error.value)) < 3000


@pytest.mark.parametrize("values", [{"fusion": "warp", "fusion_args": {}}, {"depth": 3}, {"frames": "8"}], ids=str)
@pytest.mark.parametrize("version", ["99.0.0", "9" * 1000, {"a": 1}, "x\ny"], ids=lambda value: str(value)[:10])
def test_a_newer_version_is_named(folder, values, version):
    text = refused(configured(folder, amge=version, **values), "config.json", "(it was written by amge ")
    assert f"this is {amge.__version__})" in text
    assert "it was written by" not in refused(configured(folder, amge=amge.__version__), "config.json")


def test_a_newer_version_that_fits_is_read(folder):
    assert amge.from_pretrained(configured(folder, amge="99.0.0")).spec.arch == "transm3e-lite"


def test_a_config_without_end(folder):
    os.truncate(folder / "config.json", 50_000_000_000)
    refused(folder, "config.json: it has 50,000,000,000 bytes, 10,000,000 are allowed", seconds=1)


# Other kinds of files


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("kind", ["folder", "pipe", "zeros", "loop", "dangling"])
def test_what_is_no_file(folder, name, kind):
    path = folder / name
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to({"zeros": "/dev/zero", "loop": path.name, "dangling": "nowhere"}[kind])
    if kind == "loop" and sys.version_info < (3, 12):
        with pytest.raises((ValueError, OSError, RuntimeError)):
            amge.from_pretrained(folder)
        return
    refused(folder, name)


def test_links_to_other_files_tell_nothing_of_them(folder, tmp_path):
    (tmp_path / "secret").write_text("the secret of the house")
    for name in ("config.json", "model.safetensors"):
        (folder / name).rename(tmp_path / name)
        (folder / name).symlink_to(tmp_path / "secret")
        assert "house" not in refused(folder, name)
        (folder / name).unlink()
        (folder / name).symlink_to(tmp_path / name)
    assert amge.from_pretrained(folder).spec.arch == "transm3e-lite"


def test_no_checkpoint_at_all(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "has no config.json, so it is not an amge checkpoint")
    refused(tmp_path / "nowhere", "does not exist; give the folder")
    refused(folder / "config.json", "is not a folder; give the folder")


# The table


SHA = "0" * 64


@pytest.mark.parametrize(
    "fields, message",
    [
        *(({"name": name}, "is no arch.tag") for name in ("../st-gcn", "a/b", "", "a b", "a.b", "a\n", "..", "ä")),
        *(({"tag": tag}, "is no arch.tag") for tag in ("../../x", "/etc", "", "..", "a..b", "x\n", "a/b")),
        ({"sha256": "0" * 63}, "sha256 of 64"),
        ({"sha256": "G" * 64}, "sha256 of 64"),
        ({"repo": "owner/name"}, "needs a revision"),
        ({"name": "st-gcn", "tag": "open-exercise"}, "there are weights 'st-gcn.open-exercise' already"),
    ],
    ids=str,
)
def test_rows_that_are_refused(registry, fields, message):
    before = dict(published.PUBLISHED)
    with pytest.raises(ValueError, match=message):
        register_pretrained(Pretrained(**{"name": "st-gcn", "tag": "mine", "sha256": SHA, "licence": "MIT"} | fields))
    assert before == published.PUBLISHED


def test_a_row_that_is_taken(registry):
    row = Pretrained(name="st-gcn", tag="v1.2", sha256=SHA, licence="MIT")
    assert (register_pretrained(row) is row and register_pretrained(row) in amge.list_pretrained("st-gcn.v*")) or True


@pytest.mark.parametrize("name", [name for name in PUBLISHED if PUBLISHED[name].repo is None])
def test_shipped_weights_with_one_bit_flipped(tmp_path, monkeypatch, name):
    shutil.copytree(SHIPPED / name, tmp_path / name)
    monkeypatch.setattr(published, "SHIPPED", tmp_path)
    arch, tag = name.split(".")
    assert amge.build(name, pretrained=True).spec.tag == tag
    path = tmp_path / name / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1000] ^= 1
    path.write_bytes(data)
    for asked, pretrained in ((name, True), (arch, tag)):
        with pytest.raises(ValueError, match=r"model\.safetensors is not what was published: its sha256 is"):
            amge.build(asked, pretrained=pretrained)
    path.unlink()
    with pytest.raises(ValueError, match=r"has no model\.safetensors"):
        amge.build(name, pretrained=True)
