"""What a model looks at in one clip: Grad-CAM, or what its muscle tokens attend to.

Shapes: `T H W` grid, `N` patches, `M'` tokens of all banks, `C` channels, `V` joints.

The `grad-cam` package is for pictures: it knows no clips, no joints, and no tokens of several banks.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from amge.backbones.contract import Backbone
from amge.layers.grid import Grid
from amge.results import Seen

Maps = dict[str, Tensor]
"""`pictures` and `joints`, whichever a model sees, to a map of it: `(T, H, W)`, of joints `(T, V, 1)`."""
Parts = Mapping[str, Any]
"""The same names to the backbones that see them."""


def seeing(model: Any, method: str) -> Parts:
    """The backbones of a model.

    Raises:
        ValueError: if a method of `METHODS` can't look into one of them.
    """
    found = {}
    for backbone in (model.backbone, *([model.skeleton.backbone] if model.skeleton else [])):
        layout = getattr(backbone, "input_layout", Backbone.input_layout)
        name = type(backbone).__name__
        if method != "attention" and not hasattr(backbone, "watch"):
            raise ValueError(f"{name} can't be explained: it has no `watch` that its patches pass, see Backbone")
        if method != "attention" or (model.bank is not None and attending(backbone) is not None):
            found["pictures" if layout[-1] == "W" else "joints"] = backbone
    if not found:
        why = "has no muscle tokens" if model.bank is None else "has tokens that attend to nothing that can be shown"
        raise ValueError(f"{model.spec.name} {why}; take the method grad-cam")
    return found


def attending(backbone: Any) -> Any:
    """The `attending` of a backbone; None where it has none."""
    return getattr(backbone, "attending", lambda: None)()


@contextmanager
def hooked(model: nn.Module, hooks: Iterable[tuple[nn.Module, Callable[..., Any]]]) -> Iterator[None]:
    """Within the block a model is in eval mode, its parameters need no gradients, and layers have hooks."""
    training = [module for module in model.modules() if module.training]
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    handles = [layer.register_forward_hook(hook) for layer, hook in hooks]
    model.eval().requires_grad_(False)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module in training:
            module.training = True
        for parameter in learning:
            parameter.requires_grad_()


def grad_cam(
    model: Any, parts: Parts, given: Tensor | Seen, labels: Mapping[str, int], local: bool = False
) -> dict[str, Maps]:
    """Grad-CAM (Selvaraju et al., ICCV 2017) of a clip, by label: patches where they pass the `watch` of a backbone,
    weighted by the mean over them of the logit's gradient, or if `local` each by the gradient at itself (HiResCAM,
    Draelos and Carin, 2020), where the sum over channels is more than zero. Of joints, which enter the network there,
    the gradient is always that at each joint.

    Nothing before the `watch` is kept for the gradients, so that it takes little more memory than a prediction.
    """
    seen: dict[str, tuple[Tensor, Grid]] = {}

    def replace(part: str) -> Callable[..., Tensor]:
        def hook(watch: nn.Module, inputs: Any, tokens: Tensor) -> Tensor:
            seen[part] = tokens.detach().requires_grad_(), inputs[1]
            return seen[part][0]

        return hook

    hooks = [(backbone.watch, replace(part)) for part, backbone in parts.items()]
    with torch.inference_mode(False), torch.enable_grad(), hooked(model, hooks):
        logits = model(on_device(given, model))[0]
        found = {}
        for label, index in labels.items():
            leaves = [tokens for tokens, _ in seen.values()]
            slopes = torch.autograd.grad(logits[index], leaves, retain_graph=True, allow_unused=True)
            found[label] = {
                part: cam(*seen[part], slope, local or part == "joints")
                for part, slope in zip(seen, slopes, strict=True)
            }
    return found


def cam(tokens: Tensor, grid: Grid, slopes: Tensor | None, local: bool) -> Tensor:
    """The map `(T, H, W)` of tokens `(1, M' + N, C)`, patches last, and gradients at them, None if there are none."""
    if slopes is None:
        return torch.zeros(grid)
    patches, slopes = (each.detach()[0, -prod(grid) :].float() for each in (tokens, slopes))
    weights = slopes if local else slopes.mean(dim=0)
    return (patches * weights).sum(dim=-1).relu().unflatten(0, grid).cpu()


def attention(model: Any, parts: Parts, given: Tensor | Seen, labels: Mapping[str, int]) -> dict[str, Maps]:
    """What tokens attend to in the last layer in which they read patches, by label: the label's own token where tokens
    belong to labels, else the mean of all."""
    seen: Maps = {}

    def note(part: str, weights: Callable[..., Tensor]) -> Callable[..., None]:
        def hook(layer: nn.Module, inputs: Any, output: Any) -> None:
            seen[part] = weights(*inputs)[0].float().cpu()

        return hook

    layers = {part: attending(backbone) for part, backbone in parts.items()}
    hooks = [(layer, note(part, weights)) for part, (layer, weights) in layers.items()]
    with torch.no_grad(), hooked(model, hooks):
        model(on_device(given, model))
    banks = {part: each.unflatten(0, (-1, model.bank.num_tokens)).mean(dim=0) for part, each in seen.items()}
    if getattr(model.head, "aligned", False):
        return {label: {part: each[index] for part, each in banks.items()} for label, index in labels.items()}
    return {label: {part: each.mean(dim=0) for part, each in banks.items()} for label in labels}


METHODS: dict[str, Callable[..., dict[str, Maps]]] = {
    "grad-cam": grad_cam,
    "hires-cam": partial(grad_cam, local=True),
    "attention": attention,
}


def on_device(given: Tensor | Seen, model: nn.Module) -> Tensor | Seen:
    """What a model takes, on its device and in its type."""
    like = next(model.parameters())
    if isinstance(given, Seen):
        return Seen(*(part.to(like.device, like.dtype) for part in given))
    return given.to(like.device, like.dtype)
