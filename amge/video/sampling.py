"""When the frames of a clip are taken: `T` frames, each in the middle of one of `T` equal parts of the clip's time.

The paper takes 16 frames, every fourth of a video of 30 a second, which is a clip of `16 * 4 / 30` seconds here; videos
of other rates give the same movement. A video that is shorter than a clip is taken whole.
"""

import numpy as np

SAMPLINGS = ("even", "spread")
"""Which frames of a window a model sees: those at equal distances, or those that differ most."""


def random_starts(video: float, clip: float, clips: int, rng: np.random.Generator) -> list[float]:
    """Where clips of training start: anywhere, each by itself, in ascending order. All in seconds."""
    return sorted((rng.random(clips) * max(video - clip, 0.0)).tolist())


def even_starts(video: float, clip: float, views: int) -> list[float]:
    """Where the views of a test start: evenly spread from start to end, one view in the middle; one alone where the
    video is not longer than a clip. All in seconds."""
    room = video - clip
    if room <= 0:
        return [0.0]
    return [room / 2] if views == 1 else np.linspace(0, room, views).tolist()


def frame_times(start: float, seconds: float, frames: int) -> np.ndarray:
    """Seconds of the frames of a clip, `(T,)`."""
    return start + (np.arange(frames) + 0.5) * seconds / frames


def spread(pictures: np.ndarray, count: int) -> np.ndarray:
    """Which frames show the most of a movement, ascending: first the one nearest to their mean, then always the one
    that is farthest from all chosen; where no other differs, any, evenly over time. The same movement gives the same
    poses, however long it is seen and from where on.

    Args:
        pictures: `(n, ...)`, small ones, the same for the same pose.
        count: how many; if there are fewer, some are taken again, as evenly as can be.
    """
    if len(pictures) <= count:
        return np.arange(count) * len(pictures) // count
    flat = pictures.reshape(len(pictures), -1).astype(np.float32)
    flat = flat - flat.mean(axis=0)
    chosen = [int((flat**2).sum(axis=1).argmin())]
    nearest = np.full(len(flat), np.inf, np.float32)
    while len(chosen) < count:
        nearest = np.minimum(nearest, ((flat - flat[chosen[-1]]) ** 2).sum(axis=1))
        nearest[chosen] = -1
        if nearest.max() <= 0:  # all others are like one of these: as evenly as can be
            others, missing = np.flatnonzero(nearest == 0), count - len(chosen)
            chosen += others[np.arange(missing) * len(others) // missing].tolist()
        else:
            chosen.append(int(nearest.argmax()))
    return np.sort(chosen)


def shares(pictures: np.ndarray, chosen: np.ndarray) -> tuple[float, ...]:
    """For which share of all pictures each of the chosen ones stands: those to which it is nearest.

    Args:
        pictures: `(n, ...)`.
        chosen: indices `(T,)`, as `spread` gives them.
    """
    flat = pictures.reshape(len(pictures), -1).astype(np.float32)
    nearest = np.stack([((flat - flat[index]) ** 2).sum(axis=1) for index in chosen]).argmin(axis=0)
    return tuple((np.bincount(nearest, minlength=len(chosen)) / len(flat)).tolist())
