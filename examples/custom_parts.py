"""A backbone and a fusion of your own: registered, built by name, saved, published on the Hugging Face Hub and loaded.

The config of a checkpoint names its parts, so this file has to be imported before one is loaded; it is published with
the weights. To publish, log in first (hf auth login) or set HF_TOKEN; without --repo nothing leaves the machine.

python examples/custom_parts.py --out my-muscle-model
python examples/custom_parts.py --repo me/my-muscle-model
"""

import argparse
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import amge
from amge.backbones import Backbone, BackboneOutput


@amge.register("backbone", "conv-readers")
class ConvReaders(Backbone):
    """3-D convolutions that halve height and width; after each, the tokens read its map by cross-attention."""

    def __init__(self, dims: Sequence[int] = (16, 32, 64), num_heads: int = 4) -> None:
        super().__init__()
        self.token_dim, self.out_channels = dims[0], dims[-1]
        self.embed_dims, self.reduces = tuple(dims), (True,) * len(dims)
        self.convs = nn.ModuleList(nn.Conv3d(i, o, 3, (1, 2, 2), 1) for i, o in pairwise((3, *dims)))
        self.widen = nn.ModuleList(nn.Linear(i, o) for i, o in pairwise((dims[0], *dims)))
        self.read = nn.ModuleList(nn.MultiheadAttention(dim, num_heads, batch_first=True) for dim in dims)
        self.norm = nn.LayerNorm(dims[-1])

    def forward(self, clip: Tensor, tokens: Tensor | None = None) -> BackboneOutput:
        """A clip `(B, 3, T, H, W)` and tokens `(B, M', token_dim)`, or None."""
        maps, block_tokens = clip, []
        for conv, widen, read in zip(self.convs, self.widen, self.read, strict=True):
            maps = F.gelu(conv(maps))
            patches = maps.flatten(2).mT  # (B, N, C)
            if tokens is not None:
                tokens = widen(tokens)
                tokens = tokens + read(tokens, patches, patches, need_weights=False)[0]
                block_tokens.append(tokens)
        final = None if tokens is None else self.norm(tokens)
        return BackboneOutput(self.norm(patches), tuple(maps.shape[2:]), final, tuple(block_tokens))


@amge.register("fusion", "token-gate")
class TokenGate(nn.Module):
    """A mixture of the two sets whose weights each pair of tokens decides, channel by channel."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.out_channels = dim
        self.gate = nn.Linear(2 * dim, dim)

    def forward(self, main: Tensor, receiver: Tensor) -> Tensor:
        """`(B, M, C)` and `(B, M, C)` to `(B, M, C)`."""
        return torch.lerp(main, receiver, self.gate(torch.cat([main, receiver], dim=-1)).sigmoid())


@amge.register_model
def my_muscle_model() -> amge.ModelSpec:
    return amge.ModelSpec(
        arch="my-muscle-model", backbone="conv-readers", banks=("main", "receiver"), fusion="token-gate", size=64
    )


def main(repo: str | None = None, out: str | None = None) -> None:
    torch.manual_seed(0)
    model = amge.build("my-muscle-model", backbone_args={"dims": (24, 48, 96)}).eval()
    clip = torch.randn(2, 3, 8, 64, 64)
    with tempfile.TemporaryDirectory() as scratch:
        folder = model.save_pretrained(out or Path(scratch) / "saved")
        if repo:
            commit = model.push_to_hub(repo, licence="Apache-2.0", extra=[__file__])
            loaded = amge.from_pretrained(repo, revision=commit.revision, cache_dir=scratch)
        else:
            loaded = amge.from_pretrained(folder)
    with torch.inference_mode():
        ours, theirs = model(clip), loaded(clip)
    place = repo or out or "a temporary folder"
    if not torch.equal(ours, theirs):
        raise SystemExit(f"{place}: the outputs differ by {(ours - theirs).abs().max():.1e}")
    print(f"{place}: outputs {tuple(theirs.shape)} equal to the bit")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repo", help="where to publish on the Hub, such as me/my-muscle-model")
    parser.add_argument("--out", help="folder to save to; default: a temporary one")
    main(**vars(parser.parse_args()))
