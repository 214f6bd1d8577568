"""What rendered exercises teach of one another: the trees of the skeleton recipe asked about those they have not seen.

python benchmarks/exercises.py measure --data FOLDER --joints runs/poses/joints.npz    writes results/exercises.json
python benchmarks/exercises.py markdown                                               prints docs/exercises.md
python benchmarks/exercises.py moving --model FOLDER    mAP of a model of `body-19` in three dimensions, as JSON, on
                                                        figures that move, with noise
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import amge
from amge.data.prepare.families import UNSEEN
from amge.metrics import average_precisions, mean_average_precision
from amge.muscles import REGION_IDS, encode
from amge.recipes.st_gcn.figures import figure_pairs, filmed
from amge.recipes.st_gcn.pairs import load_pairs, places
from amge.recipes.st_gcn.trees import PoseTrees
from amge.skeleton.layouts import BODY19
from amge.skeleton.sequence import normalise
from amge.synthetic import EXERCISES, sample_body, sample_style
from amge.synthetic.exercises import pose
from amge.synthetic.sources import SOURCES

RESULT = Path(__file__).parent / "results" / "exercises.json"
EACH, FOLDS, TREES, SEEDS = 8, 6, 120, (0, 1)
CLIPS = 1_000_003
"""Seed of the figures that move."""
OLD = 34
"""How many exercises there were at first."""


def moving(model: amge.MuscleModel, names: Sequence[str], each: int = 5, noise: float = 0.02) -> float:
    """mAP in percent on clips of 0.8 to 3 repetitions, every joint off by `noise` units in every frame; of bodies and
    cameras that no recipe draws."""
    clips, targets, frames = [], [], model.spec.frames
    for name in names:
        rng = np.random.default_rng([CLIPS, *name.encode()])
        for _ in range(each):
            body, style = sample_body(rng), sample_style(rng)
            phases = (rng.random() + np.arange(frames) / frames * rng.uniform(0.8, 3)) % 1
            clip = normalise(filmed(pose(EXERCISES[name], phases, body, style), rng, BODY19)[None], BODY19)
            clip[..., places(clip)] += noise * rng.normal(size=(*clip.shape[:3], len(places(clip))))
            clips.append(clip)
            targets.append(encode(EXERCISES[name].regions))
    with torch.inference_mode():
        said = model.probabilities(model(torch.from_numpy(np.stack(clips))))
    return round(100 * mean_average_precision(np.stack(targets), said.numpy()), 1)


def measure(data: Path, joints: Path) -> dict[str, Any]:
    """mAP of the validation photographs, and of each exercise the mean over its poses of the precision over regions."""
    names = list(EXERCISES)
    photos, labels = load_pairs(data, "train", joints=joints, graph=BODY19, axes=6)
    tests = {s: load_pairs(data, s, joints=joints, graph=BODY19, axes=6) for s in ("val_seen", "val_unseen")}
    (shown, taught), (asked, truth) = (figure_pairs(EACH, seed, BODY19) for seed in (0, 1))
    of = whose = np.repeat(names, EACH)

    def fit(kept: Sequence[str], seed: int = 0) -> PoseTrees:
        chosen = np.isin(of, list(kept))
        pairs, targets = np.concatenate([photos, shown[chosen]]), np.concatenate([labels, taught[chosen]])
        return PoseTrees(pairs, targets, TREES, seed, BODY19)

    def precision(trees: PoseTrees, name: str) -> float:
        rows = whose == name
        each = average_precisions(truth[rows].T, trees.predict(asked[rows]).T)
        return round(100 * float(each.mean()), 1)

    kept: dict[str, list[str]] = {
        "photographs alone": [],
        "and the first 34": names[:OLD],
        "and all": names,
        "and all of families that are not held back": [n for n in names if EXERCISES[n].family not in UNSEEN],
    }
    precisions: dict[str, dict[str, float]] = {name: {} for name in names}
    found: dict[str, Any] = {"date": time.strftime("%Y-%m-%d"), "mAP": {}, "precision": precisions}
    for title, chosen in kept.items():
        found["mAP"][title] = {split: [] for split in tests}
        for seed in SEEDS:
            trees = fit(chosen, seed)
            for split, (pairs, targets) in tests.items():
                score = 100 * mean_average_precision(targets, trees.predict(pairs))
                found["mAP"][title][split].append(round(score, 1))
            if seed == SEEDS[0] and title in ("photographs alone", "and all"):
                for name in names:
                    precisions[name][title] = precision(trees, name)
    order = np.random.default_rng(0).permutation(names)
    for fold in range(FOLDS):
        out = order[fold::FOLDS].tolist()
        trees = fit([name for name in names if name not in out])
        for name in out:
            precisions[name]["and others"] = precision(trees, name)
    return found


INTRODUCTION = """# The exercises of the rendered figure

