"""Every design with a name and every kind of part of one's own: saved, loaded, and equal to the bit."""

import functools
import importlib.util
import re
import runpy
import sys
from pathlib import Path

import huggingface_hub
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

import amge
from amge.cli import app
from amge.hub.published import PUBLISHED
from amge.zoo import BASELINES

WAVES = torch.complex64 if int(huggingface_hub.__version__.split(".")[0]) > 1 else torch.float32
"""Clients below 2.0 can't save complex numbers."""

ROOT = Path(__file__).parents[2]
SMALL_MVIT = {"embed_dim": 16, "depth": 4, "double_at": (1, 2, 3)}
SMALL = {
    "videoswin": {"embed_dim": 16, "depths": (1, 1, 2, 1), "heads": (1, 2, 2, 4), "window": (2, 4, 4)},
    "gcn": {"width": 16},
    "r50": {"width": 8},
}


def small(name: str) -> amge.ModelSpec:
    """The spec of a named model with less of everything, but published ones as they are."""
    spec = amge.spec(name)
    if name in PUBLISHED or spec.backbone == "blind":
        return spec
    if spec.backbone == "timm-frames":
        arguments = {"encoder": "test_efficientnet", "dim": 32, "depth": 2, "num_heads": 2}
        return spec.replace(backbone_args=arguments, frames=4, size=64)
    if name in BASELINES:
        kind = next(kind for kind in SMALL if kind in name.replace("-small", "").replace("-base", ""))
        return spec.replace(backbone_args=SMALL[kind], frames=8, size=64)
    if "tiny" in name or spec.backbone == "pose-mlp":
        return spec
    return spec.replace(backbone_args=SMALL_MVIT, frames=8, size=64)


def logits(model: nn.Module) -> Tensor:
    torch.manual_seed(1)
    clip = torch.rand(model.input_spec.example(1).shape)
    with torch.no_grad():
        return model(clip)


def layout(tensor: Tensor) -> tuple:
    return tensor.dtype, tensor.stride(), tensor.requires_grad


def same(one: nn.Module, other: nn.Module) -> None:
    """Every tensor, persistent or not, in value, type, layout and whether it is trained; the spec; the mode."""
    assert other.spec.replace(imports={}) == one.spec.replace(imports={})
    assert not any(module.training for module in other.modules())
    for tensors in ("named_parameters", "named_buffers"):
        mine, theirs = (dict(getattr(each, tensors)(remove_duplicate=False)) for each in (one, other))
        assert mine.keys() == theirs.keys()
        for key, value in mine.items():
            assert layout(theirs[key]) == layout(value), key
            assert torch.equal(theirs[key], value), key
    assert one.state_dict().keys() == other.state_dict().keys()


def shaken(spec: amge.ModelSpec) -> amge.MuscleModel:
    """A random model whose buffers are not as they were when it was built."""
    torch.manual_seed(0)
    model = amge.assemble(spec).eval()
    for key, value in model.state_dict().items():
        if key.endswith(("running_mean", "running_var")):
            value.copy_(torch.rand_like(value) + 0.5)
        elif key.endswith("num_batches_tracked"):
            value.fill_(7)
    return model


DESIGNS = {
    re.sub(r"-(tiny|small|base|r50)(?=-|$)", "", name): name for name in amge.list_models() if name not in PUBLISHED
}
"""Sizes of one design are one model in `small`."""


@pytest.mark.parametrize("name", [*DESIGNS.values(), *PUBLISHED])
def test_a_named_model(name, tmp_path):
    if name.split("-")[0] in ("c2d", "i3d", "slow", "slowfast"):
        pytest.importorskip("pytorchvideo")
    model = amge.build(name, pretrained=True) if name in PUBLISHED else shaken(small(name))
    again = amge.from_pretrained(model.save_pretrained(tmp_path))
    same(model, again)
    assert torch.equal(logits(again), logits(model))


def test_weights_that_are_channels_last_stay_so(tiny_model, tmp_path):
    encoder = amge.from_pretrained(tiny_model.save_pretrained(tmp_path)).backbone.encoder
    kernels = [value for value in encoder.parameters() if value.ndim == 4]
    assert kernels and all(value.is_contiguous(memory_format=torch.channels_last) for value in kernels)


