import os

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import amge
from amge import zoo
from amge.muscles import REGION_IDS
from amge.video.modality import rgb_diff


def random_clip(batch=2, frames=4, size=64, seed=0):
    return torch.randn(batch, 3, frames, size, size, generator=torch.Generator().manual_seed(seed))


def random_video(frames=12, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (frames, 40, 48, 3), dtype=np.uint8)


def without_gradient(model):
    return [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]


# Building


def test_named_models():
    assert "transm3e-lite" in amge.list_models()
    names = ["transm3e-lite", "transm3e-lite-pose"]
    assert amge.list_models("transm3e-l*e") == [*names, *(f"{name}.open-exercise" for name in names[::-1])]
    assert amge.list_models("resnet*") == []
    spec = amge.spec("transm3e-lite")
    assert (spec.name, spec.banks, spec.fusion, spec.labels) == (
        "transm3e-lite",
        ("main", "receiver"),
        "mctf",
        REGION_IDS,
    )


@pytest.mark.parametrize("name", ["transm3e-lite", "transm3e-lite-pose", "pose-mlp"])
def test_a_small_model_has_the_size_it_states(name):
    with torch.device("meta"):
        model = amge.build(name)
    assert model.training
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    assert f" {millions:.1f} M parameters" in getattr(zoo, name.replace("-", "_")).__doc__


@pytest.mark.parametrize(
    "overrides, fused",
    [
        ({}, (2, 20, 32)),
        ({"fusion": "sum"}, (2, 20, 32)),
        ({"fusion": "concat"}, (2, 20, 64)),
        ({"tokens": 5}, (2, 5, 32)),
        ({"banks": ("main",), "fusion": None, "distill": None}, (2, 20, 32)),
        ({"labels": ("chest", "calves")}, (2, 20, 32)),
        ({"head_args": {"dropout": 0.5}}, (2, 20, 32)),
    ],
)
def test_overrides(tiny_spec, overrides, fused):
    spec = tiny_spec.replace(**overrides)
    model = amge.assemble(spec)
    clip = random_clip()
    features = model.forward_features(clip)
    assert features.fused.shape == fused
    assert tuple(features.tokens) == spec.banks
    assert model(clip).shape == (2, len(spec.labels))
    model(clip).square().sum().backward()
    assert without_gradient(model) == []
    assert set(model.eval().predict(clip)) == set(spec.labels)


def test_build_takes_overrides_of_the_spec(tiny_spec):
    model = amge.build(
        "transm3e-lite",
        backbone_args=tiny_spec.backbone_args,
        size=64,
        frames=4,
        threshold=0.3,
        sampling="even",
        evidence=tiny_spec.evidence,
    )
    assert model.spec == tiny_spec.replace(threshold=0.3)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"name": "transm3e-litte"}, "unknown model 'transm3e-litte'; did you mean 'transm3e-lite'"),
        ({"treshold": 0.3}, "unknown argument 'treshold'; did you mean 'threshold'"),
        ({"backbone": "timm-frame"}, "unknown backbone 'timm-frame'; did you mean 'timm-frames'"),
        ({"fusion": "sums", "fusion_args": {}}, "unknown fusion 'sums'; did you mean 'sum'"),
        ({"head": "means"}, "unknown head 'means'; did you mean 'mean'"),
        ({"activation": "sigmod"}, "unknown activation 'sigmod'; did you mean 'sigmoid'"),
        ({"modality": "rgb-diff"}, "unknown modality 'rgb-diff'; did you mean 'rgb_diff'"),
        ({"fusion_args": {"head": 2}}, "fusion 'mctf' does not take these arguments: .*'head'"),
        ({"backbone_args": {"encoder": "test_resnet", "depht": 2}}, "backbone .* does not take these .*'depht'"),
        ({"fusion": "bottleneck", "fusion_args": {"num_heads": 3}}, "num_heads=3 does not divide dim=160"),
        ({"fusion": None}, "two banks and a fusion"),
        ({"banks": ("main",)}, "two banks and a fusion"),
        ({"tokens": 0}, "tokens must be a whole number from 1 to 10,000, got 0"),
        ({"frames": 4.0}, "frames must be a whole number"),
        ({"size": True}, "size must be a whole number"),
        ({"labels": ()}, "labels must be distinct names"),
        ({"labels": ("chest", "chest")}, "labels must be distinct names"),
        ({"threshold": 1.5}, "threshold must lie in 0..1"),
        ({"pretrained": "no-such-tag"}, "'no-such-tag' is neither a tag of 'transm3e-lite'"),
        ({"name": "transm3e-litte", "pretrained": True}, "did you mean 'transm3e-lite'"),
    ],
)
def test_build_refuses(arguments, message):
    with pytest.raises(ValueError, match=message), torch.device("meta"):
        amge.build(**{"name": "transm3e-lite"} | arguments)


