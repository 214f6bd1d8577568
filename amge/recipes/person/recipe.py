"""Trains the person head of an RGB model whose other weights stay as they are, and chooses its thresholds.

Shapes: `n` clips, `T h w` the grid of the patches, `N = T * h * w`, `C` channels, `P` parts of a body.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from amge.data.open_exercise import load
from amge.files import whole
from amge.heads.person import PARTS, PersonHead, strongest
from amge.model import MuscleModel
from amge.recipes.person.scenes import SEEN, Scenes
from amge.recipes.run_folder import same_run
from amge.skeleton.layouts import COCO17


@torch.inference_mode()
def patches_of(model: MuscleModel, scenes: Scenes, path: Path) -> dict[str, Tensor]:
    """Patches `(n, N, C)` float16, `persons` and the rest of `scenes`, from a file, which is made if need be."""
    if not path.exists():
        spec: Any = model.spec
        mean, std = (torch.tensor(values).view(1, 3, 1, 1, 1) for values in (spec.mean, spec.std))
        model.eval()
        rows: dict[str, list[Tensor]] = {}
        for batch in track(DataLoader(scenes, 16, num_workers=1), f"patches of {len(scenes)} clips"):
            found = model.forward_features((batch.pop("clip") - mean) / std)
            batch |= {"patches": found.patches.half(), "grid": torch.tensor([found.grid] * len(found.patches))}
            for key, value in batch.items():
                rows.setdefault(key, []).append(value)
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as part:
            save_file({key: torch.cat(value) for key, value in rows.items()}, part)
    return load_file(path)


def targets(persons: Tensor, grid: tuple[int, int, int], size: int) -> tuple[Tensor, Tensor]:
    """What the maps of a person head should show.

    Args:
        persons: `(B, 2, F, 17, 3)` in pixels.
        grid: `(T, h, w)` of the patches.
        size: side of the picture.

    Returns:
        `(B, T, h, w)` of persons and `(B, T, h, w, P)` of parts: 1 there, 0 elsewhere, -1 where nobody can say.
    """
    frames, height, width = grid
    given = persons.shape[2]
    chosen = persons[:, :, [int((t + 0.5) * given / frames) for t in range(frames)]]
    cell = (chosen[..., :2] * torch.tensor([width, height]) / size).floor().long()
    inside = (cell >= 0).all(-1) & (cell[..., 0] < width) & (cell[..., 1] < height) & (chosen[..., 2] > SEEN)
    index = (cell[..., 1] * width + cell[..., 0]).clamp(0, height * width - 1)
    maps = torch.zeros(*chosen.shape[:4], height * width)
    maps.scatter_(-1, index[..., None], inside[..., None].float())
    maps = maps.unflatten(-1, (height, width))  # (B, 2, T, 17, h, w)
    parts = torch.stack([maps[:, :, :, list(COCO17.indices(*names))].amax(dim=(1, 3)) for names in PARTS.values()], -1)
    anyone = maps.amax(dim=(1, 3))

    def around(where: Tensor, reach: int) -> Tensor:
        flat = where.flatten(0, -3)[:, None]
        return F.max_pool2d(flat, 2 * reach + 1, 1, reach)[:, 0].view_as(where)

    parts = parts.movedim(-1, 2)
    parts = torch.where(parts > 0, 1.0, torch.where(around(parts, 1) > 0, -1.0, 0.0)).movedim(2, -1)
    anyone = torch.where(anyone > 0, 1.0, torch.where(around(anyone, 2) > 0, -1.0, 0.0))
    return anyone, parts


def known_loss(logits: Tensor, target: Tensor, weight: float) -> Tensor:
    """Binary cross-entropy where the target is known; what is there weighs more."""
    known = target >= 0
    weights = torch.where(target > 0, weight, 1.0)[known]
    return (F.binary_cross_entropy_with_logits(logits[known], target[known], reduction="none") * weights).mean()


def fit_head(
    head: PersonHead, data: Mapping[str, Tensor], size: int, epochs: int, lr: float = 2e-3, seed: int = 0
) -> None:
    """Train a head on patches."""
    order = torch.Generator().manual_seed(seed)
    head.train()
    grid: Any = tuple(data["grid"][0].tolist())
    batches = len(data["patches"]) // 32
    optimizer = torch.optim.AdamW(head.parameters(), lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=epochs * batches)
    for _ in range(epochs):
        for rows in torch.randperm(len(data["patches"]), generator=order)[: batches * 32].view(batches, 32):
            person, parts = targets(data["persons"][rows], grid, size)
            maps = head(data["patches"][rows].float(), grid)
            there = (person > 0).flatten(2).any(-1).float()
            turned = (data["turned"][rows] % 2).float()[:, None].expand_as(maps.sideways)
            some = there > 0
            loss = known_loss(maps.person, person, 3.0) + known_loss(maps.parts, parts, 8.0)
            loss = loss + 0.3 * F.binary_cross_entropy_with_logits(strongest(maps.person), there)
            if some.any():
                loss = loss + 0.2 * F.binary_cross_entropy_with_logits(maps.sideways[some], turned[some])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


class Read(NamedTuple):
    """What a head says of clips, and what is true of them."""

    person: Tensor
    """`(n,)`, logits, as `parts` `(n, P)` and `sideways` `(n,)`."""
    parts: Tensor
    sideways: Tensor
    there: Tensor
    """`(n,)`, whether somebody is there."""
    whole: Tensor
    """`(n,)`, whether all parts of somebody are."""


@torch.inference_mode()
def read(head: PersonHead, data: Mapping[str, Tensor], size: int) -> Read:
    """What a head says of patches."""
    grid: Any = tuple(data["grid"][0].tolist())
    head.eval()
    rows = []
    for some in torch.arange(len(data["patches"])).split(32):
        maps = head(data["patches"][some].float(), grid)
        person, parts = targets(data["persons"][some], grid, size)
        rows.append(
            (
                strongest(maps.person).mean(dim=1),
                maps.parts.flatten(2, 3).amax(dim=2).mean(dim=1),
                maps.sideways.mean(dim=1),
                (person > 0).flatten(1).any(dim=1),
                (parts > 0).flatten(1, 3).any(dim=1).all(dim=1),
            )
        )
    return Read(*(torch.cat(column) for column in zip(*rows, strict=True)))


def calibrate(head: PersonHead, data: Mapping[str, Tensor], size: int) -> dict[str, float]:
    """Shift what a head says of persons so that 0.5 lets one in 200 empty scenes pass for people, and choose the limits
    of `amge.evidence` that belong to it, all on scenes that it was not trained on: 0.7 for `person`, which lets fewer
    pass; `sure` doubts one in ten people, who are cut off, hidden or turned at random; `sideways` lets one in 100
    upright pictures be doubted, `part` lets three in 100 parts of somebody who is there as a whole go unseen."""
    found = read(head, data, size)
    with torch.no_grad():
        head.cells.bias[0] -= found.person[~found.there].quantile(0.995)  # type: ignore[index]
    found = read(head, data, size)
    turned = data["turned"] % 2 == 1
    limits = {
        "sure": found.person[found.there].quantile(0.1),
        "sideways": found.sideways[found.there & ~turned].quantile(0.99),
        "part": found.parts[found.there & found.whole & ~turned].flatten().quantile(0.03),
    }
    return {"person": 0.7} | {name: round(float(value.sigmoid()), 3) for name, value in limits.items()}


def train(
    model: MuscleModel, data: str | Path, out: str | Path, clips: int = 11_000, epochs: int = 10, seed: int = 0
) -> MuscleModel:
    """A model with a person head that was trained on its patches; everything else stays as it is.

    Args:
        model: of RGB, trained.
        data: folder of the prepared open exercise photographs.
        out: run folder; patches are kept there.
        clips: to train on; a tenth as many choose the limits.
        epochs: of the head.
        seed: of all chance.

    Raises:
        ValueError: for a model of something else than RGB pictures, or one put together by hand.
    """
    spec, out = model.spec, Path(out)
    if spec is None or spec.modalities != ("rgb",):
        raise ValueError("a person head is for models that look at RGB pictures")
    weights = sum(float(value.double().abs().sum()) for value in model.state_dict().values())
    options = {"spec": json.loads(spec.to_json()), "weights": weights, "clips": clips, "seed": seed}
    same_run(out, json.dumps(options, indent=2))
    training = Scenes(load(data, "train"), clips, spec.size, seed)
    testing = Scenes(load(data, "val_seen") + load(data, "val_unseen"), max(clips // 10, 16), spec.size, seed + 1)
    learned = patches_of(model, training, out / "train.safetensors")
    tested = patches_of(model, testing, out / "val.safetensors")
    torch.manual_seed(seed)
    head = PersonHead(model.backbone.out_channels)
    fit_head(head, learned, spec.size, epochs, seed=seed)
    limits = calibrate(head, tested, spec.size)
    changed = spec.replace(evidence=limits, person_head=True)
    return MuscleModel(model.backbone, model.bank, model.fusion, model.head, changed, head).eval()