# Parts of one's own


class Fusion(nn.Module):
    """What follows merges two sets of tokens by their sum, times what its parts say."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.out_channels = self.dim = dim

    def forward(self, main: Tensor, receiver: Tensor) -> Tensor:
        return main + receiver


class Tied(Fusion):
    def __init__(self, dim):
        super().__init__(dim)
        self.one, self.other = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.other.weight = self.one.weight
        self.again = self.one

    def forward(self, main, receiver):
        return self.one(main) + self.other(receiver)


class TiedBuffers(Fusion):
    def __init__(self, dim):
        super().__init__(dim)
        self.one, self.other = nn.Identity(), nn.Identity()
        table = torch.rand(dim)
        for part in (self.one, self.other):
            part.register_buffer("table", table)

    def forward(self, main, receiver):
        return main * self.one.table + receiver * self.other.table


class Buffers(Fusion):
    def __init__(self, dim):
        super().__init__(dim)
        self.register_buffer("mask", torch.full((dim, dim), -torch.inf).triu(1))
        self.register_buffer("steps", torch.tensor(3))
        self.register_buffer("kept", torch.ones(dim, dtype=torch.bool))
        self.register_buffer("bytes", torch.arange(dim, dtype=torch.uint8))
        self.register_buffer("nothing", torch.empty(0, 4))
        self.register_buffer("stretched", torch.rand(1).expand(dim))
        self.register_buffer("ramp", torch.linspace(0, 1, dim), persistent=False)
        self.register_buffer("absent", None)
        self.plain = torch.linspace(1, 2, dim)
        self.plains = [torch.linspace(1, 2, dim)]

    def forward(self, main, receiver):
        weights = self.mask.softmax(-1) * self.kept
        return main @ weights * self.ramp * self.plain + receiver * self.plains[0] * self.steps * self.stretched


class Shapes(Fusion):
    def __init__(self, dim):
        super().__init__(dim)
        self.scalar = nn.Parameter(torch.rand(()))
        self.empty = nn.Parameter(torch.rand(0, dim))
        self.frozen = nn.Parameter(torch.rand(dim), requires_grad=False)
        self.counts = nn.Parameter(torch.arange(dim), requires_grad=False)
        self.turned = nn.Parameter(torch.rand(dim, 3).T)
        self.fine = nn.Parameter(torch.rand(dim, dtype=torch.float64))
        self.waves = nn.Parameter(torch.randn(dim, dtype=WAVES))

    def forward(self, main, receiver):
        scale = self.frozen * self.turned.sum(0) * self.fine.float() + self.counts
        return main * self.scalar + receiver * scale * self.waves.abs().to(main.dtype)


class Computed(Fusion):
    """Computes with the numbers of its parameters."""

    def __init__(self, dim):
        super().__init__(dim)
        self.weight = nn.Parameter(torch.rand(dim))
        self.largest = float(self.weight.detach().max())
        self.register_buffer("fixed", self.weight.detach() / 2)

    def forward(self, main, receiver):
        return main * self.weight + receiver * self.fixed


class Derived(Fusion):
    """Keeps tensors made of its parameters that no checkpoint stores."""

    def __init__(self, dim):
        super().__init__(dim)
        self.weight = nn.Parameter(torch.ones(dim))
        self.kept = [self.weight.detach() * 0 + 2]
        self.length = self.weight.detach().norm()
        self.register_buffer("twofold", self.weight.detach() * 2, persistent=False)

    def forward(self, main, receiver):
        return main * self.weight * self.kept[0] + receiver * self.twofold / self.length


class Aliased(Fusion):
    """Refers to a parameter from a list, where no module sees it."""

    def __init__(self, dim):
        super().__init__(dim)
        self.weight = nn.Parameter(torch.rand(dim))
        self.hidden = [self.weight]

    def forward(self, main, receiver):
        return main * self.hidden[0] + receiver * self.weight


class NeverMeta(Fusion):
    """Can't be built on the meta device."""

    def __init__(self, dim):
        super().__init__(dim)
        self.weight = nn.Parameter(torch.rand(dim))
        if not float(torch.ones(2).sum()) == 2:
            raise RuntimeError("never")
        self.register_buffer("mask", torch.zeros(dim))

    def forward(self, main, receiver):
        return main * self.weight + receiver + self.mask


