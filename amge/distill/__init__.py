"""Knowledge distillation: what a student and a teacher know of a clip in, a scalar out."""

from amge.distill.logits import LogitDistillation, PredictionDistillation
from amge.distill.pairing import pair_auxiliary
from amge.distill.placement import FeatureDistillation, placed_blocks
from amge.distill.teacher import Teacher
from amge.distill.token import TokenDistillation

__all__ = [
    "FeatureDistillation",
    "LogitDistillation",
    "PredictionDistillation",
    "Teacher",
    "TokenDistillation",
    "pair_auxiliary",
    "placed_blocks",
]
