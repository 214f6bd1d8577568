"""The answer to a clip as HTML: the verdict in words, the body map, bars, frames, a timeline, where the model looks.
Nothing is written to disk, and nothing in it is loaded from anywhere: pictures are part of the text."""

import base64
import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from html import escape
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from amge.errors import VideoError, one_of, reason
from amge.exercises import Comparison, Expected, check_labels, compare, expect
from amge.explain.explanation import Explanation, panel
from amge.muscles import REGION_IDS, REGION_NAMES
from amge.prediction import Prediction, Threshold, WindowPrediction, light, of_windows, ranked, threshold_of
from amge.video.read import duration
from amge.viz.body_map import MARKS, bodies
from amge.viz.page import shade

if TYPE_CHECKING:
    from amge.model import MuscleModel

LONGEST = 180.0
"""Seconds of a clip."""
FRAMES, SIDE = 8, 240
"""Frames that are shown, and their longer side in pixels."""
ACTIVE = "active"
"""In place of a region: each that is active, or the likeliest if none is."""
WORDS = {"ok": "as expected"} | MARKS
OUTLINES = f"Dashed outline: {MARKS['missing']}. Solid outline: {MARKS['unexpected']}."


def answer(
    model: "MuscleModel",
    clip: str | Path,
    expected: str | None = None,
    progress: Callable[[float, float | None], None] | None = None,
    longest: float = LONGEST,
    region: str | None = None,
) -> str:
    """What a model says of a clip, as HTML.

    Args:
        model: with a spec.
        clip: a video file.
        expected: an exercise that is expected, by its name.
        progress: called with the seconds read and the seconds in all (None if not known); twice from the start with a
            region.
        longest: seconds that a clip may last.
        region: a label, to show where the model sees what speaks for it in the main person, or `ACTIVE`. The clip is
            read twice for that.

    Raises:
        VideoError: if the clip cannot be read, or is too long; says why.
        ValueError: if the exercise or the region is not known, or an exercise is expected and the model knows other
            labels than muscle regions.
        ImportError: if the model needs a pose estimator that is not installed.
    """
    spec = model.spec
    if spec is None:
        raise ValueError("this model was put together by hand; without a spec it does not know its labels or input")
    wanted = expect(expected) if expected else None
    if wanted:
        check_labels(wanted, spec.labels)
    if region and region != ACTIVE:
        one_of("region", region, spec.labels)
    seconds = 0.0
    with suppress(VideoError):  # who reads the frames says more
        seconds = duration(clip)
    if seconds > longest:
        raise VideoError(f"{clip} lasts {seconds:.0f} s, and {longest:.0f} s are the most; cut it and try again")
    windows, frames = [], {}
    for window in model.predict_windows(clip, progress):
        windows.append(light(window))
        if window.frames is not None:
            frames[window.start] = [small(frame) for frame in spread(window.frames, 4)]
    result = of_windows(windows, spec.labels, spec.threshold, spec.name, Path(clip).name)
    where = ""
    if region and result.verdict != "nobody":
        regions = [region] if region != ACTIVE else result.active or [result.top(1)[0][0]]
        try:
            where = looks(model.explain(clip, regions, progress=progress))
        except ValueError as error:  # the model cannot be looked into; the answer stands
            where = f"<p>Where the model looks cannot be shown: {escape(because(error, clip))}</p>"
    return shown(result, frames, wanted, where)


def problem(error: Exception, clip: str | Path | None = None) -> str:
    """Why there is no answer, as HTML."""
    said = escape(because(error, clip))
    return f'<div class="amge"><p class="verdict nobody" role="alert">This does not work: {said}</p></div>'


def because(error: Exception, clip: str | Path | None) -> str:
    """What an error says; a clip goes by its name, as its folder is nobody's business."""
    return reason(error).replace(str(clip), Path(clip).name) if clip else reason(error)


def shown(result: Prediction, frames: dict[float, list[np.ndarray]], wanted: Expected | None, where: str = "") -> str:
    """A prediction as HTML, with frames by the start of their window, and where the model looks in the main person."""
    parts = [f'<p class="about">{escape(result.source or "")} · {escape(result.model)}</p>']
    for number, each in enumerate(result.persons, 1):
        if result.others:
            parts.append(f"<h3>Person {number}</h3>")
        parts += about(each, frames, compare(each, wanted) if wanted else None)
        if number == 1:
            parts.append(where)
    parts.append('<p class="about">Estimated from video. Not medical advice.</p>')
    return f'<div class="amge">{"".join(parts)}</div>'


