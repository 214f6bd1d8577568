"""What assembling refuses, and what it derives: teachers, distillations, heads."""

import pytest
import torch
from torch import nn

import amge
from amge.distill import Teacher
from amge.fusion import MCTF, Bottleneck
from amge.registry import PARTS
from amge.train.objective import Objective

SKELETON = {"auxiliary": "skeleton", "auxiliary_backbone": "joint-mixer"}


def test_the_call_of_the_tables():
    model = amge.build("transm3e-tiny", distill="sparse-channel", fusion="bottleneck", tokens=25)
    assert isinstance(model.fusion, Bottleneck) and model.bank.num_tokens == 25
    assert amge.distillation(model).blocks == (1, 2, 3)


@pytest.mark.parametrize(
    "overrides, message",
    [
        (
            {"distill": "sparse-chanel"},
            "unknown distill 'sparse-chanel'; did you mean 'sparse-channel'.*valid: patch_emb",
        ),
        ({"fusion": "botleneck"}, "unknown fusion 'botleneck'; did you mean 'bottleneck'.*valid: mctf, sum"),
        ({"head": "class-aligned", "tokens": 25}, "got 25 tokens for 20 classes; set tokens=20"),
        ({"head": "deit"}, "two tokens side by side: banks=.*fusion='concat'; got 128 channels"),
        ({"head": "deit", "banks": ("main",), "fusion": None, "distill": None}, "two tokens side by side"),
        ({"head": "look-up", "head_args": {"activities": {"rest": ()}}}, "needs activation='sigmoid'"),
        ({"head": "look-up", "head_args": {"activities": {"a": "chest"}}}, "a tuple of names; those of 'a' are not"),
        ({"tokens": 1}, "a softmax over one token says nothing; take distill='dense-channel' or 'dense-full'"),
        ({"tokens": 1, "distill": "dense-channel"}, None),
        ({"modality": "skeleton"}, "the backbone 'recorded' takes clips, the modality is 'skeleton'"),
        ({"auxiliary": "skeleton"}, "takes clips, the modality is 'skeleton'; a teacher's are auxiliary_backbone"),
        ({"auxiliary_backbone": "joint-mixer"}, "takes skeletons, the modality is 'rgb_diff'"),
        ({"auxiliary_backbone": "jointmixer"}, "unknown backbone 'jointmixer'; did you mean 'joint-mixer'"),
        ({"fusion": None, "fusion_args": {"a": 1}, "banks": ("main",), "distill": None}, "have no fusion to go to"),
        ({"distill": None, "distill_args": {"weight": 2}}, "have no distill to go to"),
        ({"streams_args": {"num_heads": 1}}, "have no streams to go to"),
        ({"auxiliary_backbone_args": {"dim": 1}}, "have no auxiliary_backbone to go to"),
        ({"distill_args": {"weight": -1}}, "weight must be a number, 0 or more"),
        ({"distill_args": {"weight": "1"}}, "weight must be a number, 0 or more"),
        ({"distill_args": {"axis": "channel"}}, "distill 'dense-token' does not take these arguments: .*valid: target"),
        ({"fusion_args": {"head": 2}}, "does not take these arguments: .*did you mean 'num_heads'"),
        ({"fusion_args": {"num_heads": "4"}}, "num_heads must be a whole number"),
        ({"pairing": True}, "pairing is a case of Table 13"),
        ({"labels": (1, 2)}, "labels must be a tuple of names"),
        ({"labels": ("", "b")}, "labels must be a tuple of names"),
        ({"banks": (1, 2)}, "banks must be a tuple of names"),
        ({"banks": None}, "banks must be a tuple of names"),
        ({"head": "deit", "fusion": "concat", "labels": ("a", "b"), "distill": "deit-soft"}, None),
        ({"head": "deit", "fusion": "concat", "distill": "deit-hard", "distill_args": {"temperature": 2}}, "no temp"),
        ({"head": "linear", "tokens": 3}, None),
        ({"head": "look-up"}, "a look-up head needs activities"),
        (
            {"banks": ("main",), "fusion": None},
            r"distil into 'receiver'; .*build the student with banks=\('main', 'receiver'\) and a fusion",
        ),
        ({"banks": (), "fusion": None}, "distil into 'receiver'; valid: none; .*for none distill=None"),
        ({"distill_args": {"target": "reciever"}}, "distil into 'reciever'; did you mean 'receiver'"),
        ({"distill_args": {"temprature": 2}}, "distill 'dense-token' does not take these arguments: .*'temprature'"),
        ({"distill_args": {"temperature": 0}}, "temperature must be positive"),
        ({"distill_args": {"form": "papre"}}, "unknown form of the distillation 'papre'; did you mean 'paper'"),
        ({"distill": "deit-hard"}, "head='deit', banks=.*fusion='concat'"),
        ({"distill": "final", "distill_args": {}}, "unknown distill 'final'; did you mean 'final-"),
        ({"auxiliary": "rgb-diff"}, "unknown auxiliary modality 'rgb-diff'; did you mean 'rgb_diff'"),
        ({"auxiliary_backbone": "stgcn", "streams": "late"}, "unknown backbone 'stgcn'"),
        ({"pairing": 5}, r"pairing is a case of Table 13, one of \(1, 2, 3, 4\); got 5"),
        ({"fusion_args": {"attentions": ("mm",)}}, "unknown attention of MCTF 'mm'"),
        ({"fusion_args": {"num_heads": 0}}, "num_heads must be a whole number, 1 or more, got 0"),
        ({"fusion": "self-attention", "fusion_args": {"num_heads": 3}}, "num_heads=3 does not divide dim=128"),
        ({"fusion": "bottleneck", "fusion_args": {"depth": 1}}, "at least 2 layers"),
        ({"distill_args": None}, "distill_args must map names to values"),
    ],
)
def test_bad_combinations_are_refused_before_any_weight_is_made(overrides, message, registry):
    made = []
    trunk = PARTS["backbone"]["mvitv2"]

    @amge.register("backbone", "recorded")
    def recorded(**arguments):
        backbone = trunk(**arguments | {"frames": 8, "size": 64})
        made.append(next(backbone.parameters()).device.type)
        return backbone

    build = {"backbone": "recorded", "backbone_args": amge.spec("transm3e-tiny").backbone_args} | overrides
    if message is None:
        amge.build("transm3e-tiny", **build)
        assert set(made[:-1]) == {"meta"} and made[-1] == "cpu"
    else:
        with pytest.raises(ValueError, match=message):
            amge.build("transm3e-tiny", **build)
        assert "cpu" not in made


