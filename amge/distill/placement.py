"""Where in the network student and teacher are compared, and which tokens: the rows of Table 4.

Shapes: `B` batch, `M` tokens, `N_0` patches that enter the first block, `C` channels.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from amge.distill.token import TokenDistillation
from amge.errors import one_of
from amge.layers.module import Module
from amge.results import Features, Signals

PLACEMENTS = ("patch_embedding", "sparse", "dense", "final")


def placed_blocks(placement: str, reduces: Sequence[bool]) -> tuple[int, ...]:
    """Indices of the blocks after which a placement compares tokens.

    Args:
        placement: `dense` (after each block), `sparse` (after each block that shrinks the grid, and the last) or
            `final` (-1, the last of any number); `patch_embedding` names no block.
        reduces: whether each block shrinks the grid, as backbones state it.

    Raises:
        ValueError: for an unknown placement, or no blocks.
    """
    if one_of("placement of the distillation", placement, PLACEMENTS) == "patch_embedding":
        return ()
    if not reduces:
        raise ValueError(
            f"the placement {placement!r} needs tokens after each block, and the backbone states no blocks"
        )
    if placement == "final":
        return (-1,)
    last = len(reduces) - 1
    return tuple(block for block, shrinks in enumerate(reduces) if placement == "dense" or shrinks or block == last)


class FeatureDistillation(Module):
    """Compares one bank of the student with the teacher's only bank at a placement.

    With the target `receiver` this is MCTKD: extra tokens take up what the teacher knows. With `main` it is plain KD
    on the tokens that classify. At the patch embedding, tokens are still what they were learned as, the same for every
    clip; there plain KD compares the patches that enter the first block as well (`patches`).

    Args:
        reduces: whether each block of the student shrinks the grid.
        banks: the student's.
        placement: `patch_embedding`, `sparse`, `dense` or `final`.
        target: the student's bank that learns from the teacher: `receiver` (MCTKD) or `main` (plain KD).
        patches: whether the patch embedding compares patches as well as tokens.
        loss: what compares; default `TokenDistillation`, eq. 1.

    Raises:
        ValueError: for an unknown placement, or a target that is not among the banks.
    """

    def __init__(
        self,
        reduces: Sequence[bool],
        banks: Sequence[str],
        placement: str = "dense",
        target: str = "receiver",
        patches: bool = False,
        loss: nn.Module | None = None,
    ) -> None:
        super().__init__()
        try:
            one_of("bank to distil into", target, banks)
        except ValueError as error:
            raise ValueError(
                f"{error}; for MCTKD build the student with banks=('main', 'receiver') and a fusion, for plain KD set "
                f"distill_args={{'target': 'main'}}, for none distill=None"
            ) from None
        self.blocks = placed_blocks(placement, reduces)
        self.target = target
        self.patches = patches
        self.loss = loss or TokenDistillation()

    def _select(self, features: Features, bank: str) -> list[Tensor]:
        """What is compared, each `(B, M, C)` or `(B, N_0, C)`."""
        if self.blocks:
            return [features.block_tokens[bank][block] for block in self.blocks]
        chosen = [features.token_embedding[bank]]
        if self.patches:
            if features.patch_embedding is None:
                raise ValueError("the backbone does not tell its patch embedding; distil at another placement")
            chosen.append(features.patch_embedding)
        return chosen

    def forward(self, student: Signals, teacher: Signals) -> Tensor:
        """What student and teacher know of a clip, to a scalar.

        Raises:
            ValueError: if the teacher has no bank or several, other blocks, or tokens of another shape.
        """
        banks = tuple(teacher.features.tokens)
        if len(banks) != 1:
            raise ValueError(f"distillation of tokens needs a teacher with one bank of tokens, got {banks}")
        depths = [len(next(iter(side.features.block_tokens.values()))) for side in (student, teacher)]
        if self.blocks and self.blocks != (-1,) and depths[0] != depths[1]:
            raise ValueError(
                f"the student has {depths[0]} blocks and the teacher {depths[1]}; the placement 'final' fits any number"
            )
        return self.loss(self._select(student.features, self.target), self._select(teacher.features, banks[0]))
