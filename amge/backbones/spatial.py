"""Convolutions of `torch_geometric` as the spatial layer of a skeleton network.

Shapes: `B` samples, `C` channels, `T` frames, `V` joints, `E` edges, `N` nodes: the joints of all frames, `B * T * V`.
"""

import inspect
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from amge.errors import one_of
from amge.layers.constant import constant
from amge.layers.module import Module
from amge.skeleton.graph import Graph

Convolution = Callable[[int, int], nn.Module]
"""From channels in and out to a module that makes nodes `(N, C)` of `x`, `(N, C_in)`, and `edge_index`, `(2, E)`."""
GIVEN = ("x", "edge_index", "batch")
"""What the forward of a convolution is given, if its signature names it: as `torch_geometric` calls them."""
BASE = "MessagePassing"
"""What convolutions are made of, and none itself."""
COMMON = ("aggr", "aggr_kwargs", "flow")
"""Arguments of all convolutions that pass messages."""


class GraphConvolution(Module):
    """A convolution of nodes and edges on the joints of every frame: one graph with a part for each frame.

    Args:
        convolution: takes those of `GIVEN` that its forward names; `batch`, `(N,)`, says which frame a node is of.
        graph: the skeleton; bones are edges in both directions, and no joint is its own neighbour.
        in_channels: `C_in`.
        channels: `C`.

    Raises:
        ValueError: if the convolution needs more, as features of edges are, or does not give `(N, C)`.
    """

    def __init__(self, convolution: nn.Module, graph: Graph, in_channels: int, channels: int) -> None:
        super().__init__()
        name = type(convolution).__name__
        if getattr(convolution, "cached", False):
            raise ValueError(f"{name} can't have cached=True: it would keep the graph of the first batch for all")
        named = inspect.signature(convolution.forward).parameters
        variable = any(each.kind is each.VAR_POSITIONAL for each in named.values())
        if lacking := [each for each in needed(named) if each not in GIVEN]:
            raise ValueError(f"{name} needs {', '.join(lacking)}; a skeleton has {', '.join(GIVEN)}, joints and bones")
        self.convolution = convolution
        self.named = () if variable and "x" not in named else tuple(each for each in GIVEN if each in named)
        self.register_buffer("edges", constant(graph.edge_index), persistent=False)
        if not self.edges.is_meta:
            self.try_out(torch.zeros(1, in_channels, 2, graph.joints), channels)

    @torch.no_grad()
    def try_out(self, joints: Tensor, channels: int) -> None:
        """Raise `ValueError` unless joints `(B, C_in, T, V)` become `(B, channels, T, V)`."""
        name = type(self.convolution).__name__
        try:
            out = self.eval()(joints)
        except ImportError:
            raise
        except Exception as error:
            story = f"{type(error).__name__}: {error}".strip(": ")
            raise ValueError(f"{name} fails on joints and bones, which have no features of edges ({story})") from error
        self.train()
        shape = (len(joints), channels, *joints.shape[2:])
        if out.shape != shape or not out.is_floating_point():
            raise ValueError(
                f"{name} must make {channels} channels of {joints.shape[1]}, it gave {tuple(out.shape)} ({out.dtype}) "
                f"in place of {shape}"
            )

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C_in, T, V)` to `(B, C, T, V)`."""
        samples, _, frames, joints = x.shape
        nodes = x.permute(0, 2, 3, 1).flatten(0, 2)
        parts = torch.arange(samples * frames, device=x.device)
        edges: Tensor = self.edges[:, None] + joints * parts[:, None]  # type: ignore[index]
        given = {"x": nodes, "edge_index": edges.flatten(1), "batch": parts.repeat_interleave(joints)}
        if self.named:
            out = self.convolution(**{name: given[name] for name in self.named})
        else:
            out = self.convolution(given["x"], given["edge_index"])
        return out.unflatten(0, (samples, frames, joints)).permute(0, 3, 1, 2)


def spatial_layers(
    spatial: str | Convolution | None, arguments: Mapping[str, Any], graph: Graph
) -> Callable[[int, int], nn.Module] | None:
    """What makes the spatial layer of a block, `(B, C_in, T, V)` to `(B, C, T, V)`, from channels in and out.

    Args:
        spatial: a convolution of `torch_geometric.nn` by name, a function that makes one, or None for the plain layer.
        arguments: of the one by name, without those that say how many channels there are.
        graph: the skeleton.

    Raises:
        ImportError: for a name, if `torch_geometric` is not installed.
        ValueError: for anything else, or arguments without a name.
    """
    if isinstance(spatial, str):
        return partial(named_layer, found(spatial), arguments, graph)
    if arguments:
        raise ValueError(
            f"spatial_args={dict(arguments)} go with the name of a convolution, got spatial={spatial!r:.80}"
        )
    if spatial is None:
        return None
    if isinstance(spatial, nn.Module) or not callable(spatial):
        raise ValueError(
            f"spatial is the name of a convolution of torch_geometric, or a function from channels in and out to a "
            f"module, one for each block; got {spatial!r:.80}"
        )
    return lambda in_channels, channels: GraphConvolution(spatial(in_channels, channels), graph, in_channels, channels)


def found(name: str) -> type[nn.Module]:
    """The convolution of that name; raises as `spatial_layers` does."""
    try:
        with torch.device("cpu"), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # it calls what torch has deprecated
            from torch_geometric.nn import conv
    except ImportError as error:
        raise ImportError(f"spatial={name!r} needs torch-geometric: pip install 'amge[graph]' ({error})") from error
    return getattr(conv, one_of("convolution of torch_geometric", name, [n for n in conv.__all__ if n != BASE]))


def named_layer(
    kind: type[nn.Module], arguments: Mapping[str, Any], graph: Graph, in_channels: int, channels: int
) -> nn.Module:
    """A layer by a class of convolutions. One that keeps the number of channels has a 1 x 1 convolution in front.

    Heads that stand side by side share the channels.

    Raises:
        ValueError: for arguments that the convolution needs or does not take.
    """
    named = inspect.signature(kind).parameters
    changes = {"in_channels", "out_channels"} <= {*named}
    first = in_channels if changes else channels
    defaults = {each.name: each.default for each in named.values()} | dict(arguments)
    shares = defaults["heads"] if {"heads", "concat"} <= {*named} and defaults["concat"] else 1
    if not isinstance(shares, int) or shares < 1 or channels % shares:
        raise ValueError(f"heads side by side share {channels} channels, so their number divides that; got {shares!r}")
    sizes = {"in_channels": first, "out_channels": channels // shares, "channels": channels}
    sizes = {name: size for name, size in sizes.items() if name in named}
    choices = [name for name in named if name not in sizes and name != "kwargs"]
    if "kwargs" in named:
        choices += COMMON
    for name in arguments:
        one_of(f"argument of {kind.__name__}", name, choices)
    if lacking := [name for name in needed(named) if name not in {**sizes, **arguments}]:
        raise ValueError(
            f"{kind.__name__} needs {', '.join(lacking)}; a function in place of the name gives what JSON can't hold"
        )
    if arguments.get("edge_dim") is not None:
        raise ValueError(f"{kind.__name__} can't have edge_dim={arguments['edge_dim']!r}: bones have no features")
    try:
        convolution = kind(**sizes, **arguments)
    except ImportError:
        raise
    except Exception as error:
        raise ValueError(f"{kind.__name__} does not take {dict(arguments)} ({error})") from error
    layer = GraphConvolution(convolution, graph, first, channels)
    return layer if changes else nn.Sequential(nn.Conv2d(in_channels, channels, 1), layer)


def needed(parameters: Mapping[str, inspect.Parameter]) -> list[str]:
    """Names of the parameters that have no default."""
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [each.name for each in parameters.values() if each.default is each.empty and each.kind not in variable]
