"""Which frames of a clip an exported model looks at, in numpy alone: `source` writes it as a file of its own."""

import inspect
from collections.abc import Callable

import numpy as np

from amge.spec import ModelSpec
from amge.video.sampling import spread
from amge.video.windows import HELD, RATE, SMALL

FRAMES, APART, CELLS = 12, 0.03, SMALL


def even(frames, fps=30.0):  # type: ignore[no-untyped-def]
    """The frames on screen in the middle of each of FRAMES equal parts of a clip, uint8 (T, H, W, 3)."""
    middles = (np.arange(FRAMES) + 0.5) * len(frames) / FRAMES
    return np.stack([frames[int(i)] for i in np.minimum(middles + 1e-3 * fps, len(frames) - 1)])


def most_different(frames, fps=30.0):  # type: ignore[no-untyped-def]
    """The FRAMES frames of a clip that differ most, uint8 (T, H, W, 3); of those that are APART seconds apart."""
    frames = frames[:: max(1, int(np.ceil(APART * fps - 1e-6)))]

    def small(picture, axis):  # type: ignore[no-untyped-def]
        size, count = picture.shape[axis], CELLS[1 - axis]
        edges = np.floor(np.arange(count + 1) * size / count + 0.5).astype(int)
        sums = np.add.reduceat(picture, edges[:-1], axis=axis, dtype=np.int64)
        parts = np.rint((1 << 22) / np.diff(edges).clip(1)).astype(int)  # whole numbers, as Pillow counts
        return (sums * parts.reshape(-1, *[1] * (2 - axis)) + (1 << 21)) >> 22

    pictures = np.stack([small(small(frame, 1), 0) for frame in frames])
    return np.stack([frames[i] for i in spread(pictures, FRAMES)])


def source(spec: ModelSpec) -> str:
    """A module with `choose_frames(frames, fps)`, which gives a model of this spec the frames that it would choose."""
    spreads = spec.sampling == "spread"
    chooser: Callable[..., np.ndarray] = most_different if spreads else even
    parts = [
        f'"""Which frames the exported {spec.name} looks at. Written by amge; needs numpy alone.\n\n'
        f"Give choose_frames all frames of a clip of up to {1.5 * spec.seconds:g} s, RGB, scaled to at most about 480\n"
        f"pixels; cut a longer video into windows of {spec.seconds:g} s and average the model's answers.\n"
        f'"""\n\nimport numpy as np\n',
        f"FRAMES = {spec.frames}",
    ]
    if spreads:
        apart = 0.9 / min(RATE, HELD / (1.5 * spec.seconds))
        parts += [f"APART = {apart:g}", f"CELLS = {CELLS}", "", "", inspect.getsource(spread)]
    else:
        parts += ["", ""]
    own = inspect.getsource(chooser).replace("  # type: ignore[no-untyped-def]", "")
    return "\n".join([*parts, *[""] * spreads, own.replace(f"def {chooser.__name__}(", "def choose_frames(")])
