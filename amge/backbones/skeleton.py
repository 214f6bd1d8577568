"""Skeletons as a backbone: any network on joints, with muscle tokens through the adapter.

Shapes: `B` batch, `P` persons, `T` frames, `V` joints, `C` channels.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from amge.backbones.adapter import TokenDecoder, decoder_for
from amge.backbones.ctrgcn import CTRGCN
from amge.backbones.encoded import Encoded
from amge.backbones.hdgcn import HDGCN
from amge.backbones.pose_mlp import PoseMLP
from amge.backbones.spatial import Convolution, spatial_layers
from amge.backbones.stgcn import STGCN
from amge.backbones.streams import axes, channels, stream
from amge.backbones.temporal import PersonNorm
from amge.errors import one_of
from amge.layers.checkpointing import Blocks
from amge.layers.constant import constant
from amge.layers.module import Module
from amge.skeleton.graph import Graph
from amge.skeleton.layouts import LAYOUTS, TRUNK

WITHOUT_BONES = ("joint", "joint-motion", "world-joint")
"""Streams that need no graph."""


class JointMixing(nn.Module):
    """One layer: joints mix by a learned matrix, then each mixes its moments in time."""

    def __init__(self, in_channels: int, channels: int, joints: int, kernel: int) -> None:
        super().__init__()
        self.mix = nn.Parameter(constant(lambda: torch.eye(joints) + 1 / joints))
        self.project = nn.Conv2d(in_channels, channels, 1)
        self.norm = nn.BatchNorm2d(channels)
        self.time = nn.Conv2d(channels, channels, (kernel, 1), padding=(kernel // 2, 0))
        self.norm_time = nn.BatchNorm2d(channels)
        self.shortcut = nn.Conv2d(in_channels, channels, 1) if in_channels != channels else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C_in, T, V)` to `(B, C, T, V)`."""
        mixed = self.norm(self.project(x) @ self.mix).relu()
        return (self.norm_time(self.time(mixed)) + self.shortcut(x)).relu()


class JointMixer(Module):
    """A small skeleton encoder whose joint graph is learned, not given: no skeleton layout is built in.

    Args:
        joints: `V`.
        channels: of each layer.
        kernel: frames that a layer looks at, odd.

    Raises:
        ValueError: for no layers or an even kernel.
    """

    def __init__(self, joints: int, channels: Sequence[int] = (64, 64, 128, 128), kernel: int = 5) -> None:
        super().__init__()
        if not channels or kernel % 2 == 0:
            raise ValueError(f"a joint mixer needs layers and an odd kernel, got channels={channels}, kernel={kernel}")
        self.joints, self.out_channels = joints, channels[-1]
        self.persons: int | None = None
        self.norm = PersonNorm(joints)
        self.watch = self.norm.watch
        self.layers = Blocks(*(JointMixing(a, b, joints, kernel) for a, b in pairwise((3, *channels))))

    def forward(self, skeletons: Tensor) -> Tensor:
        """`(B, P, T, V, 3)` to one person each, `(B * P, C, T, V)`."""
        return self.layers(self.norm(skeletons))


