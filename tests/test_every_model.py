"""What every named model does alike, by the registry: each at the size for tests, some baselines also with tokens."""

import copy
from functools import cache

import pytest
import torch

import amge
from amge.muscles import REGION_IDS
from amge.skeleton.sequence import normalise
from amge.zoo import STATISTICAL

ADAPTER = {"dim": 16, "depth": 2, "num_heads": 2}
WITH_TOKENS = ("slowfast-tiny", "videoswin-tiny", "st-gcn-tiny")
"""One of each kind of baseline; `backbones/test_encoded.py` gives tokens to them all."""
NAMES = [
    *(name for name in amge.list_models() if "tiny" in name),
    *STATISTICAL,
    "transm3e-lite",
    "pose-mlp",
    *(f"{name}+tokens" for name in WITH_TOKENS),
]
TRACED = (
    *("random", "all-ones", "transm3e-lite", "transm3e-tiny", "two-stream-tiny", "mvitv2-tiny"),
    *("i3d-tiny", "slowfast-tiny", "videoswin-tiny+tokens", "st-gcn-tiny", "ctr-gcn-tiny", "hd-gcn-tiny", "pose-mlp"),
)
"""Tracing takes seconds a model. Each block, head, fusion and decoder of the others is in one of these."""
THREE_LEVELS = ((0,), (1, 2, 5, 6), (3, 4, 7, 8, 11, 12, 9, 10, 13, 14, 15, 16))
"""Of HD-GCN, for half the modules."""
SKELETON = [name for name in NAMES if amge.spec(name.removesuffix("+tokens")).modality == "skeleton"]
IDLE = (
    "blocks.3.attn.pool_q",
    "blocks.3.attn.rel_pos",
    "norm_k.bias",
    ".relation.",
    ".target.",
    ".source.",
    ".branch2.",
)
"""Parts of the names of parameters that nothing depends on until a first step, or ever; `test_paper.py` says why."""


@pytest.fixture(scope="module")
def built(tiny_spec):
    """Models by name, each built once, in eval mode."""
    return cache(lambda name: build(name, tiny_spec).eval())


@pytest.fixture(params=NAMES)
def model(request, built):
    """A model in eval mode, the same for all tests, so that they leave it as it is."""
    return built(request.param)


@pytest.fixture(params=NAMES)
def own(request, built):
    """A copy in train mode, for a test that changes it."""
    return copy.deepcopy(built(request.param)).train()


def build(name, tiny_spec):
    torch.manual_seed(0)
    if name.split("-")[0] in ("c2d", "i3d", "slow", "slowfast"):
        pytest.importorskip("pytorchvideo")
    if name == "transm3e-lite":
        return amge.assemble(tiny_spec)
    if name == "hd-gcn-tiny":
        return amge.build(name, backbone_args={**amge.spec(name).backbone_args, "levels": THREE_LEVELS})
    name, *tokens = name.split("+")
    if not tokens:
        return amge.build(name)
    return amge.build(name, tokens=5, backbone_args={**amge.spec(name).backbone_args, **ADAPTER})


def example(model, batch=2, **sizes):
    """Input as a model takes it; `sizes` replaces frames, height or width."""
    layout = getattr(model.backbone, "input_layout", amge.backbones.Backbone.input_layout)
    shape = [sizes.get(axis, own) for axis, own in zip(layout, model.input_spec.shape, strict=True)]
    generator = torch.Generator().manual_seed(1)
    return torch.rand([batch, *shape[1:]], generator=generator)


def guess(model, *inputs):
    """What a model gives, also one that draws it."""
    torch.manual_seed(0)
    return model(*inputs)


