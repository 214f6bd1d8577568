import numpy as np
import pytest
from PIL import Image

from amge.live import Result
from amge.live.screen import BESIDE, HEIGHT, PAGE, fitted, follow
from amge.muscles import REGION_IDS
from amge.prediction import WindowPrediction


class Watched:
    """Two results, and the frame of a camera."""

    def __init__(self, model, broken=None):
        self.model, self.threshold, self.broken = model, 0.5, broken
        self.picture = np.full((90, 160, 3), 200, np.uint8)
        self.closed = False

    def __iter__(self):
        for end in (1.0, 2.0):
            if self.closed:
                return
            window = WindowPrediction(0.0, end, dict.fromkeys(REGION_IDS, 0.7), self.picture[None])
            yield Result(window, [], 0.1, 0, 0)
        if self.broken:
            raise self.broken

    def close(self):
        self.closed = True


class Screen:
    """Remembers what it is shown."""

    def __init__(self, open_for=1000):
        self.pictures, self.open_for = [], open_for

    def show(self, *pictures):
        self.pictures.append(pictures)
        return len(self.pictures) < self.open_for

    def close(self):
        self.pictures.append(None)


def test_the_frame_and_the_body_map_are_shown_and_each_result_is_heard(first_tiny_model):
    screen, heard = Screen(), []
    follow(Watched(first_tiny_model), screen, heard.append)
    assert [result.prediction.end for result in heard] == [1.0, 2.0]
    *shown, closed = screen.pictures
    assert closed is None
    assert [picture.size for picture in shown[0]] == [(BESIDE, HEIGHT), (PAGE, HEIGHT)]


def test_the_body_map_marks_what_differs_from_what_is_expected(first_tiny_model):
    shown = []
    for expected in (None, [*REGION_IDS], REGION_IDS[:3]):
        follow(Watched(first_tiny_model), screen := Screen(), lambda _: None, expected)
        shown.append(np.asarray(screen.pictures[-2][1])[100:-60])  # the bodies, without what explains the marks
    unmarked, as_expected, differing = shown
    assert np.array_equal(unmarked, as_expected) and not np.array_equal(unmarked, differing)


@pytest.fixture
def blank(monkeypatch):
    """No body maps, which take time."""
    monkeypatch.setattr("amge.live.screen.page_of", lambda *_: Image.new("RGB", (PAGE, HEIGHT)))


def test_closing_the_window_ends_it(first_tiny_model, blank):
    watched = Watched(first_tiny_model)
    follow(watched, Screen(open_for=1), lambda _: None)
    assert watched.closed


def test_what_goes_wrong_in_the_thread_is_raised(first_tiny_model, blank):
    with pytest.raises(ValueError, match="camera 0 is lost"):
        follow(Watched(first_tiny_model, ValueError("camera 0 is lost")), Screen(), lambda _: None)


@pytest.mark.parametrize(("height", "width"), [(90, 160), (160, 90), (1000, 20)])
def test_a_frame_keeps_its_shape_and_stays_inside(height, width):
    picture = np.asarray(fitted(np.full((height, width, 3), 255, np.uint8)))
    rows, columns = (picture[..., 0] > 0).any(axis=1).sum(), (picture[..., 0] > 0).any(axis=0).sum()
    assert picture.shape == (HEIGHT, BESIDE, 3)
    assert columns / rows == pytest.approx(width / height, rel=0.1)
    assert rows == HEIGHT or columns == BESIDE
