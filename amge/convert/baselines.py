"""The networks of Table 2 from their own code bases: a spec from configuration and weights, and names of weights."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from amge.convert.configs import labels
from amge.convert.keys import Lacks, Patterns, State, rename
from amge.spec import ModelSpec
from amge.zoo import spec as named

GRAPH_OF = {17: "coco-17", 25: "ntu-25"}
"""The graph that a number of joints means, unless the configuration says another."""
NTU_LEVELS = {
    1: ((0,), (1, 12, 16), (13, 17, 20), (2, 4, 8, 14, 18), (3, 5, 9, 15, 19), (6, 10), (7, 11, 21, 22, 23, 24)),
    2: ((1,), (0, 20), (12, 16, 2, 4, 8), (13, 17, 3, 5, 9), (14, 18, 6, 10), (15, 19, 7, 11), (21, 22, 23, 24)),
    21: ((20,), (1, 2, 4, 8), (3, 5, 9, 0), (6, 10, 12, 16), (7, 11, 13, 17), (21, 22, 23, 24, 14, 18), (15, 19)),
}
"""HD-GCN's levels of the 25 joints of NTU RGB+D by the centre of mass that it names."""

ST_GCN: Patterns = (
    (r"^data_bn\.", "backbone.encoder.norm."),
    (r"^edge_importance\.(\d+)$", r"backbone.encoder.layers.\1.importance"),
    (r"^st_gcn_networks\.(\d+)\.gcn\.conv\.", r"backbone.encoder.layers.\1.graph."),
    (r"^st_gcn_networks\.(\d+)\.tcn\.", r"backbone.encoder.layers.\1.time."),
    (r"^st_gcn_networks\.(\d+)\.residual\.", r"backbone.encoder.layers.\1.shortcut."),
    (r"^fcn\.", "head.projection."),
)
BLOCKS: Patterns = (
    (r"^data_bn\.", "backbone.encoder.norm."),
    (r"^l(\d+)\.", lambda match: f"backbone.encoder.layers.{int(match[1]) - 1}."),
    (r"\.gcn1\.PA$", ".graph.shared"),
    (r"\.gcn1\.(alpha$)", r".graph.\1"),
    (r"\.gcn1\.bn\.", ".graph.norm."),
    (r"\.gcn1\.down\.", ".graph.shortcut."),
    (r"\.tcn1\.branches\.([01])\.3\.bn\.", r".time.branches.\1.4."),
    (r"\.tcn1\.branches\.([01])\.3\.conv\.", r".time.branches.\1.3."),
    (r"\.tcn1\.", ".time."),
    (r"\.residual\.conv\.", ".shortcut.0."),
    (r"\.residual\.bn\.", ".shortcut.1."),
    (r"^fc\.", "head.projection."),
)
CTR_GCN: Patterns = (
    *BLOCKS,
    (r"\.gcn1\.convs\.(\d)\.conv1\.", r".graph.subsets.\1.target."),
    (r"\.gcn1\.convs\.(\d)\.conv2\.", r".graph.subsets.\1.source."),
    (r"\.gcn1\.convs\.(\d)\.conv3\.", r".graph.subsets.\1.value."),
    (r"\.gcn1\.convs\.(\d)\.conv4\.", r".graph.subsets.\1.relation."),
)
HD_GCN: Patterns = (
    *BLOCKS,
    (r"\.gcn1\.conv_down\.(\d+)\.", r".graph.levels.\1.reduce."),
    (r"\.gcn1\.conv\.(\d+)\.([0-2])\.", r".graph.levels.\1.subsets.\2."),
    (r"\.gcn1\.conv\.(\d+)\.3\.", r".graph.levels.\1.edges."),
    (r"\.gcn1\.aha\.conv_down\.", ".graph.attention.reduce."),
    (r"\.gcn1\.aha\.edge_conv\.", ".graph.attention.edges."),
    (r"\.gcn1\.aha\.aggregate\.", ".graph.attention.expand."),
)
SWIN: Patterns = (
    (r"^(patch_embed|norm)\.", r"backbone.encoder.\1."),
    (r"^features\.", "backbone.encoder.stages."),
    (r"^head\.", "head.projection."),
)


def needs(state: Mapping[str, Tensor], *keys: str) -> None:
    """Raise `ValueError` unless the state dict has the keys that tell a model's sizes."""
    if missing := [key for key in keys if key not in state]:
        raise Lacks("the state dict is not of this model; it lacks", missing)