`benchmarks/exercises.py` measures and writes this page. `amge.synthetic` has {count} exercises. The regions of the last
{sourced} are taken from studies of muscle activity and from textbooks, region by region; the list is below, and
`EXERCISES[name].sources` in Python. Those of the first {old} were chosen without one. A source may have measured few of
the muscles that work: what no source was looked up for is not named. Papers were read in their abstracts, not whole,
and some are named from memory: correct what you know better.

## Do they help?

The trees of the [skeleton recipe](open_exercise.md#training-a-skeleton-model) ({trees} in a forest) learn the {photos}
photographs of `train`, and {each} poses, start and end, of rendered exercises. mAP in percent on the validation
photographs, with two seeds of the forest; the rendered poses are the same in both:

| | val_seen | val_unseen |
|---|---|---|"""
EACH_ONE = """
Two seeds differ by up to {apart}. With all of them `val_seen` is below that of the photographs alone, with both seeds,
and no other row is told apart from the first: eight poses each add nothing to what the photographs show. With three
each, and 200 trees, figures [do](open_exercise.md#what-helped-and-what-did-not).

## One by one

For {each} other poses of each exercise: how well the trees rank its regions before all others (mean average precision,
in percent). Floor is the share of regions that are active, which guessing has. A sixth of the
exercises is left out at a time ("and others", {folds} runs), so that the trees know the photographs and the other
five sixths; "and itself" has seen {each} poses of it, of other bodies from other sides. One run each, and few poses: a
change of rounding alone has moved an exercise by 9.

Of the {sourced} with sources {better} gain from the others by more than 5, and {worse} lose as much. What gains mostly
has a cousin among the others, as a leg lifted to the side, lying, has in one lifted standing; what loses was known from
the photographs, or its cousins have other regions. What has no cousin stays near the floor: a figure says little of
exercises that nobody drew. The photographs are labelled by another hand ([how](open_exercise.md)), which is why an
exercise that they show can be low."""


def markdown() -> Iterator[str]:
    """The page docs/exercises.md, from the JSON file."""
    found = json.loads(RESULT.read_text())
    sourced = [name for name, exercise in EXERCISES.items() if exercise.sources]
    numbers = {"count": len(EXERCISES), "sourced": len(sourced), "old": OLD}
    numbers |= {"trees": TREES, "photos": 562, "each": EACH, "folds": FOLDS}
    yield from INTRODUCTION.format(**numbers).splitlines()
    gaps = []
    for title, scores in found["mAP"].items():
        yield f"| {title} | {' | '.join(', '.join(map(str, values)) for values in scores.values())} |"
        gaps += [max(values) - min(values) for values in scores.values()]
    rows = found["precision"]
    gains = [rows[name]["and others"] - rows[name]["photographs alone"] for name in sourced]
    numbers |= {"better": sum(g > 5 for g in gains), "worse": sum(g < -5 for g in gains), "apart": f"{max(gaps):.1f}"}
    yield from EACH_ONE.format(**numbers).splitlines()
    yield from ("", "| | regions | floor | photographs | and others | and itself |", "|---|---|---|---|---|---|")
    total: dict[str, list[list[float]]] = {"sources": [], "chosen": []}
    for name, row in rows.items():
        regions = EXERCISES[name].regions
        cells = [
            100 * len(regions) / len(REGION_IDS),
            *(row[k] for k in ("photographs alone", "and others", "and all")),
        ]
        total["sources" if name in sourced else "chosen"].append(cells)
        said = ", ".join(regions)
        yield f"| `{name}` | {said} | {' | '.join(f'{cell:.0f}' for cell in cells)} |"
    for title, many in (("the first 34", total["chosen"]), (f"the {len(sourced)} with sources", total["sources"])):
        yield f"| mean of {title} | | {' | '.join(f'{cell:.0f}' for cell in np.mean(many, axis=0))} |"
    yield from ("", "## Sources", "", "| | |", "|---|---|")
    for name in sourced:
        pairs = zip(EXERCISES[name].sources, EXERCISES[name].regions, strict=True)
        by: dict[str, list[str]] = {}
        for source, region in pairs:
            by.setdefault(source, []).append(region)
        cited = "; ".join(f"{source}: {', '.join(regions)}" for source, regions in by.items())
        yield f"| `{name}` | {cited} |"
    yield ""
    yield from (f"- {name}: {source}" for name, source in SOURCES.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("measure", "markdown", "moving"))
    parser.add_argument("--data", type=Path, help="prepared open exercise photographs")
    parser.add_argument("--joints", type=Path, help="their joints in three dimensions, of the skeleton recipe")
    parser.add_argument("--model", help="folder of a checkpoint")
    options = parser.parse_args()
    if options.what == "moving":
        model, sourced = amge.from_pretrained(options.model), [n for n, e in EXERCISES.items() if e.sources]
        scores = {"all": moving(model, list(EXERCISES)), "with sources": moving(model, sourced)}
        print(json.dumps({"model": model.spec.name, "mAP": scores}))
    elif options.what == "measure":
        RESULT.write_text(json.dumps(measure(options.data, options.joints), indent=1) + "\n")
    else:
        print("\n".join(markdown()))


if __name__ == "__main__":
    main()
