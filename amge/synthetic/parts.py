"""The parts of a figure: where each lies, how wide it is, what it wears. All widths are in statures."""

from collections.abc import Callable, Sequence
from functools import partial

from .brush import Brush, ellipse, rounded, tone
from .head import paint_head, paint_loose_hair, place_head
from .look import Colour, Look
from .reading import HIPS, SHOULDERS, TORSO, Reading, unit

Layer = tuple[float, Callable[[Brush], None]]

_UPPER_ARM = (0.028, 0.033, 0.029, 0.024)
_FOREARM = (0.024, 0.028, 0.022, 0.016)
_THIGH = (0.055, 0.055, 0.047, 0.037)
_CALF = (0.036, 0.040, 0.032, 0.022)
_BODY = ((0.0, 1.0), (0.22, 1.0), (0.45, 0.9), (0.68, 0.86), (0.86, 0.96), (1.0, 1.0))
"""Where along the torso (0 shoulders, 1 hips) it is how wide, against a straight line from top to bottom."""


class Figure:
    """One frame of a figure, as layers to paint from far to near."""

    def __init__(self, reading: Reading, look: Look, toes: Sequence[complex] | None = None) -> None:
        self._r = reading
        self._look = look
        self._toes = toes
        self._size = reading.stature * look.thickness

    def layers(self) -> list[Layer]:
        """`(nearness, painter)` of every part that the keypoints give."""
        layers: list[Layer] = [(0.0, self._torso)]
        head = place_head(self._r, self._look)
        if head is not None:
            nearness = self._head_nearness()
            behind = min(nearness, 0.0) if head.facing > -0.25 else nearness
            layers.append((nearness, partial(paint_head, head=head, reading=self._r, look=self._look)))
            layers.append((behind - 1e-5, partial(paint_loose_hair, head=head, look=self._look)))
        for left in (True, False):
            layers.append((self._nearness("leg", left), partial(self._leg, left=left)))
            layers.append((self._nearness("arm", left), partial(self._arm, left=left)))
        if self._look.equipment == "barbell":
            arms = (self._nearness("arm", True), self._nearness("arm", False))
            nearness = max(arms) + 0.001 if self._r.depths is None else sum(arms) / 2
            layers.append((nearness, self._barbell))
        return layers

    def _nearness(self, part: str, left: bool) -> float:
        """How near a limb is, relative to the torso at 0."""
        r, shift = self._r, 0 if left else 1
        if r.depths is not None:
            body = (r.depths[5] + r.depths[6] + r.depths[11] + r.depths[12]) / 4
            if part == "leg":
                own = (r.depths[11 + shift] + 2 * r.depths[13 + shift] + r.depths[15 + shift]) / 4
            else:
                own = (r.depths[5 + shift] + 2 * r.depths[7 + shift] + 2 * r.depths[9 + shift]) / 5
            return own - body
        beside = r.sideness * (-r.side if left else r.side)
        return 0.6 * beside + 0.12 * r.front if part == "leg" else beside + 0.4 * r.front

    def _head_nearness(self) -> float:
        """The head is painted over the torso unless it is known to be behind it."""
        if self._r.depths is None:
            return 0.1
        body = sum(self._r.depths[joint] for joint in (5, 6, 11, 12)) / 4
        away = sum(self._r.depths[:5]) / 5 - body
        return away if away > 0 or abs(self._spine()) < 0.7 * TORSO * self._r.stature else 1e-4

    def _spine(self) -> complex:
        """From the middle of the hips to the middle of the shoulders."""
        shoulders, hips = self._r.middle(5, 6), self._r.middle(11, 12)
        return 0j if shoulders is None or hips is None else shoulders - hips

    def _chain(
        self, brush: Brush, a: complex | None, b: complex | None, c: complex | None,
        radii: tuple[Sequence[float], Sequence[float]], colour: Colour, cloth: tuple[float, Colour, float] | None,
    ) -> None:  # fmt: skip
        """A limb of two parts; `cloth` is (how far it is covered 0..2, colour, how much wider than the limb)."""
        segments = [(a, b, radii[0], 0), (b, c, radii[1], 1)]
        found = [(p, q, wide, part) for p, q, wide, part in segments if p is not None and q is not None]
        groups = [found]
        if len(found) == 2 and abs(found[0][0] - found[1][1]) < 0.6 * abs(found[0][0] - found[0][1]):
            groups = [[segment] for segment in found]
        for group in groups:
            limbs = [(p, q, [radius * self._size for radius in wide], colour) for p, q, wide, _ in group]
            brush.limbs(limbs)
            if cloth is None:
                continue
            covered, dye, wider = cloth
            dressed = []
            for p, q, wide, part in group:
                share = min(1.0, covered - part)
                if share > 0.05:
                    last = wide[-1] * share + wide[1] * (1 - share)
                    sleeve = [wide[0], wide[1], last] if share < 0.9 else list(wide)
                    widths = [(radius * wider + 0.003) * self._size for radius in sleeve]
                    dressed.append((p, p + (q - p) * share, widths, dye))
            brush.limbs(dressed)

    def _arm(self, brush: Brush, left: bool) -> None:
        look, points = self._look, self._r.points
        shoulder, elbow, wrist = points[5:11:2] if left else points[6:11:2]
        middle = self._r.middle(5, 6)
        if shoulder is None or middle is None:
            return
        shoulder += 0.1 * (middle - shoulder)
        reach = {"none": None, "top": None, "short": 0.55, "long": 1.95}[look.shirt]
        cloth = None if reach is None else (reach, look.shirt_colour, 1.12)
        if wrist is not None and elbow is not None:
            along = unit(wrist - elbow)
            size = self._size * look.arms
            hand = [radius * size for radius in (0.016, 0.021, 0.017)]
            brush.limbs([(wrist, wrist + along * 0.052 * self._r.stature, hand, look.skin)])
        upper, lower = ([radius * look.arms for radius in wide] for wide in (_UPPER_ARM, _FOREARM))
        self._chain(brush, shoulder, elbow, wrist, (upper, lower), look.skin, cloth)
        if look.equipment == "dumbbells" and wrist is not None and elbow is not None:
            self._dumbbell(brush, wrist, unit(wrist - elbow))

    def _leg(self, brush: Brush, left: bool) -> None:
        look, points = self._look, self._r.points
        hip, knee, ankle = points[11:17:2] if left else points[12:17:2]
        if hip is None or knee is None:
            return
        if ankle is not None:
            self._foot(brush, knee, ankle, left)
        cloth = (0.62 if look.trousers == "short" else 1.93, look.trousers_colour, 1.08)
        thigh, calf = ([radius * look.legs for radius in wide] for wide in (_THIGH, _CALF))
        self._chain(brush, hip, knee, ankle, (thigh, calf), look.skin, cloth)

    def _foot(self, brush: Brush, knee: complex, ankle: complex, left: bool) -> None:
        """From behind the ankle to the toes, which point forwards, or down the picture where seen from the front."""
        r, look = self._r, self._look
        up = unit(knee - ankle)
        forward = up * 1j * r.side
        if self._toes is not None:
            toe = self._toes[0 if left else 1]
        else:
            outward = forward * r.side * (1 if left == (r.front > 0) else -1)
            reach = 0.115 * r.sideness**0.7 * forward + 0.02 * abs(r.front) * outward
            toe = ankle + r.stature * (reach - (0.03 + 0.03 * max(0.0, r.front)) * up)
        heel = ankle - 0.022 * r.stature * up - 0.2 * (toe - ankle + 0.03 * r.stature * up)
        colour = look.skin if look.barefoot else look.shoes_colour
        radii = [radius * self._size * look.legs for radius in (0.021, 0.023, 0.021, 0.016)]
        brush.limbs([(ankle, heel, [radii[0], radii[0]], colour), (heel, toe, radii, colour)])

    def _torso(self, brush: Brush) -> None:
        """Neck, trunk and pelvis: as wide as shoulders and hips are apart, but never thinner than a side view."""
        r, look = self._r, self._look
        shoulders, hips = r.middle(5, 6), r.middle(11, 12)
        if shoulders is None:
            return
        head = r.middle(3, 4) if r.middle(3, 4) is not None else r.middle(0, 1, 2)
        if head is not None:
            top = head if abs(head - shoulders) < 0.3 * r.stature else shoulders + r.up * 0.1 * r.stature
            radii = [radius * self._size for radius in (0.042, 0.034, 0.033)]
            brush.limbs([(shoulders, top, radii, look.skin)])
        if hips is None:
            return
        size = self._size * look.torso
        across = 1j * r.up
        top_half, tilt = self._half_width(5, 6, across, 0.018, 0.063, SHOULDERS)
        low_half, sway = self._half_width(11, 12, across, 0.036, 0.066, HIPS)
        chest = shoulders + r.up * 0.012 * r.stature
        bottom = hips - r.up * 0.035 * r.stature
        bow = r.side * r.sideness * 0.012 * size

        def station(share: float, width: float, edge: float) -> complex:
            lean = tilt * (1 - share) + sway * share
            half = (top_half * (1 - share) + low_half * share) * width * edge
            return chest + (bottom - chest) * share + half * lean + across * bow * (1 - abs(2 * share - 0.9))

        right = [station(share, width, 1) for share, width in _BODY]
        left = [station(share, width, -1) for share, width in _BODY]
        bare = look.shirt == "none"
        shirt = look.skin if bare else look.shirt_colour
        slope = 0.018 * r.stature * r.up
        outline = [chest + slope, chest + 0.55 * (right[0] - chest) + slope, *right, *reversed(left)]
        outline.append(chest + 0.55 * (left[0] - chest) + slope)
        trunk = rounded(outline)
        brush.blob(trunk, (chest, bottom), top_half, shirt)
        for stripe in range(0 if bare else look.stripes):
            share = 0.15 + 0.6 * (stripe + 0.5) / look.stripes
            edges = [station(share + step, 0.84, side) for step, side in ((0, 1), (0, -1), (0.04, -1), (0.04, 1))]
            brush.fill(edges, look.stripe_colour)
        if look.shirt == "top":
            for near, far in ((right[0], left[0]), (left[0], right[0])):
                brush.limbs([(near, near + 0.12 * (far - near), [0.03 * size, 0.026 * size], look.skin)])
            if r.front > 0.3:
                brush.fill(ellipse(chest + slope, r.up, 0.05 * size, 0.04 * size), tone(look.skin, 0.92))
        waist = [station(share, width + 0.03, side) for side in (1, -1) for share, width in self._belt(side)]
        brush.blob(rounded(waist), (station(0.74, 1, 0), bottom), low_half, look.trousers_colour)

    @staticmethod
    def _belt(side: int) -> list[tuple[float, float]]:
        """The stations of the pelvis, down on one side and up on the other."""
        stations = [(0.72, 0.86), (0.86, 0.96), (1.0, 1.0), (1.06, 0.8)]
        return stations if side > 0 else stations[::-1]

    def _half_width(
        self, left: int, right: int, across: complex, pad: float, side: float, usual: float
    ) -> tuple[float, complex]:
        """Half the width in pixels at two joints, and the direction to its right end on the screen."""
        a, b = self._r.points[left], self._r.points[right]
        size = self._size * self._look.torso
        if a is None or b is None:
            return side * size, across
        span = (b - a) if ((b - a) * across.conjugate()).real >= 0 else (a - b)
        share = min(1.0, abs(span) / (0.5 * usual * self._r.stature))
        lean = unit(share * unit(span, across) + (1 - share) * across, across)
        half = max(abs(span) / 2 + pad * size, side * size * (1 - 0.15 * share))
        return half, lean

    def _dumbbell(self, brush: Brush, wrist: complex, along: complex) -> None:
        grip, size = wrist + along * 0.045 * self._r.stature, self._r.stature
        bar = 1j * along * 0.05 * size
        colour = self._look.equipment_colour
        brush.limbs([(grip - bar, grip + bar, [0.01 * size, 0.01 * size], tone(colour, 1.3))])
        for end in (grip - bar, grip + bar):
            brush.limbs([(end - 0.25 * bar, end + 0.25 * bar, [0.028 * size, 0.028 * size], colour)])

    def _barbell(self, brush: Brush) -> None:
        """A bar through both hands, unless they are too far apart; in a side view its plates are seen as discs."""
        size, points, colour = self._r.stature, self._r.points, self._look.equipment_colour
        grips = [
            wrist + unit(wrist - elbow) * 0.04 * size
            for elbow, wrist in (points[7:11:2], points[8:11:2])
            if elbow is not None and wrist is not None
        ]
        if len(grips) < 2 or abs(grips[0] - grips[1]) > 0.55 * size:
            return
        middle, span = (grips[0] + grips[1]) / 2, grips[1] - grips[0]
        share = min(1.0, abs(span) / (0.25 * size))
        reach = unit(span, 1) * (0.36 * size * share + abs(span) * 0.2)
        brush.line(middle - reach, middle + reach, tone(colour, 1.5), 0.016 * size)
        for end in (middle - reach, middle + reach):
            brush.ellipse(end, unit(reach, 1) * 1j, 0.1 * size, (0.02 + 0.08 * (1 - share)) * size, colour)
