import numpy as np
import pytest
import torch

from amge.distill import TokenDistillation


def tokens(blocks=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 3, 4, generator=generator) for _ in range(blocks)]


def softmax(values):
    return np.exp(values) / np.exp(values).sum()


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_numbers(temperature):
    """Eq. 1, one distribution over the tokens at a time."""
    student, teacher = tokens(seed=1), tokens(seed=2)
    blocks = []
    for mine, theirs in zip(student, teacher, strict=True):
        divergences = []
        for sample in range(2):
            for channel in range(4):
                p = softmax(theirs[sample, :, channel].double().numpy() / temperature)
                q = softmax(mine[sample, :, channel].double().numpy() / temperature)
                divergences.append((p * np.log(p / q)).sum())
        blocks.append(np.mean(divergences))
    loss = TokenDistillation(temperature)(student, teacher)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(np.mean(blocks), rel=1e-5)


@pytest.mark.parametrize("axis", ["token", "channel", "full"])
@pytest.mark.parametrize("form", ["paper", "official"])
def test_the_axis_says_what_makes_one_distribution(axis, form):
    """Every distribution by itself: columns, rows, or the whole of a 3 x 4 sample."""
    student, teacher = tokens(seed=1), tokens(seed=2)
    temperature, blocks = 3.0, []
    for mine, theirs in zip(student, teacher, strict=True):
        divergences = []
        for q, p in zip(mine.double().numpy(), theirs.double().numpy(), strict=True):
            parts = {"token": zip(p.T, q.T, strict=True), "channel": zip(p, q, strict=True), "full": [(p, q)]}[axis]
            for one, other in parts:
                one, other = softmax(one / temperature), softmax(other / temperature)
                divergences.append((one * np.log(one / other)).sum())
        blocks.append(np.mean(divergences) if form == "paper" else np.sum(divergences) / mine.numel())
    expected = np.mean(blocks) if form == "paper" else np.sum(blocks) * 0.9 * temperature**2 / 16
    loss = TokenDistillation(temperature, axis=axis, form=form, weight=0.5)
    assert loss(student, teacher).item() == pytest.approx(0.5 * expected, rel=1e-4)


@pytest.mark.parametrize("axis", ["token", "channel", "full"])
def test_every_axis_is_zero_for_equal_tokens_and_teaches_the_student_alone(axis):
    loss, student, teacher = TokenDistillation(axis=axis), tokens(seed=1), tokens(seed=2)
    assert loss(student, student).item() == pytest.approx(0, abs=1e-7)
    sides = [[t.requires_grad_() for t in side] for side in (student, teacher)]
    loss(*sides).backward()
    assert loss(*sides).item() > 1e-2
    assert all(t.grad.abs().sum() > 0 for t in student) and all(t.grad is None for t in teacher)


def test_axes_differ_in_the_shifts_that_they_do_not_see():
    student = tokens()
    shifts = {"token": torch.randn(2, 1, 4), "channel": torch.randn(2, 3, 1), "full": torch.randn(2, 1, 1)}
    seen = {
        axis: {
            by
            for by, shift in shifts.items()
            if TokenDistillation(axis=axis)(student, [t + shift for t in student]) > 1e-3
        }
        for axis in shifts
    }
    assert seen == {"token": {"channel"}, "channel": {"token"}, "full": {"token", "channel"}}


def test_what_says_nothing_is_refused():
    one = [torch.randn(2, 1, 4)]
    with pytest.raises(ValueError, match=r"a softmax over one element says nothing: .*\(2, 1, 4\).*another axis"):
        TokenDistillation()(one, one)
    assert TokenDistillation(axis="channel")(one, [one[0].flip(2)]) > 0
    with pytest.raises(ValueError, match="expected a list of tokens"):
        TokenDistillation()(tokens()[0], tokens()[0])
    for weight in (-1, float("nan"), "1", None):
        with pytest.raises(ValueError, match="weight must be a number, 0 or more"):
            TokenDistillation(weight=weight)


def test_unknown_axis():
    with pytest.raises(ValueError, match="unknown softmax axis of the distillation 'tokens'; did you mean 'token'"):
        TokenDistillation(axis="tokens")