class Normed(Fusion):
    """Parametrised by PyTorch."""

    def __init__(self, dim):
        super().__init__(dim)
        self.one = nn.utils.parametrizations.weight_norm(nn.Linear(dim, dim))
        self.other = nn.utils.parametrizations.spectral_norm(nn.Linear(dim, dim))

    def forward(self, main, receiver):
        return self.one(main) + self.other(receiver)


class Lazy(Fusion):
    """Takes its shapes from the first tokens."""

    def __init__(self, dim):
        super().__init__(dim)
        self.linear = nn.LazyLinear(dim)

    def forward(self, main, receiver):
        return self.linear(main) + receiver


class Chancy(Fusion):
    """With a random state of its own, and buffers that chance fills."""

    def __init__(self, dim):
        super().__init__(dim)
        self.generator = torch.Generator().manual_seed(3)
        self.register_buffer("noise", torch.rand(dim))
        self.register_buffer("own", torch.rand(dim, generator=torch.Generator().manual_seed(3)), persistent=False)

    def forward(self, main, receiver):
        self.generator.manual_seed(5)
        return main * self.noise + receiver * self.own + torch.rand(self.dim, generator=self.generator)


PARTS = (
    Tied,
    TiedBuffers,
    Buffers,
    Shapes,
    Computed,
    Derived,
    Aliased,
    NeverMeta,
    Normed,
    Lazy,
    Chancy,
    functools.partial(Tied),
)


@pytest.fixture
def with_part(registry, tiny_spec):
    """A random model with a fusion of one's own, and a registry that knows it."""

    def make(part):
        amge.register("fusion", "mine")(part)
        torch.manual_seed(0)
        model = amge.assemble(tiny_spec.replace(fusion="mine", distill=None)).eval()
        for value in model.parameters():
            if value.dtype == torch.float32:
                value.data += 0.25  # unlike any that a constructor made
        return model

    return make


@pytest.mark.parametrize("part", PARTS, ids=lambda part: getattr(part, "__name__", "partial"))
def test_a_part_of_one_s_own(with_part, part, tmp_path):
    model = with_part(part)
    chance = torch.get_rng_state()
    again = amge.from_pretrained(model.save_pretrained(tmp_path))
    assert torch.equal(torch.get_rng_state(), chance)
    if part is Buffers:  # a table that repeats one number is stored, and comes back, in full
        assert again.fusion.stretched.stride() == (1,)
        again.fusion.stretched = again.fusion.stretched[:1].expand(again.fusion.dim)
    same(model, again)
    assert torch.equal(logits(again), logits(model))
    twice = amge.from_pretrained(again.save_pretrained(tmp_path / "twice"))
    assert torch.equal(logits(twice), logits(model))


@pytest.mark.parametrize("part", [Shapes, Computed, NeverMeta, Tied], ids=lambda part: part.__name__)
def test_a_part_of_one_s_own_without_memory(with_part, part, tmp_path):
    again = amge.from_pretrained(with_part(part).save_pretrained(tmp_path), device="meta")
    assert all(value.is_meta for value in again.state_dict().values())


def test_what_is_shared_stays_shared_also_in_training(with_part, tmp_path):
    fusion = amge.from_pretrained(with_part(Tied).save_pretrained(tmp_path)).train().fusion
    assert fusion.other.weight is fusion.one.weight and fusion.again is fusion.one
    optimiser = torch.optim.SGD(fusion.parameters(), 0.1)
    assert len(optimiser.param_groups[0]["params"]) == 3
    fusion(torch.ones(1, 2, 32), torch.ones(1, 2, 32)).sum().backward()
    before = fusion.one.weight.detach().clone()
    optimiser.step()
    assert torch.equal(fusion.other.weight, fusion.one.weight) and not torch.equal(fusion.one.weight, before)


def test_a_shared_buffer_stays_shared(with_part, tmp_path):
    fusion = amge.from_pretrained(with_part(TiedBuffers).save_pretrained(tmp_path)).fusion
    assert fusion.one.table is fusion.other.table


