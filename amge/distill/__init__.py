"""Knowledge distillation: student tokens and teacher tokens per block in, a scalar out."""

from amge.distill.teacher import Teacher
from amge.distill.token import TokenDistillation

__all__ = ["Teacher", "TokenDistillation"]
