"""Heads: tokens `(B, M, C)` in, logits `(B, K)` out; and one that reads in patches whether somebody is there."""

from amge.heads.class_aligned import ClassAligned
from amge.heads.constant import Constant
from amge.heads.deit import DeiT
from amge.heads.linear import Linear
from amge.heads.look_up import LookUp
from amge.heads.mean import MeanTokens
from amge.heads.person import PersonHead

__all__ = ["ClassAligned", "Constant", "DeiT", "Linear", "LookUp", "MeanTokens", "PersonHead"]
