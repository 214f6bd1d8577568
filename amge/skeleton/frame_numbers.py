"""Which frame an image is, by its name among those of the other images."""

import re
from collections.abc import Collection
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Any

from amge.errors import VideoError

EXTENSION = re.compile(r"\.\w*[a-z]\w*$", re.I)
"""An ending has a letter, so that the number of `shot.0001` is none."""
STAMP = re.compile(
    r"(?<![0-9])"
    r"(?:(?P<year>(?:19|20)[0-9]{2})(?P<in_date>[-_.:]?)(?P<month>[0-9]{2})(?P=in_date)(?P<day>[0-9]{2})[-_ T]*)?"
    r"(?P<hour>[0-9]{2})(?P<in_time>(?(year)[-_.:]?|[-_.:]))(?P<minute>[0-9]{2})(?P=in_time)(?P<second>[0-9]{2})"
    r"(?:[.,](?P<fraction>[0-9]{1,6}))?(?![0-9])"
)
"""A time of day such as `10:00:07`, `10-00-07.250`, or behind a date, such as `20240105_100007`."""


def frame_numbers(images: Collection[Any]) -> dict[Any, int]:
    """Images to the numbers of their frames.

    Whole numbers are numbers of frames. A name is taken apart into its runs of digits, without its extension. That run
    is the frame's number which grows from image to image when names are sorted by all their runs, from left to right;
    of several the one that grows least, as frames are counted in smaller steps than time. A time of day, with or
    without a date, is one number; its usual step is one frame.

    Raises:
        VideoError: if no number grows from image to image, as in names without numbers, in those that share one, or in
            those of several clips.
    """
    whole = [isinstance(image, int) or (isinstance(image, float) and image.is_integer()) for image in images]
    if all(whole):
        return {image: int(image) for image in images}
    names = [str(int(image)) if known else image for image, known in zip(images, whole, strict=True)]
    for name in names:
        if not isinstance(name, str):
            raise VideoError(f"image_id {name!r} is neither a name nor a whole number")
    runs = _runs([EXTENSION.sub("", name) for name in names])
    for name, found in zip(names, runs, strict=True):
        if not found:
            raise VideoError(f"image_id {name!r} has no number to order frames by; name frames as in frame_0001.jpg")
    if len({len(found) for found in runs}) > 1:
        runs = [found[-1:] for found in runs]
    order = sorted(range(len(names)), key=runs.__getitem__)
    columns = [[runs[place][column] for place in order] for column in range(len(runs[0]))]
    growing = [column for column in columns if all(one < other for one, other in pairwise(column))]
    if not growing:
        raise VideoError(_why_not([(names[place], runs[place]) for place in order]))
    spans = [column[-1] - column[0] for column in growing]
    numbers = dict(zip(order, growing[spans.index(min(spans))], strict=True))
    return {image: numbers[place] for place, image in enumerate(images)}


def _runs(names: list[str]) -> list[list[int]]:
    """The numbers in each name; a time of day is one of them if all names have one."""
    stamps = [stamp for name in names if (stamp := _stamp(name))]
    if len(stamps) < len(names):
        return [_digits(name) for name in names]
    times = [_time(stamp) for stamp in stamps]
    order = sorted({*times})
    usual = median([after - before for before, after in pairwise(order)] or [1])
    numbers = {order[0]: 0}
    # step by step, as those of 33 and 34 milliseconds would add up to one too many
    for before, after in pairwise(order):
        numbers[after] = numbers[before] + max(1, round((after - before) / usual))
    return [
        [*_digits(stamp.string[: stamp.start()]), numbers[time], *_digits(stamp.string[stamp.end() :])]
        for stamp, time in zip(stamps, times, strict=True)
    ]


def _digits(text: str) -> list[int]:
    return [int(run) for run in re.findall("[0-9]+", text)]


def _stamp(name: str) -> re.Match[str] | None:
    for stamp in STAMP.finditer(name):
        try:
            _time(stamp)
        except ValueError:
            continue
        return stamp
    return None


def _time(stamp: re.Match[str]) -> int:
    """Microseconds."""
    year, month, day, hour, minute, second = (
        int(stamp[part] or 1) for part in ("year", "month", "day", "hour", "minute", "second")
    )
    time = datetime(year, month, day, hour, minute, second, int((stamp["fraction"] or "").ljust(6, "0")))
    return (time - datetime.min) // timedelta(microseconds=1)


def _why_not(images: list[tuple[str, list[int]]]) -> str:
    """Why images do not lie in one order; by their names and their numbers, sorted by these."""
    for (one, numbers), (other, others) in pairwise(images):
        if numbers == others:
            return (
                f"images {one!r} and {other!r} have the same number; give each frame of a video its own, as in "
                "frame_0001.jpg, and each video its own file or folder"
            )
    columns = list(zip(*(numbers for _, numbers in images), strict=True))
    last = max(place for place, column in enumerate(columns) if len({*column}) > 1)
    one, other = next((a, b) for (a, x), (b, y) in pairwise(images) if y[last] <= x[last])
    return (
        f"images seem to be of several clips, as the count of frames starts again from {one!r} to {other!r}; give each "
        "clip its own file or folder, or count frames through, as in frame_0001.jpg"
    )
