"""Several decoders on one backbone: an ensemble that pays for its encoder once.

Models that differ by their seed alone get different things wrong, and the mean of their logits is better than the best
of them (Lakshminarayanan et al., "Simple and scalable predictive uncertainty estimation using deep ensembles", 2017).

Shapes: `B` batch, `T` frames, `M'` tokens of all banks, `D` decoders that read a bank, `C` channels of each.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from amge.backbones.adapter import TokenDecoder
from amge.backbones.contract import BackboneOutput
from amge.layers.module import Module
from amge.layers.watch import Watch


class Decoders(Module):
    """Each bank of tokens is read by decoders of its own, as the branches of the paper have a bank each.

    A bank's tokens hold those of its decoders side by side in the channels. What comes out of them is projected to the
    `C` channels of one decoder; the projection starts as the mean.

    Args:
        decoders: all of one shape; the first ones read the first bank, and so on. The patches are those of the first.
        banks: how many banks there are; must divide the number of decoders.

    Raises:
        ValueError: if the decoders can't be shared out.
    """

    def __init__(self, decoders: Sequence[TokenDecoder], banks: int = 1) -> None:
        super().__init__()
        if not decoders or len(decoders) % banks:
            raise ValueError(f"{len(decoders)} decoders can't be shared out among {banks} banks")
        first, each = decoders[0], len(decoders) // banks
        self.decoders = nn.ModuleList(decoders)
        self.banks = banks
        self.token_dim = each * first.token_dim
        self.embed_dims = tuple(each * dim for dim in first.embed_dims)
        self.reduces = first.reduces
        self.out_channels = first.out_channels
        self.normed = False
        self.watch = Watch()
        self.projections = nn.ModuleList(nn.Linear(self.token_dim, first.out_channels, False) for _ in range(banks))
        for projection in self.projections:
            projection.weight.data.copy_(torch.eye(first.out_channels).repeat(1, each) / each)  # type: ignore[operator]

    def forward(self, maps: Sequence[Tensor], frames: int, tokens: Tensor | None = None) -> BackboneOutput:
        """Feature maps `(B * T, C_i, H_i, W_i)` of `frames` frames, and tokens `(B, M', D * C)`, to tokens
        `(B, M', C)`; those after each block stay side by side."""
        found = [decoder.patches(maps, frames) for decoder in self.decoders]  # type: ignore[operator]
        grid = found[0][1]
        patches = self.watch(torch.cat([each for each, _ in found], dim=2), grid).chunk(len(found), dim=2)
        if tokens is None:
            return self.decoders[0].read(patches[0], grid, None)  # type: ignore[operator]
        each = len(self.decoders) // self.banks
        outs = [
            decoder.read(seen, grid, part)  # type: ignore[operator]
            for decoder, seen, part in zip(self.decoders, patches, self._shared_out(tokens), strict=True)
        ]

        def beside(parts: Sequence[Tensor]) -> list[Tensor]:
            return [torch.cat(list(parts[start : start + each]), dim=2) for start in range(0, len(parts), each)]

        read = beside([out.tokens for out in outs])
        last = [projection(bank) for projection, bank in zip(self.projections, read, strict=True)]
        blocks = [torch.cat(beside(after), dim=1) for after in zip(*(out.block_tokens for out in outs), strict=True)]
        return outs[0]._replace(tokens=torch.cat(last, dim=1), block_tokens=tuple(blocks))

    def _shared_out(self, tokens: Tensor) -> list[Tensor]:
        """Tokens `(B, M', D * C)` to those of each decoder."""
        each = len(self.decoders) // self.banks
        return [part for bank in tokens.chunk(self.banks, dim=1) for part in bank.chunk(each, dim=2)]

    def attention(self, maps: Sequence[Tensor], frames: int, tokens: Tensor) -> Tensor:
        """How much each token attends to each patch, the mean over its decoders, `(B, M', T, H, W)`; see
        `TokenDecoder.attention`."""
        parts = zip(self.decoders, self._shared_out(tokens), strict=True)
        seen = torch.stack([decoder.attention(maps, frames, part) for decoder, part in parts])  # type: ignore[operator]
        return torch.cat(list(seen.unflatten(0, (self.banks, -1)).mean(dim=1)), dim=1)
