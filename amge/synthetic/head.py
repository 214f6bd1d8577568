"""The head: an ellipse of hair, an ellipse of face, and where the face looks to."""

from dataclasses import dataclass

from .brush import Brush, ellipse, tone
from .look import Look
from .reading import Reading, turn, unit


@dataclass(frozen=True)
class Head:
    """Where a head is: lengths in pixels; `sideways` is -1..1, how far it looks to its left or right on the screen.

    `facing` is 1 where the face looks at the camera, 0 in profile, -1 where only the back of the head is seen.
    """

    centre: complex
    up: complex
    size: float
    sideways: float
    facing: float

    @property
    def half(self) -> tuple[float, float]:
        """Half the height and half the width."""
        return 0.068 * self.size, (0.05 + 0.008 * abs(self.sideways)) * self.size


def place_head(reading: Reading, look: Look) -> Head | None:
    """The head of `reading`, guessed over the shoulders where its own keypoints are missing."""
    size = reading.stature * (0.75 + 0.25 * look.thickness) * look.head
    shoulders = reading.middle(5, 6)
    ears, eyes, nose = reading.middle(3, 4), reading.middle(1, 2), reading.points[0]
    centre = next((point for point in (ears, eyes, nose) if point is not None), None)
    if centre is None:
        if shoulders is None or reading.middle(11, 12) is None:
            return None
        centre = shoulders + reading.up * 0.135 * reading.stature
    up = _head_up(reading, centre, shoulders)
    look_to = 0j
    if nose is not None and ears is not None:
        look_to = (nose - ears) / (0.07 * size)
        look_to = look_to / max(1.0, abs(look_to))
    sideways = (look_to * (1j * up).conjugate()).real
    centre += up * 0.012 * size - (0.0 if ears is not None else 0.03 * size) * look_to
    return Head(centre, up, size, sideways, _facing(reading, up))


def paint_loose_hair(brush: Brush, head: Head, look: Look) -> None:
    """Long hair or a pony tail, which hang down the back."""
    size, up, width = head.size, head.up, head.half[1]
    back = -1j * up * head.sideways
    if look.hair == "long":
        tip = head.centre + back * 0.03 * size - up * 0.1 * size
        wide = [width * 1.1, width * 1.1, width * 0.8]
        brush.limbs([(head.centre + back * 0.01 * size, tip, wide, look.hair_colour)])
    if look.hair == "tail":
        root = head.centre + back * 0.055 * size + up * 0.02 * size
        tip = root + back * 0.03 * size - up * 0.1 * size
        brush.limbs([(root, tip, [0.016 * size, 0.022 * size, 0.01 * size], look.hair_colour)])


def paint_head(brush: Brush, head: Head, reading: Reading, look: Look) -> None:
    """The skull with its face and the hair that lies close to it."""
    height, width = head.half
    brush.ellipse(head.centre, head.up, height, width, look.skin)
    if head.facing < -0.25:
        if look.hair != "bald":
            brush.ellipse(
                head.centre + head.up * 0.012 * head.size, head.up, height * 0.93, width * 1.06, look.hair_colour
            )
        return
    if look.hair != "bald":
        _hair(brush, head.centre, head.up, (height, width), head.sideways, look)
    _face(brush, reading, head.centre, head.up, head.size, head.sideways, look)


def _head_up(reading: Reading, centre: complex, shoulders: complex | None) -> complex:
    """The direction to the top of the head: across the eyes or ears where they are apart, away from the neck else."""
    neck = unit(centre - shoulders, reading.up) if shoulders is not None else reading.up
    eyes, ears, nose = reading.middle(1, 2), reading.middle(3, 4), reading.points[0]
    up = 1.2 * neck + 0.4 * reading.up
    left, right = (reading.points[3], reading.points[4]) if ears is not None else (reading.points[1], reading.points[2])
    if left is not None and right is not None:
        line = left - right
        share = min(1.0, abs(line) / (0.07 * reading.stature))
        normal = unit(line) * (-1j if turn(neck, line) > 0 else 1j)
        up += share * 1.5 * normal
    if eyes is not None and nose is not None:
        up += 1.0 * unit(eyes - nose, 0j) * min(1.0, abs(eyes - nose) / (0.02 * reading.stature))
    return unit(up)


def _facing(reading: Reading, up: complex) -> float:
    """1 where the face looks at the camera, 0 in profile, -1 where only the back of the head is seen."""
    if reading.depths is not None:
        ahead = reading.depths[0] - (reading.depths[3] + reading.depths[4]) / 2
        scale = max(abs(reading.depths[3] - reading.depths[4]), abs(ahead), 1e-6)
        return ahead / scale
    if reading.points[0] is None and reading.middle(1, 2) is None:
        return -1.0
    left, right = reading.points[3], reading.points[4]
    if left is None or right is None:
        return 0.3
    return max(-1.0, min(1.0, turn(up, left - right) / (0.06 * reading.stature)))


def _hair(
    brush: Brush, centre: complex, up: complex, half: tuple[float, float], sideways: float, look: Look
) -> None:  # fmt: skip
    """A cap over the top and the back of the head, without the part in front of the face."""
    height, width = half
    forward = 1j * up * sideways
    cap = []
    for point in ellipse(0j, 1 + 0j, 1.0, 1.0):
        # `point` is on a unit circle: its real part goes up the head, its imaginary part to the right of the screen.
        top, across = point.real, point.imag
        front = across * (1 if sideways >= 0 else -1) * abs(sideways)
        line = 0.42 - 1.15 * max(0.0, -front) + 0.12 * max(0.0, front)
        reach = 1.1 if top > line else 1.0
        level = top * reach if top > line else line
        shrink = 1.0 if top > line else (1 - min(1.0, level * level)) ** 0.5 / max(1e-6, abs(across))
        cap.append(centre + up * (height * level + 1j * width * across * reach * min(1.0, shrink)))
    brush.fill(cap, tone(look.hair_colour, 0.9))
    shine = [centre + (point - centre) * 0.75 + up * height * 0.22 - forward * 0.2 * width for point in cap]
    brush.fill(shine, tone(look.hair_colour, 1.08))


def _face(
    brush: Brush, reading: Reading, centre: complex, up: complex, size: float, sideways: float, look: Look
) -> None:  # fmt: skip
    """Eyes, nose and mouth where the keypoints put them."""
    dark, lip = tone(look.skin, 0.25), tone(look.skin, 0.55)
    nose = reading.points[0]
    far = 1 if sideways < 0 else 2
    for joint in (1, 2):
        eye = reading.points[joint]
        if eye is None or (abs(sideways) > 0.8 and joint == (far if reading.front >= -0.2 else 3 - far)):
            continue
        if abs(eye - centre) < 0.075 * size:
            brush.fill(ellipse(eye, up, 0.007 * size, 0.009 * size), dark)
    if nose is not None and abs(nose - centre) < 0.1 * size:
        tip = nose - up * 0.004 * size - 1j * up * sideways * 0.008 * size
        brush.fill(ellipse(tip, up, 0.012 * size, 0.008 * size), tone(look.skin, 0.8))
        mouth = nose - up * 0.03 * size - 1j * up * sideways * 0.028 * size
        brush.fill(ellipse(mouth, up, 0.004 * size, 0.016 * (1 - 0.6 * abs(sideways)) * size), lip)