def about(person: Prediction, frames: dict[float, list[np.ndarray]], compared: Comparison | None) -> Iterator[str]:
    """What there is to say of one person."""
    yield verdict(person)
    if compared and compared.score is not None:
        wrong = [
            f"{what}: {', '.join(map(called, regions))}"
            for what, regions in (("Missing", compared.missing), ("Unexpected", compared.unexpected))
            if regions
        ]
        said = ". ".join([f"{compared.name}: score {compared.score:.2f} of 1", *(wrong or ["Nothing differs"])])
        yield f"<p>{escape(said)}.</p>"
    seen = [frames[window.start] for window in person.windows if window.start in frames]
    if person.verdict != "nobody":
        columns = bars(person, compared)
        if {*person} <= {*REGION_IDS}:
            text = f"Front and back of a body; at work: {', '.join(map(called, person.active)) or 'nothing'}"
            expected = compared.expected if compared else None
            body = picture(bodies(dict(ranked(person)), person.threshold, expected=expected), text)
            sides = "<span>Front</span><span>Back</span>"
            if compared and (compared.missing or compared.unexpected):
                sides += f"<small>{OUTLINES}</small>"
            columns = f'<figure class="body">{body}<figcaption>{sides}</figcaption></figure>{columns}'
        yield f'<div class="columns">{columns}</div>'
    if looked := spread([frame for some in seen for frame in some], FRAMES):
        strip = "".join(picture(Image.fromarray(frame), "A frame of the clip") for frame in looked)
        yield f'<h4>Frames that the model looked at</h4><div class="frames">{strip}</div>'
    if len(person.windows) > 1 and person.verdict != "nobody":
        yield f"<h4>Over time</h4><table>{''.join(map(row, person.windows, repeat(person.threshold)))}</table>"


def looks(explanations: list[Explanation]) -> str:
    """Frames with what speaks for each region over them, under a line that opens them; the first is open."""
    parts = ["<h4>Where the model looks</h4>"]
    for number, each in enumerate(explanations):
        end, name = each.prediction.windows[-1].end, called(each.region)
        times = [(index + 0.5) / FRAMES * end for index in range(FRAMES)]
        strip = "".join(
            picture(Image.fromarray(small(each.at(t))), f"What speaks for {name} at {t:.1f} s") for t in times
        )
        summary = f"<summary>{escape(name)}: {escape(panel(each).said)}</summary>"
        opened = "" if number else " open"
        parts.append(f'<details{opened}>{summary}<div class="frames">{strip}</div></details>')
    parts.append(
        '<p class="about">The brighter a place, the more it speaks for the region in the eyes of the model. It is not '
        "where a muscle works, and the model may be wrong.</p>"
    )
    return "".join(parts)


def verdict(person: Prediction) -> str:
    """What to think of an answer, in words."""
    why = upper("; ".join(person.reasons))
    if person.verdict == "nobody":
        lines = ["<strong>Nobody is seen</strong>"]
        lines += [escape(why)] if why != "Nobody is seen" else []
        lines += ["Take a clip in which a person can be seen from head to feet."]
    else:
        active = ", ".join(map(called, person.active))
        lines = [f"<strong>At work: {escape(active)}</strong>" if active else "<strong>No region is at work</strong>"]
        lines += [f"Doubtful: {escape('; '.join(person.reasons))}"] if person.verdict == "doubtful" else []
    return f'<p class="verdict {person.verdict}">{"<br>".join(lines)}</p>'


def row(window: WindowPrediction, threshold: Threshold) -> str:
    """One window of a timeline."""
    active = [f"{called(region)} {window.probabilities[region]:.0%}" for region in window.active(threshold)]
    said = "nobody is seen" if window.verdict == "nobody" else ", ".join(active) or "–"
    return f"<tr><th>{window.start:.0f}–{window.end:.0f} s</th><td>{escape(said)}</td></tr>"


def bars(person: Prediction, compared: Comparison | None) -> str:
    """A row for each region, the likeliest first, coloured like the body map; a line marks the threshold."""
    rows = []
    for name, p in ranked(person):
        limit = threshold_of(person.threshold, name)
        colour = "rgb({}, {}, {})".format(*shade(p, limit))
        mark = WORDS.get(compared.mark(name), "") if compared else ""
        said = f'<span class="mark {compared.mark(name)}">{mark}</span>' if compared and mark else ""
        rows.append(
            f'<li class="{"active" if p >= limit else "rest"}"><span>{escape(called(name))}</span>{said}'
            f'<span class="share">{p:.0%}</span><div class="bar"><div style="width:{100 * p:.1f}%;background:{colour}">'
            f'</div><i style="left:{100 * limit:.1f}%"></i></div></li>'
        )
    return f'<ul class="bars">{"".join(rows)}</ul>'


def called(region: str) -> str:
    """The name of a region for people."""
    return REGION_NAMES.get(region, region)


def upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def spread(items: "np.ndarray | list[np.ndarray]", count: int) -> list[np.ndarray]:
    """At most `count` of the items, evenly spread."""
    chosen = np.unique(np.linspace(0, len(items) - 1, min(len(items), count)).round().astype(int))
    return [items[index] for index in chosen]


def small(frame: np.ndarray) -> np.ndarray:
    image = Image.fromarray(frame)
    image.thumbnail((SIDE, SIDE))
    return np.asarray(image)


def picture(image: Image.Image, text: str) -> str:
    """An image that is part of the page."""
    data = io.BytesIO()
    image.save(data, "WEBP", quality=90)
    code = base64.b64encode(data.getvalue()).decode()
    return f'<img alt="{escape(text)}" src="data:image/webp;base64,{code}">'
