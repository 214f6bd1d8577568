"""A camera that looks at a posed body from some side and fits it into the picture."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Camera:
    """Where the camera stands and how the person sits in the picture.

    `azimuth` is in radians, 0 before the person, pi/2 at its left side; `elevation` in radians above the floor;
    `distance` in metres, which sets the strength of the perspective; `fill` is the share of the picture, in its
    tighter direction, that the person takes over the whole clip; `place` is where the rest goes, 0..1 each way;
    `jitter` is the shake of the hand as a share of the picture.
    """

    azimuth: float = 0.6
    elevation: float = 0.15
    distance: float = 5.0
    fill: float = 0.75
    place: tuple[float, float] = (0.5, 0.5)
    jitter: float = 0.0


def sample_camera(rng: np.random.Generator) -> Camera:
    """A random camera, at any azimuth, mostly a little above the floor."""
    return Camera(
        azimuth=float(rng.uniform(-np.pi, np.pi)),
        elevation=float(np.clip(rng.normal(0.16, 0.16), -0.1, 0.7)),
        distance=float(rng.uniform(3.0, 9.0)),
        fill=float(rng.uniform(0.45, 0.9)),
        place=(float(rng.uniform(0.1, 0.9)), float(rng.uniform(0.2, 0.8))),
        jitter=float(rng.uniform(0, 0.008)) if rng.random() < 0.5 else 0.0,
    )


class View:
    """The picture of one clip: `camera` fitted to the points `(T, N, 3)` in metres, in a picture of `size` (H, W)."""

    def __init__(self, camera: Camera, points: np.ndarray, size: tuple[int, int], margin: float = 0.08) -> None:
        sine, cosine = np.sin(camera.azimuth), np.cos(camera.azimuth)
        self._towards = np.array([cosine * np.cos(camera.elevation), sine * np.cos(camera.elevation), 0.0])
        self._towards[2] = np.sin(camera.elevation)
        self._right = np.array([-sine, cosine, 0.0])
        self._up = np.cross(self._towards, self._right)
        self._camera = camera
        self._centre = (points.reshape(-1, 3).min(0) + points.reshape(-1, 3).max(0)) / 2
        self._scale, self._offset = 1.0, np.zeros(2)
        flat, _ = self.project(points)
        low, high = flat.reshape(-1, 2).min(0) - margin, flat.reshape(-1, 2).max(0) + margin
        extent, room = high - low, np.array([size[1], size[0]], np.float64)
        self._scale = float((camera.fill * room / extent).min())
        self._offset = (room - self._scale * extent) * camera.place - self._scale * low

    def turn(self, points: np.ndarray) -> np.ndarray:
        """Points `(..., 3)` in metres, from the middle of all, to the right, down and away from the camera."""
        return (points - self._centre) @ np.stack([self._right, -self._up, -self._towards], axis=-1)

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points `(..., 3)` in metres to pixels `(..., 2)` and nearness in metres `(...)`, larger is nearer."""
        turned = self.turn(points)
        near = -turned[..., 2]
        zoom = self._scale / np.maximum(1 - near / self._camera.distance, 0.2)
        return zoom[..., None] * turned[..., :2] + self._offset, near

    def shake(self, frames: int, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        """A smooth shake of the picture, `(T, 2)` pixels."""
        steps = rng.standard_normal((frames + 4, 2)) * self._camera.jitter * max(size)
        return np.stack([steps[i : i + 5].mean(0) for i in range(frames)])

    def floor_edge(self, behind: float) -> float:
        """The row of the picture where the floor meets a wall that is `behind` metres behind the person."""
        flat = self._towards * (1, 1, 0)
        spot = self._centre * (1, 1, 0) - flat / max(float(np.linalg.norm(flat)), 1e-6) * behind
        return float(self.project(spot)[0][1])