class TestEveryModel:
    def test_the_surface_is_the_same(self, model):
        clip = example(model)
        features = model.forward_features(clip)
        assert features.patches.shape[2] == model.backbone.out_channels
        assert features.patches.shape[1] == features.grid[0] * features.grid[1] * features.grid[2]
        assert all(len(blocks) == len(model.embed_dims) for blocks in features.block_tokens.values())
        assert guess(model, clip).shape == (2, 20)
        assert guess(model, model.input_spec.example(3)).shape == (3, 20)
        decayless = model.no_weight_decay()
        assert decayless <= {name for name, _ in model.named_parameters()}
        assert {f"bank.tokens.{bank}" for bank in model.spec.banks} <= decayless
        tables = ("position_time", "position_space", "rel_pos.h", "relative_position_bias_table")
        assert {n for n, _ in model.named_parameters() if n.endswith(tables)} <= decayless

    def test_reset_head(self, own):
        if isinstance(own.head, amge.heads.LookUp):
            pytest.skip("its regions are those of its table")
        kept = {name: p.clone() for name, p in own.backbone.named_parameters()}
        own.reset_head(3, ("arms", "legs", "trunk"))
        assert guess(own, example(own)).shape == (2, 3) and own.spec.labels == ("arms", "legs", "trunk")
        assert all(torch.equal(p, kept[name]) for name, p in own.backbone.named_parameters())

    def test_gradients_everywhere(self, own, monkeypatch):
        for module in ("amge.backbones.mvit", "amge.fusion.mctf"):
            monkeypatch.setattr(f"{module}.add_path", lambda x, branch, *_: x + branch)
        if not list(own.parameters()):
            return
        own(example(own)).square().sum().backward()
        without = [name for name, p in own.named_parameters() if p.grad is None or not p.grad.any()]
        assert [name for name in without if not any(part in name for part in IDLE)] == []

    def test_the_same_twice_in_eval_mode(self, model):
        clip = example(model)
        kept = clip.clone()
        assert torch.equal(guess(model, clip), guess(model, clip)) and torch.equal(clip, kept)

    def test_what_is_no_clip_is_refused_alike(self, model):
        clip = example(model, 1)
        with pytest.raises(ValueError, match="in which there is nothing"):
            model(clip[:0])
        if any(True for _ in model.parameters()):
            with pytest.raises(ValueError, match="the clip is on meta, the model on cpu"):
                model(clip.to("meta"))
        with pytest.raises(ValueError, match="a model takes a clip, a tensor, not the ndarray"):
            model(clip.numpy())

    def test_a_batch_is_its_samples(self, model):
        if model.spec.arch == "random":
            return
        clips = example(model, 3)
        with torch.no_grad():
            apart = torch.cat([model(clip[None]) for clip in clips])
            torch.testing.assert_close(model(clips), apart, atol=1e-4, rtol=1e-4)

    def test_bfloat16(self, own):
        clip = example(own)
        expected = guess(own.eval(), clip)
        logits = guess(own.bfloat16(), clip.bfloat16())
        assert logits.dtype == torch.bfloat16 and logits.isfinite().all()
        if own.spec.arch != "random":
            apart = (logits.float() - expected).norm() / expected.norm()
            assert apart < 0.15

    def test_other_lengths_and_sizes(self, model):
        assert guess(model, example(model, T=12, H=96, W=72)).isfinite().all()

    def test_checkpointing_changes_no_gradient(self, own):
        if not any(hasattr(part, "grad_checkpointing") for part in own.modules()):
            with pytest.raises(ValueError, match="no blocks that could be computed again"):
                own.set_grad_checkpointing()
            return
        gradients = []
        for enable in (False, True):
            own.set_grad_checkpointing(enable)
            own.zero_grad(set_to_none=True)
            torch.manual_seed(2)
            own.train()(example(own)).square().sum().backward()
            gradients.append({name: p.grad for name, p in own.named_parameters()})
        for name, gradient in gradients[0].items():
            torch.testing.assert_close(gradients[1][name], gradient, atol=1e-4, rtol=1e-3)

    @pytest.mark.slow
    @pytest.mark.parametrize("model", TRACED, indirect=True)
    def test_exports_for_any_batch(self, model):
        shapes = {0: torch.export.Dim("batch", min=1, max=64)}
        program = torch.export.export(model, (example(model, 2),), dynamic_shapes=(shapes,), strict=False).module()
        assert not [key for key in program.state_dict() if "teacher" in key or "sender" in key]
        for batch in (1, 3):
            clip = example(model, batch)
            torch.testing.assert_close(guess(program, clip), guess(model, clip), atol=1e-4, rtol=1e-4)

    @pytest.mark.slow
    @pytest.mark.parametrize("model", TRACED, indirect=True)
    def test_compiles_in_one_piece(self, model):
        torch._dynamo.reset()
        clip = example(model)
        compiled = torch.compile(model, fullgraph=True, backend="eager")
        with torch.no_grad():
            torch.testing.assert_close(guess(compiled, clip), guess(model, clip), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", SKELETON)
class TestEverySkeletonModel:
    def test_missing_joints_and_frames(self, name, built):
        model = built(name)
        skeletons = example(model)
        holes = skeletons.clone()
        holes[:, :, 3] = 0
        holes[:, :, :, 4] = 0
        assert model(holes).isfinite().all() and not torch.equal(model(holes), model(skeletons))
        person = holes[0, 0].numpy() * (100, 100, 1, 1, 1, 1)[: holes.shape[-1]]
        assert normalise(person.astype("float32"), model.backbone.graph)[3].any() == 0
        assert set(model.predict(person)) == set(REGION_IDS)

    def test_zero_persons(self, name, built):
        for model in (built(name), copy.deepcopy(built(name)).train()):
            assert model(torch.zeros_like(example(model))).isfinite().all()
