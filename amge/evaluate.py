"""A model on the test sets of a data set: its predictions, what they are worth, a table and pictures.

Shapes: `n` samples, `K` regions.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table

from amge.calibrate import Calibration, calibrate, probabilities, thresholds
from amge.data.batch import collate, inputs, mean_of_views
from amge.data.clips import Clips
from amge.data.sample import SPLITS, Sample
from amge.files import whole
from amge.metrics import (
    FEW,
    average_precisions,
    bootstrap,
    expected_calibration_error,
    f1_scores,
    mean_average_precision,
)
from amge.model import MuscleModel
from amge.prediction import Threshold, check_threshold, threshold_of
from amge.spec import ModelSpec
from amge.video.flow_cache import FlowCache

RESAMPLES = 500


@dataclass(frozen=True)
class Predictions:
    """What a model says of samples."""

    labels: tuple[str, ...]
    samples: list[Sample]
    targets: np.ndarray
    """`(n, K)`."""
    probabilities: np.ndarray
    """float32 `(n, K)`, the mean over the views of each."""
    broken: dict[str, str]
    """Samples that could not be read, and why; these have no row."""
    logits: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32))
    """float32 `(R, K)`, of each view."""
    row: np.ndarray = field(default_factory=lambda: np.empty(0, int))
    """`(R,)`: to which row of the others a view belongs."""

    def of_split(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Targets and probabilities of one split."""
        rows = [i for i, sample in enumerate(self.samples) if sample.split == split]
        return self.targets[rows], self.probabilities[rows]


@torch.inference_mode()
def predictions(
    model: MuscleModel,
    samples: Sequence[Sample],
    views: int = 5,
    batch_size: int = 8,
    workers: int = 0,
    device: str | torch.device | None = None,
    flow: FlowCache | None = None,
) -> Predictions:
    """The probabilities of a model for samples.

    Args:
        model: its spec says what it sees.
        samples: of any splits.
        views: clips of each video, evenly spread, whose probabilities are averaged.
        batch_size: samples a step.
        workers: processes that load; 0: this one.
        device: to compute on; default: where the model is.
        flow: where flow is kept that the model was trained on; None: computed on each clip.

    Raises:
        ValueError: if there are no samples, they do not fit the model, or none can be read.
    """
    from rich.progress import track
    from torch.utils.data import DataLoader

    spec: Any = model.spec
    if spec.skeleton:
        raise ValueError(f"{spec.name} sees joints besides, which this test does not give; model.predict does")
    graph = getattr(model.backbone, "graph", None)
    joints: Any
    axes: Any
    joints, axes = model.input_spec.shape[3:] if spec.modality == "skeleton" else (None, 3)
    clips = Clips(samples, spec, spec.modalities, None, views, graph, joints, flow, axes=axes)
    like = next(iter(model.parameters()), torch.empty(0))
    home, training = like.device, [part for part in model.modules() if part.training]
    device = device or home
    model.eval().to(device)
    rows: list[np.ndarray] = []
    views_of: list[tuple[np.ndarray, np.ndarray]] = []
    order: list[int] = []
    broken: dict[str, str] = {}
    loader = DataLoader(clips, batch_size, num_workers=workers, collate_fn=collate)
    for batch in track(loader, f"test of {len(samples)} videos", transient=True):
        broken.update(dict(batch["broken"]))
        if "target" not in batch:
            continue
        given = {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in batch.items()}
        logits = model(inputs(given, spec).to(like.dtype)).float()
        each = mean_of_views(model.probabilities(logits), given["sample"], len(batch["target"]))
        rows.append(each.cpu().numpy())
        views_of.append((logits.cpu().numpy(), len(order) + batch["sample"].numpy()))
        order += batch["index"].tolist()
    model.to(home)
    for part in training:
        part.training = True
    if not rows:
        name, reason = next(iter(broken.items()))
        raise ValueError(f"none of the {len(samples)} videos can be read, such as {name}: {reason}")
    return Predictions(
        spec.labels,
        [clips.samples[i] for i in order],
        clips.targets[order],
        np.concatenate(rows),
        broken,
        *map(np.concatenate, zip(*views_of, strict=True)),
    )


def calibrated(spec: ModelSpec, found: Predictions) -> tuple[dict[str, Any], dict[str, tuple[float, float, float]]]:
    """The fields `temperature` and `threshold` of a model's spec as `amge.calibrate` chooses them, each label with a
    threshold of its own, and `before` and `after` on the same samples: expected calibration error, F1 micro and macro,
    in 0..1.

    Args:
        spec: of the model; with softmax it keeps its temperature, which is 1.
        found: its predictions on validation data.

    Raises:
        ValueError: if no label occurs.
    """
    chosen, after = Calibration(1.0, thresholds(found.targets, found.probabilities)), found.probabilities
    if spec.activation == "sigmoid":
        chosen = calibrate(found.targets, found.logits, found.row)
        after = probabilities(found.logits, chosen.temperature, found.row)
    own = dict(zip(found.labels, chosen.thresholds.tolist(), strict=True))
    figures = {}
    for name, scores, threshold in (("before", found.probabilities, spec.threshold), ("after", after, own)):
        f1 = f1_scores(found.targets, scores, _limits(threshold, found.labels))
        figures[name] = expected_calibration_error(found.targets, scores), f1["micro"], f1["macro"]
    return {"temperature": chosen.temperature, "threshold": own}, figures


def _limits(threshold: Threshold, labels: Sequence[str]) -> np.ndarray:
    """`(K,)`."""
    return np.array([threshold_of(threshold, label) for label in labels])