def test_the_rehearsal_changes_no_chance():
    torch.manual_seed(5)
    one = amge.build("transm3e-tiny")
    torch.manual_seed(5)
    state = torch.get_rng_state()
    with torch.device("meta"):
        amge.build("transm3e-tiny")
    assert torch.equal(torch.get_rng_state(), state)
    other = amge.build("transm3e-tiny")
    assert all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))


def test_a_part_that_the_meta_device_cannot_hold_is_built_all_the_same(registry):
    @amge.register("fusion", "measured")
    class Measured(nn.Module):
        def __init__(self, dim):
            super().__init__()
            self.out_channels = dim
            self.scale = torch.linspace(0, 1, 3)[1].item()

        def forward(self, main, receiver):
            return self.scale * (main + receiver)

    assert amge.build("transm3e-tiny", fusion="measured").fusion.scale == 0.5


def test_arguments_go_with_their_part():
    spec = amge.spec("transm3e-tiny").replace(distill_args={"weight": 2.0})
    assert spec.replace(fusion="sum").fusion_args == {} and spec.replace(distill="final-full").distill_args == {}
    assert spec.replace(fusion="sum", fusion_args={"a": 1}).fusion_args == {"a": 1}
    assert spec.replace(fusion="mctf").fusion_args == spec.fusion_args
    assert spec.replace(tokens=3).distill_args == {"weight": 2.0}
    assert spec.replace(fusion="sum").backbone_args == spec.backbone_args


def test_a_part_registered_anew_replaces_its_earlier_version(registry):
    def define(scale):
        @amge.register("fusion", "scaled")
        class Scaled(nn.Module):
            def __init__(self, dim):
                super().__init__()
                self.out_channels, self.scale = dim, scale

            def forward(self, main, receiver):
                return self.scale * (main + receiver)

    define(1), define(2)
    assert amge.build("transm3e-tiny", fusion="scaled").fusion.scale == 2
    with pytest.raises(ValueError, match="the fusion name 'scaled' is taken"):
        amge.register("fusion", "scaled")(Bottleneck)


def test_parts_that_break_their_contract_are_refused(registry):
    amge.register("fusion", "silent")(lambda dim: nn.Identity())
    amge.register("backbone", "silent")(lambda: nn.Identity())
    with pytest.raises(ValueError, match="fusion Identity must state out_channels as attributes"):
        amge.build("transm3e-tiny", fusion="silent")
    with pytest.raises(ValueError, match="backbone Identity must state token_dim, embed_dims, reduces, out_channels"):
        amge.build("transm3e-tiny", backbone="silent")
    with pytest.raises(ValueError, match=r"fusion_args must hold plain values, .*GELU"):
        amge.build("transm3e-tiny", fusion_args={"activation": nn.GELU()})
    with pytest.raises(ValueError, match=r"unknown fusion 'mine'; .*import the module that registers it first"):
        amge.build("transm3e-tiny", fusion="mine")


