"""Blocks that are computed again in the backward pass."""

import copy
import pickle

import pytest
import torch
from torch import nn

import amge
from amge.layers.checkpointing import Blocks, set_grad_checkpointing


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.calls = nn.Linear(3, 3), 0

    def forward(self, x):
        self.calls += 1
        return self.linear(x).relu()


def test_blocks_are_computed_again_in_training_alone():
    blocks = Blocks(Counting(), Counting())
    given = torch.rand(2, 3, requires_grad=True)
    expected = blocks(given)
    set_grad_checkpointing(blocks)
    out = blocks(given)
    out.sum().backward()
    assert torch.equal(out, expected) and [block.calls for block in blocks] == [3, 3]
    blocks.eval()(given).sum().backward()
    assert [block.calls for block in blocks] == [4, 4]
    set_grad_checkpointing(blocks, False)
    blocks.train()(given).sum().backward()
    assert [block.calls for block in blocks] == [5, 5]


def test_the_encoders_of_timm_follow(tiny_model):
    tiny_model.set_grad_checkpointing()
    assert tiny_model.backbone.encoder.grad_checkpointing and tiny_model.backbone.adapter.grad_checkpointing
    with pytest.raises(ValueError, match="Linear has no blocks that could be computed again"):
        set_grad_checkpointing(nn.Linear(1, 1))


def test_copies_stand_on_their_own():
    model = amge.build("st-gcn-tiny").eval()
    model.set_grad_checkpointing()
    skeletons = model.input_spec.example()
    expected = model(skeletons)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        with torch.no_grad():
            next(twin.backbone.encoder.layers.parameters()).add_(1)
        assert not torch.equal(twin(skeletons), expected)
    assert torch.equal(model(skeletons), expected)
