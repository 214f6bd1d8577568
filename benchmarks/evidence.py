"""Is somebody there? False answers of a model on people and on what is none, as JSON.

python benchmarks/evidence.py --model transm3e-lite --data FOLDER --videos FOLDER

People: the validation photographs of the open exercise set, and real videos, whole and cut into pieces. None: what the
person head was not trained on – photographs without people that come with scikit-learn, what lies beside the people of
validation photographs, patterns, and drawn things that its training does not have.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from amge.builder import load as load_model
from amge.data.open_exercise import load, to_frames
from amge.recipes.person.scenes import SEEN, beside
from amge.synthetic.empty import render_empty
from amge.video.read import read_frames

FRAMES = 16


def people(data: Path, videos: Path | None) -> Iterator[tuple[str, np.ndarray]]:
    """Kind and frames of clips that somebody is in."""
    for split in ("val_seen", "val_unseen"):
        for exercise in load(data, split):
            if (exercise.keypoints[..., 2] > SEEN).any():
                yield "val photographs", to_frames(exercise, FRAMES)
    for path in sorted(videos.iterdir()) if videos else ():
        if path.suffix == ".mp4":
            frames = np.stack([shown.image() for shown in read_frames(path, 30.0, 480)])
            for start in range(0, len(frames) - 30, 10):
                yield "pieces of real videos", frames[start : start + 45]
            yield "pieces of real videos", frames


def nobody(data: Path, seed: int = 0) -> Iterator[tuple[str, np.ndarray]]:
    """Kind and frames of clips that nobody is in."""
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(seed)
    for picture in load_sample_images().images:
        for _ in range(40):
            side = int(rng.uniform(0.4, 1) * min(picture.shape[:2]))
            y, x = (int(rng.integers(0, room - side + 1)) for room in picture.shape[:2])
            yield "scikit-learn's photographs", panned(picture[y : y + side, x : x + side], rng)
    exercises = load(data, "val_seen") + load(data, "val_unseen")
    for _ in range(80):
        scene = beside(exercises, rng)
        yield "beside people in val photographs", np.repeat(scene.frames, FRAMES // 2, axis=0)
    for number in range(80):
        yield "patterns", pattern(rng)
        yield "drawn things", drawn(rng, number)


def panned(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A picture under a moving camera."""
    room = min(picture.shape[:2]) // 8
    path = (np.linspace(0, 1, FRAMES) * room * rng.random()).astype(int)
    height, width = (size - room for size in picture.shape[:2])
    return np.stack([picture[step : step + height, step : step + width] for step in path])


def pattern(rng: np.random.Generator) -> np.ndarray:
    """Checks, stripes, rings, text, salt and pepper, colours of the rainbow: still, or drifting."""
    kind, size = rng.integers(6), 240
    y, x = np.mgrid[:size, :size] / size
    colours = rng.integers(0, 256, (2, 3))
    clip = []
    drift, scale, turn = rng.uniform(0, 0.02), rng.uniform(4, 30), rng.uniform(0, np.pi)
    for step in range(FRAMES):
        u = (x + drift * step) * np.cos(turn) + y * np.sin(turn)
        v = y * np.cos(turn) - x * np.sin(turn)
        if kind == 0:
            share = (np.floor(u * scale) + np.floor(v * scale)) % 2
        elif kind == 1:
            share = np.floor(u * scale) % 2
        elif kind == 2:
            share = 0.5 + 0.5 * np.sin(scale * 6 * np.hypot(x - 0.5 + drift * step, y - 0.5))
        elif kind == 3:
            page = Image.new("L", (size, size), 0)
            brush = ImageDraw.Draw(page)
            for line in range(12):
                text = "".join(chr(int(letter)) for letter in rng.integers(97, 123, 40))
                brush.text((8 - 100 * drift * step, 10 + 18 * line), text, fill=255)
            share = np.asarray(page) / 255
        elif kind == 4:
            share = rng.random((size, size)) < 0.1
        else:
            share = u
            colours = np.array([[255 * (step % 2), 40, 200], [20, 255, 10]])
        clip.append(colours[0] + share[..., None] * (colours[1] - colours[0]))
    return np.array(clip).clip(0, 255).astype(np.uint8)