class Skeleton(Encoded):
    """Encodes persons and averages those who are there; tokens read joints and frames.

    A person is there if any joint of theirs has confidence; a clip with nobody gives features of zero.

    Args:
        encoder: streams of skeletons `(B, P, T, V, channels(streams))` to features of each person `(B * P, C, T', V)`;
            states `joints`, `persons` (None for any number), `out_channels`, and perhaps a `watch` that joints pass.
            One whose places are no joints states in `parts` how many there are in place of `V`.
        adapter: the decoder; its only map has the encoder's channels on the grid `(T', V, 1)`. None: no tokens.
        masking: False averages all slots, empty ones as well, as the reference implementations do.
        streams: what the encoder sees, of `amge.backbones.streams.STREAMS`, side by side.
        graph: of the joints; bones need it, and the body's frame needs its names.

    Raises:
        ValueError: for no streams, an unknown one, bones without a graph, or a body's frame without shoulders and hips.
    """

    def __init__(
        self,
        encoder: nn.Module,
        adapter: TokenDecoder | None = None,
        masking: bool = True,
        streams: Sequence[str] = ("joint",),
        graph: Graph | None = None,
    ) -> None:
        sizes: Any = encoder
        super().__init__(encoder, sizes.out_channels, adapter)
        channels(streams)  # refuses what are no streams
        if graph is None and any(name not in WITHOUT_BONES for name in streams):
            raise ValueError(f"bones need a graph; streams={tuple(streams)} has none")
        of_body = [name for name in streams if name.startswith("body")]
        if of_body and graph and (lacking := [joint for joint in TRUNK if joint not in graph.names]):
            raise ValueError(
                f"the stream {of_body[0]} needs joints named {', '.join(TRUNK)}; the graph has no {lacking[0]}"
            )
        self.watch = getattr(encoder, "watch", self.watch)
        self.masking = masking
        self.graph = graph
        self.streams = tuple(streams)
        self.parents = graph.parents() if graph else tuple(range(sizes.joints))
        self.trunk = graph.indices(*TRUNK) if graph and of_body else ()
        self.any_number = sizes.persons is None
        self.input_layout = ("B", sizes.persons or "P", "T", sizes.joints, axes(streams))

    def attending(self) -> tuple[nn.Module, Callable[..., Tensor]] | None:
        """See `Backbone`; None where the places that tokens attend to are no joints."""
        return None if hasattr(self.encoder, "parts") else super().attending()

    def features(self, clip: Tensor) -> Tensor:
        """Skeletons `(B, P, T, V, 3)`, the last axis x, y and confidence, or `(B, P, T, V, 6)` with the world joint
        besides, to `(B, C, T', V, 1)`."""
        there = (clip[..., 2] > 0).flatten(2).any(dim=2)
        clip = torch.cat([stream(clip, name, self.parents, self.trunk) for name in self.streams], dim=-1)
        if not self.masking:
            return self.encoder(clip).unflatten(0, clip.shape[:2]).mean(dim=1)[..., None]
        if self.training and self.any_number and there.any():  # who is absent must not enter the norms' statistics
            encoded = self.encoder(clip[there][:, None])
            features = encoded.new_zeros(*there.shape, *encoded.shape[1:])
            features[there] = encoded
        else:
            features = self.encoder(clip).unflatten(0, clip.shape[:2])
        share = there / there.sum(dim=1, keepdim=True).clamp(min=1)
        return torch.einsum("bpctv,bp->bctv", features, share.to(features.dtype))[..., None]


def graph_of(graph: str | Mapping[str, Any]) -> Graph:
    """A graph by name, or from its fields `joints`, `bones` and `centre`.

    Raises:
        ValueError: for an unknown name, or fields that make no graph.
    """
    if isinstance(graph, str):
        return LAYOUTS[one_of("skeleton graph", graph, LAYOUTS)]
    try:
        return Graph(**{**graph, "bones": tuple((int(a), int(b)) for a, b in graph["bones"])})
    except (TypeError, KeyError) as error:
        raise ValueError(f"a graph is a name, or has joints, bones and a centre: {error}") from None


