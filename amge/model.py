"""The model that `amge.assemble` makes: backbone, token bank, fusion and head, each passed in as a built module.

Shapes: `B` batch, `T H W` picture or grid, `N` patches, `M` tokens per bank, `C` channels, `K` labels.
"""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import torch
from torch import Tensor, nn

from amge.backbones.contract import Backbone, BackboneOutput
from amge.errors import VideoError, describe, outside
from amge.evidence import Evidence, is_unsure, with_detector, with_joints, with_persons, with_pictures
from amge.explain import Explanation, explain
from amge.fusion.skeleton import SkeletonStream
from amge.heads.person import PersonHead
from amge.inputs import Input, Source, inputs
from amge.labels import move, rows_of, take
from amge.layers.checkpointing import set_grad_checkpointing
from amge.layers.module import Module
from amge.prediction import (
    Prediction,
    Threshold,
    WindowPrediction,
    by_prominence,
    check_threshold,
    in_words,
    light,
    of_windows,
)
from amge.registry import make_head
from amge.results import Features, InputSpec, Seen, Signals, stacked
from amge.spec import ModelSpec, SpecFields, class_names
from amge.tokens import TokenBank

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from amge.hub.publish import Commit  # what push_to_hub gives
    from amge.skeleton.pose import PoseEstimator


UNTRAINED = "the model is untrained"
PICTURES_ALONE = "no pose is known, this is read from the pictures alone"


class LoadOptions(SpecFields, total=False):
    """Keyword arguments of `amge.from_pretrained`."""

    num_classes: int | None
    strict: bool
    device: str | torch.device | None
    dtype: torch.dtype | None
    token: str | bool | None
    cache_dir: str | Path | None
    local_files_only: bool


