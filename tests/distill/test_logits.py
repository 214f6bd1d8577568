import numpy as np
import pytest
import torch

from amge.distill import LogitDistillation, PredictionDistillation
from amge.results import Signals

STUDENT = torch.tensor([[0.2, -1.0, 0.5], [1.5, 0.1, -0.4]])
TEACHER = torch.tensor([[1.0, 0.3, -0.7], [-0.2, 2.0, 0.6]])


def softmax(x):
    return np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_hintons_loss_by_hand(temperature):
    p, q = (softmax(x.double().numpy() / temperature) for x in (TEACHER, STUDENT))
    expected = (p * np.log(p / q)).sum(axis=1).mean() * temperature**2
    loss = LogitDistillation(temperature=temperature, weight=0.25)(STUDENT, TEACHER)
    assert loss.item() == pytest.approx(0.25 * expected, rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_with_sigmoids_every_class_is_a_distribution_of_its_own(temperature):
    p, q = (sigmoid(x.double().numpy() / temperature) for x in (TEACHER, STUDENT))
    expected = (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean() * temperature**2
    loss = LogitDistillation(temperature=temperature, activation="sigmoid")(STUDENT, TEACHER)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_hard_decisions_by_hand():
    expected = -np.log(softmax(STUDENT.double().numpy())[[0, 1], [0, 1]]).mean()
    assert LogitDistillation(True)(STUDENT, TEACHER).item() == pytest.approx(expected, rel=1e-5)
    q = sigmoid(STUDENT.double().numpy())
    said = np.array([[1, 1, 0], [0, 1, 1]])
    expected = -(said * np.log(q) + (1 - said) * np.log(1 - q)).mean()
    loss = LogitDistillation(True, activation="sigmoid")(STUDENT, TEACHER)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_zero_for_the_same_prediction_and_a_gradient_for_the_student_alone(activation):
    loss = LogitDistillation(activation=activation)
    assert loss(TEACHER, TEACHER).item() == pytest.approx(0, abs=1e-7)
    for hard in (False, True):
        student, teacher = STUDENT.clone().requires_grad_(), TEACHER.clone().requires_grad_()
        value = LogitDistillation(hard, activation=activation)(student, teacher)
        value.backward()
        assert value > 0.1 and student.grad.abs().sum() > 0 and teacher.grad is None


def test_the_last_branch_learns_what_the_teacher_predicts():
    student = Signals(None, (STUDENT, 2 * STUDENT), 1.5 * STUDENT)
    teacher = Signals(None, (STUDENT,), TEACHER)
    expected = LogitDistillation()(2 * STUDENT, TEACHER)
    assert torch.equal(PredictionDistillation(branches=2, token=True)(student, teacher), expected)


def test_refusals():
    with pytest.raises(ValueError, match="temperature must be positive, got 0"):
        LogitDistillation(temperature=0)
    with pytest.raises(ValueError, match="a hard decision has no temperature, got 4"):
        LogitDistillation(True, temperature=4)
    for weight in (-1, float("nan"), "1", None):
        with pytest.raises(ValueError, match="weight must be a number, 0 or more"):
            LogitDistillation(weight=weight)
    with pytest.raises(ValueError, match="unknown activation 'softmx'; did you mean 'softmax'"):
        LogitDistillation(activation="softmx")
    with pytest.raises(ValueError, match=r"same classes, got \(2, 3\) and \(2, 2\)"):
        LogitDistillation()(STUDENT, TEACHER[:, :2])
    with pytest.raises(ValueError, match="predicts something else than the labels"):
        PredictionDistillation(branches=0)
    with pytest.raises(ValueError, match=r"head='deit', banks=.*, fusion='concat'"):
        PredictionDistillation(branches=1, token=True)
