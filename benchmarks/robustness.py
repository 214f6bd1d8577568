"""mAP of models on the open exercise photographs under other conditions, as JSON.

python benchmarks/robustness.py --model transm3e-lite --model transm3e-lite-pose --data FOLDER --work WORK --out FILE

`PICTURES` says what becomes of the photographs, `MOVING` how clips of four seconds at 30 frames a second play that
switch between the two each second, `BETWEEN` what fills the time between the two in clips that show the change once.
Other backgrounds are training photographs whose person OpenCV's inpainting covers, the same behind both photographs of
an exercise; photographs in which no person is found stay as they are. `own background` cuts people out in the same way
and puts them back, so that what the cutting itself does can be told apart. Skeleton models see the largest person that
MediaPipe finds in the changed photographs, but the prepared joints, COCO's in the picture, under `joints`. Masks and
poses are kept in the work folder, and figures that FILE has already stay there.
"""

import argparse
import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

import amge
from amge.builder import load as load_model
from amge.data.open_exercise import Exercise, load, samples, to_frames
from amge.files import whole
from amge.metrics import mean_average_precision
from amge.recipes.cutouts import cut_outs, swap_background, without_person
from amge.recipes.transm3e_lite.augment import random_texture
from amge.results import Seen
from amge.skeleton.layouts import COCO17
from amge.skeleton.pose import estimator
from amge.skeleton.pose.persons import believable
from amge.skeleton.tracking import extent
from amge.video.picture import read_picture

SPLITS = ("val_seen", "val_unseen")
GREY = 127
LEAST = 0.01
"""Share of a photograph from which on a mask is a person."""


# What becomes of a photograph, uint8 (H, W, 3)


def flipped(picture: np.ndarray) -> np.ndarray:
    return picture[:, ::-1]


def half_resolution(picture: np.ndarray) -> np.ndarray:
    image = Image.fromarray(picture)
    return np.asarray(image.reduce(2).resize(image.size, Image.Resampling.BILINEAR))


def grey(picture: np.ndarray) -> np.ndarray:
    return np.repeat(np.asarray(Image.fromarray(picture).convert("L"))[..., None], 3, axis=2)


def jpeg(picture: np.ndarray, quality: int = 30) -> np.ndarray:
    import cv2

    _, packed = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(packed, cv2.IMREAD_COLOR)[..., ::-1]


def tilted(picture: np.ndarray, degrees: float) -> np.ndarray:
    """Turned anticlockwise around the middle, in a frame of the same size; grey where nothing is."""
    turned = Image.fromarray(picture).rotate(degrees, Image.Resampling.BILINEAR, fillcolor=(GREY,) * 3)
    return np.asarray(turned)


