"""Calls as a type checker sees them; `test_typing.py` holds that it refuses the lines that end in `# refused`, and no
other."""

import torch
from torch import Tensor
from typing_extensions import assert_type

import amge
from amge.backbones import Backbone, BackboneOutput, JointMixer, MViT, TokenDecoder
from amge.distill import FeatureDistillation, LogitDistillation, PredictionDistillation, Teacher, TokenDistillation
from amge.fusion import MCTF, Bottleneck, Concat, CrossAttention, LateFusion, Mixed, SelfAttention, Sum
from amge.heads import ClassAligned, Constant, DeiT, Linear, LookUp, MeanTokens
from amge.results import Features, Signals
from amge.train.objective import Objective


def models(clip: Tensor, model: amge.MuscleModel, bank: amge.TokenBank) -> None:
    assert_type(model(clip), Tensor)
    assert_type(model(clip=clip), Tensor)
    assert_type(model(clip, clip), Tensor)
    assert_type(model.forward_features(clip), Features)
    assert_type(amge.build("transm3e-lite")(clip), Tensor)
    torch.compile(model)
    torch.nn.Sequential(model, torch.nn.Sigmoid())
    assert_type([*map(model, [clip])], list[Tensor])
    assert_type(bank(2), Tensor)
    bank("2")  # refused
    bank()  # refused
    model("squat.mp4")  # refused
    model(clip, 1)  # refused
    model(clip, clip, clip)  # refused


def fusions(a: Tensor, mctf: MCTF, others: Bottleneck | Concat | CrossAttention | Mixed | SelfAttention | Sum) -> None:
    assert_type(MCTF(dim=160)(a, a), Tensor)
    assert_type(mctf(main=a, receiver=a), Tensor)
    assert_type(others(a, a), Tensor)
    mctf(a)  # refused
    mctf([a, a])  # refused
    others(a, 1)  # refused


def heads(a: Tensor, head: ClassAligned | Constant | DeiT | Linear | LookUp | MeanTokens) -> None:
    assert_type(head(a), Tensor)
    head([a])  # refused


def backbones(a: Tensor, backbone: Backbone | MViT | LateFusion, decoder: TokenDecoder, mixer: JointMixer) -> None:
    assert_type(backbone(a), BackboneOutput)
    assert_type(backbone(a, tokens=None), BackboneOutput)
    assert_type(decoder([a], 8, a), BackboneOutput)
    assert_type(mixer(a), Tensor)
    backbone(a, 20)  # refused
    decoder([a], a)  # refused


def losses(
    a: Tensor,
    signals: Signals,
    teacher: Teacher,
    objective: Objective,
    of: FeatureDistillation | PredictionDistillation,
) -> None:
    assert_type(teacher(a), Signals)
    assert_type(of(signals, teacher(a)), Tensor)
    assert_type(TokenDistillation()([a], [a]), Tensor)
    assert_type(LogitDistillation()(a, a), Tensor)
    assert_type(objective(a, a), dict[str, Tensor])
    TokenDistillation()([a])  # refused
    LogitDistillation()(signals, signals)  # refused


def names(spec: amge.ModelSpec) -> None:
    amge.build("transm3e-lite", True, num_classes=3, device="cpu", fusion=None, banks=["main"], mean=(0.5, 0.5, 0.5))
    amge.from_pretrained("folder", dtype=torch.float16, threshold=0.3)
    amge.MuscleModel.from_pretrained("folder", device="cpu", labels=["chest"])
    assert_type(spec.replace(fusion="sum", fusion_args={}), amge.ModelSpec)
    amge.build("transm3e-lite", fussion="sum")  # refused
    amge.build("transm3e-lite", pretraind=True)  # refused
    amge.build("transm3e-lite", labels="chest")  # refused
    amge.from_pretrained("folder", devise="cpu")  # refused
    amge.from_pretrained("folder", frames="8")  # refused
    amge.MuscleModel.from_pretrained("folder", treshold=0.3)  # refused
    amge.MuscleModel.from_pretrained("folder", strict="no")  # refused
    spec.replace(num_clases=3)  # refused
    spec.replace(tokens="20")  # refused