def test_zero_for_equal_tokens_only():
    loss, student = TokenDistillation(), tokens()
    assert loss(student, tokens()).item() == pytest.approx(0, abs=1e-7)
    for other in ([t + torch.randn_like(t) for t in student], [t.flip(1) for t in student], [2 * t for t in student]):
        assert loss(student, other).item() > 1e-3


def test_a_shift_of_all_tokens_of_a_channel_does_not_count():
    student = tokens()
    assert TokenDistillation()(student, [t + torch.randn(2, 1, 4) for t in student]).item() == pytest.approx(
        0, abs=1e-6
    )


def test_every_block_counts():
    student, teacher = tokens(), tokens()
    for i in range(3):
        other = [t + torch.randn_like(t) if i == j else t for j, t in enumerate(teacher)]
        assert TokenDistillation()(student, other).item() > 1e-3


def test_the_gradient_reaches_the_student_and_never_the_teacher():
    student, teacher = ([t.requires_grad_() for t in tokens(seed=seed)] for seed in (1, 2))
    TokenDistillation()(student, teacher).backward()
    assert all(t.grad.abs().sum() > 0 for t in student)
    assert all(t.grad is None for t in teacher)


def test_descending_the_gradient_brings_the_student_to_the_teacher():
    student, teacher = [t.requires_grad_() for t in tokens(1, seed=1)], tokens(1, seed=2)
    loss = TokenDistillation()
    for _ in range(200):
        (gradient,) = torch.autograd.grad(loss(student, teacher), student)
        student[0].data -= 10 * gradient
    assert torch.allclose(student[0].softmax(dim=1), teacher[0].softmax(dim=1), atol=1e-2)


def test_half_precision_tokens():
    student, teacher = tokens(seed=1), tokens(seed=2)
    exact = TokenDistillation()(student, teacher).item()
    assert TokenDistillation()([t.bfloat16() for t in student], [t.bfloat16() for t in teacher]).item() == (
        pytest.approx(exact, rel=0.02)
    )


@pytest.mark.parametrize(
    "student, teacher",
    [
        ([], []),
        (tokens(3), tokens(2)),
        (tokens(1), [torch.zeros(2, 1, 4)]),
        (tokens(1), [torch.zeros(1, 3, 4)]),
        (tokens(1), [torch.zeros(2, 3, 5)]),
    ],
)
def test_other_shapes_are_refused(student, teacher):
    with pytest.raises(ValueError, match="same token shapes after the same number of blocks"):
        TokenDistillation()(student, teacher)


@pytest.mark.parametrize("temperature", [0, -1])
def test_temperature_must_be_positive(temperature):
    with pytest.raises(ValueError, match="temperature must be positive"):
        TokenDistillation(temperature)


def test_the_official_form_takes_another_temperature_and_squares_it():
    student, teacher = tokens(seed=1), tokens(seed=2)
    ours = TokenDistillation(4.0, form="official")(student, teacher)
    paper = TokenDistillation(4.0)(student, teacher) * 3  # the sum over blocks
    assert ours.item() == pytest.approx((paper / 3 * 0.9 * 16 / 16).item(), rel=1e-5)  # 3 tokens, 4² and 16 blocks


def test_the_official_form_by_hand():
    """KLDivLoss of the official code: the mean over all elements, times 0.9 · 10², summed over blocks, by 16."""
    student, teacher = tokens(seed=1), tokens(seed=2)
    expected = sum(
        torch.nn.functional.kl_div((mine / 10).log_softmax(1), (theirs / 10).softmax(1), reduction="none").mean()
        * 90
        / 16
        for mine, theirs in zip(student, teacher, strict=True)
    )
    assert TokenDistillation(form="official")(student, teacher).item() == pytest.approx(expected.item(), rel=1e-4)
    assert not torch.isclose(TokenDistillation()(student, teacher), torch.tensor(expected.item()), rtol=0.1)
    with pytest.raises(ValueError, match="unknown form"):
        TokenDistillation(form="offical")
