"""The model card of a checkpoint: what its spec says, in words, and what it does not say as "not stated"."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from amge.muscles import REGION_IDS
from amge.prediction import in_words
from amge.spec import ModelSpec, class_names

if TYPE_CHECKING:
    from huggingface_hub import ModelCardData

GENERATED = "<!-- Written by amge from config.json. Without this line the card is yours, and stays as it is. -->"
UNSTATED = "not stated"
LICENCES = (
    "apache-2.0",
    "mit",
    "bsd-3-clause",
    "cc0-1.0",
    "cc-by-4.0",
    "cc-by-sa-4.0",
    "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0",
    "unlicense",
    "gpl-3.0",
)
"""Those that the Hub has names for; others it calls `other`."""
CROPS = {"movement": "the square that holds the movement", "centre": "the largest square in the middle of the picture"}
LIMITS = (
    "Not medical advice, and no measurement: the probabilities say which labels a video resembles, not how hard a "
    "muscle works in the person filmed. What was not in the training data (other movements, views, bodies, light) is "
    "known less well; try it on your own footage first."
)


def is_generated(card: str) -> bool:
    """Whether a card was written by `model_card`, and so may be written again."""
    return GENERATED in card


def unstated(spec: ModelSpec) -> list[str]:
    """What the card of a spec can't say."""
    about = spec.provenance
    facts = {
        "the licence of the weights": spec.licence,
        "the training data": _sets(about),
        "the licence of the training data": all(_of(each, "licence") for each in _sets(about) or [{}]),
        "metrics": spec.metrics,
        "the seed": about.get("seed") is not None,
        "the commit": about.get("commit"),
    }
    return [name for name, known in facts.items() if not known]


def model_card(spec: ModelSpec, repo: str | None = None, weights: str | None = None) -> str:
    """The card of a checkpoint, Markdown with the Hub's metadata in front.

    Args:
        spec: of the checkpoint.
        repo: `owner/name` that its snippet loads; None: the folder that the card is in.
        weights: their size and form, in words; None: it says nothing of these.
    """
    about = spec.provenance
    sections = [
        f"---\n{_metadata(spec).to_yaml()}\n---",
        GENERATED,
        f"# {_line(spec.name)}",
        f"From {_seen(spec)} to a probability for each of {len(spec.labels)} labels. A model of the library `amge`.",
        _snippet(spec, repo),
        _table(
            {
                "Architecture": _architecture(spec),
                "Input": _input(spec),
                "Output": _output(spec),
                **({"Weights": weights} if weights else {}),
                "Teacher": _teacher(spec),
                "Licence of the code": f"Apache-2.0{', but for parts of ' if spec.imports else ''}{_modules(spec)}",
                "Licence of the weights": _text(spec.licence),
            }
        ),
        "## Labels, in the order of the logits\n\n" + _labels(spec),
        f"## Training data\n\n{_data(_sets(about))}",
        f"## Metrics\n\n{_metrics(spec)}",
        "## How it was made\n\n" + _table({name: _text(about.get(name)) for name in ("commit", "seed")} | _more(about)),
        f"## Limits\n\n{LIMITS}" + (f"\n\n{about['limits']}" if about.get("limits") else ""),
    ]
    return "\n\n".join(sections) + "\n"


def _metadata(spec: ModelSpec) -> "ModelCardData":
    from huggingface_hub import EvalResult, ModelCardData

    stated: dict[str, Any] = {}
    if spec.licence:
        known = spec.licence.lower() in LICENCES
        slug = re.sub(r"[^a-z0-9.]+", "-", spec.licence.lower()).strip("-")
        stated = {"license": slug} if known else {"license": "other", "license_name": slug or "other"}
    if spec.metrics and (data := ", ".join(_of(each, "name") or UNSTATED for each in _sets(spec.provenance))):
        results = [
            EvalResult("video-classification", data, data, metric, value, dataset_split=split or None)
            for split, metric, value in _split_metrics(spec.metrics)
        ]
        stated |= {"model_name": spec.name, "eval_results": results}
    tags = ["muscle-activation"] * (set(spec.labels) <= set(REGION_IDS)) + [spec.modality, "multi-label"]
    return ModelCardData(library_name="amge", pipeline_tag="video-classification", tags=tags, **stated)


def _split_metrics(metrics: Mapping[str, float]) -> list[tuple[str, str, float]]:
    """Split, metric and value: `val_seen_mAP` is the mAP on val_seen."""
    return [(*name.rpartition("_")[::2], value) for name, value in metrics.items()]  # type: ignore[misc]


def _seen(spec: ModelSpec) -> str:
    if spec.modality == "skeleton":
        return f"the joints of a person in {spec.frames} frames"
    joints = " and the joints of a person in them" if spec.skeleton else ""
    return f"{spec.frames} frames of {spec.size} × {spec.size} pixels ({' and '.join(spec.modalities)}){joints}"


