"""Names of weights: those of other code bases to PySlowFast's, and PySlowFast's to this library's."""

import re
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

State = dict[str, Tensor]
Patterns = Sequence[tuple[str, str | Callable[[re.Match[str]], str]]]
"""Regular expressions, and what to put for what they match."""

TORCHVISION = (
    (r"^conv_proj\.", "patch_embed.proj."),
    (r"^pos_encoding\.class_token$", "cls_token"),
    (r"\.pool_([qkv])\.pool\.", r".pool_\1."),
    (r"\.pool_([qkv])\.norm_act\.0\.", r".norm_\1."),
    (r"\.attn\.project\.0\.", ".attn.proj."),
    (r"(blocks\.\d+)\.project\.", r"\1.proj."),
    (r"\.mlp\.0\.", ".mlp.fc1."),
    (r"\.mlp\.3\.", ".mlp.fc2."),
    (r"^head\.1\.", "head.projection."),
)
OWN = (
    (r"^patch_embed\.proj\.", "backbone.patch_embed."),
    (r"^blocks\.(\d+)\.proj\.", r"backbone.blocks.\1.shortcut."),
    (r"^blocks\.", "backbone.blocks."),
    (r"\.rel_pos_([thw])$", r".rel_pos.\1"),
    (r"\.mlp\.fc1\.", ".mlp.0."),
    (r"\.mlp\.fc2\.", ".mlp.2."),
    (r"^norm\.", "backbone.norm."),
    (r"^cls_token$", "bank.tokens.main"),
    (r"^head_cls\.", "head."),
)
MCTF = (
    (r"^fuse\.norm1_token1\.", "fusion.norm_receiver."),
    (r"^fuse\.norm1_token2\.", "fusion.norm_main."),
    (r"^fuse\.norm2_pathway1\.", "fusion.norm."),
    (r"^fuse\.mlp_pathway1\.fc1\.", "fusion.mlp.0."),
    (r"^fuse\.mlp_pathway1\.fc2\.", "fusion.mlp.2."),
    (r"^fuse\.attn_mixed_cls_tokens\.proj_t1t1\.", "fusion.attention.proj_receiver.rr."),
    (r"^fuse\.attn_mixed_cls_tokens\.proj_t1t2\.", "fusion.attention.proj_receiver.rm."),
    (r"^fuse\.attn_mixed_cls_tokens\.proj_t2t1\.", "fusion.attention.proj_receiver.mr."),
    (r"^fuse\.attn_mixed_cls_tokens\.proj_t2t2\.", "fusion.attention.proj_main.mm."),
    (r"^fuse\.attn_mixed_cls_tokens\.proj_t1t2_2\.", "fusion.attention.proj_main.rm."),
    (r"^fuse\.attn_mixed_cls_tokens\.proj_t2t1_2\.", "fusion.attention.proj_main.mr."),
    (r"^fuse\.attn_mixed_cls_tokens\.", "fusion.attention."),
    (r"^cls_token_distill$", "bank.tokens.receiver"),
)


class Lacks(ValueError):
    """A state dict without the keys that tell the sizes of its model."""

    def __init__(self, what: str, keys: Sequence[str]) -> None:
        super().__init__(f"{what} {', '.join(keys)}")
        self.keys = tuple(keys)


def rename(state: Mapping[str, Tensor], patterns: Patterns) -> State:
    """Every key with the patterns applied one after the other."""
    renamed = {}
    for key, value in state.items():
        for pattern, replacement in patterns:
            key = re.sub(pattern, replacement, key)
        renamed[key] = value
    return renamed


def timm_to_pyslowfast(state: Mapping[str, Tensor]) -> State:
    """Stages numbered through as blocks; nothing else but two names differs."""
    counts: dict[int, int] = {}
    for key in state:
        if match := re.match(r"stages\.(\d+)\.blocks\.(\d+)\.", key):
            stage, block = int(match[1]), int(match[2])
            counts[stage] = max(counts.get(stage, 0), block + 1)
    start = {stage: sum(counts[earlier] for earlier in counts if earlier < stage) for stage in counts}

    def number(key: str) -> str:
        return re.sub(r"^stages\.(\d+)\.blocks\.(\d+)\.", lambda m: f"blocks.{start[int(m[1])] + int(m[2])}.", key)

    named = {number(key): value for key, value in state.items()}
    return rename(named, [(r"\.shortcut_proj_attn\.", ".proj."), (r"^head\.fc\.", "head.projection.")])


def split_branches(state: Mapping[str, Tensor]) -> tuple[State, State]:
    """The official TransM³E as the RGB branch and the difference branch, the latter under the names of the former."""
    rgb, difference = {}, {}
    for key, value in state.items():
        if match := re.fullmatch(r"(patch_embed|cls_token|blocks|norm)_diff(\..+)?", key):
            difference[match[1] + (match[2] or "")] = value
        else:
            rgb[key] = value
    return rgb, difference


def merge_mctf(state: Mapping[str, Tensor]) -> State:
    """The official MCTF: query, key and value in one matrix per set, and the two halves of `P_f` swapped.

    The official code concatenates the receiver's result first, this library the main one's. Incomplete sets are left
    as they are, so that whatever checks the keys names them.
    """
    merged = dict(state)
    prefix = "fusion.attention."
    for short, name in (("t1", "receiver"), ("t2", "main")):
        parts = [f"{prefix}w{letter}_{short}.weight" for letter in "qkv"]
        if all(part in merged for part in parts):
            merged[f"{prefix}qkv_{name}.weight"] = torch.cat([merged.pop(part) for part in parts])
    if (key := f"{prefix}proj.0.weight") in merged:
        receiver, main = merged[key].chunk(2, dim=1)
        merged[key] = torch.cat([main, receiver], dim=1)
    return merged
