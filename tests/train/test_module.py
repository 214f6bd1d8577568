"""The module of a training stage, and what its loop is made of, piece by piece."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

pytest.importorskip("lightning")
pytest.importorskip("sklearn")

import amge
from amge.data.batch import inputs, mean_of_views
from amge.data.prepare.synthetic import prepare
from amge.data.sample import of_split
from amge.metrics import mean_average_precision
from amge.train.config import TrainConfig
from amge.train.loop import EpochSampler, SeedSteps, WholeCheckpoints
from amge.train.module import Training, cosine
from amge.train.run import Run, read_data, start_from, tokens_alone, train

SPEC = {
    "frames": 4,
    "size": 32,
    "activation": "sigmoid",
    "backbone_args": {"embed_dim": 8, "depth": 2, "double_at": (1,), "drop_path": 0.0},
    "head_args": {},
}
ALONE = SPEC | {"banks": ("main",), "fusion": None, "distill": None}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "clips"
    prepare(folder, clips=100, frames=6, size=32, fps=4)
    return folder


@pytest.fixture
def run(clips, tmp_path, monkeypatch):
    """Makes a run of 16 videos to learn from and 3 to validate on, without curves."""
    monkeypatch.setattr(Run, "finish", lambda *_: None)
    samples = read_data([{"name": "synthetic", "root": clips}])
    chosen = of_split(samples, "train")[:16] + of_split(samples, "val_seen")[:3]
    assert len(chosen) > 16

    def make(name, **changes):
        return Run(config(clips, **changes), chosen, tmp_path / name)

    return make


def config(folder, **changes):
    values = {
        "model": "transm3e-tiny",
        "overrides": ALONE,
        "data": [{"name": "synthetic", "root": str(folder)}],
        "epochs": [1, 0],
        "batch_size": 8,
        "lr": [1e-3, 1e-3],
        "augment": {"operations": 0, "scale": [0.5, 1.0]},
        "workers": 0,
        "accelerator": "cpu",
    }
    return TrainConfig.from_dict(values | changes)


def model_of(overrides, seed=0):
    torch.manual_seed(seed)
    return amge.assemble(amge.spec("transm3e-tiny").replace(**overrides))


def batch_of(videos, clips=2):
    """Clip `k` is `k + 1` in its first frame and grows by that from frame to frame: its difference is `k + 1` too."""
    rows = torch.arange(1.0, 1 + videos * clips)[:, None] * torch.arange(1.0, 5.0)
    return {
        "rgb": rows[:, None, :, None, None].expand(-1, 3, -1, 32, 32).clone(),
        "target": torch.eye(20)[:videos],
        "sample": torch.arange(videos).repeat_interleave(clips),
        "index": torch.arange(videos),
        "broken": [],
    }


@pytest.fixture
def logged(monkeypatch):
    """What modules log, without a trainer."""
    seen = {}

    def log(_, values, **options):
        seen.update({name: float(torch.as_tensor(value).detach()) for name, value in values.items()})

    monkeypatch.setattr(Training, "log_dict", log)
    monkeypatch.setattr(Training, "log", lambda _, name, value, **__: log(_, {name: value}))
    return seen


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_the_two_clips_of_each_video_meet_their_auxiliary_clips(logged):
    """Pairing 3: the first clip gets the second's, the second gets zeros."""
    student = model_of(SPEC)
    module = Training(student, amge.assemble(amge.teacher_spec(student.spec)), clips=2)
    halves, seen, taught = [], [], []
    two_clips = module.objective.two_clips
    module.objective.two_clips = lambda *given: halves.append(given) or two_clips(*given)
    module.objective.register_forward_pre_hook(lambda _, given: seen.append(given))
    module.objective.teacher.register_forward_pre_hook(lambda _, given: taught.append(given[0]))
    batch = batch_of(3)
    module.training_step(batch, 0)

    (((first, second), target, (auxiliary, other)),) = halves
    assert first[:, 0, 0, 0, 0].tolist() == [1, 3, 5] and second[:, 0, 0, 0, 0].tolist() == [2, 4, 6]
    assert auxiliary[:, 0, 1, 0, 0].tolist() == [1, 3, 5] and other[:, 0, 1, 0, 0].tolist() == [2, 4, 6]
    assert torch.equal(target, batch["target"])
    ((clip, labels, _),) = seen
    assert clip[:, 0, 0, 0, 0].tolist() == [1, 3, 5, 2, 4, 6] and labels.argmax(1).tolist() == [0, 1, 2, 0, 1, 2]
    assert taught[0][:, 0, 1, 0, 0].tolist() == [2, 4, 6, 0, 0, 0]
    assert logged["loss"] == pytest.approx(logged["train_classification"] + logged["train_distillation"])