def _snippet(spec: ModelSpec, repo: str | None) -> str:
    imports = "".join(
        f"import {home}  # registers parts of this model\n" for home in dict.fromkeys(spec.imports.values())
    )
    seen = ("skeleton",) if spec.skeleton else spec.modalities
    extra = {"skeleton": "pose", "flow": "flow"}.get(next((m for m in seen if m in ("skeleton", "flow")), ""))
    note = f"  # pip install 'amge[{extra}]'" if extra else ""
    place = repo or "."
    where = "" if repo else "  # this folder"
    return (
        f"```python\n{imports}import amge\n\nmodel = amge.from_pretrained({place!r}){where}\n"
        f'prediction = model.predict("video.mp4"){note}\n'
        f"print(prediction.verdict, prediction.active)\n```"
    )


def _architecture(spec: ModelSpec) -> str:
    banks = f", {spec.tokens} tokens in {' and '.join(f'`{bank}`' for bank in spec.banks)}" if spec.banks else ""
    fusion = f", fusion `{spec.fusion}`" if spec.fusion else ""
    streams = f", streams `{spec.streams}`" if spec.streams else ""
    joints = f", joints `{spec.skeleton}` (fusion `{spec.skeleton_fusion}`)" if spec.skeleton else ""
    return f"backbone `{spec.backbone}`{streams}{banks}{fusion}{joints}, head `{spec.head}`"


def _input(spec: ModelSpec) -> str:
    when = f"{spec.frames} frames over {spec.seconds:.4g} s of a long video, or the whole of a short one"
    if spec.modality == "skeleton":
        from amge.backbones.streams import WORLD  # PyTorch, which a card does without

        streams = spec.backbone_args.get("streams")
        solid = isinstance(streams, list | tuple) and any(name in WORLD for name in streams)
        return f"{when}; {'3-D ' if solid else ''}joints about the hips, in the person's size"
    mean, std = (", ".join(f"{value:.4g}" for value in values) for values in (spec.mean, spec.std))
    return f"{when}; {CROPS[spec.crop]}, {spec.size} × {spec.size}; pixels in 0..1, minus ({mean}), divided by ({std})"


def _teacher(spec: ModelSpec) -> str:
    stated = spec.provenance.get("teacher")
    if stated or not spec.distill:
        return _text(stated) if stated else "none"
    return f"{UNSTATED}; it is made to learn from one on `{spec.auxiliary}` (`{spec.distill}`)"


def _output(spec: ModelSpec) -> str:
    divided = "" if spec.temperature == 1 else f" divided by {spec.temperature:g}"
    return (
        f"{len(spec.labels)} logits, {spec.activation}{divided}; a label is active from {in_words(spec.threshold)} up"
    )


def _labels(spec: ModelSpec) -> str:
    labels = spec.labels
    if isinstance(spec.threshold, Mapping):
        return ", ".join(f"{_code(label)} from {value:g} up" for label, value in spec.threshold.items())
    if labels == class_names(len(labels)):
        return f"`class_0` to `class_{len(labels) - 1}`, which have no names"
    return ", ".join(map(_code, labels))


def _modules(spec: ModelSpec) -> str:
    return ", ".join(f"`{home}`" for home in dict.fromkeys(spec.imports.values()))


def _sets(about: Mapping[str, Any]) -> Sequence[Any]:
    """Entries of `data`; one may stand for itself."""
    data = about.get("data") or ()
    return data if isinstance(data, (list, tuple)) else (data,)


def _data(data: Sequence[Any]) -> str:
    if not data:
        return UNSTATED.capitalize() + "."
    return "\n".join(
        f"- {_of(each, 'name') or UNSTATED}. Licence: {_of(each, 'licence') or UNSTATED}." for each in data
    )


def _metrics(spec: ModelSpec) -> str:
    if not spec.metrics:
        return UNSTATED.capitalize() + "."
    seed = spec.provenance.get("seed")
    rows = [(split or UNSTATED, metric, f"{value:g}") for split, metric, value in _split_metrics(spec.metrics)]
    return f"Seed {_text(seed)}; mAP in percent.\n\n" + _rows(("split", "metric", "value"), *rows)


def _more(about: Mapping[str, Any]) -> dict[str, str]:
    known = ("data", "teacher", "limits", "commit", "seed")
    return {name: _text(value) for name, value in about.items() if name not in known}


def _table(rows: Mapping[str, str]) -> str:
    return _rows(("", ""), *rows.items())


def _rows(*rows: Sequence[str]) -> str:
    """A table whose first row is its head."""
    lines = ["| " + " | ".join(_line(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def _line(text: str) -> str:
    """Text without line breaks."""
    return " ".join(text.split())


def _code(text: str) -> str:
    """Text as code, whatever backticks are in it."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    space = " " if len(fence) > 1 else ""
    return f"{fence}{space}{_line(text)}{space}{fence}"


def _text(value: Any) -> str:
    """A stated value in one line; what is not stated, as that."""
    if value is None or value == "":
        return UNSTATED
    return _line(" ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value))


def _of(each: Any, name: str) -> str | None:
    """A field of an entry of `data`, which may be a mere name."""
    if isinstance(each, Mapping):
        return _line(str(each[name])) if each.get(name) else None
    return _line(str(each)) if name == "name" else None
