"""Does a model need what an explanation lights? It is hidden, as JSON lines: one for each video, then the means.

python benchmarks/explanations.py VIDEO ... --model transm3e-lite
python benchmarks/explanations.py VIDEO ... --model st-gcn.open-exercise-2d

Of pictures a tenth of the cells of the patch grid get the mean colour of the clip, of joints two are missing in all
frames. `drop` is by how much that lowers the logit of a region, the mean over the active regions of a video (where none
is active, the likeliest one) and its windows: what each method lights most, and the same number at random.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

import amge
from amge.builder import load
from amge.explain.looks import METHODS, seeing


def hidden_cells(clip: Tensor, cells: Tensor) -> Tensor:
    """A clip `(1, 3, T, H, W)` with its mean colour in the cells of a grid that are True, `(T', H', W')`."""
    covered = F.interpolate(cells[None, None].float(), clip.shape[2:]) > 0
    return torch.where(covered, clip.mean(dim=(2, 3, 4), keepdim=True), clip)


def hidden_joints(persons: Tensor, joints: Tensor) -> Tensor:
    """Joints `(1, P, T, V, A)` without those that are True, `(V)`: missing ones are zero."""
    return persons * ~joints[:, None]


def most(lit: Tensor, count: int, there: Tensor) -> Tensor:
    """Which of the numbers are the `count` largest of those that are there, in the shape that they have."""
    found = torch.zeros(lit.numel(), dtype=torch.bool)
    found[lit.masked_fill(~there, -1).flatten().topk(count).indices] = True
    return found.view(lit.shape)


def drops(
    model: amge.MuscleModel, given: Tensor, regions: list[str], options: argparse.Namespace
) -> Iterator[tuple[str, float]]:
    """A method, or `random`, and the drop of one region's logit in one window; each as often as it was measured."""
    labels = {region: model.spec.labels.index(region) for region in regions}
    fitting = {}
    for method in METHODS:
        try:
            fitting[method] = seeing(model, method)
        except ValueError:
            continue  # no tokens of it attend
    joints = "joints" in fitting["grad-cam"]
    hidden: Callable[[Tensor, Tensor], Tensor] = hidden_joints if joints else hidden_cells
    before = model(given)[0]
    for method, parts in fitting.items():
        for region, maps in METHODS[method](model, parts, given, labels).items():
            lit = maps["joints"].sum(dim=(0, 2)) if joints else maps["pictures"]
            there = given[0, 0, ..., 2].any(dim=0) if joints else torch.ones_like(lit, dtype=torch.bool)
            count = options.joints if joints else round(options.share * prod(lit.shape))
            chosen = hidden(given, most(lit, count, there))
            yield method, float((before - model(chosen)[0])[labels[region]])
    for _ in range(options.draws):
        after = model(hidden(given, most(torch.rand(lit.shape), count, there)))[0]
        yield from (("random", float((before - after)[index])) for index in labels.values())


def measured(model: amge.MuscleModel, video: str, options: argparse.Namespace) -> dict[str, Any]:
    """The mean drops of a video by method."""
    prediction = model.predict(video)
    regions = prediction.active or [prediction.top(1)[0][0]]
    found: dict[str, list[float]] = {}
    for given in model.preprocess(video).split(1):
        for method, drop in drops(model, given, regions, options):
            found.setdefault(method, []).append(drop)
    return {"video": video, "regions": regions} | {"drop": means(found)}


def means(values: dict[str, list[float]]) -> dict[str, float]:
    return {name: round(sum(each) / len(each), 3) for name, each in values.items()}


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="+")
    parser.add_argument("--model", default="transm3e-lite", help="name, or folder of a checkpoint")
    parser.add_argument("--share", type=float, default=0.1, help="of the cells")
    parser.add_argument("--joints", type=int, default=2)
    parser.add_argument("--draws", type=int, default=20, help="how often at random, in each window")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model, of_all = load(options.model), {}
    if len(seeing(model, "grad-cam")) > 1:
        raise SystemExit(f"{options.model} sees pictures and joints; take a model of one of them")
    for video in options.videos:
        found = measured(model, video, options)
        print(json.dumps({"model": options.model} | found), flush=True)
        for method, drop in found["drop"].items():
            of_all.setdefault(method, []).append(drop)
    print(json.dumps({"model": options.model, "videos": len(options.videos), "drop": means(of_all)}))


if __name__ == "__main__":
    main()
