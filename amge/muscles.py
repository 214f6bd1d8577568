"""The 20 muscle regions of the MuscleMap benchmark, their order, and the rule that annotates them.

Source: Peng et al., "MuscleMap: Towards Video-based Activated Muscle Group Estimation", appendix D.1.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from amge.errors import one_of

Side = Literal["front", "back", "both"]


@dataclass(frozen=True)
class Region:
    """One muscle region: where it is on the body, and the muscles that the paper counts into it."""

    id: str
    name: str
    muscles: tuple[str, ...]
    side: Side


REGIONS: tuple[Region, ...] = (
    Region(
        "neck_head",
        "Neck and head",
        (
            "occipitofrontalis",
            "temporoparietalis",
            "levator labii superioris",
            "masticatorii",
            "sternocleidomastoideus",
        ),
        "both",
    ),
    Region("chest", "Chest", ("pectoralis major",), "front"),
    Region("shoulder", "Shoulders", ("deltoideus",), "both"),
    Region("biceps", "Biceps", ("biceps brachii",), "front"),
    Region("triceps", "Triceps", ("triceps brachii",), "back"),
    Region(
        "forearms",
        "Forearms",
        ("flexor carpi radialis", "palmaris longus", "abductor pollicis longus"),
        "both",
    ),
    Region("upper_back", "Upper back", ("trapezius",), "back"),
    Region("latissimus", "Latissimus", ("latissimus dorsi",), "back"),
    Region("obliques", "Obliques", ("external oblique", "serratus anterior"), "front"),
    Region("upper_abdominis", "Upper abdominis", ("rectus abdominis", "quadratus lumborum"), "front"),
    Region("lower_abdominis", "Lower abdominis", ("transversus abdominis", "pyramidalis"), "front"),
    Region("lower_back", "Lower back", ("erector spinae",), "back"),
    Region("hamstring", "Hamstrings", ("biceps femoris", "semimembranosus", "semitendinosus"), "back"),
    Region("quadriceps", "Quadriceps", ("rectus femoris", "vastus medialis"), "front"),
    Region("calves", "Calves", ("gastrocnemius", "soleus"), "back"),
    Region("inner_thigh", "Inner thigh", ("adductor longus", "sartorius", "gracilis"), "front"),
    Region("outer_thigh", "Outer thigh", ("iliotibial tract",), "both"),
    Region("gluteus", "Gluteus", ("gluteus maximus",), "back"),
    Region(
        "feet_ankles",
        "Feet and ankles",
        (
            "peroneus longus",
            "peroneus brevis",
            "extensor digitorum longus",
            "flexor hallucis longus",
            "flexor digitorum longus",
            "peroneus tertius",
            "tibialis posterior",
        ),
        "both",
    ),
    Region(
        "wrists",
        "Wrists",
        ("extensor pollicis", "first dorsal interosseous", "pronator quadratus"),
        "both",
    ),
)
"""All regions, in the order of the paper, which is the order of labels and logits."""

REGION_IDS: tuple[str, ...] = tuple(region.id for region in REGIONS)
REGION_NAMES = {region.id: region.name for region in REGIONS}
"""For people to read."""


def region(id: str) -> Region:
    """The region called `id`. Raises `ValueError` with the closest names if there is none."""
    return REGIONS[REGION_IDS.index(one_of("muscle region", id, REGION_IDS))]


def encode(regions: Iterable[str], labels: Sequence[str] = REGION_IDS) -> np.ndarray:
    """Names of active regions to a multi-hot float32 vector `(K,)` over `labels`.

    Raises:
        ValueError: for an unknown or repeated region, or a lone string in place of a collection.
    """
    if isinstance(regions, str):
        raise ValueError(f"expected a collection of region names, got the string {regions!r}; write [{regions!r}]")
    target = np.zeros(len(labels), dtype=np.float32)
    for name in regions:
        index = list(labels).index(one_of("muscle region", name, labels))
        if target[index]:
            raise ValueError(f"muscle region {name!r} is given twice")
        target[index] = 1
    return target


def decode(target: Sequence[float] | np.ndarray, labels: Sequence[str] = REGION_IDS) -> tuple[str, ...]:
    """A multi-hot vector `(K,)` back to region names, in the order of `labels`.

    Raises:
        ValueError: if the length is not `K` or an entry is neither 0 nor 1.
    """
    values = np.asarray(target)
    if values.shape != (len(labels),):
        raise ValueError(f"expected a multi-hot vector of shape ({len(labels)},), got {values.shape}")
    if not np.isin(values, (0, 1)).all():
        raise ValueError("a multi-hot vector holds only 0 and 1; threshold probabilities first")
    return tuple(label for label, value in zip(labels, values, strict=True) if value)


def majority_vote(sources: Sequence[Iterable[str]]) -> tuple[str, ...]:
    """The annotation rule of appendix D.1: keep a region that at least `int(N / 2)` of `N` sources name.

    Two cases that the paper leaves open: with an even `N` a tie (exactly half) is kept, as `>=` says; and the
    threshold is never below one, so that a single source is taken at its word and a region that nobody names
    is never kept. A region counts once a source.

    Args:
        sources: one collection of region names per source.

    Returns:
        the kept regions, in the order of `REGION_IDS`.

    Raises:
        ValueError: for no sources at all, or an unknown region.
    """
    if not len(sources):
        raise ValueError("majority_vote needs at least one source")
    votes = np.sum([encode(source if isinstance(source, str) else set(source)) for source in sources], axis=0)
    return tuple(name for name, count in zip(REGION_IDS, votes, strict=True) if count >= max(1, len(sources) // 2))
