"""An articulated body in metres: x forwards, y to its left, z up, the floor at z = 0. All arrays span T frames."""

from dataclasses import dataclass, field

import numpy as np

Array = np.ndarray
"""float64; `(T, 3)` for points and directions, `(T,)` or a scalar for angles in radians."""

X, Y, Z = np.eye(3)


@dataclass(frozen=True)
class Body:
    """Lengths of a body in metres; `shoulders` and `hips` are half the distance between the two joints."""

    stature: float = 1.72
    torso: float = 0.50
    shoulders: float = 0.18
    hips: float = 0.10
    upper_arm: float = 0.30
    forearm: float = 0.26
    thigh: float = 0.42
    calf: float = 0.42
    foot: float = 0.19
    ankle: float = 0.075
    head: float = 0.225

    @property
    def leg(self) -> float:
        """From the hip joint to the ankle."""
        return self.thigh + self.calf

    @property
    def arm(self) -> float:
        """From the shoulder joint to the wrist."""
        return self.upper_arm + self.forearm


def sample_body(rng: np.random.Generator) -> Body:
    """A body of random proportions."""
    base = Body()
    stature = float(rng.uniform(1.5, 1.95))
    share = stature / base.stature

    def varied(length: float, spread: float) -> float:
        return float(length * share * np.clip(rng.normal(1, spread), 1 - 2 * spread, 1 + 2 * spread))

    legs, arms = rng.normal(1, 0.03, 2)
    return Body(
        stature=stature,
        torso=varied(base.torso, 0.04),
        shoulders=varied(base.shoulders, 0.06),
        hips=varied(base.hips, 0.07),
        upper_arm=varied(base.upper_arm * arms, 0.03),
        forearm=varied(base.forearm * arms, 0.03),
        thigh=varied(base.thigh * legs, 0.03),
        calf=varied(base.calf * legs, 0.03),
        foot=varied(base.foot, 0.05),
        ankle=base.ankle * share,
        head=varied(base.head, 0.04),
    )


