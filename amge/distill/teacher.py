"""A frozen teacher."""

from typing import Any

import torch
from torch import Tensor, nn

from amge.layers.module import Module
from amge.results import Signals


class Teacher(Module):
    """Wraps a trained model: no gradient, and eval mode even where a student that holds it is put into train mode.

    Args:
        model: a `MuscleModel` of the teacher's modality. To teach tokens it has one bank, the sender.
        bank: of a model with several, the one that teaches.

    Raises:
        ValueError: for a module that is no `MuscleModel`: freeze it yourself, and give its tokens to a loss.
    """

    def __init__(self, model: nn.Module, bank: str | None = None) -> None:
        super().__init__()
        if not hasattr(model, "forward_signals"):
            raise ValueError(
                f"a Teacher wraps a MuscleModel, got {type(model).__name__}; of another model, freeze it and give its "
                f"tokens to TokenDistillation or its logits to LogitDistillation"
            )
        self.model: Any = model.requires_grad_(False)
        self.bank = bank
        self.train(False)

    def train(self, mode: bool = True) -> "Teacher":
        """Stays in eval mode."""
        super().train(False)
        return self

    @torch.no_grad()
    def forward(self, clip: Tensor) -> Signals:
        """A clip `(B, 3, T, H, W)`, or skeletons, of the teacher's modality to all that distillation may compare."""
        signals: Signals = self.model.forward_signals(clip)
        if self.bank is None:
            return signals
        of = signals.features
        blocks, entered = {self.bank: of.block_tokens[self.bank]}, {self.bank: of.token_embedding[self.bank]}
        alone = of._replace(tokens={self.bank: of.tokens[self.bank]}, block_tokens=blocks, token_embedding=entered)
        return signals._replace(features=alone)
