"""Rows of labels go with their names, wherever weights are loaded."""

import random
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

import amge
from amge.hub import describe
from amge.labels import Rows, move, rows_of, take
from amge.train.start import start_from

VIDEO = Path(__file__).parents[1] / "examples" / "squat.mp4"
LABELS = ("a", "b", "c", "d", "e")
ACTIVITIES = {"run": ("b", "c"), "lift": ("a",), "rest": ()}
AFFINE = {"fusion": "mctf", "fusion_args": {"token_affine": True}}
KINDS = {
    "mean": {},
    "linear": {"head": "linear"},
    "affine": AFFINE,
    "deit": {"head": "deit", "fusion": "concat"},
    "aligned": {"head": "class-aligned", "tokens": 5, "fusion": "concat"},
    "aligned-affine": {"head": "class-aligned", "tokens": 5, **AFFINE},
    "look-up": {"head": "look-up", "head_args": {"activities": ACTIVITIES, "hard": False}},
    "one-bank": {"banks": ("main",), "fusion": None, "distill": None},
    "softmax": {"activation": "softmax"},
}


@pytest.fixture(params=KINDS)
def trained(request, tiny_spec):
    return of(tiny_spec, **KINDS[request.param])


def of(spec, **changes):
    """A model whose every number was learned."""
    torch.manual_seed(0)
    model = amge.assemble(spec.replace(**{"labels": LABELS} | changes)).eval()
    for name, parameter in model.named_parameters():
        if not name.startswith("backbone."):
            nn.init.normal_(parameter, std=0.5)
    return model


def clip():
    return torch.randn(2, 3, 4, 64, 64, generator=torch.Generator().manual_seed(1))


def by_name(model):
    with torch.no_grad():
        return dict(zip(model.spec.labels, model.eval()(clip()).T, strict=True))


def same(one, other):
    return one.keys() == other.keys() and all(torch.allclose(one[k], other[k], rtol=1e-3, atol=1e-5) for k in one)


@pytest.fixture
def order():
    return tuple("cadeb")


@pytest.mark.parametrize("seed", [None, 1])
def test_the_shipped_model_says_the_same_in_any_order(seed):
    labels = amge.spec("transm3e-lite").labels
    order = labels[::-1] if seed is None else random.Random(seed).sample(labels, len(labels))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = amge.build("transm3e-lite", pretrained=True, labels=tuple(order), strict=seed != 1)
    found = model.predict(VIDEO)
    assert tuple(found) == tuple(order) and model.spec.metrics["val_seen_mAP"] == 67.85
    for region, value in (("hamstring", 0.610), ("gluteus", 0.570), ("quadriceps", 0.511)):
        assert found[region] == pytest.approx(value, abs=0.002)


def test_rows_go_with_their_names_from_a_folder(trained, order, tmp_path):
    folder = trained.save_pretrained(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        moved = amge.from_pretrained(folder, labels=order)
    assert moved.spec.labels == order and same(by_name(moved), by_name(trained))
    again = amge.from_pretrained(moved.save_pretrained(tmp_path / "again"), labels=LABELS)
    assert all(torch.equal(value, trained.state_dict()[key]) for key, value in again.state_dict().items())


def test_rows_go_with_their_names_between_models(trained, order):
    model = amge.assemble(trained.spec.replace(labels=order))
    start_from(model, trained)
    assert same(by_name(model), by_name(trained))


def test_rows_stay_in_half_precision_and_by_build(tiny_spec, order, tmp_path):
    trained = of(tiny_spec)
    folder = trained.save_pretrained(tmp_path, dtype=torch.float16)
    model = amge.build("transm3e-lite", folder, labels=order, dtype=torch.bfloat16)
    rows = [LABELS.index(name) for name in order]
    expected = trained.head.projection.weight.half().bfloat16()[rows]
    assert torch.equal(model.head.projection.weight, expected)


def test_labels_that_a_converted_checkpoint_is_told_belong_to_its_rows(tiny_spec, tmp_path):
    trained = of(tiny_spec, labels=tuple(f"class_{i}" for i in range(5)))
    describe(trained.save_pretrained(tmp_path), labels=LABELS)
    moved = amge.from_pretrained(tmp_path, labels=LABELS[::-1])
    told = dict(zip(LABELS, by_name(trained).values(), strict=True))
    assert same({name: by_name(moved)[name] for name in LABELS}, told)


def test_metrics_stay_true_in_another_order_alone(tiny_spec, tmp_path):
    folder = of(tiny_spec, metrics={"val_mAP": 50.0}).save_pretrained(tmp_path)
    assert amge.from_pretrained(folder, labels=LABELS[::-1]).spec.metrics == {"val_mAP": 50.0}
    assert amge.from_pretrained(folder, labels=LABELS[::-1], seconds=5.0).spec.metrics == {}


# Other names


def test_one_other_name_is_refused_or_fresh_alone(tiny_spec, tmp_path):
    trained = of(tiny_spec)
    folder, labels = trained.save_pretrained(tmp_path), ("b", "new", "d", "e", "a")
    with pytest.raises(ValueError, match=r"has no row for 'new'.*no label 'new'. strict=False"):
        amge.from_pretrained(folder, labels=labels)
    with pytest.warns(UserWarning, match=r"Untrained: head.projection.bias of 'new'.*Not used: .* of 'c'"):
        model = amge.from_pretrained(folder, labels=labels, strict=False)
    found, right = by_name(model), by_name(trained)
    assert same({k: found[k] for k in "abde"}, {k: right[k] for k in "abde"})
    assert not torch.allclose(found["new"], right["c"]) and model.spec.metrics == {}


def test_all_other_names_get_a_fresh_head_and_a_warning(tiny_spec, tmp_path):
    trained = of(tiny_spec)
    folder, labels = trained.save_pretrained(tmp_path), ("v", "w", "x", "y", "z")
    with pytest.raises(ValueError, match=r"which has no row for any of the labels.*no label 'v', 'w'"):
        amge.from_pretrained(folder, labels=labels)
    with pytest.warns(UserWarning, match="Untrained: head.projection.bias, which has no row"):
        model = amge.from_pretrained(folder, labels=labels, strict=False)
    assert not torch.isin(model.head.projection.weight, trained.head.projection.weight).any()


def test_some_of_the_labels_are_chosen_where_weights_may_be_left(tiny_spec, tmp_path):
    trained = of(tiny_spec)
    folder = trained.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"head.projection.bias is \(5,\), the model has \(2,\)"):
        amge.from_pretrained(folder, labels=("d", "b"))
    with pytest.warns(UserWarning, match="Not used: head.projection.bias of 'a', 'c', 'e'"):
        model = amge.from_pretrained(folder, labels=("d", "b"), strict=False)
    assert same(by_name(model), {k: by_name(trained)[k] for k in ("d", "b")})