def drawn(rng: np.random.Generator, number: int) -> np.ndarray:
    """A bicycle, a house, a ladder, a cactus or a moving blob, in a room or a landscape."""
    empty = render_empty(("room", "landscape")[number % 2], (), FRAMES, 240, int(rng.integers(2**31)))
    kind, colour = number % 5, tuple(int(v) for v in rng.integers(20, 235, 3))
    x, y, tall = rng.uniform(60, 180), rng.uniform(180, 230), rng.uniform(60, 150)
    clip = []
    for step, frame in enumerate(empty):
        picture = Image.fromarray(frame)
        brush, wide = ImageDraw.Draw(picture), max(2, int(tall / 20))
        here = x + 40 * np.sin(step / 3) * (kind in (0, 4))
        if kind == 0:
            for side in (-0.5, 0.5):
                hub = here + side * tall
                brush.ellipse((hub - tall / 3, y - tall / 1.5, hub + tall / 3, y), outline=colour, width=wide)
            brush.line((here - tall / 2, y - tall / 3, here, y - tall, here + tall / 2, y - tall / 3), colour, wide)
        elif kind == 1:
            brush.rectangle((here - tall / 2, y - tall, here + tall / 2, y), fill=colour)
            brush.polygon(
                (here - 0.6 * tall, y - tall, here + 0.6 * tall, y - tall, here, y - 1.5 * tall), (120, 60, 50)
            )
        elif kind == 2:
            for side in (-0.15, 0.15):
                brush.line((here + side * tall, y, here + side * tall, y - 1.5 * tall), colour, wide)
            for rung in range(7):
                level = y - tall * (0.1 + 0.2 * rung)
                brush.line((here - 0.15 * tall, level, here + 0.15 * tall, level), colour, wide)
        elif kind == 3:
            brush.rounded_rectangle((here - 8, y - tall, here + 8, y), 8, fill=(50, 130, 60))
            for side, level in ((-1, 0.4), (1, 0.6)):
                brush.line((here, y - level * tall, here + side * 25, y - level * tall), (50, 130, 60), 9)
                brush.line(
                    (here + side * 25, y - level * tall, here + side * 25, y - (level + 0.25) * tall), (50, 130, 60), 9
                )
        else:
            brush.ellipse((here - tall / 3, y - tall, here + tall / 3, y - tall / 3), fill=colour)
        clip.append(np.asarray(picture))
    return np.stack(clip)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", default="transm3e-lite", help="name with published weights, or folder of a checkpoint"
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the prepared open exercise photographs")
    parser.add_argument("--videos", type=Path, help="folder of videos of people")
    parser.add_argument("--detector", action="store_true", help="let MediaPipe be asked, where it is installed")
    options = parser.parse_args()
    if not options.detector:
        import amge.evidence

        amge.evidence.detector = lambda: None
    model = load_model(options.model)
    table: dict[str, dict[str, list[float]]] = {"people": {}, "nobody": {}}
    reasons: dict[str, int] = {}
    for there, clips in (("people", people(options.data, options.videos)), ("nobody", nobody(options.data))):
        for kind, frames in clips:
            found = model.predict(frames)
            wrong = (found.verdict == "nobody") == (there == "people")
            table[there].setdefault(kind, []).append(float(wrong))
            for reason in found.reasons if kind == "pieces of real videos" else ():
                reasons[reason] = reasons.get(reason, 0) + 1
    figures = {
        there: {kind: {"clips": len(w), "wrong": int(sum(w))} for kind, w in kinds.items()}
        | {"share wrong": round(float(np.mean([x for w in kinds.values() for x in w])), 4)}
        for there, kinds in table.items()
    }
    print(json.dumps({"model": model.spec.name, **figures, "doubts in real videos": reasons}, indent=2))


if __name__ == "__main__":
    main()
