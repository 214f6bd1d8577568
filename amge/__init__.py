"""Activated-muscle-group estimation: from a video of a moving person to the muscle regions at work.

    amge.build("transm3e-lite", pretrained=True).predict("squat.mp4")  # {"quadriceps": 0.97, ...}, .active, .verdict

Models    build, from_pretrained, list_models, list_pretrained, MuscleModel, export
Specs     spec, ModelSpec, assemble, distillation, teacher_spec
Your own  register, register_model, register_pretrained, Pretrained, TokenBank
Parts     muscles, backbones, fusion, distill, heads, layers
Input     video, skeleton, synthetic, data
Use       hub, convert, bulk, live, viz, exercises, repetitions, train, recipes, evaluate, calibrate, paper
"""

import sys as _sys
from importlib import import_module as _import_module
from types import ModuleType as _ModuleType
from typing import TYPE_CHECKING

from amge.version import __version__ as __version__

_HOMES = {
    "build": "builder",
    "from_pretrained": "hub.load",
    "list_models": "zoo",
    "list_pretrained": "hub.published",
    "MuscleModel": "model",
    "export": "export",
    "spec": "zoo",
    "ModelSpec": "spec",
    "assemble": "assemble",
    "distillation": "assemble",
    "teacher_spec": "assemble",
    "register": "registry",
    "register_model": "zoo",  # so that the names of this library are taken before others come
    "register_pretrained": "hub.published",
    "Pretrained": "hub.published",
    "TokenBank": "tokens",
}
"""The module of each public name. None is imported before it is used, so that the command line starts at once."""
_MODULES = (
    "muscles",
    *("backbones", "fusion", "distill", "heads", "layers"),
    *("video", "skeleton", "synthetic", "data"),
    *("hub", "convert", "bulk", "live", "viz", "exercises", "repetitions"),
    *("train", "recipes", "evaluate", "calibrate", "paper"),
)


def __dir__() -> list[str]:
    """What users need, and nothing else; no `__all__`, with which `help` would print every method of every class."""
    return [*_HOMES, *_MODULES]


if TYPE_CHECKING:
    from amge import backbones as backbones
    from amge import bulk as bulk
    from amge import calibrate as calibrate
    from amge import convert as convert
    from amge import data as data
    from amge import distill as distill
    from amge import evaluate as evaluate
    from amge import exercises as exercises
    from amge import fusion as fusion
    from amge import heads as heads
    from amge import hub as hub
    from amge import layers as layers
    from amge import live as live
    from amge import muscles as muscles
    from amge import paper as paper
    from amge import recipes as recipes
    from amge import repetitions as repetitions
    from amge import skeleton as skeleton
    from amge import synthetic as synthetic
    from amge import train as train
    from amge import video as video
    from amge import viz as viz
    from amge.assemble import assemble as assemble
    from amge.assemble import distillation as distillation
    from amge.assemble import teacher_spec as teacher_spec
    from amge.builder import build as build
    from amge.export import export as export
    from amge.hub.load import from_pretrained as from_pretrained
    from amge.hub.published import Pretrained as Pretrained
    from amge.hub.published import list_pretrained as list_pretrained
    from amge.hub.published import register_pretrained as register_pretrained
    from amge.model import MuscleModel as MuscleModel
    from amge.registry import register as register
    from amge.registry import register_model as register_model
    from amge.spec import ModelSpec as ModelSpec
    from amge.tokens import TokenBank as TokenBank
    from amge.zoo import list_models as list_models
    from amge.zoo import spec as spec
else:

    class _Package(_ModuleType):
        """Lets `amge.spec` and `amge.assemble` be the functions, although modules are called the same: importing a
        module binds it in its package."""

        def __setattr__(self, name: str, value: object) -> None:
            if not (name in _HOMES and isinstance(value, _ModuleType)):
                super().__setattr__(name, value)

    _sys.modules[__name__].__class__ = _Package

    def __getattr__(name: str) -> object:
        """A public name or module, imported when it is first used."""
        if name in _HOMES:
            value = globals()[name] = getattr(_import_module(f"{__name__}.{_HOMES[name]}"), name)
            return value
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            return _import_module(f"{__name__}.{name}")
        except ImportError as error:
            raise AttributeError(f"{__name__}.{name} needs more packages: {error}") from error
