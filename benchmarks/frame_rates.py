"""What a model says of videos at several frame rates, as JSON: the likeliest regions, and the largest change.

python benchmarks/frame_rates.py squat.mp4 --model st-gcn --fps 10 15 30 60
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import av
import numpy as np

import amge
from amge.video.write import write_video


def at_rate(video: Path, fps: float) -> np.ndarray:
    """The frames on screen `fps` times a second, uint8 `(T, H, W, 3)`."""
    with av.open(str(video)) as container:
        frames = [(frame.time or 0.0, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    times = np.array([time for time, _ in frames]) - frames[0][0]
    wanted = np.arange(0, times[-1] + 1e-6, 1 / fps)
    return np.stack([frames[i][1] for i in np.searchsorted(times, wanted + 1e-6, side="right") - 1])


def compare(model: amge.MuscleModel, video: Path, rates: list[float], likeliest: int = 6) -> dict[str, Any]:
    """Predictions at each rate; `change` is the largest difference of a region's probability between any two."""
    predictions = {}
    with tempfile.TemporaryDirectory() as folder:
        for fps in rates:
            path = Path(folder) / "clip.mp4"
            write_video(path, at_rate(video, fps), fps)
            predictions[fps] = {name: p or 0.0 for name, p in model.predict(path).items()}  # nobody: nothing
    table = np.array([list(prediction.values()) for prediction in predictions.values()])
    ranked = {
        f"{fps:g} fps": {name: round(p, 2) for name, p in sorted(prediction.items(), key=lambda x: -x[1])[:likeliest]}
        for fps, prediction in predictions.items()
    }
    return {"video": video.name, **ranked, "change": round(float(np.ptp(table, axis=0).max()), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument(
        "--model", default="st-gcn", help="name with published weights, or folder or Hub repository of a checkpoint"
    )
    parser.add_argument("--fps", nargs="+", type=float, default=[10, 15, 30, 60])
    options = parser.parse_args()
    if Path(options.model).is_dir():
        model = amge.from_pretrained(options.model)
    else:
        model = amge.build(options.model, pretrained=True)
    print(json.dumps([compare(model, video, options.fps) for video in options.videos], indent=1))


if __name__ == "__main__":
    main()
