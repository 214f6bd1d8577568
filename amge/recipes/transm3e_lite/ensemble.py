"""Models that differ by their seed, put together into one on the encoder that they share."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from amge.assemble import assemble
from amge.fusion import MCTF
from amge.model import MuscleModel
from amge.recipes.transm3e_lite.frozen import encoder_of
from amge.spec import ModelSpec


@torch.no_grad()
def side_by_side(members: Sequence[MuscleModel], spec: ModelSpec) -> MuscleModel:
    """A model whose logits are the mean of those of its members, until it is trained further.

    Args:
        members: of one bank and one decoder, on one frozen encoder; their number is that of the banks times that of the
            decoders of each. The first ones read the first bank.
        spec: of the model, with MCTF, a mean of tokens as head, and `decoders` in `backbone_args`.

    Raises:
        ValueError: for another fusion, head or number of members, or fewer channels than classes.
    """
    model: Any = assemble(spec)
    adapter = model.backbone.adapter
    parts: list[Any] = list(members)
    heads = [member.head.projection for member in parts]
    first = heads[0]
    if not isinstance(model.fusion, MCTF) or spec.head != "mean":
        raise ValueError(f"members are put together by MCTF and the head 'mean', not {spec.fusion!r} and {spec.head!r}")
    if len(members) != len(adapter.decoders):
        raise ValueError(f"{len(members)} members for {len(adapter.decoders)} decoders")
    if first.in_features < first.out_features:
        raise ValueError(f"{first.in_features} channels can't hold what {first.out_features} classes tell apart")
    encoder_of(model).load_state_dict(encoder_of(members[0]).state_dict())
    for decoder, member in zip(adapter.decoders, parts, strict=True):
        decoder.load_state_dict(member.backbone.adapter.state_dict())
    each = len(members) // len(spec.banks)
    back = torch.linalg.pinv(first.weight)
    for number, (bank, projection) in enumerate(zip(spec.banks, adapter.projections, strict=True)):
        own = range(number * each, (number + 1) * each)
        model.bank.tokens[bank].copy_(torch.cat([next(iter(parts[i].bank.tokens.values())) for i in own], dim=1))
        eye = torch.eye(first.in_features)
        to_first = [eye + back @ (heads[i].weight - first.weight) for i in own]  # W_1 @ this is W_i, as W_1 @ back is 1
        projection.weight.copy_(torch.cat(to_first, dim=1) / each)
    model.head.projection.weight.copy_(first.weight)
    model.head.projection.bias.copy_(torch.stack([head.bias for head in heads]).mean(dim=0))
    last: Any = model.fusion.mlp[-1]
    nn.init.zeros_(last.weight)  # eq. 7 then gives the mean of both banks
    nn.init.zeros_(last.bias)
    return model