def _skeleton(
    encoder: Any,
    frames: int,
    reduction: int,
    masking: bool,
    with_tokens: bool,
    adapter: Any,
    graph: Graph | None = None,
    streams: Sequence[str] = ("joint",),
) -> Skeleton:
    grid = (-(-frames // reduction), getattr(encoder, "parts", encoder.joints), 1)
    return Skeleton(encoder, decoder_for(with_tokens, encoder.out_channels, grid, adapter), masking, streams, graph)


def joint_mixer(
    joints: int = 17,
    channels: Sequence[int] = (64, 64, 128, 128),
    kernel: int = 5,
    masking: bool = True,
    frames: int = 8,
    with_tokens: bool = True,
    **adapter: Any,
) -> Skeleton:
    """`Skeleton` on a `JointMixer`.

    Args:
        joints: `V`, such as 17 of COCO.
        channels: of each layer.
        kernel: frames that a layer looks at, odd.
        masking: whether persons who are not there are left out.
        frames: frames per clip that the position tables are made for.
        with_tokens: whether muscle tokens read the features.
        adapter: arguments of `TokenDecoder`.
    """
    return _skeleton(JointMixer(joints, channels, kernel), frames, 1, masking, with_tokens, adapter)


def st_gcn(
    graph: str | Mapping[str, Any] = "coco-17",
    width: int = 64,
    dropout: float = 0.0,
    spatial: str | Convolution | None = None,
    spatial_args: Mapping[str, Any] | None = None,
    streams: Sequence[str] = ("joint",),
    masking: bool = True,
    frames: int = 32,
    with_tokens: bool = True,
    **adapter: Any,
) -> Skeleton:
    """`Skeleton` on ST-GCN, for any number of persons.

    Arguments as of `STGCN`, `Skeleton` and `joint_mixer`; `graph` may be a name, `spatial` too, which `spatial_args` go
    to, see `amge.backbones.spatial.spatial_layers`.
    """
    joints = graph_of(graph)
    layers = spatial_layers(spatial, spatial_args or {}, joints)
    encoder = STGCN(joints, width, dropout=dropout, in_channels=channels(streams), spatial=layers)
    return _skeleton(encoder, frames, 4, masking, with_tokens, adapter, joints, streams)


def ctr_gcn(
    graph: str | Mapping[str, Any] = "coco-17",
    persons: int = 1,
    width: int = 64,
    spatial: str | Convolution | None = None,
    spatial_args: Mapping[str, Any] | None = None,
    streams: Sequence[str] = ("joint",),
    masking: bool = True,
    frames: int = 32,
    with_tokens: bool = True,
    **adapter: Any,
) -> Skeleton:
    """`Skeleton` on CTR-GCN. Arguments as of `CTRGCN`, `Skeleton` and `st_gcn`."""
    joints = graph_of(graph)
    layers = spatial_layers(spatial, spatial_args or {}, joints)
    encoder = CTRGCN(joints, persons, width, channels(streams), layers)
    return _skeleton(encoder, frames, 4, masking, with_tokens, adapter, joints, streams)


def hd_gcn(
    graph: str | Mapping[str, Any] = "coco-17",
    persons: int = 1,
    width: int = 64,
    levels: Sequence[Sequence[int]] | None = None,
    streams: Sequence[str] = ("joint",),
    masking: bool = True,
    frames: int = 32,
    with_tokens: bool = True,
    **adapter: Any,
) -> Skeleton:
    """`Skeleton` on HD-GCN. Arguments as of `HDGCN`, `Skeleton` and `joint_mixer`; `graph` may be a name."""
    joints = graph_of(graph)
    encoder = HDGCN(joints, persons, width, levels, in_channels=channels(streams))
    return _skeleton(encoder, frames, 4, masking, with_tokens, adapter, joints, streams)


def pose_mlp(
    graph: str | Mapping[str, Any] = "coco-17",
    width: int = 24,
    parts: int = 24,
    levels: Sequence[float] = (0.05, 0.95),
    dropout: float = 0.1,
    streams: Sequence[str] = ("joint",),
    masking: bool = True,
    with_tokens: bool = True,
    **adapter: Any,
) -> Skeleton:
    """`Skeleton` on a `PoseMLP`, for any number of persons and clips of any length.

    Arguments as of `PoseMLP`, `Skeleton` and `joint_mixer`; `graph` may be a name.
    """
    joints = graph_of(graph)
    encoder = PoseMLP(joints.joints, width, parts, levels, dropout, channels(streams))
    without_time = {"motion": False, **adapter} if with_tokens else adapter
    return _skeleton(encoder, 1, 1, masking, with_tokens, without_time, joints, streams)