class Scene(NamedTuple):
    """The photographs of an exercise, uint8 `(2, H, W, 3)`, their masks `(2, H, W)`, and what may be behind them."""

    photos: np.ndarray
    masks: np.ndarray
    another: Callable[[int], np.ndarray]
    """A draw to a photograph of training without its person."""
    chance: Callable[[int], np.random.Generator]

    def each(self, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        return np.stack([change(photo) for photo in self.photos])

    def before(self, background: np.ndarray) -> np.ndarray:
        return self.people(lambda photo, mask: swap_background(photo, mask, background))

    def people(self, change: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
        """Changed photographs, or the same where nobody is found."""
        return np.stack(
            [
                change(photo, mask) if mask.mean() / 255 > LEAST else photo
                for photo, mask in zip(self.photos, self.masks, strict=True)
            ]
        )


PICTURES: dict[str, Callable[[Scene], np.ndarray]] = {
    "none": lambda scene: scene.photos,
    "flip": lambda scene: scene.each(flipped),
    "half resolution": lambda scene: scene.each(half_resolution),
    "grey": lambda scene: scene.each(grey),
    "JPEG 30": lambda scene: scene.each(jpeg),
    "tilt +15°": lambda scene: scene.each(lambda photo: tilted(photo, 15)),
    "tilt -15°": lambda scene: scene.each(lambda photo: tilted(photo, -15)),
    "own background": lambda scene: scene.people(
        lambda photo, mask: swap_background(photo, mask, without_person(photo, mask))
    ),
    "background 1": lambda scene: scene.before(scene.another(1)),
    "background 2": lambda scene: scene.before(scene.another(2)),
    "texture": lambda scene: scene.before(random_texture(scene.photos.shape[1:3], scene.chance(3))),
    "person covered": lambda scene: scene.people(without_person),
}
MOVING = {"moving": (1.0, 30.0), "30 % faster": (1.3, 30.0), "30 % slower": (0.7, 30.0), "10 fps": (1.0, 10.0)}
"""Speed and frames a second."""


def moving(photos: np.ndarray, speed: float, fps: float, seconds: float = 4.0) -> np.ndarray:
    """A clip that shows one photograph for a second, then the other, and so on, at some speed, `(T, H, W, 3)`."""
    return photos[(np.arange(round(seconds * fps)) / fps * speed + 1e-6).astype(int) % 2]


def blended(photos: np.ndarray, frames: int) -> np.ndarray:
    """From one photograph to the other by fading."""
    share = np.linspace(0, 1, frames)[:, None, None, None]
    return np.rint(photos[0] * (1 - share) + photos[1] * share).astype(np.uint8)


def morphed(photos: np.ndarray, frames: int) -> np.ndarray:
    """From one photograph to the other by optical flow: both are warped towards each other, and faded."""
    import cv2

    first, last = (cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY) for photo in photos)
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    there, back = flow.calc(first, last, None), flow.calc(last, first, None)
    grid = np.stack(np.meshgrid(np.arange(first.shape[1]), np.arange(first.shape[0])), -1).astype(np.float32)

    def warped(photo: np.ndarray, motion: np.ndarray, share: float) -> np.ndarray:
        return cv2.remap(
            photo, grid - np.float32(share) * motion, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )

    shares = np.linspace(0, 1, frames)
    pairs = [(warped(photos[0], there, s), warped(photos[1], back, 1 - s)) for s in shares]
    return np.stack([np.rint(a * (1 - s) + b * s) for (a, b), s in zip(pairs, shares, strict=True)]).astype(np.uint8)


BETWEEN: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "switched": lambda photos, frames: photos[np.arange(frames) * 2 // frames],
    "blended": blended,
    "morphed": morphed,
}
DEFAULT = ("joints", *PICTURES, *MOVING)


# What a model sees of it


class Poses:
    """The largest person in pictures, found once and kept in a file."""

    def __init__(self, kept: Path) -> None:
        self.kept, self.known = kept, {}
        if kept.exists():
            with np.load(kept) as archive:
                self.known = dict(zip(archive["names"].tolist(), archive["poses"], strict=True))

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Frames `(T, H, W, 3)` to joints `(T, 33, 6)`, zero where nobody is found."""
        return np.stack([self.of(frame) for frame in frames])

    def of(self, frame: np.ndarray) -> np.ndarray:
        frame = np.ascontiguousarray(frame)
        name = hashlib.sha1(frame.tobytes() + str(frame.shape).encode()).hexdigest()
        if name not in self.known:
            (found,) = estimator("mediapipe")(frame[None])
            people = [person for person in found if believable(person, (frame.shape[1], frame.shape[0]))]
            self.known[name] = max(people, key=extent, default=np.zeros((33, 6), np.float32))
        return self.known[name]

    def save(self) -> None:
        with whole(self.kept) as part, part.open("wb") as file:
            np.savez_compressed(file, names=list(self.known), poses=np.stack(list(self.known.values())))


def squared(frames: np.ndarray) -> np.ndarray:
    """Frames padded with grey to squares."""
    height, width = frames.shape[1:3]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    sides = ((0, 0), (top, side - height - top), (left, side - width - left), (0, 0))
    return np.pad(frames, sides, constant_values=GREY)


def clips(
    model: amge.MuscleModel, condition: str, exercise: Exercise, scene: Scene, halves: bool
) -> tuple[np.ndarray, float]:
    """What is filmed under a condition, uint8 `(T, H, W, 3)`, and the frames a second."""
    frames = model.spec.frames
    if condition in MOVING:
        return moving(scene.photos, *MOVING[condition]), MOVING[condition][1]
    if condition in BETWEEN:
        return BETWEEN[condition](scene.photos, frames), 30.0
    changed = PICTURES[condition](scene)
    if halves:
        return BETWEEN["switched"](changed, frames), 30.0
    if model.spec.modality == "skeleton":
        return changed, 30.0
    return to_frames(Exercise(exercise.id, changed, exercise.keypoints, exercise.target), frames), 30.0


class Evaluation:
    """Models on the photographs of both splits.

    Args:
        data: folder of the prepared photographs.
        work: where masks and poses are kept.
        seed: of backgrounds.
        halves, square, flips: see the command's help.
    """

    def __init__(
        self, data: Path, work: Path, seed: int = 0, halves: bool = False, square: bool = False, flips: bool = False
    ) -> None:
        self.halves, self.square, self.flips, self.seed = halves, square, flips, seed
        self.exercises = {split: load(data, split) for split in SPLITS}
        self.poses = Poses(work / "poses.npz")
        masks = cut_outs(data, work / "cutouts.npz")
        self.frames = {
            sample.id: [Path(photo).relative_to(data).as_posix() for photo in sample.video] for sample in samples(data)
        }
        self.masks = {id: np.stack([masks[frame] for frame in frames]) for id, frames in self.frames.items()}
        self.places = [
            (data / frame, masks[frame])
            for sample in samples(data)
            if sample.split == "train"
            for frame in self.frames[sample.id]
            if masks[frame].mean() / 255 > LEAST
        ]

    def scenes(self, split: str) -> Iterator[tuple[Exercise, Scene]]:
        for number, exercise in enumerate(self.exercises[split]):

            def chance(draw: int, number: int = number) -> np.random.Generator:
                return np.random.default_rng((self.seed, SPLITS.index(split), number, draw))

            def another(draw: int, chance: Callable[[int], np.random.Generator] = chance) -> np.ndarray:
                path, mask = self.places[int(chance(draw).integers(len(self.places)))]
                return without_person(read_picture(path), mask)

            yield exercise, Scene(exercise.photos, self.masks[exercise.id], another, chance)

    def given(self, model: amge.MuscleModel, condition: str, exercise: Exercise, scene: Scene) -> torch.Tensor | Seen:
        """What the model takes of an exercise under a condition, one row for each window."""
        skeleton = model.spec.modality == "skeleton"
        if condition == "joints":
            source, fps = exercise.keypoints, 30.0
        else:
            source, fps = clips(model, condition, exercise, scene, self.halves)
            source = self.poses(source) if skeleton else squared(source) if self.square else source
        if skeleton and not source[..., 2].any():
            return torch.zeros_like(model.input_spec.example())
        return model.preprocess(source, fps=fps, pose=self.persons if model.skeleton else None)

    def persons(self, frames: np.ndarray) -> list[np.ndarray]:
        """As a pose estimator."""
        return [pose[None] if pose[..., 2].any() else pose[None][:0] for pose in self.poses(frames)]

    @torch.inference_mode()
    def mean_ap(self, model: amge.MuscleModel, condition: str, split: str, known: dict[str, torch.Tensor]) -> float:
        """mAP in percent. Clips that are the same are looked at once: `known` has the logits of those before."""
        targets, scores = [], []
        for exercise, scene in self.scenes(split):
            given = self.given(model, condition, exercise, scene)
            clip, *joints = given if isinstance(given, Seen) else (given,)
            if self.flips and model.spec.modality != "skeleton" and not joints:
                clip = torch.cat([clip, clip.flip(-1)])
            logits = []
            for row in zip(*(each.split(1) for each in (clip, *joints)), strict=True):
                name = hashlib.sha1(b"".join(each.numpy().tobytes() for each in row)).hexdigest()
                if name not in known:
                    known[name] = model(*row)[0]
                logits.append(known[name])
            targets.append(exercise.target)
            scores.append(torch.stack([model.probabilities(each) for each in logits]).mean(dim=0).numpy())
        return 100 * mean_average_precision(np.stack(targets), np.stack(scores))

    def figures(self, model: amge.MuscleModel, condition: str, known: dict[str, torch.Tensor]) -> dict[str, float]:
        start = time.perf_counter()
        found = {split: round(self.mean_ap(model, condition, split, known), 2) for split in SPLITS}
        self.poses.save() if self.poses.known else None
        return found | {"seconds": round(time.perf_counter() - start, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", required=True, help="name with weights, or folder of a checkpoint")
    parser.add_argument("--data", required=True, type=Path, help="folder of the prepared open exercise photographs")
    parser.add_argument("--work", required=True, type=Path, help="folder in which masks and poses are kept")
    parser.add_argument("--out", type=Path, help="file for the figures; default: print them alone")
    parser.add_argument("--only", nargs="+", choices=[*DEFAULT, *BETWEEN], default=DEFAULT, metavar="CONDITION")
    parser.add_argument("--seed", type=int, default=0, help="of backgrounds")
    parser.add_argument("--frames", type=int, help="that the models are shown; default: as many as they say")
    parser.add_argument("--halves", action="store_true", help="show one photograph, then the other, not both in turns")
    parser.add_argument("--square", action="store_true", help="pad pictures with grey to squares")
    parser.add_argument("--flips", action="store_true", help="mean of each clip and its mirror image; pictures alone")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    shown = {name: getattr(options, name) for name in ("halves", "square", "flips")}
    evaluation = Evaluation(options.data, options.work, options.seed, **shown)
    report: dict[str, Any] = {
        "date": date.today().isoformat(),
        "command": "python benchmarks/robustness.py --model MODEL --data FOLDER --work FOLDER --out FILE",
        "seed": options.seed,
        "machine": f"{os.cpu_count()} CPU cores, {platform.machine()}, {options.threads} thread(s) used",
        "torch": torch.__version__,
        "mAP": {},
    }
    if options.out and options.out.exists():
        report["mAP"] = json.loads(options.out.read_text(encoding="utf-8"))["mAP"]
    for name in options.model:
        model, known = load_model(name).eval(), {}
        model.spec = model.spec.replace(frames=options.frames or model.spec.frames)
        for condition in options.only:
            if condition == "joints" and model.input_spec.shape[-2:] != (COCO17.joints, 3):
                continue
            found = evaluation.figures(model, condition, known)
            print(
                json.dumps({"model": model.spec.name, "condition": condition} | found, ensure_ascii=False), flush=True
            )
            report["mAP"].setdefault(model.spec.name, {})[condition] = found
            if options.out:
                with whole(options.out) as part:
                    part.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
