"""Activated-muscle-group estimation: from a video of a moving person to the muscle regions at work.

import amge
model = amge.build("transm3e-lite", pretrained=True)
model.predict("squat.mp4")  # {"quadriceps": 0.97, ...}
"""

from amge import muscles
from amge.builder import assemble, build, distillation, teacher_spec
from amge.hub.load import from_pretrained
from amge.hub.published import Pretrained, list_pretrained, register_pretrained
from amge.model import MuscleModel
from amge.registry import register, register_model
from amge.spec import ModelSpec
from amge.tokens import TokenBank
from amge.zoo import list_models, spec

__version__ = "0.1.0"

__all__ = [
    "ModelSpec",
    "MuscleModel",
    "Pretrained",
    "TokenBank",
    "assemble",
    "build",
    "distillation",
    "from_pretrained",
    "list_models",
    "list_pretrained",
    "muscles",
    "register",
    "register_model",
    "register_pretrained",
    "spec",
    "teacher_spec",
]
