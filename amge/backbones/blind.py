"""A backbone that looks at nothing, for predictions that do not depend on the clip.

Shapes: `B` batch.
"""

from torch import Tensor

from amge.backbones.contract import Backbone, BackboneOutput


class Blind(Backbone):
    """One patch of one zero for every clip."""

    token_dim = out_channels = 1
    embed_dims = ()
    reduces = ()

    def forward(self, clip: Tensor, tokens: Tensor | None = None) -> BackboneOutput:
        """A clip `(B, 3, T, H, W)`, and no tokens.

        Raises:
            ValueError: for tokens.
        """
        if tokens is not None:
            raise ValueError("a backbone that looks at nothing takes no tokens")
        return BackboneOutput(clip.new_zeros(clip.shape[0], 1, 1), (1, 1, 1), None, ())
