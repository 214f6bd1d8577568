"""The two-stage recipe of the paper, for the open exercise photographs.

Stage 1 trains tokens alone, on RGB with several seeds and once on RGB differences. Stage 2 puts the RGB models side by
side, shared out among two banks, and trains their fusion; or, with the difference model as its frozen teacher, all but
the encoder.
People are cut out and put before other backgrounds, and into other poses, of which the trees of the skeleton recipe say
what they train.
"""

import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch

from amge.assemble import assemble
from amge.convert.efficientnet_lite0 import load_efficientnet_lite0
from amge.data.datasets import LICENCES
from amge.data.open_exercise import Exercise, load, samples
from amge.errors import one_of
from amge.hub.load import from_pretrained
from amge.hub.names import CONFIG
from amge.model import MuscleModel
from amge.recipes.cutouts import cut_outs
from amge.recipes.run_folder import same_run
from amge.recipes.st_gcn.pairs import distort, make_up, poses_of
from amge.recipes.st_gcn.trees import PoseTrees
from amge.recipes.transm3e_lite.cache import Cached, cache_features
from amge.recipes.transm3e_lite.clips import Clips, Stock
from amge.recipes.transm3e_lite.ensemble import side_by_side
from amge.recipes.transm3e_lite.frozen import encoder_of, freeze
from amge.recipes.transm3e_lite.stage import Stage, train_stage
from amge.spec import ModelSpec
from amge.train.provenance import made_of
from amge.train.run import start_from, tokens_alone

STAGES = ("rgb", "rgb_diff", "student")


