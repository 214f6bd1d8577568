import numpy as np
import pytest
import torch

from amge.distill import FeatureDistillation, TokenDistillation, placed_blocks
from amge.results import Features, Signals

REDUCES = (False, True, False, True, False)


def signals(banks, seed, blocks=5, patches=5, channels=4):
    """What a model of `M = 3` tokens would know of two clips; the patch embedding has 5 patches."""
    generator = torch.Generator().manual_seed(seed)

    def some(*shape):
        return torch.randn(2, *shape, channels, generator=generator)

    embedding = {bank: some(3) for bank in banks}
    after = {bank: tuple(some(3) for _ in range(blocks)) for bank in banks}
    last = {bank: tokens[-1] for bank, tokens in after.items()}
    features = Features(some(2), (1, 1, 2), last, after, some(3), embedding, some(patches) if patches else None)
    return Signals(features, (some(3)[..., 0],), some(3)[..., 0])


def kl(student, teacher, axis):
    """KL(teacher ‖ student) of two arrays `(B, M, C)`, summed over the axis and averaged over the rest."""
    axes = {"token": 1, "channel": 2, "full": (1, 2)}[axis]
    q, p = (np.exp(x.double().numpy()) for x in (student, teacher))
    p, q = p / p.sum(axes, keepdims=True), q / q.sum(axes, keepdims=True)
    return (p * np.log(p / q)).sum(axes).mean()


@pytest.mark.parametrize("axis", ["channel", "token", "full"])
@pytest.mark.parametrize("placement", ["patch_embedding", "sparse", "dense", "final"])
@pytest.mark.parametrize("target", ["main", "receiver"])
def test_every_row_of_table_4_by_hand(target, placement, axis):
    student, teacher = signals(("main", "receiver"), 1), signals(("sender",), 2)
    mine, theirs = student.features, teacher.features
    blocks = {"sparse": (1, 3, 4), "dense": range(5), "final": (4,), "patch_embedding": ()}[placement]
    pairs = [(mine.block_tokens[target][i], theirs.block_tokens["sender"][i]) for i in blocks]
    if placement == "patch_embedding":
        pairs = [(mine.token_embedding[target], theirs.token_embedding["sender"])]
        if target == "main":
            pairs.append((mine.patch_embedding, theirs.patch_embedding))
    expected = np.mean([kl(a, b, axis) for a, b in pairs])
    loss = TokenDistillation(axis=axis)
    distill = FeatureDistillation(REDUCES, ("main", "receiver"), placement, target, target == "main", loss)
    assert distill(student, teacher).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "placement, reduces, blocks",
    [
        ("dense", REDUCES, (0, 1, 2, 3, 4)),
        ("sparse", REDUCES, (1, 3, 4)),
        ("sparse", (True, False, True), (0, 2)),
        ("sparse", (False, False), (1,)),
        ("final", REDUCES, (-1,)),
        ("patch_embedding", REDUCES, ()),
    ],
)
def test_placed_blocks(placement, reduces, blocks):
    assert placed_blocks(placement, reduces) == blocks


def test_only_the_target_learns():
    student, teacher = signals(("main", "receiver"), 1), signals(("sender",), 2)
    for tokens in (*student.features.block_tokens["main"], *student.features.block_tokens["receiver"]):
        tokens.requires_grad_()
    for tokens in teacher.features.block_tokens["sender"]:
        tokens.requires_grad_()
    FeatureDistillation(REDUCES, ("main", "receiver"), "sparse")(student, teacher).backward()
    learnt = [tokens.grad is not None for tokens in student.features.block_tokens["receiver"]]
    assert learnt == [False, True, False, True, True]
    assert all(tokens.grad is None for tokens in student.features.block_tokens["main"])
    assert all(tokens.grad is None for tokens in teacher.features.block_tokens["sender"])


def test_the_last_block_can_learn_from_a_teacher_of_another_depth():
    student, teacher = signals(("main", "receiver"), 1), signals(("sender",), 2, blocks=2)
    loss = FeatureDistillation(REDUCES, ("main", "receiver"), "final")(student, teacher)
    last = student.features.block_tokens["receiver"][-1], teacher.features.block_tokens["sender"][-1]
    assert loss.item() == pytest.approx(kl(*last, "token"), rel=1e-5)
    with pytest.raises(ValueError, match="the student has 5 blocks and the teacher 2; the placement 'final' fits any"):
        FeatureDistillation(REDUCES, ("main", "receiver"), "dense")(student, teacher)


def test_refusals():
    with pytest.raises(ValueError, match=r"unknown placement of the distillation 'spares'; did you mean 'sparse'"):
        FeatureDistillation(REDUCES, ("main", "receiver"), "spares")
    with pytest.raises(
        ValueError,
        match=r"unknown bank to distil into 'receiver'; valid: main; .*banks=\('main', 'receiver'\)",
    ):
        FeatureDistillation(REDUCES, ("main",))
    with pytest.raises(ValueError, match="needs tokens after each block, and the backbone states no blocks"):
        FeatureDistillation((), ("main", "receiver"))
    distill = FeatureDistillation(REDUCES, ("main", "receiver"))
    student = signals(("main", "receiver"), 1)
    for banks in ((), ("main", "receiver")):
        with pytest.raises(ValueError, match="needs a teacher with one bank of tokens"):
            distill(student, signals(banks, 2))
    with pytest.raises(ValueError, match="same token shapes after the same number of blocks"):
        distill(student, signals(("sender",), 2, channels=3))
    patches = FeatureDistillation(REDUCES, ("main",), "patch_embedding", "main", patches=True)
    with pytest.raises(ValueError, match="does not tell its patch embedding"):
        patches(signals(("main",), 1, patches=0), signals(("sender",), 2))