def plain(arch: str, head: Tensor, **backbone: Any) -> ModelSpec:
    """The spec of a named baseline with other arguments and as many classes as the head's bias has."""
    return named(arch).replace(backbone_args=backbone, labels=labels(len(head)), head_args={})


def gcn(source: str, config: Mapping[str, Any], state: State) -> tuple[ModelSpec, State]:
    """ST-GCN, CTR-GCN or HD-GCN; `graph` (a name or fields) and `levels` of the configuration win over guesses."""
    head, width = ("fcn", "st_gcn_networks.0.tcn.2.bias") if source == "st-gcn" else ("fc", "l1.gcn1.bn.bias")
    needs(state, "data_bn.weight", f"{head}.weight", f"{head}.bias", width)
    matrices = state.get("A", state.get("l1.gcn1.PA"))
    joints = int(matrices.shape[-1]) if matrices is not None else int(config.get("num_point", 17))
    graph = config.get("graph", GRAPH_OF.get(joints))
    if graph is None:
        raise ValueError(f"there is no named graph of {joints} joints; give its joints, bones and centre as 'graph'")
    arguments: dict[str, Any] = {"graph": graph, "width": len(state[width]), "masking": False}
    if source == "st-gcn":
        patterns = ST_GCN
        state = {key: value for key, value in state.items() if key != "A"}
    else:
        arguments["persons"] = len(state["data_bn.weight"]) // (3 * joints)
        patterns = CTR_GCN if source == "ctr-gcn" else HD_GCN
    if source == "hd-gcn":
        levels = config.get("levels") or (NTU_LEVELS.get(config.get("CoM", 21)) if graph == "ntu-25" else None)
        arguments |= {"levels": levels} if levels else {}
        state = {key: value for key, value in state.items() if ".conv_d." not in key}  # a second name of the last level
    spec = plain(source, state[f"{head}.bias"], **arguments)
    renamed = rename(state, patterns)
    renamed["head.projection.weight"] = renamed["head.projection.weight"].flatten(1)
    return spec, {key: value.flatten() if key.endswith(".3.bias") else value for key, value in renamed.items()}


def swin3d(config: Mapping[str, Any], state: State) -> tuple[ModelSpec, State]:
    """torchvision's `swin3d_*`; sizes are read off the weights, the window is the configuration's or (8, 7, 7)."""
    needs(state, "patch_embed.proj.weight", "head.bias")
    depths, heads = [], []
    for stage in range(0, 8, 2):
        tables = [
            key for key in state if re.match(rf"features\.{stage}\.\d+\.attn\.relative_position_bias_table$", key)
        ]
        needs(state, *(tables or [f"features.{stage}.0.attn.relative_position_bias_table"]))
        depths.append(len(tables))
        heads.append(state[tables[0]].shape[1])
    spec = plain(
        "videoswin-small",
        state["head.bias"],
        embed_dim=state["patch_embed.proj.weight"].shape[0],
        depths=tuple(depths),
        heads=tuple(heads),
        window=tuple(config.get("window_size", (8, 7, 7))),
    )
    return spec, rename(state, SWIN)


def pytorchvideo(state: State) -> tuple[ModelSpec, State]:
    """pytorchvideo's `c2d_r50`, `i3d_r50`, `slow_r50` or `slowfast_r50`, told apart by their weights."""
    two = any("multipathway_blocks" in key for key in state)
    stem = "blocks.0.multipathway_blocks.0.conv.weight" if two else "blocks.0.conv.weight"
    heads = [key for key in state if re.fullmatch(r"blocks\.\d+\.proj\.bias", key)]
    needs(state, stem, *(heads or ["blocks.5.proj.bias"]))
    last = int(heads[0].split(".")[1])
    if two:
        kind, encoder = "slowfast", "backbone.encoder.stages."
    else:
        kind = "slow" if last == 5 else "i3d" if state[stem].shape[2] > 1 else "c2d"
        encoder = "backbone.encoder."
    patterns = ((rf"^blocks\.{last}\.proj\.", "head.projection."), (r"^blocks\.", encoder))
    return plain(f"{kind}-r50", state[heads[0]], width=state[stem].shape[0]), rename(state, patterns)


def convert(source: str, config: Mapping[str, Any], state: State) -> tuple[ModelSpec, State]:
    """Spec, and weights under this library's names."""
    state = {key: torch.as_tensor(value) for key, value in state.items()}
    if source == "torchvision-swin3d":
        return swin3d(config, state)
    return pytorchvideo(state) if source == "pytorchvideo" else gcn(source, config, state)
