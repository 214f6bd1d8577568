"""The two-stage recipe of the paper, for the open exercise photographs.

Stage 1 trains tokens alone, once on RGB and once on RGB differences. Stage 2 starts a student with a second bank and a
fusion from the RGB model, with the difference model as its frozen teacher.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch.utils.data import DataLoader, DistributedSampler

from amge.assemble import assemble
from amge.convert.efficientnet_lite0 import load_efficientnet_lite0
from amge.data.datasets import LICENCES
from amge.data.open_exercise import load
from amge.errors import one_of
from amge.hub.load import from_pretrained
from amge.hub.names import CONFIG
from amge.model import MuscleModel
from amge.recipes.run_folder import same_run
from amge.recipes.transm3e_lite.cache import Cached, cache_features
from amge.recipes.transm3e_lite.clips import Clips, render_pool
from amge.recipes.transm3e_lite.halves import encoder_of, freeze_trunk
from amge.recipes.transm3e_lite.stage import Stage
from amge.spec import ModelSpec
from amge.train.loop import fit
from amge.train.provenance import made_of
from amge.train.run import start_from, tokens_alone

STAGES = ("rgb", "rgb_diff", "student")


def train(
    spec: ModelSpec,
    data: str | Path,
    out: str | Path,
    stages: tuple[str, ...] = STAGES,
    epochs: tuple[int, int] = (32, 8),
    distill: bool = True,
    frames: tuple[int, int] = (2, 4),
    variants: tuple[int, int] = (16, 6),
    size: int = 160,
    figures: float = 0.5,
    parametric: int = 500,
    batch_size: int = 32,
    seed: int = 0,
) -> MuscleModel:
    """Run the recipe; a stage that is done is loaded, one that was cut off goes on.

    Args:
        spec: of the student to end with.
        data: folder of the prepared open exercise photographs.
        out: run folder; each stage has its own folder in it.
        stages: which to run now; `student` needs the results of the others in `out`.
        epochs: of stage 1 and of stage 2.
        distill: False trains the student of stage 2 without a teacher, as does a spec without distillation.
        frames: frames per training clip in stage 1 and stage 2; the model interpolates its tables of position.
        variants: augmented variants of each photograph pair in stage 1 and stage 2; an epoch sees one.
        size: side of training clips in pixels.
        figures: rendered clips an epoch, in photograph pairs.
        parametric: how many of the pool that these come from do parametric exercises; others do the photographs'.
        batch_size: clips a step.
        seed: of all chance.

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
    spec = spec.replace(pairing=1)  # each clip goes with the differences of its own
    if spec.fusion is None and stages != STAGES:
        raise ValueError("a model of one bank has no stages to choose from: it trains on RGB alone, start to end")
    if distill and spec.auxiliary != "rgb_diff":
        raise ValueError(f"this recipe teaches with rgb_diff, the spec's auxiliary modality is {spec.auxiliary!r}")
    out = Path(out)
    options = {"epochs": epochs, "frames": frames, "variants": variants, "size": size, "figures": figures}
    options |= {"parametric": parametric, "batch_size": batch_size, "seed": seed}
    same_run(out, json.dumps({"spec": json.loads(spec.to_json()), **options}, indent=2))
    taught = "one on `rgb_diff` taught it, in training alone; it is not in this checkpoint" if distill else "none"
    sets = [(name, LICENCES[name]) for name in ("open-exercise", "synthetic")]
    spec = spec.replace(provenance=made_of(sets, seed, epochs=" + ".join(map(str, epochs)), teacher=taught))
    exercises = load(data, "train")

    @cache
    def features(number: int) -> dict[str, np.ndarray]:
        folder = out / f"features-{number + 1}"
        finished = (folder / "done").exists()
        pool = [] if finished else render_pool(exercises, max(frames), size, repeats=2, extra=parametric, seed=seed)
        clips = Clips(exercises, pool, frames[number], size, variants[number], figures, seed + number)
        model = assemble(spec)
        load_efficientnet_lite0(encoder_of(model))
        return cache_features(folder, clips, model, "cuda" if torch.cuda.is_available() else "cpu")

    def stage(name: str, spec: ModelSpec, number: int, start: MuscleModel | None, **options: Any) -> MuscleModel:
        folder = out / name
        if (folder / CONFIG).exists():
            return from_pretrained(folder)
        arrays = features(number)  # draws chance of its own, so before the seed
        L.seed_everything(seed, verbose=False)
        model = assemble(spec)
        if start:
            start_from(model, start)
        else:
            load_efficientnet_lite0(encoder_of(model))
        freeze_trunk(model)
        keys = (spec.modality, "rgb_diff") if options.get("teacher") else (spec.modality,)
        clips = Cached(arrays, len(exercises), variants[number], keys)
        steps = epochs[number] * (len(clips) // batch_size)
        if not steps:
            raise ValueError(f"{len(clips)} clips make no batch of {batch_size}, or epochs={epochs} trains nothing")
        trainable = Stage(model, spec.modality, steps=steps, **options)
        sampler: DistributedSampler = DistributedSampler(clips, num_replicas=1, rank=0, seed=seed + number)
        loader = DataLoader(clips, batch_size, sampler=sampler, drop_last=True)  # the sampler shuffles by epoch
        return fit(trainable, loader, folder, epochs[number], seed + number, clips)

    tune = {"lr": 5e-4, "encoder_lr": 1e-4}
    if spec.fusion is None:  # one bank: nothing to distil into
        return stage("student", spec, 1, stage("rgb", spec, 0, None), **tune)
    done = [
        stage(m, tokens_alone(spec, m), 0, None) for m in ("rgb", "rgb_diff") if m in stages and (distill or m == "rgb")
    ]
    if "student" in stages:
        teacher = from_pretrained(out / "rgb_diff") if distill else None
        name = "student" if distill else "student-without-kd"
        done.append(stage(name, spec, 1, from_pretrained(out / "rgb"), teacher=teacher, **tune))
    return done[-1]