class Aliases(nn.Module):
    """Its parameters are known to others than it, and one has an attribute of its own."""

    def __init__(self, dim):
        super().__init__()
        self.out_channels = dim
        scale = nn.Parameter(torch.ones(dim))
        self.scale = scale
        self.scale.kind = "gain"
        self.call = functools.partial(torch.mul, other=scale)
        self.by_name = {"shift": nn.Parameter(torch.zeros(dim))}
        self.shift = self.by_name["shift"]
        self.closed = lambda tokens: tokens * scale

    def forward(self, main, receiver):
        return self.call(main) + self.closed(receiver) + self.by_name["shift"]


def test_whoever_knows_a_parameter_sees_its_loaded_values(with_part, tmp_path):
    model = with_part(Aliases)
    again = amge.from_pretrained(model.save_pretrained(tmp_path))
    assert torch.equal(logits(again), logits(model))
    assert again.fusion.scale.kind == "gain" and again.fusion.by_name["shift"] is again.fusion.shift
    again.fusion.scale.data.zero_()
    assert not again.fusion.closed(torch.ones(1, 32)).any()


class Hooked(Tied):
    """Gradients of its parameters pass a hook, and it keeps what it made of them in a dictionary."""

    def __init__(self, dim):
        super().__init__(dim)
        self.one.weight.register_hook(lambda gradient: 0 * gradient)
        self.made = {"double": 2 * self.one.weight.detach()}


def test_hooks_on_parameters_stay(with_part, tmp_path):
    again = amge.from_pretrained(with_part(Hooked).save_pretrained(tmp_path))
    assert not again.fusion.made["double"].is_meta
    again.train()(torch.rand(2, 3, 4, 64, 64)).sum().backward()
    assert not again.fusion.one.weight.grad.any() and again.bank.tokens["main"].grad.any()


def test_shared_parameters_in_half_precision(with_part, tmp_path):
    fusion = amge.from_pretrained(with_part(Tied).save_pretrained(tmp_path), dtype=torch.bfloat16).fusion
    assert fusion.other.weight is fusion.one.weight and fusion.one.weight.dtype == torch.bfloat16


def test_a_type_to_load_leaves_complex_and_whole_numbers(with_part, tmp_path):
    fusion = amge.from_pretrained(with_part(Shapes).save_pretrained(tmp_path), dtype=torch.float16).fusion
    types = {name: value.dtype for name, value in fusion.named_parameters()}
    assert types["waves"] == (WAVES if WAVES.is_complex else torch.float16) and types["counts"] == torch.int64
    assert {types[name] for name in ("scalar", "empty", "frozen", "turned", "fine")} == {torch.float16}


@pytest.mark.parametrize(
    "value", [torch.ones(4, dtype=torch.complex128), torch.eye(4).to_sparse()], ids=["complex128", "sparse"]
)
def test_what_safetensors_cannot_hold_is_refused(with_part, value, tmp_path):
    class Odd(Fusion):
        def __init__(self, dim):
            super().__init__(dim)
            self.register_buffer("odd", value.to(torch.get_default_device()))

    with pytest.raises(ValueError, match="can't"):
        with_part(Odd).save_pretrained(tmp_path / "new")
    assert not list(tmp_path.rglob("*.*"))


def test_a_file_is_no_folder_to_save_to(tiny_model, tmp_path):
    (tmp_path / "model").touch()
    with pytest.raises(OSError, match="model is a file; give the folder of a checkpoint"):
        tiny_model.save_pretrained(tmp_path / "model")


