"""What a model's logits cost, given the labels.

Shapes: `B` batch, `K` classes.
"""

from torch import Tensor, log1p, sigmoid
from torch.nn import functional as F

from amge.errors import one_of
from amge.spec import ACTIVATIONS

LOSSES = ("bce", "asymmetric")


def classification_loss(logits: Tensor, target: Tensor, activation: str) -> Tensor:
    """Binary cross-entropy on the probabilities that an activation gives: the paper's on a softmax, or on sigmoids.

    Args:
        logits: `(B, K)`.
        target: multi-hot `(B, K)`.
        activation: `softmax` or `sigmoid`.

    Raises:
        ValueError: for an unknown activation.
    """
    if one_of("activation", activation, ACTIVATIONS) == "sigmoid":
        return F.binary_cross_entropy_with_logits(logits.float(), target)
    log_p = F.log_softmax(logits.float(), dim=1)
    log_rest = log1p(-log_p.exp().clamp(max=1 - 1e-6))
    return -(target * log_p + (1 - target) * log_rest).mean()


def asymmetric_loss(
    logits: Tensor, target: Tensor, negative: float = 4.0, positive: float = 1.0, margin: float = 0.05
) -> Tensor:
    """Asymmetric loss (Ben-Baruch et al., ICCV 2021, eq. 7): easy negatives count less than easy positives.

    Summed over the classes and averaged over the batch.

    Args:
        logits: `(B, K)`, of sigmoids.
        target: multi-hot `(B, K)`.
        negative: exponent that focuses on hard negatives.
        positive: the same of positives.
        margin: probability under which a negative counts as solved.
    """
    p = sigmoid(logits.float())
    shifted = (p - margin).clamp(min=0)
    gain = target * (1 - p) ** positive * F.logsigmoid(logits.float())
    loss = (1 - target) * shifted**negative * log1p(-shifted)
    return -(gain + loss).sum(dim=1).mean()
