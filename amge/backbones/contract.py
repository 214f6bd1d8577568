"""What every backbone takes, gives and states."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn

from amge.layers.checkpointing import set_grad_checkpointing
from amge.layers.module import Module
from amge.layers.watch import Watch


class BackboneOutput(NamedTuple):
    """Patches, grid and tokens of one forward pass.

    `N = T * H * W` patch tokens on the grid `(T, H, W)`, `M'` tokens of all banks, `C` channels of the last block.
    """

    patches: Tensor
    """`(B, N, C)`."""
    grid: tuple[int, int, int]
    """`(T, H, W)` of `patches`."""
    tokens: Tensor | None
    """`(B, M', C)` after the last block and the final norm, or None if none were given."""
    block_tokens: tuple[Tensor, ...]
    """`(B, M', C_i)` after each block, before any final norm: what distillation compares."""
    patch_embedding: Tensor | None = None
    """`(B, N_0, token_dim)`, the patches that enter the first block; None if a backbone does not tell, and in inference
    mode, where nothing is distilled."""


class Backbone(Module):
    """The sizes that a backbone states, and its call. A module that has them need not inherit from this.

    `embed_dims` and `reduces` matter to distillation alone. Patches go through the grid with time outermost and width
    innermost. Tokens and patches come out ready for a head: normalised, if the network has a last norm.
    """

    token_dim: int
    """Channels of the tokens that it takes."""
    embed_dims: tuple[int, ...]
    """Channels of the tokens after each block."""
    reduces: tuple[bool, ...]
    """Whether each block shrinks the grid."""
    out_channels: int
    """Channels `C` of patches and tokens that it gives."""
    normed: bool = False
    """Whether a layer norm over channels is the last that tokens pass."""
    input_layout: tuple[str | int, ...] = ("B", 3, "T", "H", "W")
    """Axes of what it takes; numbers are fixed. A module without this attribute takes such a clip."""
    watch: Watch
    """What patches pass where Grad-CAM looks at them, see `amge.explain`. A module without it can't be explained so."""

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Compute blocks again in the backward pass, for less memory; see `amge.layers.checkpointing`.

        Raises:
            ValueError: if there are no such blocks.
        """
        set_grad_checkpointing(self, enable)

    def attending(self) -> tuple[nn.Module, Callable[..., Tensor]] | None:
        """The layer in which tokens last attend to patches, and what makes of its arguments how much each token attends
        to each place, `(B, M', T, H, W)`; None where tokens attend to nothing."""
        return None

    def forward(self, clip: Tensor, tokens: Tensor | None = None) -> BackboneOutput:
        """Input of `input_layout`, by default a clip, and tokens `(B, M', token_dim)`, or None for patches alone."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward(clip, tokens)")


@runtime_checkable
class EncodesFrames(Protocol):
    """A backbone that sees the frames of a clip one by one, and then what it made of them together: `forward` is the
    one after the other. Where clips share frames, as those of a camera do, each is encoded once."""

    def encode_frames(self, images: Tensor) -> Sequence[Tensor]:
        """Images `(n, 3, H, W)` to tensors `(n, ...)`; no image matters to another."""
        ...

    def decode(self, maps: Sequence[Tensor], frames: int, tokens: Tensor | None = None) -> BackboneOutput:
        """Those of `B` clips of `frames` frames, `(B * T, ...)`, and tokens `(B, M', token_dim)` or None."""
        ...