def test_a_model_without_memory_is_refused(tiny_spec, tmp_path):
    with torch.device("meta"):
        model = amge.assemble(tiny_spec)
    with pytest.raises(ValueError, match="not a dense tensor with numbers in it"):
        model.save_pretrained(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_part_that_fails_by_itself_is_one_error(with_part, tmp_path):
    broken = False

    class Broken(Fusion):
        def __init__(self, dim):
            super().__init__(dim)
            if broken:
                raise ZeroDivisionError("the moon is full")

    folder = with_part(Broken).save_pretrained(tmp_path)
    broken = True
    with pytest.raises(ValueError, match=r"can't be loaded: .*can't be built: the moon is full"):
        amge.from_pretrained(folder)


# The parts of the example, and of scripts


@pytest.fixture
def example(registry):
    path = ROOT / "examples" / "custom_parts.py"
    spec = importlib.util.spec_from_file_location("custom_parts", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_example_s_parts(example, tmp_path):
    torch.manual_seed(0)
    model = amge.build("my-muscle-model", backbone_args={"dims": (24, 48, 96)}).eval()
    again = amge.from_pretrained(model.save_pretrained(tmp_path))
    same(model, again)
    assert torch.equal(logits(again), logits(model))
    homes = {"backbone conv-readers": "custom_parts", "fusion token-gate": "custom_parts"}
    assert again.spec.imports == homes


SCRIPT = """
import functools, sys, torch
from torch import nn
import amge

class Gate(nn.Module):
    def __init__(self, dim, start=0.5):
        super().__init__()
        self.out_channels = dim
        self.gate = nn.Parameter(torch.full((dim,), start))

    def forward(self, main, receiver):
        return torch.lerp(main, receiver, self.gate)

amge.register("fusion", "gate")(functools.partial(Gate, start=0.25))
if __name__ == "__main__":
    arguments = {"encoder": "test_efficientnet", "dim": 32, "depth": 2, "num_heads": 2}
    spec = amge.spec("transm3e-lite").replace(backbone_args=arguments, frames=4, size=64, fusion="gate", distill=None)
    torch.manual_seed(0)
    model = amge.assemble(spec).eval()
    again = amge.from_pretrained(model.save_pretrained(sys.argv[1]))
    clip = torch.rand(1, 3, 4, 64, 64)
    assert torch.equal(again(clip), model(clip))
"""


def test_parts_of_a_script_are_asked_for_and_never_imported(tmp_path, monkeypatch, registry):
    script = tmp_path / "my_gates.py"
    script.write_text(SCRIPT)
    monkeypatch.setattr(sys, "argv", [str(script), str(tmp_path / "saved")])
    runpy.run_path(str(script), run_name="__main__")
    del amge.registry.PARTS["fusion"]["gate"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"saved.*fusion 'gate'; first `import my_gates`, which registers them"):
        amge.from_pretrained(tmp_path / "saved")
    assert "my_gates" not in sys.modules
    refused = CliRunner().invoke(app, ["info", "saved"])
    assert refused.exit_code == 2 and "amge --import my_gates" in refused.stderr
    done = CliRunner().invoke(app, ["--import", "my_gates", "info", "saved"])
    assert done.exit_code == 0 and '"fusion": "gate"' in done.stdout, done.output
    assert amge.from_pretrained(tmp_path / "saved").fusion.gate.unique().tolist() == [0.25]
    del sys.modules["my_gates"]


def test_a_part_of_a_script_that_no_import_finds(with_part, tmp_path, monkeypatch):
    model = with_part(Tied)
    monkeypatch.setitem(amge.registry.HOMES, ("fusion", "mine"), "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "/somewhere/my-gates.py", raising=False)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    folder = model.save_pretrained(tmp_path)
    assert amge.from_pretrained(folder).spec.imports == {}
    del amge.registry.PARTS["fusion"]["mine"]
    with pytest.raises(ValueError, match=r"unknown fusion 'mine'.*one of your own has to be registered first"):
        amge.from_pretrained(folder)


def test_each_missing_part_is_named_with_the_module_that_registers_it(example, registry, tmp_path):
    register = 'import amge; amge.register("head", "last")(amge.heads.Linear)'
    exec(register, {"__name__": "laboratory.heads"})
    spec = amge.spec("my-muscle-model").replace(head="last")
    folder = amge.assemble(spec).save_pretrained(tmp_path)
    parts = amge.registry.PARTS
    del parts["head"]["last"], parts["fusion"]["token-gate"], parts["backbone"]["conv-readers"]
    with pytest.raises(ValueError) as refused:
        amge.from_pretrained(folder)
    for word in ("backbone 'conv-readers'", "fusion 'token-gate'", "head 'last'", str(folder)):
        assert word in str(refused.value)
    assert "first `import custom_parts` and `import laboratory.heads`, which" in str(refused.value)
