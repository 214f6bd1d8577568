"""Pictures of a run: curves of its training, bars and calibration of its test (Matplotlib; extra `train`)."""

import csv
from collections import defaultdict
from pathlib import Path
from typing import Any

from amge.files import whole
from amge.metrics import calibration

INK, GRID = "#333333", "#dddddd"
COLOURS = {"val_seen": "#1b7837", "val_unseen": "#762a83", "test_seen": "#5aae61", "test_unseen": "#9970ab"}


def figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    """A figure without a window, and its axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    picture = Figure(figsize=size, layout="constrained", dpi=120)
    FigureCanvasAgg(picture)
    axes = picture.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(True, color=GRID, linewidth=0.6)
        axis.set_axisbelow(True)
        axis.tick_params(colors=INK, labelsize=8)
    return picture, axes


def curves(folder: Path) -> Path | None:
    """Draw the losses and the validation of a stage into `curves.png`, from the `metrics.csv` of all its starts."""
    series: dict[str, dict[float, float]] = defaultdict(dict)
    logs = folder.glob("logs/version_*/metrics.csv")
    for log in sorted(logs, key=lambda path: int(path.parent.name.removeprefix("version_"))):
        whole_lines = log.read_text().rpartition("\n")[0]  # a run that was killed may leave half a line
        for row in csv.DictReader(whole_lines.splitlines()):
            for name, value in row.items():
                if value and name and name not in ("epoch", "step"):
                    series[name][float(row["step"])] = float(value)
    if not series:
        return None
    groups = [
        ("loss", [name for name in series if name == "loss" or name.startswith("train_")]),
        ("mAP in %", [name for name in series if name.endswith("_mAP")]),
        ("learning rate", [name for name in series if name.startswith("lr-")][:1]),
    ]
    groups = [(title, names) for title, names in groups if names]
    picture, axes = figure(1, len(groups), (4.2 * len(groups), 3.0))
    for axis, (title, names) in zip(axes.flat, groups, strict=True):
        for name in names:
            points = sorted(series[name].items())
            marker = "o" if len(points) < 40 else None
            colour = COLOURS.get(name.removesuffix("_mAP"))
            label = name.removeprefix("train_").removesuffix("_mAP")
            axis.plot(*zip(*points, strict=True), label=label, marker=marker, markersize=3, linewidth=1.2, color=colour)
        axis.set_title(title, fontsize=9, color=INK, loc="left")
        axis.set_xlabel("step", fontsize=8, color=INK)
        if len(names) > 1:
            axis.legend(fontsize=7, frameon=False)
    with whole(folder / "curves.png") as part:
        picture.savefig(part)
    return folder / "curves.png"


def draw_report(found: Any, figures: dict[str, Any], path: Path) -> None:
    """Draw the average precision of each region and the calibration, by split.

    Args:
        found: `amge.evaluate.Predictions`.
        figures: of `amge.evaluate.report`.
        path: of the picture.
    """
    splits = figures["splits"]
    if not splits:
        return
    picture, axes = figure(1, 2, (10.5, 0.9 + 0.26 * len(found.labels)))
    bars, reliability = axes.flat
    height = 0.8 / len(splits)
    for number, (split, each) in enumerate(splits.items()):
        values = [each["AP"][label] or 0.0 for label in found.labels]
        places = [row + height * number for row in range(len(values))]
        text = f"{split.replace('_', ' ')}, mAP {each['mAP']:.1f}"
        bars.barh(places, values, height, label=text, color=COLOURS.get(split, INK))
        binned, _ = calibration(*found.of_split(split))
        said, true, count = binned[binned[:, 2] > 0].T
        reliability.plot(said, true, linewidth=1, color=COLOURS.get(split, INK))
        sizes = 8 + 60 * count / count.max()
        error = f"{split.replace('_', ' ')}, error {each['calibration_error']:.3f}"
        reliability.scatter(said, true, s=sizes, color=COLOURS.get(split, INK), label=error)
    bars.set_yticks([row + 0.4 - height / 2 for row in range(len(found.labels))], found.labels)
    bars.invert_yaxis()
    bars.set_xlim(0, 100)
    bars.set_title("average precision in %", fontsize=9, color=INK, loc="left")
    bars.legend(fontsize=7, frameon=False)
    reliability.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
    threshold, mark = figures["threshold"], "dashed: the threshold"
    if isinstance(threshold, dict):
        reliability.vlines([*threshold.values()], 0, 0.03, color=INK, linewidth=0.8)
        mark = "ticks below: the thresholds"
    else:
        reliability.axvline(threshold, color=INK, linewidth=0.8, linestyle="--")
    reliability.set(xlim=(0, 1), ylim=(0, 1))
    reliability.set_title(f"share that is true, by probability; {mark}", fontsize=9, color=INK, loc="left")
    reliability.legend(fontsize=7, frameon=False)
    with whole(path) as part:
        picture.savefig(part)
