"""A frozen teacher that gives its tokens after every block.

Shapes: `B` batch, `M` tokens, `C` channels of a block.
"""

import torch
from torch import Tensor, nn

from amge.model import MuscleModel


class Teacher(nn.Module):
    """Wraps a trained model: no gradient, and eval mode even where a student that holds it is put into train mode.

    Args:
        model: of one bank of tokens, the sender.

    Raises:
        ValueError: for a model with more banks, or none.
    """

    def __init__(self, model: MuscleModel) -> None:
        super().__init__()
        if model.bank is None or len(model.bank.banks) != 1:
            raise ValueError(f"a teacher has one bank of tokens, got {model.bank.banks if model.bank else ()}")
        self.model = model.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> "Teacher":
        """Stays in eval mode."""
        super().train(False)
        return self

    @torch.no_grad()
    def forward(self, clip: Tensor) -> tuple[Tensor, ...]:
        """A clip `(B, 3, T, H, W)` of the teacher's modality to its tokens `(B, M, C_i)` after each block."""
        (blocks,) = self.model.forward_features(clip).block_tokens.values()
        return blocks