def test_the_parts_must_fit_one_another(tiny_model):
    backbone, bank, fusion, head = tiny_model.backbone, tiny_model.bank, tiny_model.fusion, tiny_model.head
    with pytest.raises(ValueError, match="the bank's tokens have 16 channels, the backbone takes 32"):
        amge.MuscleModel(backbone, amge.TokenBank(20, 16, ("main", "receiver")), fusion, head)
    with pytest.raises(ValueError, match="fusion does not fit the banks"):
        amge.MuscleModel(backbone, bank, None, head)
    with pytest.raises(ValueError, match="fusion does not fit the banks"):
        amge.MuscleModel(backbone, amge.TokenBank(20, 32), fusion, head)


def test_a_registered_part_and_model_build_save_and_load(registry, tiny_spec, tmp_path):
    @amge.register("fusion", "weighted")
    class Weighted(nn.Module):
        def __init__(self, dim, start=0.5):
            super().__init__()
            self.out_channels = dim
            self.weight = nn.Parameter(torch.full((dim,), start))

        def forward(self, main, receiver):
            return self.weight * main + (1 - self.weight) * receiver

    @amge.register_model
    def mine():
        return tiny_spec.replace(arch="mine", fusion="weighted", fusion_args={"start": 0.25})

    assert "mine" in amge.list_models()
    model = amge.build("mine").eval()
    assert model.fusion.weight.unique().tolist() == [0.25]
    again = amge.from_pretrained(model.save_pretrained(tmp_path))
    assert isinstance(again.fusion, Weighted)
    assert torch.equal(again(random_clip()), model(random_clip()))
    with pytest.raises(ValueError, match="the fusion name 'weighted' is taken"):
        amge.register("fusion", "weighted")(nn.Identity)
    with pytest.raises(ValueError, match="the model name 'mine' is taken"):
        amge.register_model(lambda: mine())
    with pytest.raises(ValueError, match="unknown kind of part 'fusions'; did you mean 'fusion'"):
        amge.register("fusions", "other")


# The spec


def test_a_spec_survives_json(tiny_spec):
    spec = tiny_spec.replace(tag="toy", metrics={"mAP": 0.5}, labels=("chest", "calves"), licence="MIT")
    assert amge.ModelSpec.from_json(spec.to_json()) == spec
    assert spec.name == "transm3e-lite.toy"


def test_a_spec_cannot_be_changed(tiny_spec):
    with pytest.raises(AttributeError):
        tiny_spec.threshold = 0.9


# Saving and loading


@pytest.fixture
def folder(tiny_model, tmp_path):
    return tiny_model.save_pretrained(tmp_path / "checkpoint")


@pytest.mark.parametrize("load", [amge.from_pretrained, amge.MuscleModel.from_pretrained])
def test_a_saved_model_comes_back_bit_by_bit(tiny_model, folder, load):
    again = load(folder)
    assert not again.training
    assert again.spec == tiny_model.spec
    state = again.state_dict()
    assert state.keys() == tiny_model.state_dict().keys()
    assert all(torch.equal(state[key], value) for key, value in tiny_model.state_dict().items())
    assert torch.equal(again(random_clip()), tiny_model(random_clip()))
    assert sorted(os.listdir(folder)) == ["README.md", "config.json", "model.safetensors"]


