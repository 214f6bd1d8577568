"""Skeletons as a backbone: any network on joints, with muscle tokens through the adapter.

Shapes: `B` batch, `P` persons, `T` frames, `V` joints, `C` channels, `M'` tokens.
"""

from itertools import pairwise

import torch
from einops import rearrange
from torch import Tensor, nn

from amge.backbones.adapter import TokenDecoder
from amge.backbones.contract import Backbone, BackboneOutput


class JointMixing(nn.Module):
    """One layer: joints mix by a learned matrix, then each mixes its moments in time."""

    def __init__(self, in_channels: int, channels: int, joints: int, kernel: int) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.eye(joints) + torch.full((joints, joints), 1 / joints))
        self.project = nn.Conv2d(in_channels, channels, 1)
        self.norm = nn.BatchNorm2d(channels)
        self.time = nn.Conv2d(channels, channels, (kernel, 1), padding=(kernel // 2, 0))
        self.norm_time = nn.BatchNorm2d(channels)
        self.shortcut = nn.Conv2d(in_channels, channels, 1) if in_channels != channels else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C_in, T, V)` to `(B, C, T, V)`."""
        mixed = self.norm(self.project(x) @ self.mix).relu()
        return (self.norm_time(self.time(mixed)) + self.shortcut(x)).relu()


class JointMixer(nn.Module):
    """A small skeleton encoder whose joint graph is learned, not given: no skeleton layout is built in.

    Args:
        joints: `V`.
        channels: of each layer.
        kernel: frames that a layer looks at, odd.
    """

    def __init__(self, joints: int, channels: tuple[int, ...] = (64, 64, 128, 128), kernel: int = 5) -> None:
        super().__init__()
        if not channels or kernel % 2 == 0:
            raise ValueError(f"a joint mixer needs layers and an odd kernel, got channels={channels}, kernel={kernel}")
        self.joints, self.out_channels = joints, channels[-1]
        self.norm = nn.BatchNorm1d(3 * joints)
        widths = (3, *channels)
        self.layers = nn.Sequential(*(JointMixing(a, b, joints, kernel) for a, b in pairwise(widths)))

    def forward(self, persons: Tensor) -> Tensor:
        """One person each, `(B, T, V, 3)`, to features `(B, C, T, V)`."""
        normed = self.norm(rearrange(persons, "b t v c -> b (v c) t"))
        return self.layers(rearrange(normed, "b (v c) t -> b c t v", c=3))


class Skeleton(Backbone):
    """Encodes each person by themselves, averages the persons who are there, and lets tokens read joints and frames.

    A person is there if any joint of theirs has confidence; a clip with nobody gives features of zero.

    Args:
        encoder: one person each, `(B, T, V, 3)`, to features `(B, C, T', V)`; states `joints`.
        adapter: the decoder; its only map has the encoder's channels on the grid `(T', V, 1)`.
    """

    def __init__(self, encoder: nn.Module, adapter: TokenDecoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.adapter = adapter
        self.token_dim, self.out_channels = adapter.token_dim, adapter.out_channels
        self.embed_dims, self.reduces = adapter.embed_dims, adapter.reduces
        self.input_layout = ("B", "P", "T", int(encoder.joints), 3)  # type: ignore[arg-type]

    def forward(self, clip: Tensor, tokens: Tensor | None = None) -> BackboneOutput:
        """Skeletons `(B, P, T, V, 3)`, the last axis x, y and confidence, and tokens `(B, M', C)` or None."""
        features = rearrange(self.encoder(clip.flatten(0, 1)), "(b p) c t v -> b p c t v", b=clip.shape[0])
        present = (clip[..., 2] > 0).flatten(2).any(dim=2).to(features.dtype)
        mean = torch.einsum("bpctv,bp->bctv", features, present / present.sum(dim=1, keepdim=True).clamp(min=1))
        return self.adapter([rearrange(mean, "b c t v -> (b t) c v 1")], mean.shape[2], tokens)


def joint_mixer(
    joints: int = 17,
    channels: tuple[int, ...] = (64, 64, 128, 128),
    kernel: int = 5,
    frames: int = 8,
    **adapter: object,
) -> Skeleton:
    """Build `Skeleton` on a `JointMixer`.

    Args:
        joints: `V`, such as 17 of COCO.
        channels: of each layer.
        kernel: frames that a layer looks at, odd.
        frames: frames per clip that the position tables are made for.
        adapter: arguments of `TokenDecoder`.
    """
    encoder = JointMixer(joints, tuple(channels), kernel)
    return Skeleton(encoder, TokenDecoder([encoder.out_channels], (frames, joints, 1), **adapter))  # type: ignore[arg-type]