def test_other_activities_move_the_rows_of_a_look_up(tiny_spec, tmp_path):
    trained = of(tiny_spec, **KINDS["look-up"])
    turned = {"activities": dict(reversed(ACTIVITIES.items())), "hard": False}
    model = amge.from_pretrained(trained.save_pretrained(tmp_path), head_args=turned)
    assert model.head.activities == ("rest", "lift", "run") and same(by_name(model), by_name(trained))


# Parts that can't tell


class Silent(nn.Module):
    def __init__(self, in_channels, num_classes):
        super().__init__()
        self.num_classes = num_classes
        self.last = nn.Linear(in_channels, num_classes)

    def forward(self, tokens):
        return self.last(tokens.mean(dim=1))


def test_a_head_that_says_nothing_is_refused_or_fresh(tiny_spec, registry, tmp_path):
    amge.register("head", "silent")(Silent)
    trained = of(tiny_spec, head="silent")
    folder = trained.save_pretrained(tmp_path)
    assert same(by_name(amge.from_pretrained(folder, labels=LABELS)), by_name(trained))
    with pytest.raises(ValueError, match=r"head.last.bias, of which its part does not say which row is whose"):
        amge.from_pretrained(folder, labels=LABELS[::-1])
    with pytest.warns(UserWarning, match="Untrained: head.last.bias"):
        model = amge.from_pretrained(folder, labels=LABELS[::-1], strict=False)
    assert not torch.isin(model.head.last.weight, trained.head.last.weight).any()


def test_tokens_that_have_places_are_not_moved(tiny_spec, tmp_path):
    official = {"head": "class-aligned", "tokens": 5, "fusion": "mctf", "fusion_args": {"form": "official"}}
    folder = of(tiny_spec, **official).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"bank.tokens.main, of which its part does not say"):
        amge.from_pretrained(folder, labels=LABELS[::-1])


def test_weights_whose_config_has_other_labels_than_rows_are_refused(tiny_spec, tmp_path):
    folder = of(tiny_spec).save_pretrained(tmp_path)
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace('"e"', '"e",\n    "f"'))
    with pytest.raises(ValueError, match=r"head.projection.bias is \(5,\), the model has \(6,\)"):
        amge.from_pretrained(folder)
    with pytest.raises(ValueError, match=r"head.projection.bias is \(5,\)"):
        amge.from_pretrained(folder, labels=("f", "e", "a", "b", "c"))


def test_every_head_of_the_library_says_its_rows(trained):
    rows = rows_of(trained, trained.spec.labels)
    assert not rows.unknown and rows.named.keys() <= trained.state_dict().keys()
    assert all(len(names) == len(trained.state_dict()[key]) for key, names in rows.named.items())


# One function


def test_move_decides_by_name():
    found = move(Rows(("a", "b"), {"w": ("a", "b")}), Rows(("c", "b"), {"w": ("c", "b")}))
    assert (found.moved, found.lacking, found.left, found.fresh) == ({"w": (-1, 1)}, {"w": ("c",)}, {"w": ("a",)}, {})
    values, own = torch.tensor([[1.0], [2.0]]), torch.tensor([[8.0], [9.0]])
    assert take(values, found.moved["w"], own).tolist() == [[8.0], [2.0]]
    assert not move(*[Rows(("a",), {"w": ("a",)})] * 2).moved


# A new head


def test_reset_head_keeps_rows_on_request(trained):
    if trained.spec.head in ("class-aligned", "look-up"):
        pytest.skip("another number of labels does not fit")
    right = by_name(trained)
    trained.reset_head(3, ("c", "new", "a"), keep=True)
    found = by_name(trained)
    assert same({k: found[k] for k in "ac"}, {k: right[k] for k in "ac"})
    trained.reset_head(3, ("c", "new", "a"))
    assert not torch.allclose(by_name(trained)["a"], right["a"])


@pytest.mark.parametrize("kind", ["aligned", "aligned-affine"])
def test_tokens_that_are_classes_are_the_head(kind, tiny_spec):
    trained = of(tiny_spec, **KINDS[kind])
    right, tokens = by_name(trained), trained.bank.tokens["receiver"].clone()
    trained.reset_head(5, LABELS[::-1], keep=True)
    assert same({k: by_name(trained)[k] for k in LABELS}, right)
    trained.reset_head(5)
    assert not torch.isin(trained.bank.tokens["receiver"], tokens).any()