def test_parts_that_do_not_give_what_they_state_are_refused(registry):
    @amge.register("fusion", "liar")
    class Liar(nn.Module):
        def __init__(self, dim):
            super().__init__()
            self.out_channels = dim

        def forward(self, main, receiver):
            return torch.cat([main, receiver], dim=-1)

    @amge.register("head", "identity")
    class Identity(nn.Module):
        def forward(self, tokens):
            return tokens

    with pytest.raises(ValueError, match=r"fusion Liar must give \(1, 20, 128\) .* it gave \(1, 20, 256\)"):
        amge.build("transm3e-tiny", fusion="liar")
    with pytest.raises(ValueError, match=r"head Identity must give \(1, 20\) .* it gave \(1, 20, 128\)"):
        amge.build("transm3e-tiny", head="identity")


def test_functions_of_a_spec_say_so():
    for function in (amge.assemble, amge.teacher_spec):
        for wrong in ("transm3e-tiny", None, amge.build("mvitv2-tiny")):
            with pytest.raises(ValueError, match=r"expected a ModelSpec, such as amge.spec\(name\) or model.spec, got"):
                function(wrong)


def test_a_teacher_is_a_muscle_model():
    with pytest.raises(ValueError, match=r"a Teacher wraps a MuscleModel, got Linear; .*TokenDistillation"):
        Teacher(nn.Linear(2, 2))


def test_a_registered_distillation_gets_the_sizes_that_it_names(registry):
    @amge.register("distill", "last-token-distance")
    class Distance(nn.Module):
        def __init__(self, banks, reduces, branches, activation, power=2):
            super().__init__()
            self.given = banks, reduces, branches, activation, power

        def forward(self, student, teacher):
            return (student.features.fused - teacher.features.fused).abs().pow(self.given[-1]).mean()

    still = {"fusion_args": {"drop_path": 0.0}}
    model = amge.build("transm3e-tiny", distill="last-token-distance", distill_args={"power": 3}, **still)
    assert amge.distillation(model).given == (("main", "receiver"), (False, True, True, True), 1, "softmax", 3)
    teacher = Teacher(amge.assemble(amge.teacher_spec(model.spec)))
    clip = torch.randn(1, 3, 8, 64, 64)
    losses = Objective(model, teacher)(clip, torch.ones(1, 20), clip)
    losses["distillation"].backward()
    assert model.fusion.mlp[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["transm3e-tiny", "transm3e-lite", "mvitv2-tiny"])
def test_a_teacher_is_the_same_trunk_with_one_bank_on_the_auxiliary_modality(name):
    spec = amge.spec(name).replace(auxiliary="flow")
    teacher = amge.teacher_spec(spec)
    assert (teacher.modality, teacher.banks, teacher.fusion, teacher.distill) == ("flow", ("sender",), None, None)
    assert (teacher.backbone, teacher.backbone_args) == (spec.backbone, spec.backbone_args)
    assert (teacher.tokens, teacher.labels, teacher.size) == (spec.tokens, spec.labels, spec.size)
    assert teacher.arch == f"{name}-teacher"
    trained = spec.replace(tag="x", licence="MIT", metrics={"mAP": 1.0})
    assert (amge.teacher_spec(trained).tag, amge.teacher_spec(trained).licence) == (None, None)
    assert amge.teacher_spec(trained).metrics == {}
    assert amge.teacher_spec(spec.replace(head="deit", head_args={"dropout": 0.1})).head == "mean"
    assert amge.teacher_spec(spec.replace(banks=(), fusion=None)).banks == ()


def test_a_model_without_distillation_says_so():
    with pytest.raises(ValueError, match="no distillation; build it with distill=, one of patch_embedding-token"):
        amge.distillation(amge.build("mvitv2-tiny"))
    with pytest.raises(ValueError, match="no distillation"):
        Objective(amge.build("mvitv2-tiny"), Teacher(amge.build("mvitv2-tiny", modality="rgb_diff")))


def test_signals_are_those_of_each_bank():
    model = amge.build("transm3e-tiny").eval()
    signals = model.forward_signals(torch.randn(2, 3, 8, 64, 64))
    for bank in ("main", "receiver"):
        entered = signals.features.token_embedding[bank]
        assert torch.equal(entered, model.bank.tokens[bank].expand(2, -1, -1))
    assert torch.equal(signals.logits, signals.branches[0])
    with torch.inference_mode():
        assert model.forward_features(torch.randn(1, 3, 8, 64, 64)).patch_embedding is None


