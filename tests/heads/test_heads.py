import numpy as np
import pytest
import torch

import amge
from amge.heads import ClassAligned, DeiT, Linear, LookUp, MeanTokens

TOKENS = torch.arange(24.0).reshape(2, 3, 4) / 10
LABELS = ("chest", "quadriceps", "gluteus")
ACTIVITIES = {"squat": ("quadriceps", "gluteus"), "push up": ("chest",), "rest": ()}


def test_class_aligned_is_the_mean_over_channels():
    head = ClassAligned(num_classes=3, num_tokens=3)
    assert torch.allclose(head(TOKENS), torch.tensor([[0.15, 0.55, 0.95], [1.35, 1.75, 2.15]]))
    assert list(head.parameters()) == []
    with pytest.raises(ValueError, match=r"expected 3 tokens, one for each class, got \(2, 2, 4\)"):
        head(TOKENS[:, :2])


def test_class_aligned_refuses_tokens_whose_mean_is_zero():
    with pytest.raises(ValueError, match=r"mean is zero after a layer norm: build the backbone .*'norm': False"):
        ClassAligned(3, 3, normed=True)
    for name, args in (("mvitv2-tiny-mct", {}), ("videoswin-tiny", {"tokens": 20})):
        with pytest.raises(ValueError, match="mean is zero after a layer norm"):
            amge.build(name, head="class-aligned", **args)
    torch.manual_seed(0)
    bare = {**amge.spec("mvitv2-tiny-mct").backbone_args, "norm": False}
    model = amge.build("mvitv2-tiny-mct", head="class-aligned", backbone_args=bare)
    logits = model(torch.randn(2, 3, 8, 64, 64))
    logits.square().sum().backward()
    assert logits.abs().max() > 1e-3 and model.backbone.patch_embed.weight.grad.abs().max() > 1e-4


@pytest.mark.parametrize("num_tokens", [25, 1])
def test_class_aligned_needs_a_token_for_each_class(num_tokens):
    with pytest.raises(ValueError, match=f"got {num_tokens} tokens for 20 classes; set tokens=20, or take head='mean'"):
        ClassAligned(num_classes=20, num_tokens=num_tokens)


def test_linear_weighs_each_token_by_itself():
    head = Linear(in_channels=4, num_classes=2, num_tokens=3)
    weight, bias = (p.detach().numpy() for p in (head.projection.weight, head.projection.bias))
    expected = TOKENS.numpy().reshape(2, 12) @ weight.T + bias
    np.testing.assert_allclose(head(TOKENS).detach().numpy(), expected, rtol=1e-5)
    pooled = Linear(4, 2)
    assert torch.equal(pooled(TOKENS[:, 0]), pooled(TOKENS[:, :1]))
    with pytest.raises(ValueError, match="fixed number of tokens"):
        Linear(4, 2, num_tokens=None)


def test_deit_averages_a_classifier_of_labels_and_one_of_the_teacher():
    head = DeiT(in_channels=4, num_classes=2).eval()
    main, distillation = head.branches(TOKENS)
    assert torch.equal(head.merge(main, distillation), head(TOKENS))
    assert torch.equal(main, head.main.projection(TOKENS[..., :2].mean(dim=1)))
    assert torch.equal(distillation, head.distillation.projection(TOKENS[..., 2:].mean(dim=1)))
    assert torch.equal(head(TOKENS), (main + distillation) / 2)
    with pytest.raises(ValueError, match=r"two tokens side by side: .* got 3 channels"):
        DeiT(3, 2)


def sure_of(head, activity):
    """Make the activity classifier certain of one activity, whatever it sees."""
    torch.nn.init.zeros_(head.classifier.projection.weight)
    head.classifier.projection.bias.data = torch.eye(len(ACTIVITIES))[activity] * 2
    return head


@pytest.mark.parametrize("activity, regions", [(0, [0, 1, 1]), (1, [1, 0, 0]), (2, [0, 0, 0])])
def test_look_up_gives_the_regions_of_the_likeliest_activity(activity, regions):
    head = sure_of(LookUp(4, LABELS, ACTIVITIES), activity)
    assert torch.allclose(head(TOKENS).sigmoid(), torch.tensor([regions] * 2).float(), atol=1e-5)
    (activities,) = head.branches(TOKENS)
    assert activities.shape == (2, 3) and activities.argmax(dim=1).tolist() == [activity] * 2
    assert head(TOKENS).isfinite().all()


def test_a_soft_look_up_weighs_the_regions_by_probability_and_learns_from_them():
    head = sure_of(LookUp(4, LABELS, ACTIVITIES, hard=False), 0)
    p = torch.tensor([2.0, 0, 0]).softmax(dim=0)
    expected = torch.stack([p[1], p[0], p[0]]).expand(2, 3)
    torch.testing.assert_close(head(TOKENS).sigmoid(), expected)
    head(TOKENS)[:, 0].sum().backward()
    assert head.classifier.projection.bias.grad.abs().sum() > 0


def test_look_up_refuses_what_it_cannot_look_up():
    with pytest.raises(ValueError, match="unknown region of the look-up table 'quadricep'; did you mean 'quadriceps'"):
        LookUp(4, LABELS, {"squat": ("quadricep",)})
    for none in (None, {}):
        with pytest.raises(ValueError, match="a look-up head needs activities, such as"):
            LookUp(4, LABELS, none)


def test_the_table_of_a_look_up_travels_with_the_model(tmp_path):
    arguments = {"head": "look-up", "head_args": {"activities": ACTIVITIES}, "activation": "sigmoid"}
    model = amge.build("mvitv2-tiny", **arguments, labels=LABELS).eval()
    again = amge.from_pretrained(model.save_pretrained(tmp_path))
    clip = torch.randn(1, 3, 8, 64, 64)
    assert torch.equal(again.head.table, torch.tensor([[0.0, 1, 1], [1, 0, 0], [0, 0, 0]]))
    assert torch.equal(again(clip), model(clip)) and "head.table" not in model.state_dict()


def test_a_mean_of_one_token_is_that_token():
    head = MeanTokens(4, 2)
    assert torch.equal(head(TOKENS[:, :1]), head.projection(TOKENS[:, 0]))