def test_build_loads_a_folder(tiny_model, folder):
    assert torch.equal(amge.build("transm3e-lite", folder)(random_clip()), tiny_model(random_clip()))
    assert amge.build("transm3e-lite", str(folder), threshold=0.3).spec.threshold == 0.3


def test_overrides_of_a_saved_model(folder):
    assert amge.from_pretrained(folder, threshold=0.3).spec.threshold == 0.3
    with pytest.raises(ValueError, match="did you mean 'threshold'"):
        amge.from_pretrained(folder, treshold=0.3)
    with pytest.raises(ValueError, match=r"head.projection.bias is \(20,\), the model has \(1,\)"):
        amge.from_pretrained(folder, labels=("chest",))


def test_half_precision_on_disk(tiny_model, tmp_path):
    exact = tiny_model.save_pretrained(tmp_path / "exact") / "model.safetensors"
    folder = tiny_model.save_pretrained(tmp_path / "half", dtype=torch.float16)
    assert (folder / "model.safetensors").stat().st_size < 0.6 * exact.stat().st_size
    assert tiny_model.bank.tokens["main"].dtype == torch.float32
    state = amge.from_pretrained(folder).state_dict()
    for key, value in tiny_model.state_dict().items():
        assert state[key].dtype == value.dtype
        assert torch.equal(state[key], value.half().to(value.dtype) if value.is_floating_point() else value)


def test_only_what_a_spec_rebuilds_is_saved(tiny_model, tmp_path):
    by_hand = amge.MuscleModel(tiny_model.backbone, tiny_model.bank, tiny_model.fusion, tiny_model.head)
    with pytest.raises(ValueError, match="put together by hand"):
        by_hand.save_pretrained(tmp_path / "a")
    tiny_model.head = nn.Sequential(nn.Flatten(), nn.Linear(640, 20))
    with pytest.raises(ValueError, match=r"would not rebuild these parts of the model: .*head"):
        tiny_model.save_pretrained(tmp_path / "b")
    assert os.listdir(tmp_path) == []


def test_a_checkpoint_of_another_arch_is_refused(tiny_spec, tmp_path):
    folder = amge.assemble(tiny_spec.replace(arch="other")).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds a 'other', not a 'transm3e-lite'"):
        amge.build("transm3e-lite", folder)


# Forward and backward


def test_every_parameter_gets_a_gradient(tiny_spec):
    model = amge.assemble(tiny_spec.replace(fusion_args={"scale": None, "drop_path": 0.0}))
    model(random_clip(8)).square().sum().backward()
    assert without_gradient(model) == []
    assert all(tokens.grad.abs().sum() > 0 for tokens in model.bank.parameters())


def test_forward_is_deterministic_in_eval_only(tiny_model):
    clip = random_clip()
    assert torch.equal(tiny_model(clip), tiny_model(clip))
    tiny_model.train()
    assert not torch.equal(tiny_model(clip), tiny_model(clip))


def test_a_batch_is_its_samples(tiny_model):
    clips = random_clip(4)
    with torch.no_grad():
        together = tiny_model(clips)
        apart = torch.cat([tiny_model(clip[None]) for clip in clips])
    assert torch.allclose(together, apart, atol=1e-5)
    assert not torch.allclose(together[0], together[1], atol=1e-4)


