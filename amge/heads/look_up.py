"""From activities to regions by a table: human activity recognition (HAR) with look-up (Table 14).

Shapes: `B` batch, `M` tokens, `C` channels, `A` activities, `K` regions.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from amge.errors import one_of
from amge.heads.mean import MeanTokens
from amge.layers.module import Module

EPS = 1e-6


class LookUp(Module):
    """Classifies the activity and looks its regions up. Labels that training compares with are activities, one of which
    is true at a time.

    Args:
        in_channels: channels `C` of the tokens.
        labels: names of the regions, in the order of the logits `K`.
        activities: activity to the names of its regions, in the order of the activity logits `A`.
        hard: take the regions of the likeliest activity, as the paper does; False weighs those of all by probability.
        dropout: on the mean of the tokens.
        activation: of the model; regions of one activity are active together, so that it must be `sigmoid`.

    Raises:
        ValueError: for no activities, regions that are not among the labels, or another activation.
    """

    num_branches = 0
    """None of which predicts the labels."""
    branch_activation = "softmax"

    def __init__(
        self,
        in_channels: int,
        labels: Sequence[str],
        activities: Mapping[str, Sequence[str]] | None = None,
        hard: bool = True,
        dropout: float = 0.0,
        activation: str = "sigmoid",
    ) -> None:
        super().__init__()
        if not activities or not isinstance(activities, Mapping):
            raise ValueError("a look-up head needs activities, such as {'squat': ('quadriceps', 'gluteus')}")
        if wrong := [name for name, regions in activities.items() if not isinstance(regions, (tuple, list))]:
            raise ValueError(f"the regions of an activity are a tuple of names; those of {wrong[0]!r} are not")
        if activation != "sigmoid":
            raise ValueError(
                f"a look-up head needs activation='sigmoid', for several regions at once; got {activation!r}"
            )
        table = [[float(label in regions) for label in labels] for regions in activities.values()]
        for regions in activities.values():
            for region in regions:
                one_of("region of the look-up table", region, labels)
        self.num_classes = len(labels)
        self.hard = hard
        self.activities = tuple(activities)
        self.classifier = MeanTokens(in_channels, len(activities), dropout)
        self.register_buffer("table", torch.tensor(table), persistent=False)

    def rows(self, labels: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Which tensors have a row for each activity, whatever the labels; see `amge.labels`."""
        return {f"classifier.{key}": names for key, names in self.classifier.rows(self.activities).items()}

    def branches(self, tokens: Tensor) -> tuple[Tensor]:
        """`(B, M, C)` to activity logits `(B, A)`, to learn the activities."""
        return (self.classifier(tokens),)

    def forward(self, tokens: Tensor) -> Tensor:
        """`(B, M, C)` to the logits `(B, K)` of the probabilities in the table, kept within 1e-6 of 0 and 1."""
        return self.merge(*self.branches(tokens))

    def merge(self, activity: Tensor) -> Tensor:
        """Activity logits `(B, A)` to region logits `(B, K)`."""
        table: Tensor = self.table  # type: ignore[assignment]
        rows = table[activity.argmax(dim=1)] if self.hard else activity.softmax(dim=1) @ table
        return torch.logit(rows.float(), eps=EPS).to(activity.dtype)
