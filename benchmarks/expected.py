"""Does the score tell an exercise from others? The validation photographs against what each exercise works, as JSON.

python benchmarks/expected.py --data PHOTOGRAPHS

`own` are quantiles (10, 50 and 90 %) of the score of an exercise's photographs with its own regions, `other` with
those of all exercises that work others, each set of regions once; `higher` is the mean share of these that score less
than its own.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from amge.builder import load
from amge.data import open_exercise
from amge.exercises import compare, known
from amge.muscles import decode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="transm3e-lite", help="name, or folder of a checkpoint; one of pictures")
    parser.add_argument("--data", type=Path, required=True, help="the prepared open exercise photographs")
    parser.add_argument("--limit", type=int, help="exercises of each split")
    options = parser.parse_args()
    model = load(options.model)
    sets = sorted({each.regions for each in known().values() if each.source == "free-exercise-db"})
    own, other, higher = [], [], []
    for split in ("val_seen", "val_unseen"):
        for exercise in open_exercise.load(options.data, split)[: options.limit]:
            prediction = model.predict(open_exercise.to_frames(exercise, model.spec.frames))
            regions = decode(exercise.target)
            score = compare(prediction, regions).score
            others = np.array([compare(prediction, each).score for each in sets if each != regions])
            own.append(score)
            other.append(others)
            higher.append((others < score).mean() + (others == score).mean() / 2)
    quantiles = {
        name: np.quantile(values, (0.1, 0.5, 0.9)).round(3).tolist()
        for name, values in (("own", own), ("other", np.concatenate(other)))
    }
    print(
        json.dumps(
            {"model": options.model, "exercises": len(own)} | quantiles | {"higher": float(np.mean(higher).round(3))}
        )
    )


if __name__ == "__main__":
    main()