def report(found: Predictions, threshold: Threshold, resamples: int = RESAMPLES) -> dict[str, Any]:
    """Figures by split, plain values: mAP in percent with its bootstrap interval (`few`: it is of too few samples to be
    trusted), average precision of each region (None where it does not occur), F1 at the threshold, expected calibration
    error; and the means `val_a` and `test_a` of seen and unseen.

    Args:
        found: predictions.
        threshold: from which a region counts as active.
        resamples: of the bootstrap.
    """
    limits = _limits(threshold, found.labels)
    splits: dict[str, Any] = {}
    for split in SPLITS:
        targets, probabilities = found.of_split(split)
        if not len(targets) or not targets.any():
            continue
        precisions = average_precisions(targets, probabilities)
        f1 = f1_scores(targets, probabilities, limits)
        splits[split] = {
            "samples": len(targets),
            "mAP": round(100 * mean_average_precision(targets, probabilities), 2),
            "mAP_95": [round(100 * bound, 2) for bound in bootstrap(targets, probabilities, resamples)],
            "few": len(targets) < FEW,
            "f1_micro": round(100 * f1["micro"], 2),
            "f1_macro": round(100 * f1["macro"], 2),
            "calibration_error": round(expected_calibration_error(targets, probabilities), 4),
            "AP": {
                label: None if np.isnan(ap) else round(100 * float(ap), 2)
                for label, ap in zip(found.labels, precisions, strict=True)
            },
        }
    means = {
        f"{part}_a": round((splits[f"{part}_seen"]["mAP"] + splits[f"{part}_unseen"]["mAP"]) / 2, 2)
        for part in ("val", "test")
        if {f"{part}_seen", f"{part}_unseen"} <= splits.keys()
    }
    return {"threshold": threshold, "splits": splits, "mean": means, "broken": found.broken}


def tables(figures: dict[str, Any]) -> Iterable[Table]:
    """The figures of a report as tables: by split, and by region."""
    splits = figures["splits"]
    by_split = Table(box=None, pad_edge=False)
    for column in ("split", "videos", "mAP", "95 %", "F1 micro", "F1 macro", "calibration error"):
        by_split.add_column(column, justify="left" if column == "split" else "right")
    for split, each in splits.items():
        low, high = each["mAP_95"]
        few = each.get("few", False)
        if few:
            by_split.caption = f"* of fewer than {FEW} videos: not to be trusted"
        by_split.add_row(
            split,
            str(each["samples"]),
            f"{each['mAP']:.1f}",
            f"{low:.1f}–{high:.1f}{'*' * few}",
            f"{each['f1_micro']:.1f}",
            f"{each['f1_macro']:.1f}",
            f"{each['calibration_error']:.3f}",
        )
    for name, mean in figures["mean"].items():
        by_split.add_row(name, "", f"{mean:.1f}", "", "", "", "")
    yield by_split
    by_region = Table(box=None, pad_edge=False)
    by_region.add_column("average precision")
    for split in splits:
        by_region.add_column(split, justify="right")
    for label in next(iter(splits.values()), {"AP": {}})["AP"]:
        values = [each["AP"][label] for each in splits.values()]
        by_region.add_row(label, *("–" if value is None else f"{value:.1f}" for value in values))
    yield by_region


def write_predictions(found: Predictions, path: Path) -> None:
    """One row a sample, Parquet: `id`, `split`, `activity`, then `p_` and `y_` for each label.

    Raises:
        ImportError: without pyarrow.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ImportError("Parquet needs pyarrow: pip install 'amge[bulk]'") from None
    columns: dict[str, Any] = {
        name: [getattr(sample, name) for sample in found.samples] for name in ("id", "split", "activity")
    }
    for k, label in enumerate(found.labels):
        columns[f"p_{label}"] = found.probabilities[:, k].astype(np.float32)
        columns[f"y_{label}"] = found.targets[:, k].astype(np.int8)
    with whole(path) as part:
        pq.write_table(pa.table(columns), part)


def evaluate(
    model: MuscleModel,
    samples: Sequence[Sample],
    out: str | Path | None = None,
    views: int = 5,
    batch_size: int = 8,
    workers: int = 0,
    threshold: Threshold | None = None,
    resamples: int = RESAMPLES,
    device: str | torch.device | None = None,
    flow: FlowCache | None = None,
) -> dict[str, Any]:
    """Test a model.

    Args:
        model: its spec says what it sees.
        samples: of the splits to test on.
        out: folder for `predictions.parquet`, `report.json` and pictures; None: nothing is written.
        views: clips of each video.
        batch_size: samples a step.
        workers: processes that load; 0: this one.
        threshold: from which a region counts as active; default: the model's.
        resamples: of the bootstrap.
        device: to compute on; default: where the model is.
        flow: where flow is kept that the model was trained on; None: computed on each clip.

    Returns:
        the figures of `report`.

    Raises:
        ValueError: if there are no samples, they do not fit the model, or none can be read.
    """
    spec: Any = model.spec
    limit = check_threshold(spec.threshold if threshold is None else threshold, spec.labels)
    if views < 1 or resamples < 1:
        raise ValueError(f"expected views and resamples from 1, got {views} and {resamples}")
    found = predictions(model, samples, views, batch_size, workers, device, flow)
    figures = report(found, limit, resamples)
    figures = {"model": spec.name, "views": views, **figures}
    if out is not None:
        from amge.viz.plots import draw_report

        out = Path(out)
        write_predictions(found, out / "predictions.parquet")
        with whole(out / "report.json") as part:
            part.write_text(json.dumps(figures, indent=2) + "\n")
        draw_report(found, figures, out / "report.png")
    return figures