@dataclass
class Rig:
    """A body that is posed part by part: first `trunk`, then both arms and both legs; then `joints` has all.

    `left` is 1 for the left side and -1 for the right one, as in `y`. Directions of arms are given in the frame of
    the chest, those of legs in the frame of the pelvis; points are given in the world.
    """

    body: Body
    frames: int
    joints: Array = field(init=False)
    """`(T, 17, 3)` COCO joints in metres."""
    toes: Array = field(init=False)
    """`(T, 2, 3)` tips of the left and right foot."""
    props: list[tuple[Array, Array, float]] = field(default_factory=list)
    """Things that stand still, such as a bench: (from `(3,)`, to `(3,)`, radius) in metres."""

    def __post_init__(self) -> None:
        self.joints = np.zeros((self.frames, 17, 3))
        self.toes = np.zeros((self.frames, 2, 3))
        self.pelvis = self.chest = np.broadcast_to(np.eye(3), (self.frames, 3, 3))

    def trunk(
        self, hips: Array, pitch: Array | float = 0.0, roll: Array | float = 0.0, yaw: Array | float = 0.0,
        flex: Array | float = 0.0, side: Array | float = 0.0, twist: Array | float = 0.0, neck: Array | float = 0.0,
        shrug: Array | float = 0.0,
    ) -> None:  # fmt: skip
        """Place pelvis, spine and head.

        Args:
            hips: `(T, 3)` the middle of the hip joints.
            pitch: lean of the pelvis forwards; pi/2 is face down, -pi/2 is on the back.
            roll: lean of the pelvis to the left.
            yaw: turn of the pelvis to the left.
            flex: bend of the spine forwards, over its whole length.
            side: bend of the spine to the left.
            twist: turn of the chest to the left against the pelvis.
            neck: bend of the head forwards.
            shrug: how far the shoulders are lifted, in metres.
        """
        body = self.body
        pelvis = self._turn(yaw, pitch, roll)
        middle = pelvis @ self._turn(0.5 * np.asarray(twist), 0.5 * np.asarray(flex), 0.5 * np.asarray(side))
        chest = pelvis @ self._turn(twist, flex, side)
        head = chest @ self._turn(0.0, neck, 0.0)
        waist = hips + 0.45 * body.torso * middle[..., 2]
        shoulders = waist + 0.55 * body.torso * chest[..., 2]
        lifted = shoulders + np.broadcast_to(np.asarray(shrug), self.frames)[:, None] * chest[..., 2]
        ears = shoulders + body.head * (0.35 * chest[..., 2] + 0.65 * head[..., 2]) + 0.02 * head[..., 0]
        self.pelvis, self.chest = pelvis, chest
        size = body.head / 0.225
        ahead, aside, above = head[..., 0] * size, head[..., 1] * size, head[..., 2] * size
        self.joints[:, 0] = ears + 0.105 * ahead - 0.012 * above
        for left, index in ((1, 0), (-1, 1)):
            self.joints[:, 1 + index] = ears + 0.085 * ahead + 0.03 * above + left * 0.032 * aside
            self.joints[:, 3 + index] = ears + left * 0.075 * aside
            self.joints[:, 5 + index] = lifted + left * body.shoulders * chest[..., 1]
            self.joints[:, 11 + index] = hips + left * body.hips * pelvis[..., 1]

    def arm(
        self, left: int, flex: Array | float = 0.0, out: Array | float = 0.0, elbow: Array | float = 0.0,
        towards: Array = X,
    ) -> None:  # fmt: skip
        """An arm by its angles: lifted forwards by `flex`, sideways by `out`, the elbow bent to `towards`.

        `towards` is `(3,)` in the frame of the chest: forwards, outwards, up.
        """
        upper = self._direction(self.chest, left, flex, out)
        hint = self._local(self.chest, left, towards)
        bend = _unit(hint - _dot(hint, upper) * upper)
        lower = np.cos(_column(elbow)) * upper + np.sin(_column(elbow)) * bend
        index = 0 if left > 0 else 1
        self.joints[:, 7 + index] = self.joints[:, 5 + index] + self.body.upper_arm * upper
        self.joints[:, 9 + index] = self.joints[:, 7 + index] + self.body.forearm * lower

    def reach(self, left: int, wrist: Array, elbow_to: Array) -> None:
        """An arm by the place of its wrist `(T, 3)`; the elbow points to `elbow_to`, as `knee_to` but of the chest."""
        index = 0 if left > 0 else 1
        start = self.joints[:, 5 + index]
        hint = self._local(self.chest, left, elbow_to)
        elbow, end = _two_bones(start, wrist, self.body.upper_arm, self.body.forearm, hint)
        self.joints[:, 7 + index], self.joints[:, 9 + index] = elbow, end

    def leg(
        self, left: int, flex: Array | float = 0.0, out: Array | float = 0.0, knee: Array | float = 0.0,
        point: Array | float = 0.0,
    ) -> None:  # fmt: skip
        """A leg by its angles: lifted forwards, sideways, the knee bent, the foot stretched by `point`."""
        flex = _column(flex)
        upper = self._direction(self.pelvis, left, flex, out)
        ahead, above = self.pelvis[..., 0], self.pelvis[..., 2]
        behind = -(np.cos(flex) * ahead + np.sin(flex) * above)
        lower = np.cos(_column(knee)) * upper + np.sin(_column(knee)) * behind
        front = _unit(-behind - _dot(-behind, lower) * lower)
        index = 0 if left > 0 else 1
        self.joints[:, 13 + index] = self.joints[:, 11 + index] + self.body.thigh * upper
        self.joints[:, 15 + index] = self.joints[:, 13 + index] + self.body.calf * lower
        foot = np.cos(_column(point)) * front + np.sin(_column(point)) * lower
        self.toes[:, index] = self.joints[:, 15 + index] + 0.6 * self.body.ankle * lower + self.body.foot * foot

    def step(self, left: int, ankle: Array, knee_to: Array, toe: Array | None = None) -> None:
        """A leg by the place of its ankle `(T, 3)`.

        Args:
            left: 1 or -1.
            ankle: `(T, 3)` in the world.
            knee_to: `(3,)` or `(T, 3)` where the knee points, in the frame of the pelvis: forwards, outwards, up.
            toe: `(T, 3)` or `(3,)` from the ankle to the tip of the foot, in the world; flat on the floor in the
                direction that the pelvis faces if left out.
        """
        index = 0 if left > 0 else 1
        hint = self._local(self.pelvis, left, knee_to)
        bones = _two_bones(self.joints[:, 11 + index], ankle, self.body.thigh, self.body.calf, hint)
        self.joints[:, 13 + index], self.joints[:, 15 + index] = bones
        if toe is None:
            heading = self.pelvis[..., 0] * (1, 1, 0) + 0.25 * left * self.pelvis[..., 1] * (1, 1, 0)
            toe = self.body.foot * _unit(heading) - 0.8 * self.body.ankle * Z
        self.toes[:, index] = bones[1] + toe

    def mirror(self) -> None:
        """Swap left and right."""
        swap = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
        self.joints = self.joints[:, swap] * (1, -1, 1)
        self.toes = self.toes[:, ::-1] * (1, -1, 1)
        self.props = [(p * (1, -1, 1), q * (1, -1, 1), radius) for p, q, radius in self.props]

    def _turn(self, yaw: Array | float, pitch: Array | float, roll: Array | float) -> Array:
        """Rotations `(T, 3, 3)`: a turn to the left after a lean forwards after a lean to the left."""
        angles = [np.broadcast_to(np.asarray(angle, np.float64), self.frames) for angle in (yaw, pitch, roll)]
        (cy, cp, cr), (sy, sp, sr) = np.cos(angles), np.sin(angles)
        zero, one = np.zeros(self.frames), np.ones(self.frames)
        turn = np.array([[cy, -sy, zero], [sy, cy, zero], [zero, zero, one]])
        lean = np.array([[cp, zero, sp], [zero, one, zero], [-sp, zero, cp]])
        tilt = np.array([[one, zero, zero], [zero, cr, sr], [zero, -sr, cr]])
        return np.einsum("ijt,jkt,klt->til", turn, lean, tilt)

    def _direction(self, frame: Array, left: int, flex: Array | float, out: Array | float) -> Array:
        flex, out = _column(flex), _column(out)
        local = np.sin(flex) * np.cos(out) * X + left * np.sin(out) * Y - np.cos(flex) * np.cos(out) * Z
        return np.einsum("tij,tj->ti", frame, np.broadcast_to(local, (self.frames, 3)))

    def _local(self, frame: Array, left: int, direction: Array) -> Array:
        """A direction (forwards, outwards, up) in `frame`, `(3,)` or `(T, 3)`, to the world, `(T, 3)`."""
        local = np.broadcast_to(np.asarray(direction, np.float64) * (1, left, 1), (self.frames, 3))
        return np.einsum("tij,tj->ti", frame, local)


def _column(value: Array | float) -> Array:
    value = np.asarray(value, dtype=np.float64)
    return value if value.ndim == 2 else value.reshape(-1, 1)


def _dot(a: Array, b: Array) -> Array:
    return (a * b).sum(-1, keepdims=True)


def _unit(vector: Array) -> Array:
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-9)


def _two_bones(start: Array, end: Array, first: float, second: float, hint: Array) -> tuple[Array, Array]:
    """Where the joint between two bones lies that reach from `start` to `end`, and the end that they do reach."""
    along = _unit(end - start)
    shortest = abs(first - second) + 0.15 * min(first, second)
    distance = np.clip(np.linalg.norm(end - start, axis=-1, keepdims=True), shortest, 0.998 * (first + second))
    forward = (first**2 - second**2 + distance**2) / (2 * distance)
    aside = np.sqrt(np.maximum(first**2 - forward**2, 0))
    bend = _unit(hint - _dot(hint, along) * along)
    return start + forward * along + aside * bend, start + distance * along