@pytest.mark.parametrize(
    "clip, message",
    [
        (torch.zeros(3, 4, 64, 64), r"expected a clip \(B, 3, T, H, W\), got \(3, 4, 64, 64\)"),
        (torch.zeros(1, 4, 3, 64, 64), r"got \(1, 4, 3, 64, 64\)"),
        (torch.zeros(1, 4, 64, 64, 3), r"got \(1, 4, 64, 64, 3\)"),
        (torch.zeros(1, 1, 4, 64, 64), r"got \(1, 1, 4, 64, 64\)"),
        (torch.zeros(1, 3, 4, 64, 64, dtype=torch.uint8), "floating-point clip, got torch.uint8; model.preprocess"),
        (torch.zeros(1, 3, 4, 64, 64, dtype=torch.int64), "floating-point clip, got torch.int64"),
    ],
)
def test_other_layouts_and_types_are_refused(tiny_model, clip, message):
    with pytest.raises(ValueError, match=message):
        tiny_model(clip)


def test_forward_features(tiny_model):
    clip = random_clip()
    features = tiny_model.forward_features(clip)
    assert features.grid == (4, 4, 4)
    assert features.patches.shape == (2, 64, 32)
    assert features.fused.shape == (2, 20, 32)
    for bank in ("main", "receiver"):
        assert features.tokens[bank].shape == (2, 20, 32)
        assert [block.shape for block in features.block_tokens[bank]] == [(2, 20, 32)] * 2
        last = features.block_tokens[bank][-1]
        assert torch.equal(features.tokens[bank], tiny_model.backbone.adapter.norm(last))
    assert torch.equal(features.fused, tiny_model.fusion(features.tokens["main"], features.tokens["receiver"]))
    assert torch.equal(tiny_model.forward_head(features), tiny_model(clip))


def test_the_banks_are_the_student_s_and_no_teacher_is_there(tiny_model, folder):
    keys = {*tiny_model.state_dict(), *load_file(folder / "model.safetensors")}
    assert {key for key in keys if key.startswith("bank.")} == {"bank.tokens.main", "bank.tokens.receiver"}
    assert not [key for key in keys if "sender" in key or "teacher" in key]


@pytest.mark.slow
def test_export_and_compile(tiny_model):
    clip = random_clip()
    expected = tiny_model(clip)
    exported = torch.export.export(tiny_model, (clip,)).module()
    assert torch.allclose(exported(clip), expected, atol=1e-5)
    compiled = torch.compile(tiny_model, fullgraph=True, backend="eager")
    assert torch.allclose(compiled(clip), expected, atol=1e-5)


# Predicting


def test_predict_names_every_label_in_order(tiny_model):
    probabilities = tiny_model.predict(random_video())
    assert tuple(probabilities) == REGION_IDS
    assert all(isinstance(p, float) and 0 <= p <= 1 for p in probabilities.values())
    assert len(set(probabilities.values())) > 1


def test_arrays_tensors_and_preprocessed_clips_predict_the_same(tiny_model):
    video = random_video()
    from_array = tiny_model.predict(video)
    clip = tiny_model.preprocess(video)
    assert clip.shape == (1, 3, 4, 64, 64)
    assert clip.dtype == torch.float32
    assert tiny_model.predict(torch.from_numpy(video)) == from_array
    assert tiny_model.predict(clip) == pytest.approx(from_array, abs=1e-5)
    assert tiny_model.predict(clip[0]) == pytest.approx(from_array, abs=1e-5)
    with torch.no_grad():
        logits = tiny_model(clip)[0]
    assert list(from_array.values()) == pytest.approx(logits.sigmoid().tolist(), abs=1e-5)


def test_softmax_probabilities_add_up_to_one(tiny_spec):
    model = amge.assemble(tiny_spec.replace(activation="softmax")).eval()
    assert sum(model.predict(random_video()).values()) == pytest.approx(1, abs=1e-5)


def test_a_model_of_differences_sees_differences(tiny_model, tiny_spec):
    teacher = amge.assemble(tiny_spec.replace(modality="rgb_diff")).eval()
    video = random_video()
    given = teacher.preprocess(video)
    assert torch.equal(given, rgb_diff(tiny_model.preprocess(video)))
    with torch.no_grad():
        expected = teacher(given).sigmoid()[0].tolist()
    for source in (video, given):
        assert list(teacher.predict(source).values()) == pytest.approx(expected, abs=1e-5)