@pytest.mark.parametrize("clips", [1, 2])
def test_without_a_teacher_each_clip_gets_the_target_of_its_video(logged, clips):
    module, seen = Training(model_of(ALONE), clips=clips), []
    module.objective.register_forward_pre_hook(lambda _, given: seen.append(given))
    module.training_step(batch_of(3, clips), 0)
    clip, target = seen[0][:2]
    by_clip = dict(zip(clip[:, 0, 0, 0, 0].tolist(), target.argmax(1).tolist(), strict=True))
    assert by_clip == {1 + row: row // clips for row in range(3 * clips)}


def test_one_clip_and_the_teachers_view_of_it(logged):
    student = model_of(SPEC | {"pairing": 1})
    module, taught = Training(student, amge.assemble(amge.teacher_spec(student.spec)), clips=1), []
    module.objective.teacher.register_forward_pre_hook(lambda _, given: taught.append(given[0]))
    module.training_step(batch_of(3, 1), 0)
    assert taught[0][:, 0, 1, 0, 0].tolist() == [1, 2, 3] and not taught[0][:, :, 0].any()


def test_the_learning_rate_by_hand():
    factor = cosine(10, 110)
    quarter = 0.01 + 0.99 * (1 + math.sqrt(0.5)) / 2
    expected = {0: 0.01, 5: 0.505, 10: 1, 35: quarter, 60: 0.505, 110: 0.01, 500: 0.01}
    assert {step: factor(step) for step in expected} == pytest.approx(expected)
    assert cosine(0, 4)(0) == 1 and cosine(4, 4)(4) == 1 and cosine(0, 4, least=0.5)(4) == 0.5


def test_matrices_decay_and_nothing_else():
    model = model_of(SPEC)
    module = Training(model, lr=0.1, weight_decay=0.3, warmup=10, steps=20, frozen=["backbone.blocks.0"])
    made = module.configure_optimizers()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = made["optimizer"].param_groups
    decays = {names[id(parameter)]: group["weight_decay"] for group in groups for parameter in group["params"]}
    learning = {name: p for name, p in model.named_parameters() if not name.startswith("backbone.blocks.0.")}
    spared = model.no_weight_decay()
    assert {"bank.tokens.main", "backbone.blocks.1.attn.rel_pos.t"} <= spared
    assert decays == {name: 0.3 if p.ndim > 1 and name not in spared else 0 for name, p in learning.items()}
    assert decays["head.projection.weight"] == 0.3 and decays["head.projection.bias"] == 0
    assert sum(len(group["params"]) for group in groups) == len(learning)  # each once
    assert [group["lr"] for group in groups] == pytest.approx([0.1 * 0.01] * 2)
    assert made["lr_scheduler"]["interval"] == "step"


def test_the_teacher_is_not_optimised():
    student = model_of(SPEC)
    module = Training(student, amge.assemble(amge.teacher_spec(student.spec)))
    given = [id(p) for group in module.configure_optimizers()["optimizer"].param_groups for p in group["params"]]
    assert sorted(given) == sorted(id(parameter) for parameter in student.parameters())


def test_frozen_parts_neither_learn_nor_leave_eval_mode(logged):
    model = model_of(ALONE)
    module = Training(model, frozen=["backbone.blocks.0", "head"])
    module.eval()
    module.train()
    module.training_step(batch_of(2), 0).backward()
    for part in (model.backbone.blocks[0], model.head):
        assert not any(each.training for each in part.modules())
        assert all(parameter.grad is None for parameter in part.parameters())
    assert model.training and model.backbone.blocks[1].training
    assert all(parameter.grad is not None for parameter in model.backbone.blocks[1].parameters())
    with pytest.raises(ValueError, match="there is no part 'neck' to freeze"):
        Training(model, frozen=["neck"])


def test_mean_of_views_by_hand():
    probabilities = torch.tensor([[0.2, 1.0], [0.4, 0.0], [0.6, 0.5], [0.9, 0.1]])
    means = mean_of_views(probabilities, torch.tensor([0, 2, 0, 0]), 3)
    torch.testing.assert_close(means, torch.tensor([[1.7 / 3, 1.6 / 3], [0.0, 0.0], [0.4, 0.0]]))


def test_inputs_are_the_modalities_side_by_side():
    rgb, flow = torch.randn(2, 2, 3, 4, 8, 8)
    differences = torch.zeros_like(rgb)
    differences[:, :, 1:] = (rgb[:, :, 1:] - rgb[:, :, :-1]).abs()
    batch, spec = {"rgb": rgb, "flow": flow}, amge.spec("transm3e-tiny")
    assert torch.equal(inputs(batch, spec), rgb)
    assert torch.equal(inputs(batch, amge.teacher_spec(spec)), differences)
    assert torch.equal(inputs(batch, amge.teacher_spec(spec.replace(auxiliary="flow"))), flow)
    both = spec.replace(streams="late", distill=None)
    assert torch.equal(inputs(batch, both), torch.cat([rgb, differences], dim=1))
    assert torch.equal(inputs(batch, both.replace(auxiliary="flow")), torch.cat([rgb, flow], dim=1))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_with_one_line(logged, value):
    model = model_of(ALONE)
    torch.nn.init.constant_(model.head.projection.bias, value)
    with pytest.raises(ValueError, match=r"the loss of step 0 is .*: take a smaller lr") as caught:
        Training(model).training_step(batch_of(2), 0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_validation_is_the_precision_of_the_mean_of_views(logged, activation):
    model = model_of(ALONE | {"activation": activation})
    torch.nn.init.normal_(model.head.projection.weight)
    module = Training(model, validation=["val_seen", "val_unseen"]).eval()
    module.trainer = SimpleNamespace(world_size=1)
    generator = torch.Generator().manual_seed(0)
    targets, scores = [[], []], [[], []]
    for which, start in ((0, 0), (0, 3), (1, 0)):
        batch = batch_of(3) | {"rgb": torch.randn(6, 3, 4, 32, 32, generator=generator)}
        batch["target"] = (torch.rand(3, 20, generator=generator) > 0.5).float()
        batch["index"] = batch["index"] + start
        with torch.no_grad():
            module.validation_step(batch, 0, which)
            logits = model(batch["rgb"])
        views = logits.sigmoid() if activation == "sigmoid" else logits.softmax(dim=1)
        targets[which].append(batch["target"].numpy())
        scores[which].append(views.reshape(3, 2, 20).mean(dim=1).numpy())
    module.validation_step({"broken": [("x", "no video")]}, 0, 0)  # nothing to see, but to report
    module.on_validation_epoch_end()
    expected = [100 * mean_average_precision(*map(np.concatenate, pair)) for pair in zip(targets, scores, strict=True)]
    assert logged["val_seen_mAP"] == pytest.approx(expected[0], abs=1e-3)
    assert logged["val_unseen_mAP"] == pytest.approx(expected[1], abs=1e-3)
    assert logged["val_mAP"] == pytest.approx(sum(expected) / 2, abs=1e-3)
    assert module.broken == {"x": "no video"} and not module.seen.get("val_seen")  # the next epoch starts afresh


def test_everywhere_is_here_in_one_process():
    module = Training(model_of(ALONE))
    module.trainer = SimpleNamespace(world_size=1)
    assert module.everywhere({3: "row"}) == {3: "row"}


def test_two_ranks_together_see_the_batches_of_one_process():
    def order(processes=1, rank=0, seed=0, epoch=0):
        return list(EpochSampler(range(16), processes, rank, seed, epoch))

    one, ranks = order(), [order(2, rank) for rank in (0, 1)]
    for step in range(2):
        together = [row for rank in ranks for row in rank[4 * step : 4 * step + 4]]
        assert sorted(together) == sorted(one[8 * step : 8 * step + 8])
    assert {epoch for epoch, _ in one} == {0} and sorted(index for _, index in one) == list(range(16))
    orders = [[index for _, index in order(**other)] for other in ({}, {"epoch": 1}, {"seed": 5})]
    assert len(set(map(tuple, [*orders, range(16)]))) == 4
    sampler = EpochSampler(range(16), 1, 0, 0, 0)
    sampler.set_epoch(1)
    assert list(sampler) == order(epoch=1) and {epoch for epoch, _ in sampler} == {1}


def half(_, file, *args, **options):
    file.write(b"half")
    raise OSError("no space left")


def refuse(*_):
    raise OSError("no space left")


def broken(*_, **__):
    raise RuntimeError("unexpected pos 64 vs 0")


@pytest.mark.parametrize(("name", "fails"), [("torch.save", half), ("torch.save", broken), ("os.replace", refuse)])
def test_a_checkpoint_that_fails_leaves_the_one_before(tmp_path, monkeypatch, name, fails):
    path = tmp_path / "run" / "last.ckpt"
    WholeCheckpoints().save_checkpoint({"epoch": 0}, path)
    with monkeypatch.context() as patch:
        patch.setattr(name, fails)
        with pytest.raises(OSError, match=r"last\.ckpt could not be written"):
            WholeCheckpoints().save_checkpoint({"epoch": 1}, path)
    assert list(path.parent.iterdir()) == [path] and torch.load(path) == {"epoch": 0}
    WholeCheckpoints().save_checkpoint({"epoch": 2}, path)
    assert list(path.parent.iterdir()) == [path] and torch.load(path) == {"epoch": 2}


def test_chance_depends_on_seed_epoch_step_and_process():
    def draw(seed=0, epoch=0, step=0, rank=0):
        trainer = SimpleNamespace(current_epoch=epoch, global_rank=rank)
        SeedSteps(seed).on_train_batch_start(trainer, None, None, step)
        return torch.rand(1).item()

    first = draw()
    draws = [first, draw(seed=1), draw(epoch=1), draw(step=1), draw(rank=1)]
    assert len(set(draws)) == 5 and draw() == first
    data = SimpleNamespace(epoch=0)
    SeedSteps(0, data).on_train_epoch_start(SimpleNamespace(current_epoch=7), None)
    assert data.epoch == 7


def test_start_from_takes_what_fits_and_leaves_the_rest():
    main, student = model_of(ALONE, seed=1), model_of(SPEC, seed=2)
    for parameter in (*main.parameters(), *student.parameters()):
        torch.nn.init.normal_(parameter)
    before = {key: value.clone() for key, value in student.state_dict().items()}
    start_from(student, main)
    own = ("fusion.", "bank.tokens.receiver")
    for key, value in student.state_dict().items():
        assert torch.equal(value, (before if key.startswith(own) else main.state_dict())[key]), key
    wide = model_of(ALONE | {"backbone_args": {"embed_dim": 16, "depth": 2, "double_at": (1,)}})
    with pytest.raises(ValueError, match="it is another network"):
        start_from(student, wide)


def test_the_student_starts_from_what_it_is_given(run):
    stage = run("run", overrides=SPEC, epochs=[1, 1], lr=[1e-3, 1e-9])
    spec = stage.config.spec()
    start = amge.assemble(tokens_alone(spec, spec.modality))
    for parameter in start.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    before = {key: value.clone() for key, value in start.state_dict().items()}
    student = stage.stage("student", spec, 1, start, amge.assemble(amge.teacher_spec(spec)))
    after = student.state_dict()
    assert sum(key.startswith("backbone.") for key in before) > 20
    for key, value in before.items():
        torch.testing.assert_close(after[key], value, rtol=0, atol=1e-6, msg=key)


def test_stage_two_gets_the_main_model_and_the_teacher(clips, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(Run, "stage", lambda _, name, *given: calls.append((name, *given)) or f"trained {name}")
    monkeypatch.setattr("amge.evaluate.evaluate", lambda model, *_, **__: f"figures of {model}")
    monkeypatch.setattr("amge.train.run.note", lambda *given: calls.append(given))
    made = config(clips, overrides=SPEC, epochs=[1, 1])
    assert train(made, tmp_path / "run") == "trained student"
    spec = made.spec()
    assert calls == [
        ("main", tokens_alone(spec, "rgb"), 0),
        ("teacher", tokens_alone(spec, "rgb_diff"), 0),
        ("student", spec, 1, "trained main", "trained teacher"),
        ("trained student", tmp_path / "run" / "student", "figures of trained student"),
    ]


def test_two_small_batches_make_one_step_of_a_large_one(run):
    """Two epochs of two steps: the schedule counts steps, not batches."""
    results = []
    for name, changes in (("large", {}), ("small", {"batch_size": 4, "accumulate": 2})):
        made = run(name, epochs=[2, 0], warmup=0.5, **changes)
        results.append(made.stage("main", made.config.spec(), 0).state_dict())
    for key, value in results[0].items():
        torch.testing.assert_close(results[1][key], value, rtol=1e-3, atol=1e-4, msg=key)


@pytest.mark.parametrize(("keep", "epoch"), [("best", 1), ("last", 2)])
def test_the_kept_epoch_is_saved_as_it_was_validated(run, monkeypatch, keep, epoch):
    values, validated = iter((0.1, 0.9, 0.5)), []
    step = Training.validation_step

    def record(module, *batch):
        validated.append({key: value.clone() for key, value in module.model.state_dict().items()})
        step(module, *batch)

    monkeypatch.setattr("amge.train.module.mean_average_precision", lambda *_: next(values))
    monkeypatch.setattr(Training, "validation_step", record)
    made = run("run", epochs=[3, 0], ema=0.5, keep=keep)
    model = made.stage("main", made.config.spec(), 0)
    assert [equal(model.state_dict(), each) for each in validated] == [number == epoch for number in range(3)]
    assert equal(amge.from_pretrained(made.out / "main").state_dict(), model.state_dict())