def train(
    spec: ModelSpec,
    data: str | Path,
    out: str | Path,
    stages: tuple[str, ...] = STAGES,
    epochs: tuple[int, int] = (59, 12),
    distill: bool = True,
    frames: tuple[int, int] = (2, 4),
    variants: tuple[int, int] = (12, 4),
    size: int = 160,
    reposed: float = 0.6,
    figures: float = 0.4,
    poses: int = 10_000,
    trees: int = 300,
    soft: float = 0.5,
    ensemble: int = 4,
    batch_size: int = 64,
    seed: int = 0,
    splits: Sequence[str] = ("train",),
    segment: Callable[[np.ndarray], np.ndarray] | None = None,
) -> MuscleModel:
    """Run the recipe; a stage that is done is loaded, one that was cut off goes on.

    Args:
        spec: of the student to end with.
        data: folder of the prepared open exercise photographs.
        out: run folder; each stage has its own folder in it.
        stages: which to run now; `student` needs the results of the others in `out`.
        epochs: of stage 1 and of stage 2.
        distill: False trains the student of stage 2 without a teacher, on the clips of stage 1, as does a spec without
            distillation.
        frames: frames per training clip in stage 1 and stage 2; the model interpolates its tables of position.
        variants: augmented variants of each photograph pair in stage 1 and stage 2; an epoch sees one. Without a
            teacher stage 2 has the clips of stage 1, so that neither `frames` nor `variants` of its own.
        size: side of training clips in pixels.
        reposed: people in other poses an epoch, in photograph pairs.
        figures: rendered clips an epoch, in photograph pairs.
        poses: pairs of poses made up, for both.
        trees: that say what these train.
        soft: share of the trees' answers in the targets of the photographs.
        ensemble: models of stage 1 on RGB, of seeds that follow one another, that stage 2 puts together, a multiple of
            the student's banks; 1: it starts from one alone, as a model of one bank does.
        batch_size: clips a step.
        seed: of all chance.
        splits: to learn from.
        segment: cuts people out, as `amge.recipes.cutouts.cut_outs` takes it.

    Returns:
        the model of the last stage run, in eval mode.

    Raises:
        ValueError: for an unknown stage, or if a stage needs one that has not been run.
    """
    if not stages:
        raise ValueError(f"stages is empty; valid: {', '.join(STAGES)}")
    for name in stages:
        one_of("stage", name, STAGES)
    distill = distill and spec.distill is not None
    if not distill and set(stages) == {"rgb_diff"}:
        raise ValueError("nothing is distilled, so that there is no teacher to train: leave out stage rgb_diff")
    spec = spec.replace(pairing=1)  # each clip goes with the differences of its own
    if spec.fusion is None and stages != STAGES:
        raise ValueError("a model of one bank has no stages to choose from: it trains on RGB alone, start to end")
    if distill and spec.auxiliary != "rgb_diff":
        raise ValueError(f"this recipe teaches with rgb_diff, the spec's auxiliary modality is {spec.auxiliary!r}")
    if ensemble > 1 and ensemble % max(len(spec.banks), 1):
        raise ValueError(f"an ensemble of {ensemble} can't be shared out among {len(spec.banks)} banks")
    out = Path(out)
    options: dict[str, Any] = {"epochs": epochs, "frames": frames, "variants": variants, "size": size, "seed": seed}
    options |= {"reposed": reposed, "figures": figures, "poses": poses, "trees": trees, "soft": soft}
    options |= {
        "ensemble": ensemble,
        "batch_size": batch_size,
        "splits": list(splits),
        "distill": distill,
    }
    same_run(out, json.dumps({"spec": json.loads(spec.to_json()), **options}, indent=2))
    taught = "one on `rgb_diff` taught it, in training alone; it is not in this checkpoint" if distill else "none"
    sets = [(name, LICENCES[name]) for name in ("open-exercise", "synthetic")]
    learned = 1 if spec.fusion is None else ensemble
    ran = " + ".join(map(str, epochs[: 1 if spec.fusion is None else 2]))
    spec = spec.replace(
        provenance=made_of(sets, seed, splits=list(splits), epochs=ran, teacher=taught, ensemble=learned)
    )
    exercises = [exercise for split in splits for exercise in load(data, split)]

    @cache
    def stock() -> Stock:
        masks = masks_of(data, splits, out / "cut-outs.npz", segment)
        targets, made, answers = pose_answers(data, exercises, splits, poses, trees, soft, seed)
        filled = Stock(exercises, masks, targets, made, answers)
        if not (filled.places and filled.cut):
            raise ValueError(f"nobody is cut out of the photographs, so nobody can be posed anew: {out}/cut-outs.npz")
        return filled

    @cache
    def features(number: int) -> dict[str, np.ndarray]:
        folder = out / f"features-{number + 1}"
        made = Stock(exercises) if (folder / "done").exists() else stock()
        clips = Clips(made, frames[number], size, variants[number], reposed, figures, seed + number)
        model = assemble(spec)
        load_efficientnet_lite0(encoder_of(model))
        return cache_features(folder, clips, model, distill, "cuda" if torch.cuda.is_available() else "cpu")

    def stage(
        name: str,
        spec: ModelSpec,
        number: int,
        start: Sequence[MuscleModel] = (),
        clips_of: int = 0,
        chance: int = seed,
        **options: Any,
    ) -> MuscleModel:
        folder = out / name
        if (folder / CONFIG).exists():
            return from_pretrained(folder)
        arrays = features(clips_of)  # draws chance of its own, so before the seed
        L.seed_everything(chance, verbose=False)
        if len(start) > 1:
            model = side_by_side(start, spec)
        else:
            model = assemble(spec)
            load_efficientnet_lite0(encoder_of(model))
            for one in start:
                start_from(model, one)
        freeze(model.backbone if len(start) > 1 and not options.get("teacher") else encoder_of(model))
        seen = (spec.modality, "rgb_diff") if options.get("teacher") else (spec.modality,)
        clips = Cached(arrays, variants[clips_of], seen)
        steps = epochs[number] * (len(clips) // batch_size)
        if not steps:
            raise ValueError(f"{len(clips)} clips make no batch of {batch_size}, or epochs={epochs} trains nothing")
        trainable = Stage(model, spec.modality, steps=steps, **options)
        return train_stage(trainable, clips, folder, epochs[number], batch_size, chance + number)

    if spec.fusion is None:  # one bank: nothing to distil into, nothing to fuse
        return stage("student", spec, 0)
    done = []
    members = ["rgb", *(f"rgb-{number + 1}" for number in range(1, ensemble))]
    alone = tokens_alone(spec, "rgb")
    if ensemble > 1:
        spec = spec.replace(backbone_args={**spec.backbone_args, "decoders": ensemble // len(spec.banks)})
    if "rgb" in stages:
        done = [stage(member, alone, 0, chance=seed + number) for number, member in enumerate(members)]
    if "rgb_diff" in stages and distill:
        done.append(stage("rgb_diff", tokens_alone(spec, "rgb_diff"), 0))
    if "student" in stages:
        models = [from_pretrained(out / member) for member in members]
        teacher = from_pretrained(out / "rgb_diff") if distill else None
        done.append(stage("student", spec, 1, models, int(distill), teacher=teacher, lr=5e-4))
    return done[-1]


def masks_of(
    data: str | Path, splits: Sequence[str], kept: Path, segment: Callable[[np.ndarray], np.ndarray] | None = None
) -> list[np.ndarray]:
    """Where people are in the photographs of some splits, uint8 `(2, H, W)` for each exercise; see `cut_outs`."""
    masks = cut_outs(Path(data), kept, segment)
    shown: dict[str, Any] = {split: [each.video for each in samples(data) if each.split == split] for split in splits}
    return [
        np.stack([masks[Path(photo).relative_to(data).as_posix()] for photo in photos])
        for split in splits
        for photos in shown[split]
    ]


def pose_answers(
    data: str | Path,
    exercises: Sequence[Exercise],
    splits: Sequence[str],
    poses: int,
    trees: int,
    soft: float,
    seed: int,
    copies: int = 8,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What trees on the joints of the photographs say.

    Returns:
        targets of the exercises `(n, K)`, their labels mixed with the answers for distorted copies of their poses;
        made-up poses `(m, 2, 17, 3)`; and what these train, `(m, K)`.
    """
    rng = np.random.default_rng([seed, 3])
    seen, pairs = poses_of(data, *splits)
    labels = {each.id: each.target for each in exercises}
    forest = PoseTrees(pairs, np.stack([labels[sample["id"]] for sample in seen]), trees, seed)
    answers = np.mean([forest.predict(distort(pairs, rng)) for _ in range(copies)], axis=0)
    found = {sample["id"]: answer for sample, answer in zip(seen, answers, strict=True)}
    mixed = [(1 - soft) * label + soft * found.get(id, label) for id, label in labels.items()]
    made = make_up(pairs, poses, rng)
    return np.stack(mixed).astype(np.float32), made, forest.predict(made)
