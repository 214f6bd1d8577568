import numpy as np
import pytest

from amge.muscles import REGION_IDS
from amge.viz.bars import bars
from amge.viz.body_map import draw
from amge.viz.page import INACTIVE, shade
from amge.viz.timeline import COLUMNS, ROWS, Span, few, lasting, merged, timeline

WIDTH = 800
RED = np.zeros((6, 30, 40, 3), np.uint8) + np.array((255, 0, 0), np.uint8)


def cells(picture, labels, columns, top=122):
    """The colour `(labels, columns, 3)` near the left edge of each cell, where no text is."""
    pixels = np.asarray(picture)
    pitch = (1544 - 264 + 6) / columns
    xs = [round((264 + column * pitch + 12) * WIDTH / 1600) for column in range(columns)]
    ys = [round((top + row * 27 + 12) * WIDTH / 1600) for row in range(labels)]
    return pixels[np.ix_(ys, xs)].astype(int)


def near(colour, other):
    return np.abs(np.subtract(colour, other)).max() <= 2


def test_a_cell_for_each_window_and_label():
    """The likeliest label is in the first row; grey under the threshold, blank where nothing was predicted."""
    windows = [(0, 10, {"row": 0.2, "lunge": 0.9}), (5, 15, None), (10, 20, {"row": 0.6, "lunge": 0.5})]
    shown = cells(timeline([Span(*window) for window in windows], threshold=0.6, width=WIDTH), 2, 3)
    expected = [[shade(0.9, 0.6), (255, 255, 255), INACTIVE], [INACTIVE, (255, 255, 255), shade(0.6, 0.6)]]
    for row, line in zip(shown, expected, strict=True):
        for colour, wanted in zip(row, line, strict=True):
            assert near(colour, wanted)


def test_a_threshold_for_each_label():
    shown = cells(timeline([Span(0, 1, {"a": 0.4, "b": 0.5})], {"a": 0.3, "b": 0.6}, WIDTH), 2, 1)
    assert near(shown[0, 0], shade(0.4, 0.3)) and near(shown[1, 0], INACTIVE)


def test_many_windows_share_columns_which_show_the_highest():
    windows = [Span(5 * i, 5 * i + 10, {"a": 0.9 if i == 29 else 0.1}) for i in range(30)]
    shown = cells(timeline(windows, width=WIDTH), 1, 10)
    assert all(near(colour, INACTIVE) for colour in shown[0, :-1]) and near(shown[0, -1], shade(0.9, 0.5))
    assert timeline(windows[:COLUMNS], width=WIDTH).size == timeline(windows, width=WIDTH).size


def test_neighbours_in_one_column():
    spans = [Span(0, 10, {"a": 0.1, "b": 0.8}, RED), Span(5, 15), Span(10, 20, {"a": 0.3, "b": 0.2})]
    assert merged(spans)[:3] == (0, 20, {"a": 0.3, "b": 0.8}) and merged(spans).frames is RED
    assert merged(spans[1:2]) == (5, 15, None, None)


def test_frames_lie_above_the_cells():
    spans = [Span(0, 10, {"a": 0.1}, RED), Span(5, 15, {"a": 0.2})]
    picture = np.asarray(timeline(spans, width=WIDTH)).astype(int)
    rows, columns = np.nonzero((picture == (255, 0, 0)).all(axis=2))
    assert rows.min() >= 118 / 2 - 1 and rows.max() <= 212 / 2 + 1
    assert columns.min() >= 264 / 2 - 1 and columns.max() <= (264 + 643) / 2
    assert timeline([span._replace(frames=None) for span in spans], width=WIDTH).height == len(picture) - 104 / 2


def test_frames_that_fit():
    numbered = np.arange(12, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 10, 20, 3), np.uint8)
    assert few(numbered, 6.5)[:, 0, 0, 0].tolist() == [2, 6, 10]
    assert few(numbered, 0.5)[:, 0, 0, 0].tolist() == [6]
    assert len(few(numbered, 1000)) == 12


