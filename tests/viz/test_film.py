from itertools import pairwise

import av
import numpy as np
import pytest

from amge.muscles import REGION_IDS
from amge.video.write import timed_video, write_video
from amge.viz import film as module
from amge.viz.film import HIGH, LABELS, MARGIN, PANEL, Board, Person, Track, film
from amge.viz.page import Page
from amge.viz.theme import LIGHT, THEMES
from amge.viz.timeline import Span

RED = np.zeros((48, 64, 3), np.uint8) + np.array((200, 0, 0), np.uint8)


def person(*probabilities, title="a squat", note="", **known):
    """Somebody in windows of 2 s every second, of which all regions have one probability, or None."""
    spans = [Span(i, i + 2.0, None if p is None else dict.fromkeys(REGION_IDS, p)) for i, p in enumerate(probabilities)]
    return Person(title, spans, [note] * len(spans), 0.5, **known)


def read(path):
    with av.open(str(path)) as container:
        return [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def near(colour, other, by=12):
    return np.abs(np.subtract(colour, other, dtype=int)).max() <= by


def test_the_frames_keep_their_times_and_the_cursor_moves_with_them(tmp_path):
    times = [0.0, 0.1, 0.3, 0.35, 0.8]
    with timed_video(tmp_path / "in.mkv", 64, 48, 10) as add:
        for time in times:
            add(RED, time)
    out, heard = tmp_path / "out.mp4", []
    film(out, tmp_path / "in.mkv", [person(0.9)], progress=lambda *seconds: heard.append(seconds))
    frames = read(out)
    assert [time for time, _ in frames] == pytest.approx(times, abs=2e-3)
    assert len(heard) == len(times) and heard[-1][1] == 2.0
    for time, image in frames:
        assert image.shape[0] % 2 == image.shape[1] % 2 == 0
        assert near(image[HIGH // 2, 100], RED[0, 0])
        left, right = LABELS, image.shape[1] - MARGIN
        line = image[HIGH + 20, left:right].astype(int)
        assert np.abs(line - LIGHT.ink).max(axis=1).argmin() == pytest.approx(time / 2 * (right - left), abs=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mkv", out.name]


def test_a_video_that_ends_early_leaves_nothing(tmp_path, monkeypatch):
    write_video(tmp_path / "in.mp4", np.stack([RED] * 5), 5)

    def ended(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        film(tmp_path / "out.mp4", tmp_path / "in.mp4", [person(0.9)], progress=ended)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_a_window_is_shown_while_its_middle_is_the_nearest():
    board = Board([person(0.9, None, 0.1)], (160, 120), LIGHT)
    panels = [board.at(seconds, RED)[:HIGH, 160:].copy() for seconds in (0, 1.4, 1.6, 2.4, 2.6, 4)]
    same = [np.array_equal(one, other) for one, other in pairwise(panels)]
    assert same == [True, False, True, False, True]
    row = board.at(0, RED)[HIGH + 20, LABELS:-MARGIN]
    long = len(row)
    assert near(row[int(0.2 * long)], LIGHT.shade(0.9, 0.5)) and near(row[int(0.9 * long)], LIGHT.inactive)
    assert near(row[int(0.5 * long)], LIGHT.paper)


@pytest.fixture
def texts(monkeypatch):
    """Where text is drawn: each page to the boxes `(left, top, right, bottom)` and what they say."""
    found, text = {}, Page.text

    def spied(self, at, said, size, fill, anchor="la", room=float("inf"), bold=False):
        wide = self.length(said, size)
        assert wide <= room, f"{said!r} is cut"
        left = at[0] - wide * {"l": 0, "m": 0.5, "r": 1}[anchor[0]]
        found.setdefault(self, []).append((left, at[1], left + wide, at[1] + size, said))
        text(self, at, said, size, fill, anchor, room, bold)

    monkeypatch.setattr(Page, "text", spied)
    return found


@pytest.mark.parametrize(
    ("size", "persons", "theme"), [((304, 540), 1, "light"), ((135, 540), 1, "dark"), ((960, 120), 3, "colour-blind")]
)
def test_no_text_is_cut_or_overlaps(size, persons, theme, texts):
    said = "doubtful: only the upper body is in the picture; more than one person is seen; nothing moves"
    everybody = [person(*[0.9] * 4, title=f"Person {n}", note=said, expected=["chest"]) for n in range(persons)]
    hour = [[Span(1000 * s, 1000 * s + 2000, p) for s, _, p, _ in each.spans] for each in everybody]
    everybody = [each._replace(spans=spans) for each, spans in zip(everybody, hour, strict=True)]
    Board(everybody, size, THEMES[theme]).at(4000, RED)
    assert len(texts) == persons + 1
    for page, boxes in texts.items():
        for number, (left, top, right, bottom, _) in enumerate(boxes):
            assert left >= 0 and right <= page.across and top >= 0 and bottom <= page.height
            for other in boxes[:number]:
                apart = left >= other[2] or other[0] >= right or top >= other[3] or other[1] >= bottom
                assert apart, (boxes[number], other)


def test_what_differs_is_marked_in_each_window():
    board = Board([person(0.9, 0.1, expected=["chest"])], (160, 120), LIGHT)
    for seconds, mark, other in ((0, LIGHT.unexpected, LIGHT.missing), (3, LIGHT.missing, LIGHT.unexpected)):
        panel = board.at(seconds, RED)[95:380, 160:].astype(int)
        found, none = ((np.abs(panel - of).max(axis=2) < 40).sum() for of in (mark, other))
        assert found > 5 * none + 20


def test_labels_that_are_no_muscles_are_a_list():
    spans = [Span(0, 2, {f"class {i}": i / 20 for i in range(20)})]
    image = Board([Person("a lunge", spans, [""], 0.5)], (160, 120), LIGHT).at(0, RED)
    assert image.shape[1] == 160 + PANEL


def test_a_track_holds_the_person_and_ends_where_they_are_gone():
    nowhere = [np.nan] * 4
    track = Track(np.array([[0, 0.2, 0.3, 0.4, 0.9], [1, 0.4, 0.3, 0.6, 0.9], [2, *nowhere], [9, 0.1, 0.1, 0.2, 0.2]]))
    left, top, right, bottom = track.at(0.5)
    assert left < 0.2 and right > 0.6 and top < 0.3 and bottom > 0.9
    assert np.abs(track.at(0.49) - track.at(0.51)).max() < 0.02
    assert track.at(1.8) is None and track.at(5.0) is None and track.at(12.5) is None
    assert track.at(9.0) is not None


def test_the_person_is_outlined_in_the_frame():
    places = np.array([[0, 0.4, 0.4, 0.6, 0.6], [2, 0.4, 0.4, 0.6, 0.6]])
    bare = Board([person(0.9)], (200, 200), LIGHT).at(1, RED)[:HIGH, :200].copy()
    boxed = Board([person(0.9, places=places)], (200, 200), LIGHT).at(1, RED)[:HIGH, :200]
    rows, columns = np.nonzero((bare != boxed).any(axis=2))
    top = (HIGH - 200) // 2
    assert 50 < columns.min() < 80 and 120 < columns.max() < 150
    assert 50 < rows.min() - top < 80 and 120 < rows.max() - top < 150
    assert (boxed[rows, columns] == module.PERSONS[0]).all(axis=1).any()