class MuscleModel(Module):
    """A clip to one logit per muscle region.

    Args:
        backbone: takes a clip and tokens, returns a `BackboneOutput`.
        bank: the learnable tokens; `dim` must be the backbone's `token_dim`. None for a model without tokens.
        fusion: merges the two banks; None for one bank.
        head: takes `(B, M, C)` tokens; in a model without tokens, patches `(B, N, C)`.
        spec: what can rebuild this model; None for one put together by hand, which then takes clips but neither
            predicts from video nor saves.
        person: reads in the patches whether somebody is there, an `amge.heads.PersonHead`; None: nothing does.
        skeleton: fuses the tokens with those that read joints, an `amge.fusion.SkeletonStream`; None: there are none.

    Raises:
        ValueError: if the parts do not fit one another.
    """

    def __init__(
        self,
        backbone: Backbone,
        bank: TokenBank | None,
        fusion: nn.Module | None,
        head: nn.Module,
        spec: ModelSpec | None = None,
        person: PersonHead | None = None,
        skeleton: SkeletonStream | None = None,
    ) -> None:
        super().__init__()
        if bank is not None and bank.dim != backbone.token_dim:
            raise ValueError(f"the bank's tokens have {bank.dim} channels, the backbone takes {backbone.token_dim}")
        banks = bank.banks if bank else ()
        if len(banks) not in ((0, 1) if fusion is None else (2,)):
            raise ValueError(f"{'a' if fusion else 'no'} fusion does not fit the banks {banks}")
        self.backbone = backbone
        self.bank = bank
        self.fusion = fusion
        self.head = head
        self.spec = spec
        self.person = person and person.requires_grad_(False)  # its own recipe trains it
        self.skeleton = skeleton
        self._random_head: Tensor | None = None
        self._warned = False

    def forward_features(self, clip: Tensor | Seen, skeletons: Tensor | None = None) -> Features:
        """A clip `(B, 3, T, H, W)`, or what else the backbone takes, to all that the model knows before its head;
        `skeletons` as for `forward`.

        Raises:
            ValueError: if the clip has another layout or type; says what fits.
        """
        if isinstance(clip, Seen):
            clip, skeletons = clip
        self._check(clip)
        tokens = self.bank(clip.shape[0]).to(clip.dtype) if self.bank else None
        features = self.gather(self.backbone(clip, tokens))
        if skeletons is None:
            return features
        if self.skeleton is None:
            raise ValueError(f"{self._spec().name} takes no joints beside its clips")
        self._check(skeletons, self.skeleton.input_layout)
        return features._replace(fused=self.skeleton(features.fused, skeletons))

    def gather(self, out: BackboneOutput) -> Features:
        """What a backbone gave for the tokens of the bank, cut into banks and fused."""
        if self.bank is None:
            return Features(out.patches, out.grid, {}, {}, out.patches, {}, out.patch_embedding)
        if out.tokens is None:
            raise ValueError("the backbone gave no tokens back, although it was given those of the bank")
        tokens = self.bank.split(out.tokens)
        blocks = [self.bank.split(block) for block in out.block_tokens]
        fused = next(iter(tokens.values())) if self.fusion is None else self.fusion(*tokens.values())
        block_tokens = {bank: tuple(block[bank] for block in blocks) for bank in self.bank.banks}
        entered = self.bank.split(self.bank(out.patches.shape[0]).to(out.patches.dtype))
        return Features(out.patches, out.grid, tokens, block_tokens, fused, entered, out.patch_embedding)

    def forward_head(self, features: Features) -> Tensor:
        """Features to logits `(B, K)`."""
        return self.head(features.fused)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Logits `(..., K)` to probabilities, by the temperature and the activation of the spec."""
        spec = self._spec()
        return (logits / spec.temperature).sigmoid() if spec.activation == "sigmoid" else logits.softmax(dim=-1)

    def forward_signals(self, clip: Tensor | Seen) -> Signals:
        """A clip `(B, 3, T, H, W)` to what a training loss compares; a head with branches has the methods `branches`
        (tokens to the logits of each) and `merge` (those to the logits of the model)."""
        return self.signals_of(self.forward_features(clip))

    def signals_of(self, features: Features) -> Signals:
        """What a training loss compares, from features."""
        if not hasattr(self.head, "branches"):
            logits = self.forward_head(features)
            return Signals(features, (logits,), logits)
        branches = self.head.branches(features.fused)  # type: ignore[operator]
        return Signals(features, branches, self.head.merge(*branches))  # type: ignore[operator]

    @property
    def embed_dims(self) -> tuple[int, ...]:
        """Channels of the tokens after each block; `()` for a network without tokens."""
        return self.backbone.embed_dims

    @property
    def input_spec(self) -> InputSpec:
        """What `forward` takes."""
        spec, layout = self._spec(), getattr(self.backbone, "input_layout", Backbone.input_layout)
        sizes = {"T": spec.frames, "H": spec.size, "W": spec.size, "P": 1}
        return InputSpec(tuple(sizes.get(str(axis), axis) for axis in layout), spec.modalities, spec.mean, spec.std)

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters that weight decay should leave alone, besides biases and norms: tokens, positions."""
        parts = [(name, part) for name, part in self.named_modules() if part is not self]
        known = {name for name, _ in self.named_parameters()}
        return {
            f"{prefix}.{name}"
            for prefix, part in parts
            if hasattr(part, "no_weight_decay")
            for name in part.no_weight_decay()  # type: ignore[operator]
        } & known

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Compute blocks again in the backward pass, for less memory; see `amge.layers.checkpointing`.

        Raises:
            ValueError: if the model has no such blocks.
        """
        set_grad_checkpointing(self, enable)

    def reset_head(self, num_classes: int, labels: Sequence[str] | None = None, keep: bool = False) -> None:
        """Replace the head by a fresh one of the same kind for other classes; the rest keeps its weights. Where each
        token is a class (`class-aligned`), the tokens are the head.

        Args:
            num_classes: `K`.
            labels: what each logit stands for; default `class_0`, `class_1`, ... The model's spec takes them, and drops
                tag and metrics, which were those of the old classes.
            keep: whether labels that both heads have keep their rows, by name, and the model its temperature.

        Raises:
            ValueError: if there is not one label for each class, the head can't have so many, or the model was put
                together by hand: then give `model.head` another module yourself.
        """
        names = class_names(num_classes)
        if isinstance(labels, str):
            raise ValueError(f"labels must be a tuple of names, got the string {labels!r}")
        labels = names if labels is None else tuple(labels)
        if len(labels) != num_classes:
            raise ValueError(f"{num_classes} classes need as many labels, got {len(labels)}")
        temperature = self._spec().temperature if keep else 1.0
        spec = self._spec().untrained().replace(labels=labels, licence=self._spec().licence, temperature=temperature)
        like = self._like()
        head = make_head(spec, self.backbone, self.fusion)
        rows = rows_of(self, self._spec().labels)
        trained = {key: value.clone() for key, value in self.state_dict().items() if keep and key in rows.named}
        self.head = head.to(like.device, like.dtype).train(self.training)
        self.spec = spec
        self.remember_random_head()
        own, moves = self.state_dict(), move(rows, new := rows_of(self, labels))
        for key in new.named:
            if key.startswith("bank."):
                nn.init.trunc_normal_(own[key], std=0.02)
            elif key.startswith("fusion."):
                self.get_submodule(key.rpartition(".")[0]).reset_parameters()  # type: ignore[operator]
        for key in trained.keys() & own.keys() - moves.fresh.keys():
            own[key].copy_(take(trained[key], moves.moved.get(key, range(len(trained[key]))), own[key]))

    def forward(self, clip: Tensor | Seen, skeletons: Tensor | None = None) -> Tensor:
        """A normalised clip `(B, 3, T, H, W)` to logits `(B, K)`.

        A two-stream model takes the channels of both modalities, `(B, 6, T, H, W)`, a skeleton model `(B, P, T, V, 3)`,
        or `(B, P, T, V, 6)` if it sees world joints. A model of pictures and joints takes both, one after the other or
        as `Seen`; without joints it answers by the pictures alone.
        """
        return self.forward_head(self.forward_features(clip, skeletons))

    def preprocess(self, source: Source, pose: "str | PoseEstimator | None" = None, fps: float | None = None) -> Any:
        """A video to what the model takes, one row per window; a short video is one window.

        That is a normalised clip `(B, 3, T, H, W)` in the model's modality; in both, side by side, for two streams.
        For a skeleton model it is the main person, `(B, P, T, V, A)`, other slots empty; `A` is 3, or 6 with world
        joints. For a model of pictures and joints both, a `Seen`.

        Args:
            source: path of a video or of a folder of images, or raw frames, uint8 `(T, H, W, 3)`. A skeleton model also
                takes keypoints in pixels: float `(T, V, A)` or `(P, T, V, A)`, `Skeletons`, or the path of an npz or
                json file or of a folder of OpenPose's, see `amge.skeleton.files.read_skeletons`. Or windows that are
                cut already, an iterator of `amge.video.windows.Window`.
            pose: how a skeleton model gets from video to keypoints: `mediapipe` (the default), `rtmlib`, or any
                `amge.skeleton.pose.PoseEstimator`.
            fps: frames a second of a folder of images, of frames or of keypoints, whatever their file says; default:
                what it says, or 30. A video file has its own.

        Raises:
            VideoError: (a `ValueError`) if the source cannot be read, or a pose estimator finds nobody in it.
            ImportError: if the library of the pose estimator is not installed.
        """
        rows = [Input(g, light(window)) for g, window in self._inputs(source, None, pose, fps)]
        main = by_prominence([row.window for row in rows])[0]
        given = [row.given for row in rows if row.window.person == main and row.given is not None]
        if not given:
            raise VideoError(f"no person was found in {describe(source)}")
        return stacked(given)

    @overload
    def predict(
        self,
        source: Source,
        pose: "str | PoseEstimator | None" = None,
        fps: float | None = None,
        threshold: Threshold | None = None,
    ) -> Prediction: ...

    @overload
    def predict(
        self,
        source: "list[Source] | tuple[Source, ...]",
        pose: "str | PoseEstimator | None" = None,
        fps: float | None = None,
        threshold: Threshold | None = None,
    ) -> list[Prediction]: ...

    def predict(
        self,
        source: "Source | list[Source] | tuple[Source, ...]",
        pose: "str | PoseEstimator | None" = None,
        fps: float | None = None,
        threshold: Threshold | None = None,
    ) -> "Prediction | list[Prediction]":
        """Region to probability, the mean over the windows of a long video in which somebody is seen, and what to think
        of it; of the main person, in a skeleton model.

        Args:
            source: as for `preprocess`; or what the model itself takes, such as `preprocess` gave, a float
                `(B, 3, T, H, W)` or `(3, T, H, W)`, or normalised skeletons `(B, P, T, V, A)`. Or a list of these.
            pose: as for `preprocess`.
            fps: as for `preprocess`.
            threshold: from which probability a region is active, for all of them or by name one for each; default: the
                spec's.

        Returns:
            a mapping, with `verdict`, `active` and more; for a list of sources a list.

        Raises:
            VideoError: (a `ValueError`) if a source cannot be read; says why.
            ImportError: if the library of the pose estimator is not installed.
        """
        if isinstance(source, list | tuple) and not isinstance(source, Seen):
            return [self.predict(each, pose, fps, threshold) for each in source]
        spec = self._spec()
        limit = check_threshold(spec.threshold if threshold is None else threshold, spec.labels)
        ready = isinstance(source, Tensor) and source.is_floating_point()
        if isinstance(source, Seen):
            windows = self._answers(source)
        elif isinstance(source, Tensor) and ready and (source.ndim == 5 or spec.modality != "skeleton"):
            windows = self._answers(source if source.ndim == 5 else source[None])
        else:
            windows = [light(window) for window in self.predict_windows(source, pose=pose, fps=fps)]
        path = str(source) if isinstance(source, str | os.PathLike) else None
        return of_windows(windows, spec.labels, limit, spec.name, path)

    def predict_windows(
        self,
        source: Source,
        progress: Callable[[float, float | None], None] | None = None,
        pose: "str | PoseEstimator | None" = None,
        fps: float | None = None,
    ) -> Iterator[WindowPrediction]:
        """One prediction per window, as the video is decoded: the timeline of a long video. A skeleton model gives one
        for each person in a window; `amge.prediction.by_prominence` says which is the main one. Where nobody is seen,
        probabilities are None.

        Args:
            source: as for `preprocess`.
            progress: called with the seconds read and the seconds in all (None if not known).
            pose: as for `preprocess`.
            fps: as for `preprocess`.

        Raises:
            VideoError: (a `ValueError`) if the source cannot be read; says why.
            ImportError: if the library of the pose estimator is not installed.
        """
        yield from map(self._answer, self._inputs(source, progress, pose, fps))

    @overload
    def explain(
        self,
        source: Source,
        region: str | None = None,
        method: str = "grad-cam",
        pose: "str | PoseEstimator | None" = None,
        fps: float | None = None,
        progress: Callable[[float, float | None], None] | None = None,
    ) -> Explanation: ...

    @overload
    def explain(
        self,
        source: Source,
        region: list[str] | tuple[str, ...],
        method: str = "grad-cam",
        pose: "str | PoseEstimator | None" = None,
        fps: float | None = None,
        progress: Callable[[float, float | None], None] | None = None,
    ) -> list[Explanation]: ...

    def explain(
        self,
        source: Source,
        region: str | list[str] | tuple[str, ...] | None = None,
        method: str = "grad-cam",
        pose: "str | PoseEstimator | None" = None,
        fps: float | None = None,
        progress: Callable[[float, float | None], None] | None = None,
    ) -> Explanation | list[Explanation]:
        """Where the model sees what speaks for a region; `.maps`, `.joints`, `.plot()` and `.save(path)`.

        Args:
            source: as for `preprocess`.
            region: a label, or a list of them for a list of explanations; default: the likeliest label.
            method: `grad-cam`, what raises the label's logit, `hires-cam`, the same with the gradient at each place in
                place of the mean one, or `attention`, what the label's token attends to (the mean of all tokens, unless
                the head is `class-aligned`).
            pose: as for `preprocess`.
            fps: as for `preprocess`.
            progress: as for `predict_windows`.

        Raises:
            VideoError: (a `ValueError`) if the source cannot be read, or nobody is seen in it.
            ValueError: for an unknown label or method, or one that does not fit the model.
            ImportError: if the library of the pose estimator is not installed.
        """
        wanted = (region,) if isinstance(region, str) else region
        rows = self._inputs(source, progress, pose, fps)
        found = explain(self, self._spec(), rows, self._answer, source, wanted, method)
        return found if isinstance(region, list | tuple) else found[0]

    # The next three reach up into the hub when they are called: the only imports of this library that run upwards.

    def save_pretrained(
        self, folder: str | Path, dtype: torch.dtype | Literal["int8"] | None = None, **options: Any
    ) -> Path:
        """Write `config.json`, `model.safetensors` and a card; see `amge.hub.save_pretrained`."""
        from amge.hub.save import save_pretrained

        return save_pretrained(self, folder, dtype, **options)

    def push_to_hub(self, repo: str, dtype: torch.dtype | Literal["int8"] | None = None, **options: Any) -> "Commit":
        """Publish as `owner/name` on the Hugging Face Hub; see `amge.hub.push_to_hub`."""
        from amge.hub.publish import push_to_hub

        return push_to_hub(self, repo, dtype, **options)

    @staticmethod
    def from_pretrained(
        source: str | Path, revision: str | None = None, **options: "Unpack[LoadOptions]"
    ) -> "MuscleModel":
        """Load a checkpoint from a folder or the Hub; see `amge.hub.from_pretrained`."""
        from amge.hub.load import from_pretrained

        return from_pretrained(source, revision, **options)

    def _answer(self, row: Input) -> WindowPrediction:
        """The prediction for a row of the input."""
        spec, window = self._spec(), row.window
        if row.given is None:
            evidence = replace(self._evidence(window), person=0.0)
            return window.judged(dict.fromkeys(spec.labels), evidence, spec.evidence)
        return self._answers(stacked([row.given]), window)[0]

    def _inputs(self, source: Source, progress: Any, pose: Any, fps: float | None) -> Iterator[Input]:
        stream = self.skeleton.backbone if self.skeleton else None
        return inputs(self._spec(), self.backbone, source, progress, pose, fps, stream)

    def _spec(self) -> ModelSpec:
        if self.spec is None:
            raise ValueError("this model was put together by hand; without a spec it does not know its labels or input")
        return self.spec

    def _like(self) -> Tensor:
        """A tensor of the model's device and type."""
        return next(self.parameters(), torch.empty(0))

    def _check(self, clip: Tensor, layout: tuple[str | int, ...] | None = None) -> None:
        if torch.compiler.is_compiling():
            return
        if not isinstance(clip, Tensor):
            raise ValueError(
                f"a model takes a clip, a tensor, not {describe(clip)}; model.predict(...) takes videos, and "
                f"model.preprocess(...) makes clips of them"
            )
        if layout is None:
            layout = getattr(self.backbone, "input_layout", Backbone.input_layout)
        if clip.ndim != len(layout) or any(
            isinstance(axis, int) and axis != size for axis, size in zip(layout, clip.shape, strict=True)
        ):
            raise ValueError(
                f"expected {'a clip' if layout[-1] == 'W' else 'skeletons'} ({', '.join(map(str, layout))}), got "
                f"{tuple(clip.shape)}; model.preprocess makes it from a video or from uint8 frames (T, H, W, 3)"
            )
        if 0 in clip.shape:
            raise ValueError(f"expected frames to look at, got {tuple(clip.shape)}, in which there is nothing")
        if not clip.is_floating_point():
            raise ValueError(f"expected a normalised floating-point clip, got {clip.dtype}; model.preprocess makes one")
        first = next(self.parameters(), clip)
        if clip.device != first.device:
            raise ValueError(
                f"the clip is on {clip.device}, the model on {first.device}; bring one to the other by .to()"
            )
        dtype = first.dtype
        if clip.dtype != dtype and not torch.is_autocast_enabled(clip.device.type):
            raise ValueError(f"the clip is {clip.dtype}, the model {dtype}; bring one to the other with .to(dtype)")

    @torch.inference_mode()
    def _answers(self, given: Tensor | Seen, window: WindowPrediction | None = None) -> list[WindowPrediction]:
        """The predictions for the rows of what the model takes, in eval mode whatever mode the model is in.

        Args:
            given: `(B, ...)`.
            window: what is known of it, if `B` is 1.
        """
        clip, skeletons = given if isinstance(given, Seen) else (given, None)
        if not len(clip):
            raise ValueError(f"expected at least one clip, got {tuple(clip.shape)}")
        spec, training = self._spec(), [module for module in self.modules() if module.training]
        self._warn_if_untrained()
        parameter = self._like()
        clip = clip.to(parameter.device, parameter.dtype)
        skeletons = None if skeletons is None else skeletons.to(parameter.device, parameter.dtype)
        self.eval()
        try:
            features = self.forward_features(clip, skeletons)
            logits = self.forward_head(features).float()
            maps = self.person(features.patches, features.grid) if self.person else None
        finally:
            for module in training:
                module.training = True
        if not logits.isfinite().all() or not all(each.isfinite().all() for each in maps or ()):
            raise ValueError(
                f"{spec.name} gave logits that are not finite; its weights or the clip hold NaN or infinity"
            )
        rows = self.probabilities(logits).cpu().tolist()
        window = window or WindowPrediction(0.0, 0.0, {}, None)
        known, doubts = self._evidence(window), () if self.trained else (UNTRAINED,)
        answers = []
        for row, values in enumerate(rows):
            evidence = known if maps is None else with_persons(known, maps, row, window.shares)
            if window.keypoints is not None:
                evidence = with_joints(evidence, window.keypoints, window.frames)
            elif window.frames is not None and is_unsure(evidence, spec.evidence):
                evidence = with_detector(evidence, window.frames, spec.evidence)
            alone = self.skeleton and (skeletons is None or not skeletons[row].any())
            said = (*doubts, PICTURES_ALONE) if alone else doubts
            answers.append(window.judged(dict(zip(spec.labels, values, strict=True)), evidence, spec.evidence, said))
        return answers

    @staticmethod
    def _evidence(window: WindowPrediction) -> Evidence:
        """What the pictures of a window tell."""
        evidence = window.evidence or Evidence()
        return evidence if window.frames is None else with_pictures(evidence, window.frames)

    @property
    def trained(self) -> bool:
        """Whether the head has other weights than the random ones that it was built with, as far as can be told: those
        of half precision are the same."""
        if self._random_head is None:
            return True
        now, then = fingerprint(self.head, self.bank), self._random_head
        return now is None or now.shape != then.shape or not torch.allclose(now, then, 0.01, 1e-4)

    def remember_random_head(self) -> None:
        """To be called when the head is fresh."""
        self._random_head, self._warned = fingerprint(self.head, self.bank), False

    def _warn_if_untrained(self) -> None:
        if self.trained:
            self._random_head = None
        elif not self._warned:
            self._warned = True
            name = self._spec().name
            warnings.warn(
                f"{name} is untrained: its head has random weights, so these probabilities mean nothing; "
                f"amge.build({name!r}, pretrained=True) loads trained ones, where there are any",
                stacklevel=outside(),
            )

    def __repr__(self) -> str:
        """In short; `print(model.backbone)` shows layers."""
        parameters = sum(parameter.numel() for parameter in self.parameters()) / 1e6
        if self.spec is None:
            return f"MuscleModel put together by hand: {parameters:.1f} M parameters"
        spec, labels = self.spec, self.spec.labels
        listed = ", ".join(labels[:3]) + (", ..." if len(labels) > 3 else "")
        seen = f"{spec.frames} frames of {spec.size} x {spec.size}" if spec.modality != "skeleton" else "joints"
        parts = [part for part in (spec.backbone, *spec.banks, spec.fusion, spec.head) if part]
        return "\n".join(
            (
                f"MuscleModel {spec.name}, {'trained' if self.trained else 'untrained'}",
                f"  parameters  {parameters:.1f} M",
                f"  input       {seen}, {' and '.join(spec.modalities)}, {tuple(self.input_spec.shape)}",
                f"  labels      {len(labels)}: {listed}; active from {in_words(spec.threshold)}",
                f"  parts       {', '.join(parts)}{', person' if self.person else ''}",
            )
        )


def fingerprint(head: nn.Module, bank: nn.Module | None) -> Tensor | None:
    """Some of the numbers of a head, or of the tokens if it has none; None where there is nothing to learn, or no
    memory for it."""
    learned = [*head.parameters()] or ([*bank.parameters()] if bank else [])
    flat = [parameter.detach().flatten() for parameter in learned if not parameter.is_meta]
    return torch.cat([each[:: max(1, len(each) // 64)].float().cpu() for each in flat]) if flat else None
