"""Render the example clip: a synthetic figure that squats, which nobody's licence covers.

python examples/make_clip.py squat.mp4
"""

import sys
from dataclasses import replace

import numpy as np

from amge import synthetic
from amge.video.write import write_video


def main(path: str, exercise: str = "squat", seed: int = 12) -> None:
    look = replace(synthetic.sample_look(np.random.default_rng(seed)), noise=0.0, equipment="none")
    clip = synthetic.render(exercise, frames=96, size=(360, 480), seed=seed, fps=24.0, look=look)
    write_video(path, clip.frames, clip.fps)
    print(f"{path}: {exercise}, works {', '.join(clip.regions)}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
