"""Heads: tokens `(B, M, C)` in, logits `(B, K)` out."""

from amge.heads.mean import MeanTokens

__all__ = ["MeanTokens"]