def test_branches_and_logits_come_of_one_pass_through_the_head():
    deit = {"banks": ("main", "receiver"), "fusion": "concat", "head": "deit", "head_args": {"dropout": 0.5}}
    model = amge.build("mvitv2-tiny", **deit)
    signals = model.forward_signals(torch.randn(2, 3, 8, 64, 64))
    assert torch.equal(signals.logits, (signals.branches[0] + signals.branches[1]) / 2)


# A skeleton teacher


def skeletons(batch=2, persons=2, frames=8, joints=17):
    joints = torch.rand(batch, persons, frames, joints, 3)
    joints[..., 2] = 1
    return joints


def test_a_skeleton_teacher_for_an_rgb_student(tiny_spec):
    args = {"joints": 17, "channels": (8, 16), "dim": 32, "depth": 2, "num_heads": 2}
    student = amge.assemble(tiny_spec.replace(**SKELETON, auxiliary_backbone_args=args))
    teacher = Teacher(amge.assemble(amge.teacher_spec(student.spec)))
    assert teacher.model.spec.modality == "skeleton"
    losses = Objective(student, teacher)(torch.randn(2, 3, 4, 64, 64), torch.ones(2, 20), skeletons(frames=4))
    assert losses["distillation"] > 0
    losses["distillation"].backward()
    assert student.bank.tokens["receiver"].grad.abs().sum() > 0
    assert all(p.grad is None for p in teacher.parameters())


def test_a_skeleton_teacher_of_another_depth_teaches_the_last_block():
    args = {"channels": (8, 16), "dim": 128, "depth": 2, "num_heads": 2}
    student = amge.build("transm3e-tiny", distill="final-token", **SKELETON, auxiliary_backbone_args=args)
    teacher = Teacher(amge.assemble(amge.teacher_spec(student.spec)))
    losses = Objective(student, teacher)(torch.randn(2, 3, 8, 64, 64), torch.ones(2, 20), skeletons())
    losses["distillation"].backward()
    assert student.bank.tokens["receiver"].grad.abs().sum() > 0
    wrong = amge.build("transm3e-tiny", **SKELETON, auxiliary_backbone_args=args)
    with pytest.raises(ValueError, match="4 blocks and the teacher 2; the placement 'final'"):
        Objective(wrong, teacher)(torch.randn(2, 3, 8, 64, 64), torch.ones(2, 20), skeletons())


# Other heads


def test_reset_head_keeps_everything_else(tmp_path):
    model = amge.build("transm3e-tiny").eval()
    clip = torch.randn(1, 3, 8, 64, 64)
    tokens = model.forward_features(clip).fused
    model.spec = model.spec.replace(tag="x", metrics={"mAP": 1.0})
    model.reset_head(3, labels=("left", "right", "none"))
    assert model(clip).shape == (1, 3) and not model.training
    assert torch.equal(model.forward_features(clip).fused, tokens)
    assert (model.spec.labels, model.spec.tag, model.spec.metrics) == (("left", "right", "none"), None, {})
    again = amge.from_pretrained(model.save_pretrained(tmp_path))
    assert torch.equal(again(clip), model(clip)) and set(again.predict(clip)) == {"left", "right", "none"}
    model.bfloat16().train().reset_head(2)
    assert model.spec.labels == ("class_0", "class_1") and model.head.training
    assert model.head.projection.weight.dtype == torch.bfloat16


def test_reset_head_refuses_what_does_not_fit():
    bare = {**amge.spec("mvitv2-tiny-mct").backbone_args, "norm": False}
    model = amge.build("mvitv2-tiny-mct", head="class-aligned", backbone_args=bare)
    head, spec = model.head, model.spec
    with pytest.raises(ValueError, match="got 20 tokens for 5 classes"):
        model.reset_head(5)
    assert model.head is head and model.spec is spec
    with pytest.raises(ValueError, match="2 classes need as many labels, got 1"):
        model.reset_head(2, labels=("one",))
    for number in (0, -1, 2.0, "3", True):
        with pytest.raises(ValueError, match="num_classes must be a whole number from 1 up"):
            model.reset_head(number)
    with pytest.raises(ValueError, match="got the string 'abc'"):
        model.reset_head(3, labels="abc")
    by_hand = amge.MuscleModel(model.backbone, model.bank, None, model.head)
    with pytest.raises(ValueError, match="put together by hand"):
        by_hand.reset_head(3)


def test_mctf_of_table_10_with_five_heads():
    fusion = amge.build("transm3e-tiny", fusion_args={"num_heads": 5}).fusion
    assert isinstance(fusion, MCTF) and fusion.attention.qkv_main.weight.shape == (3 * 130, 128)