def test_a_long_video_is_the_mean_of_its_windows(tiny_spec):
    model = amge.assemble(tiny_spec.replace(seconds=1.0)).eval()
    video, calls = random_video(60), []
    windows = list(model.predict_windows(video, progress=lambda done, total: calls.append((done, total))))
    assert [(w.start, w.end) for w in windows] == [(0, 1), (0.5, 1.5), (1, 2)]
    assert all(w.frames.shape == (4, 40, 48, 3) and w.frames.dtype == np.uint8 for w in windows)
    assert calls[-1] == (2, 2)
    mean = {name: np.mean([w.probabilities[name] for w in windows]) for name in REGION_IDS}
    assert model.predict(video) == pytest.approx(mean, abs=1e-6)
    assert model.preprocess(video).shape == (3, 3, 4, 64, 64)
    assert model.predict(model.preprocess(video)) == pytest.approx(mean, abs=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_predict_works_in_eval_mode_and_leaves_the_mode_as_it_was(tiny_model, training):
    video = random_video()
    expected = tiny_model.predict(video)
    state = {key: value.clone() for key, value in tiny_model.state_dict().items()}
    tiny_model.train(training)
    assert tiny_model.predict(video) == expected
    assert {module.training for module in tiny_model.modules()} == {training}
    assert all(torch.equal(tiny_model.state_dict()[key], value) for key, value in state.items())


def test_predict_keeps_a_frozen_encoder_frozen(tiny_model):
    tiny_model.train()
    tiny_model.backbone.encoder.eval()
    tiny_model.predict(random_video())
    assert not any(module.training for module in tiny_model.backbone.encoder.modules())
    assert tiny_model.fusion.training


def test_predict_leaves_no_graph_and_takes_gradients_afterwards(tiny_model):
    tiny_model.predict(random_video())
    tiny_model.train()(random_clip()).sum().backward()
    assert without_gradient(tiny_model) == []


@pytest.mark.parametrize(
    "source",
    [
        np.zeros((8, 40, 48, 3), dtype=np.float32),
        np.zeros((8, 3, 40, 48), dtype=np.uint8),
        np.zeros((1, 40, 48, 3), dtype=np.uint8),
        torch.zeros(8, 3, 40, 48, dtype=torch.uint8),
        torch.zeros(8, 3, 40, 48),
        torch.zeros(64, 64),
        torch.zeros(0, 3, 4, 64, 64),
        "nowhere.mp4",
        None,
    ],
    ids=lambda source: f"{type(source).__name__} {tuple(getattr(source, 'shape', ()))}",
)
def test_predict_refuses_what_is_no_video(tiny_model, source):
    with pytest.raises(ValueError):
        tiny_model.predict(source)


def test_a_model_put_together_by_hand_takes_clips_but_no_videos(tiny_model):
    by_hand = amge.MuscleModel(tiny_model.backbone, tiny_model.bank, tiny_model.fusion, tiny_model.head).eval()
    assert torch.equal(by_hand(random_clip()), tiny_model(random_clip()))
    for call in (by_hand.predict, by_hand.preprocess, lambda source: list(by_hand.predict_windows(source))):
        with pytest.raises(ValueError, match="put together by hand"):
            call(random_video())


def test_fps_of_frames(tiny_model):
    frames = np.random.default_rng(0).integers(0, 256, (40, 48, 64, 3), dtype=np.uint8)
    assert [w.end for w in tiny_model.predict_windows(frames, fps=20)] == [2.0]
    assert tiny_model.preprocess(frames, fps=1).shape[0] > 1
    assert tiny_model.predict(frames, fps=1) != tiny_model.predict(frames)
    with pytest.raises(ValueError, match="fps must be a number over 0, got -1"):
        tiny_model.predict(frames, fps=-1)
    with pytest.raises(ValueError, match=r"squat\.mp4 has frames a second of its own"):
        tiny_model.predict("examples/squat.mp4", fps=30)