@pytest.mark.parametrize(
    ("start", "end", "whole", "said"),
    [
        (0, 10, 90, "0 - 10 s"),
        (2.5, 7.5, 20, "2.5 - 7.5 s"),
        (65, 75, 100, "1:05 - 1:15"),
        (3725, 3735, 4000, "1:02:05 - 1:02:15"),
    ],
)
def test_times(start, end, whole, said):
    assert lasting(Span(start, end), whole) == said


def test_more_labels_than_rows():
    spans = [Span(0, 10, {f"class_{i}": i / 100 for i in range(60)})]
    high = timeline([Span(0, 10, {f"class_{i}": i / 100 for i in range(ROWS)})], width=WIDTH).height
    picture = timeline(spans, threshold=0.5, width=WIDTH)
    assert picture.height == high
    assert near(cells(picture, ROWS, 1)[0, 0], shade(0.59, 0.5))


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        ([], "needs a window with probabilities"),
        ([Span(0, 1), Span(1, 2)], "needs a window with probabilities"),
        ([Span(0, 1, {"a": 0.1}), Span(1, 2, {"b": 0.1})], "only some of these have a, b"),
        ([Span(0, 1, {"a": 1.1})], "the probability of label 'a' must lie in 0..1"),
        ([Span(0, 1, {"a": 0.1}, np.zeros((2, 4, 4)))], "expected uint8 frames"),
    ],
)
def test_what_cannot_be_drawn_is_named(windows, message):
    with pytest.raises(ValueError, match=message):
        timeline(windows)


# Under other pictures


def test_a_timeline_under_the_body_map_and_under_bars():
    regions = dict.fromkeys(REGION_IDS, 0.7)
    windows = [Span(0, 10, regions), Span(5, 15, regions)]
    alone = timeline(windows, 0.5, WIDTH)
    for drawn in (draw(regions, width=WIDTH, windows=windows), bars(regions, width=WIDTH, windows=windows)):
        assert drawn.size == (WIDTH, 450 + alone.height)
        assert drawn.crop((0, 450, *drawn.size)).tobytes() == alone.tobytes()


# Bars


def test_bars_are_as_long_as_probabilities_and_grey_under_the_threshold():
    pixels = np.asarray(bars({"lunge": 0.75, "row": 0.25}, width=1600)).astype(int)
    active, inactive = ((np.abs(pixels - shade(p, 0.5)).max(axis=2) <= 2) for p in (0.75, 0.25))
    left, right = 56, 1544
    rows = [row for row in range(140, 300) if active[row].sum() > 200]
    assert rows and active[rows[len(rows) // 2]].sum() == pytest.approx(0.75 * (right - left), abs=12)
    rows = [row for row in range(rows[-1] + 20, 400) if inactive[row].sum() > 200]
    assert rows and inactive[rows[len(rows) // 2]].sum() == pytest.approx(0.25 * (right - left), abs=12)


def test_bars_beside_frames():
    picture = np.asarray(bars({"lunge": 0.75}, RED, "a title", width=WIDTH)).astype(int)
    assert picture.shape == (450, WIDTH, 3)
    columns = np.nonzero((picture == (255, 0, 0)).all(axis=2))[1]
    assert columns.min() >= 28 and columns.max() < 268


def test_bars_of_many_labels():
    few, many = ({f"class_{i}": 1 - i / 100 for i in range(count)} for count in (16, 50))
    one, other = (np.asarray(bars(each, width=WIDTH)) for each in (few, many))
    assert (one[70:] == other[70:]).all() and not (one == other).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"probabilities": {"a": -1}}, "'a' must lie in 0..1"),
        ({"probabilities": {"a": 0.5}, "threshold": {}}, "no threshold for label 'a'"),
        ({"probabilities": {"a": 0.5}, "frames": np.zeros((4, 4, 3), np.uint8)}, "expected uint8 frames"),
        ({"probabilities": {"a": 0.5}, "width": 10}, "at least 320"),
    ],
)
def test_bars_that_cannot_be_drawn(arguments, message):
    with pytest.raises(ValueError, match=message):
        bars(**arguments)
