"""One picture of a prediction whose labels are no muscle regions: the frames beside a ranked list."""

from collections.abc import Mapping, Sequence

import numpy as np

from amge.viz.page import Page, check_picture, check_values, drawn, each_threshold
from amge.viz.theme import theme_of
from amge.viz.timeline import Span, finished

LISTED = 16


def bars_page(
    probabilities: Mapping[str, float],
    frames: np.ndarray | None = None,
    title: str = "",
    threshold: float | Mapping[str, float] = 0.5,
    width: int = 1600,
    windows: Sequence[Span] = (),
    note: str = "",
    theme: str = "light",
) -> Page:
    """Draw probabilities of any labels as bars, next to the frames they were estimated from.

    Args:
        probabilities: label to a probability in 0..1; the likeliest 16 are shown.
        frames: uint8 `(T, H, W, 3)` RGB frames, or None.
        title: one line, shortened with an ellipsis where it does not fit.
        threshold: from which probability on a label counts as active; one for all, or one per label.
        width: width of the picture in pixels; its height is 9/16 of that, and what the timeline takes.
        windows: for a timeline below; see `amge.viz.timeline.timeline`.
        note: a line under the title, such as what to think of the prediction.
        theme: `light`, `dark` or `colour-blind`.

    Returns:
        a page; `bars` gives it as an RGB image.

    Raises:
        ValueError: for a value outside 0..1, or frames or a width that cannot be drawn.
    """
    values = check_values("probability", probabilities)
    thresholds = each_threshold(threshold, values)
    check_picture(frames, width)
    page = Page(width, theme=theme_of(theme))
    page.heading(title or "Predicted labels", note, frames)
    left = 56 if frames is None else 620
    shown = f"The {LISTED} most likely of {len(values)} labels" if len(values) > LISTED else "Labels"
    page.ranking(values, thresholds, (left, 108, 1544, 740), shown, max(8, min(len(values), LISTED)))
    page.scale((1224, 790, 1544, 806), thresholds)
    return finished(page, windows, threshold, theme)


bars = drawn(bars_page)
