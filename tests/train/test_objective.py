import math

import pytest
import torch
from torch.nn import functional as F

import amge
from amge.distill import Teacher
from amge.train.losses import asymmetric_loss, classification_loss
from amge.train.objective import Objective


def test_the_papers_loss_is_bce_on_a_softmax():
    logits, target = torch.randn(4, 5), (torch.rand(4, 5) > 0.5).float()
    torch.testing.assert_close(
        classification_loss(logits, target, "softmax"), F.binary_cross_entropy(logits.softmax(dim=1), target)
    )
    torch.testing.assert_close(
        classification_loss(logits, target, "sigmoid"), F.binary_cross_entropy(logits.sigmoid(), target)
    )
    with pytest.raises(ValueError, match="unknown activation 'softmx'"):
        classification_loss(logits, target, "softmx")


def test_a_certain_prediction_has_a_finite_loss_and_gradient():
    logits = torch.tensor([[100.0, -100.0]], requires_grad=True)
    for activation in ("softmax", "sigmoid"):
        loss = classification_loss(logits, torch.tensor([[0.0, 1.0]]), activation)
        (gradient,) = torch.autograd.grad(loss, logits)
        assert loss.isfinite() and loss > 1 and gradient.isfinite().all()


@pytest.fixture
def pair():
    torch.manual_seed(0)
    student = amge.build("transm3e-tiny", head_args={}, fusion_args={"drop_path": 0.0})
    student.eval()  # no drop path: losses of the same clips are the same
    return student, Teacher(amge.assemble(amge.teacher_spec(student.spec)))


def test_a_teacher_must_be_one_and_see_the_auxiliary_modality(pair):
    student, _ = pair
    with pytest.raises(ValueError, match=r"wrap the teacher: amge.distill.Teacher\(model\); got MuscleModel"):
        Objective(student, student)
    with pytest.raises(ValueError, match="the teacher sees 'flow', the student's auxiliary modality is 'rgb_diff'"):
        Objective(student, Teacher(amge.build("mvitv2-tiny-mct", modality="flow")))


def test_terms_are_what_they_say(pair):
    student, teacher = pair
    clip, auxiliary = torch.randn(2, 2, 3, 8, 64, 64)
    target = (torch.rand(2, 20) > 0.5).float()
    losses = Objective(student, teacher)(clip, target, auxiliary)
    features = student.forward_features(clip)
    sender = teacher(auxiliary).features.block_tokens["sender"]
    kd = amge.distill.TokenDistillation()(features.block_tokens["receiver"], sender)
    assert set(losses) == {"classification", "distillation"}
    torch.testing.assert_close(losses["distillation"], kd)
    torch.testing.assert_close(losses["classification"], classification_loss(student(clip), target, "softmax"))
    assert set(Objective(student)(clip, target)) == {"classification"}
    with pytest.raises(ValueError, match="the teacher needs the auxiliary clip"):
        Objective(student, teacher)(clip, target)


@pytest.mark.parametrize("case", [1, 2, 3, 4])
def test_two_clips_are_paired_as_the_spec_says(pair, case):
    student, teacher = pair
    student.spec = student.spec.replace(pairing=case)
    v1, v2, r1, r2 = torch.randn(4, 1, 3, 8, 64, 64)
    none, target = torch.zeros_like(r1), torch.ones(1, 20)
    objective = Objective(student, teacher)
    losses = objective.two_clips((v1, v2), target, (r1, r2))
    pairs = {1: (r1, r2), 2: (r2, r1), 3: (r2, none), 4: (none, none)}[case]
    by_clip = [objective(v, target, r) for v, r in zip((v1, v2), pairs, strict=True)]
    for term, value in losses.items():
        torch.testing.assert_close(value, (by_clip[0][term] + by_clip[1][term]) / 2)


def test_deit_learns_labels_and_teacher_in_branches_of_their_own():
    deit = {"banks": ("main", "receiver"), "fusion": "concat", "head": "deit", "distill": "deit-hard"}
    student = amge.build("mvitv2-tiny", **deit)
    objective = Objective(student, Teacher(amge.assemble(amge.teacher_spec(student.spec))))
    clip, target = torch.randn(2, 3, 8, 64, 64), torch.ones(2, 20)
    losses = objective(clip, target, clip)
    grads = {
        name: torch.autograd.grad(
            value,
            [student.head.main.projection.weight, student.head.distillation.projection.weight],
            retain_graph=True,
            allow_unused=True,
        )
        for name, value in losses.items()
    }
    assert grads["classification"][0].abs().sum() > 0 and grads["classification"][1] is None
    assert grads["distillation"][0] is None and grads["distillation"][1].abs().sum() > 0


def test_a_look_up_model_learns_activities():
    activities = {"squat": ("quadriceps",), "push up": ("chest",)}
    model = amge.build("mvitv2-tiny", head="look-up", head_args={"activities": activities}, activation="sigmoid")
    clip, activity = torch.randn(2, 3, 8, 64, 64), torch.eye(2)
    model.eval()
    (loss,) = Objective(model)(clip, activity.bool()).values()
    torch.testing.assert_close(loss, classification_loss(model.forward_signals(clip).branches[0], activity, "softmax"))
    loss.backward()
    with pytest.raises(ValueError, match=r"expected targets \(2, 2\), 1 where a class is true, got \(2, 20\)"):
        Objective(model)(clip, torch.ones(2, 20))
    with pytest.raises(ValueError, match="predicts something else than the labels"):
        amge.build(
            "mvitv2-tiny", head="look-up", head_args={"activities": activities}, activation="sigmoid", distill="logits"
        )
    assert model.head.classifier.projection.weight.grad.abs().sum() > 0


def test_asymmetric_loss_by_hand():
    logits, target = torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 0.0]])
    p = torch.sigmoid(logits)[0].tolist()
    shifted = p[1] - 0.05
    expected = -((1 - p[0]) * math.log(p[0]) + shifted**4 * math.log(1 - shifted))
    assert asymmetric_loss(logits, target).item() == pytest.approx(expected, rel=1e-5)


def test_asymmetric_loss_without_focus_and_margin_is_bce():
    logits, target = torch.randn(4, 5), (torch.rand(4, 5) > 0.5).float()
    expected = 5 * F.binary_cross_entropy_with_logits(logits, target)
    torch.testing.assert_close(asymmetric_loss(logits, target, 0, 0, 0), expected)


def test_asymmetric_loss_takes_sigmoids():
    model = amge.build("mvitv2-tiny", activation="sigmoid")
    clip, target = model.input_spec.example(2), torch.zeros(2, 20)
    loss = Objective(model.eval(), loss="asymmetric")(clip, target)["classification"]
    torch.testing.assert_close(loss, asymmetric_loss(model(clip), target))
    with pytest.raises(ValueError, match="one of sigmoids, the model has a softmax"):
        Objective(amge.build("mvitv2-tiny"), loss="asymmetric")
    with pytest.raises(ValueError, match="unknown loss 'focal'"):
        Objective(model, loss="focal")
