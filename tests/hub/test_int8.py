"""Checkpoints in 8 bits: what is stored, that it is used like any other, and what is refused."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hub_server import direct, serve
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from typer.testing import CliRunner

import amge
from amge.cli import app
from amge.convert.checkpoint import read_state
from amge.files import digest
from amge.hub import published
from amge.hub.int8 import decode, encode
from amge.hub.save import config_of

ROOT = Path(__file__).parents[2]
FLAGSHIP = ROOT.parent / "shared" / "flagship" / "transm3e-small.int8.safetensors"
WEIGHT = "head.projection.weight"


@pytest.fixture(scope="module")
def saved(first_tiny_model, tmp_path_factory):
    return first_tiny_model.save_pretrained(tmp_path_factory.mktemp("saved") / "checkpoint", dtype="int8")


@pytest.fixture
def folder(saved, tmp_path):
    return Path(shutil.copytree(saved, tmp_path / "checkpoint"))


@pytest.fixture(scope="module")
def rounded(saved):
    return amge.from_pretrained(saved)


def video():
    return np.random.default_rng(0).integers(0, 256, (8, 40, 48, 3), dtype=np.uint8)


def equal(one, other):
    return all(torch.equal(value, other.state_dict()[key]) for key, value in one.state_dict().items())


# What is stored


def test_numbers_by_hand():
    value = torch.tensor([[1.0, -2.54, 0.0], [0.0, 0.0, 0.0]])
    stored = encode("w", value)
    assert stored["w"].tolist() == [[50, -127, 0], [0, 0, 0]]
    assert stored["w.scale"][0].item() == pytest.approx(0.02)
    torch.testing.assert_close(decode(stored["w"], stored["w.scale"]), value)


def test_tensors_of_two_axes_are_int8_and_the_rest_is_float16(tiny_model, folder, rounded):
    stored = load_file(folder / "model.safetensors")
    for key, value in tiny_model.state_dict().items():
        again = rounded.state_dict()[key]
        assert again.dtype == value.dtype and again.stride() == value.stride()
        if not value.is_floating_point():
            assert torch.equal(stored.pop(key), value)
        elif value.ndim < 2:
            assert torch.equal(stored.pop(key), value.half())
        else:
            scale = stored.pop(f"{key}.scale")
            assert stored.pop(key).dtype == torch.int8 and scale.dtype == torch.float32
            error = (again - value).abs().flatten(1).amax(dim=1)
            assert (error <= 0.5001 * scale).all(), key
    assert not stored
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt", "amge": "int8 per output channel"}
    size = (folder / "model.safetensors").stat().st_size
    assert (
        size
        < 0.75
        * tiny_model.save_pretrained(folder.parent / "half", dtype=torch.half)
        .joinpath("model.safetensors")
        .stat()
        .st_size
    )


def test_the_card_says_size_and_form(folder):
    size = (folder / "model.safetensors").stat().st_size / 1e6
    expected = f"| Weights | {size:.1f} MB, int8 with a scale for each row and float16 |"
    assert expected in (folder / "README.md").read_text()


def test_probabilities_are_almost_the_same(tiny_model, rounded):
    assert rounded.predict(video()) == pytest.approx(tiny_model.predict(video()), abs=0.02)


def test_in_several_files(tiny_model, rounded, tmp_path):
    folder = tiny_model.save_pretrained(tmp_path / "sharded", dtype="int8", max_shard_size=50_000)
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    assert equal(rounded, amge.from_pretrained(folder))


def test_saved_again_it_stays_as_it_is(rounded, tmp_path):
    assert equal(rounded, amge.from_pretrained(rounded.save_pretrained(tmp_path / "again", dtype="int8")))


def test_infinity_is_kept_in_a_buffer(registry, tiny_spec, tmp_path):
    @amge.register("fusion", "masked")
    class Masked(nn.Module):
        def __init__(self, dim):
            super().__init__()
            self.out_channels = dim
            self.register_buffer("mask", torch.full((2, dim), -torch.inf).triu())

        def forward(self, main, receiver):
            return main + receiver

    model = amge.assemble(tiny_spec.replace(fusion="masked", distill=None))
    again = amge.from_pretrained(model.save_pretrained(tmp_path / "masked", dtype="int8"))
    assert torch.equal(again.fusion.mask, model.fusion.mask)


def test_a_tensor_called_like_scales_is_refused(registry, tiny_spec, tmp_path):
    @amge.register("fusion", "clashing")
    class Clashing(nn.Module):
        def __init__(self, dim):
            super().__init__()
            self.out_channels = dim
            self.a = nn.ParameterDict({"w": torch.ones(dim, dim)})
            self.register_state_dict_post_hook(
                lambda own, state, prefix, _: state.update({f"{prefix}a.w.scale": own.a["w"]})
            )

        def forward(self, main, receiver):
            return main + receiver

    model = amge.assemble(tiny_spec.replace(fusion="clashing", distill=None))
    with pytest.raises(ValueError, match=r"fusion\.a\.w\.scale is a tensor of the model, and what the scales of"):
        model.save_pretrained(tmp_path / "clashing", dtype="int8")
    assert not (tmp_path / "clashing").exists()


@pytest.mark.parametrize("dtype", ["int4", torch.int16, "float16"])
def test_other_forms_are_refused(tiny_model, tmp_path, dtype):
    with pytest.raises(ValueError, match=r"such as torch\.float16, or 'int8'; got"):
        tiny_model.save_pretrained(tmp_path / "new", dtype=dtype)


# Like any other


def test_on_a_device_and_as_another_type(folder, rounded):
    half = amge.from_pretrained(folder, dtype=torch.bfloat16)
    assert equal(half, rounded.__class__.from_pretrained(folder).to(torch.bfloat16))
    assert all(value.is_meta for value in amge.from_pretrained(folder, device="meta").state_dict().values())


def test_rows_go_with_their_labels(folder, rounded):
    labels = rounded.spec.labels[::-1]
    turned = amge.from_pretrained(folder, labels=labels)
    assert torch.equal(turned.state_dict()[WEIGHT].flip(0), rounded.state_dict()[WEIGHT])


@pytest.mark.filterwarnings("ignore:Use 'content:DeprecationWarning")
def test_published_and_loaded_from_the_hub(tiny_model, rounded, tmp_path, monkeypatch):
    with serve(token="test") as hub:
        direct(hub, tmp_path, monkeypatch)
        monkeypatch.setenv("HF_TOKEN", "test")
        done = tiny_model.push_to_hub("me/small", dtype="int8", licence="MIT")
        assert "int8 with a scale for each row" in hub.revision("me/small", "main")[1]["README.md"].decode()
        assert equal(rounded, amge.from_pretrained("me/small", revision=done.revision))


def test_by_name_and_tag_with_its_hash(registry, folder, rounded, monkeypatch):
    monkeypatch.setattr(published, "SHIPPED", folder.parent)
    folder.rename(folder.parent / "transm3e-lite.bytes")
    weights = folder.parent / "transm3e-lite.bytes" / "model.safetensors"
    row = published.Pretrained(name="transm3e-lite", tag="bytes", sha256=digest(weights), licence="MIT")
    published.register_pretrained(row)
    assert equal(rounded, amge.build("transm3e-lite", pretrained="bytes"))
    published.PUBLISHED[row.full_name] = replace(row, sha256="0" * 64)
    with pytest.raises(ValueError, match="is not what was published"):
        amge.build("transm3e-lite", pretrained="bytes")


def test_training_starts_from_it(tiny_spec, folder, rounded):
    from amge.train.start import initialise

    model = amge.assemble(tiny_spec)
    initialise(model, str(folder), "transm3e-lite")
    assert equal(rounded, model)


def test_many_videos_are_predicted_with_it(folder, rounded):
    pytest.importorskip("pyarrow")
    from amge.bulk.predictor import Predictor

    assert Predictor(folder).schema.metadata[b"amge.weights"] == Predictor(rounded).schema.metadata[b"amge.weights"]


def test_convert_reads_it(folder, rounded):
    state, _ = read_state(folder / "model.safetensors")
    assert state.keys() == rounded.state_dict().keys()
    assert torch.equal(state[WEIGHT], rounded.state_dict()[WEIGHT])


@pytest.mark.skipif(not FLAGSHIP.exists(), reason="needs the weights in shared/flagship")
def test_weights_in_this_form_that_others_wrote(tmp_path):
    spec = amge.spec("transm3e-small").replace(backbone_args={"drop_path": 0.1})
    (tmp_path / "config.json").write_text(config_of(spec))
    shutil.copy(FLAGSHIP, tmp_path / "model.safetensors")
    model, stored = amge.from_pretrained(tmp_path), load_file(FLAGSHIP)
    key = "backbone.blocks.0.attn.proj.weight"
    expected = stored[key].float() * stored[f"{key}.scale"][:, None]
    assert torch.equal(model.state_dict()[key], expected)


# What is refused


@pytest.mark.parametrize(
    "edit, message",
    [
        (lambda state: state.pop(f"{WEIGHT}.scale"), f"{WEIGHT} is in int8 and has no {WEIGHT}.scale"),
        (lambda state: state.pop(WEIGHT), f"missing {WEIGHT}"),
        (lambda state: state.update({f"{WEIGHT}.scale": torch.ones(3)}), "needs a fraction for each of its rows"),
        (lambda state: state.update({f"{WEIGHT}.scale": torch.ones(20, 1)}), "needs a fraction for each of its rows"),
        (lambda state: state.update({f"{WEIGHT}.scale": torch.ones(20).int()}), "needs a fraction for each"),
        (
            lambda state: state.update({f"{WEIGHT}.scale": torch.full((20,), torch.nan)}),
            f"NaN or infinity in {WEIGHT}.sc",
        ),
        (
            lambda state: state.update({f"{WEIGHT}.scale": torch.full((20,), torch.inf)}),
            f"NaN or infinity in {WEIGHT}.sc",
        ),
        (lambda state: state.update({WEIGHT: state[WEIGHT].short()}), f"unexpected {WEIGHT}.scale"),
        (lambda state: state.update({WEIGHT: state[WEIGHT][:, :3].clone()}), f"{WEIGHT} is (20, 3), the model has"),
        (lambda state: state.update({"extra.scale": torch.ones(3)}), "unexpected extra.scale"),
    ],
)
def test_what_is_broken_is_refused_in_one_line(folder, edit, message):
    state = load_file(folder / "model.safetensors")
    edit(state)
    save_file(state, folder / "model.safetensors")
    with pytest.raises(ValueError) as error:
        amge.from_pretrained(folder)
    assert message in str(error.value) and str(folder) in str(error.value)
    result = CliRunner().invoke(app, ["predict", str(ROOT / "examples" / "squat.mp4"), "--model", str(folder)])
    assert result.exit_code == 2 and result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
