import torch
from torch import nn

import amge
from amge.distill import Teacher

TINY = {"backbone_args": {"embed_dim": 8, "depth": 3, "double_at": (1,)}, "frames": 4, "size": 32, "tokens": 3}


def test_stays_frozen_and_in_eval_through_the_students_train():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.student = amge.build("transm3e-small", **TINY)
            self.teacher = Teacher(amge.build("mvitv2-small-mct", **TINY))

    pair = Pair().train()
    assert pair.student.training and not any(module.training for module in pair.teacher.modules())
    clip = torch.randn(2, 3, 4, 32, 32)
    blocks = pair.teacher(clip).features.block_tokens["main"]
    assert [tuple(tokens.shape) for tokens in blocks] == [(2, 3, 8), (2, 3, 16), (2, 3, 16)]
    again = pair.teacher(clip).features.block_tokens["main"]
    assert not any(tokens.requires_grad for tokens in blocks) and torch.equal(blocks[2], again[2])
    assert not any(p.requires_grad for p in pair.teacher.parameters())


def test_gives_its_models_signals_without_a_gradient_for_the_clip():
    model = amge.build("mvitv2-small-mct", **TINY)
    clip = torch.randn(2, 3, 4, 32, 32, requires_grad=True)
    expected = model.eval().forward_features(clip).block_tokens["main"]
    logits = model(clip)
    signals = Teacher(model.train())(clip)
    blocks = signals.features.block_tokens["main"]
    assert expected[0].requires_grad and not any(tokens.requires_grad for tokens in blocks)
    assert len(blocks) == 3 and all(map(torch.equal, blocks, expected))
    assert torch.equal(signals.logits, logits) and not signals.logits.requires_grad
