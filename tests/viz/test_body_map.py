import gc
import weakref

import numpy as np
import pytest
from PIL import Image, ImageDraw

from amge.muscles import REGION_IDS, REGIONS
from amge.viz.body_map import bodies, body_page, colour, curves, draw, save
from amge.viz.body_shapes import BACK, FINGERS, FRONT, SILHOUETTE
from amge.viz.page import INACTIVE, shade
from amge.viz.theme import THEMES, contrast

WIDTH = 480
SPLIT, END, TOP, BOTTOM = (round(x * WIDTH / 1600) for x in (586, 1150, 136, 846))


def figures(**probabilities):
    """The front and the back figure, as int arrays `(H, W, 3)`."""
    pixels = np.asarray(draw(probabilities, width=WIDTH)).astype(int)[TOP:BOTTOM]
    return pixels[:, :SPLIT], pixels[:, SPLIT:END]


def mask(*shapes, scale=2):
    """The pixels `(H, W)` that shapes cover, `scale` pixels to a unit."""
    image = Image.new("1", (400 * scale, 800 * scale))
    for shape in shapes:
        for curve in curves(shape):
            ImageDraw.Draw(image).polygon([(float(x), float(y)) for x, y in np.add(curve, (200, 20)) * scale], 1)
    return np.asarray(image)


@pytest.fixture(scope="module")
def idle():
    return figures()


@pytest.mark.parametrize("region", REGIONS, ids=lambda region: region.id)
def test_a_region_colours_the_sides_it_is_on_inside_the_body(region, idle):
    for side, before, after in zip(("front", "back"), idle, figures(**{region.id: 1}), strict=True):
        changed = (before != after).any(axis=2)
        assert (changed.sum() > 10) == (region.side in (side, "both"))
        assert not (changed & (before == 255).all(axis=2)).any()


def test_shapes_are_the_regions_of_each_side():
    for side, shapes in (("front", FRONT), ("back", BACK)):
        assert set(shapes) - {""} == {region.id for region in REGIONS if region.side in (side, "both")}


@pytest.mark.parametrize("shapes", [FRONT, BACK], ids=["front", "back"])
def test_muscles_lie_on_the_body_and_side_by_side(shapes):
    body, taken = mask(SILHOUETTE), np.zeros_like(mask(SILHOUETTE))
    for name in shapes:
        muscle = mask(*shapes[name])
        assert (muscle & ~body).sum() < 0.2 * muscle.sum(), name
        assert (muscle & taken).sum() < 0.04 * muscle.sum(), name
        taken |= muscle


def test_the_body_is_symmetrical(idle):
    for shape in (SILHOUETTE, *FINGERS, *sum((*FRONT.values(), *BACK.values()), ())):
        right, left = curves(shape)[0], curves(shape)[-1] * (-1, 1)
        assert np.allclose(np.sort(right, axis=0), np.sort(left, axis=0))
    for figure in idle:
        columns = np.flatnonzero((figure < 255).any(axis=(0, 2)))
        body = figure[:, columns[0] : columns[-1] + 1]
        assert np.abs(body - body[:, ::-1]).mean() < 4


def test_colours_start_neutral_and_darken():
    assert max(colour(0.05)) - min(colour(0.05)) < 30
    lightness = [np.dot(colour(p), (0.3, 0.6, 0.1)) for p in np.linspace(0.25, 1, 16)]
    assert (np.diff(lightness) < 0).all()


def test_a_region_under_the_threshold_looks_as_if_it_were_not_there(idle):
    for p, there in ((0.49, False), (0.5, True)):
        for before, after in zip(idle, figures(chest=p, latissimus=p), strict=True):
            assert (before != after).any() == there


def test_active_regions_are_coloured_however_low_their_threshold():
    for p in (0.0, 0.06, 0.2, 1.0):
        red, _, blue = shade(p, threshold=p)
        assert red - blue > 90 and shade(p, threshold=p + 0.01) == INACTIVE
    assert max(INACTIVE) - min(INACTIVE) < 20
    pixels = np.asarray(draw({"chest": 0.06}, threshold=0.05, width=WIDTH)).astype(int)[TOP:BOTTOM, :SPLIT]
    assert (np.abs(pixels - shade(0.06, 0.05)).max(axis=2) <= 2).sum() > 500


def test_the_scale_is_grey_up_to_the_threshold():
    line = np.asarray(draw({"chest": 0.5}, threshold=0.6, width=1600)).astype(int)[772, 1224:1544]
    grey = (np.abs(line - INACTIVE).max(axis=1) <= 2).sum()
    assert grey == pytest.approx(0.6 * 320, abs=2)


def test_bodies_alone_are_refused_thresholds_of_no_region_and_marked():
    plain, marked = (np.asarray(bodies({"biceps": 0.9}, expected=expected)) for expected in (None, ["chest"]))
    assert plain.shape == marked.shape == (700, 640, 3) and not np.array_equal(plain, marked)
    with pytest.raises(ValueError, match="unknown muscle region 'arms'"):
        bodies({"biceps": 0.9}, {"biceps": 0.5, "arms": 0.5})


@pytest.mark.parametrize("theme", THEMES)
def test_regions_that_differ_from_what_is_expected_are_outlined(theme):
    values, colours = {"chest": 0.9, "biceps": 0.9, "quadriceps": 0.1, "calves": 0.1}, THEMES[theme]
    marks = []
    for expected in (None, ["chest", "biceps"], ["chest"], ["chest", "biceps", "quadriceps"]):
        pixels = np.asarray(draw(values, width=1600, theme=theme, expected=expected))[140:815, :1150].astype(int)
        marks.append([(np.abs(pixels - of).max(axis=2) <= 2) for of in (colours.missing, colours.unexpected)])
    assert not any(mark.sum() > 60 for both in marks[:2] for mark in both)
    (missing, unexpected), (dashed, nothing) = marks[2:]
    assert unexpected.sum() > 250 and missing.sum() < 60 and dashed.sum() > 250 and nothing.sum() < 60
    assert np.nonzero(unexpected)[0].mean() < 260 < 340 < np.nonzero(dashed)[0].mean()


def test_marks_show_against_what_they_are_on():
    for theme in THEMES.values():
        assert contrast(theme.missing, theme.inactive) > 3 and contrast(theme.missing, theme.paper) > 4.5
        assert contrast(theme.unexpected, theme.paper) > 4.5


@pytest.mark.parametrize("shape", [(1, 90, 160, 3), (8, 160, 90, 3), (16, 64, 64, 3), (3, 1, 50, 3)])
def test_frames_are_shown_left_of_the_body(shape):
    red = np.zeros(shape, dtype=np.uint8)
    red[..., 0] = 255
    picture = np.asarray(draw({"chest": 0.4}, red, title="x" * 100, width=WIDTH)).astype(int)
    assert picture.shape == (270, WIDTH, 3)
    rows, columns = np.nonzero((picture == (255, 0, 0)).all(axis=2))
    assert rows.min() >= TOP and rows.max() < 255
    assert columns.min() >= 16 and columns.max() < 162


def test_long_titles_keep_the_margin():
    picture = np.asarray(draw({}, title="A \n title " * 30, width=WIDTH))
    assert (picture[:, -16:] == 255).all()
    assert (picture[10:25] < 255).any()


@pytest.mark.parametrize("width", [320, 641, 1600])
def test_the_picture_is_16_by_9(width):
    picture = draw(dict.fromkeys(REGION_IDS, 1.0), width=width, threshold=dict.fromkeys(REGION_IDS, 0.3))
    assert (picture.mode, picture.size) == ("RGB", (width, round(width * 9 / 16)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"probabilities": {"bicep": 0.5}}, "did you mean 'biceps'"),
        ({"probabilities": {"biceps": 1.1}}, "'biceps' must lie in 0..1"),
        ({"probabilities": {"biceps": float("nan")}}, "'biceps' must lie in 0..1"),
        ({"probabilities": {"biceps": 0.5}, "threshold": 2.0}, "threshold of muscle region 'biceps'"),
        ({"probabilities": {"biceps": 0.5}, "threshold": {"chest": 0.5}}, "no threshold for muscle region 'biceps'"),
        ({"probabilities": {}, "frames": np.zeros((8, 4, 4))}, "expected uint8 frames"),
        ({"probabilities": {}, "frames": np.zeros((0, 4, 4, 3), np.uint8)}, "expected uint8 frames"),
        ({"probabilities": {}, "width": 10}, "at least 320"),
    ],
)
def test_what_cannot_be_drawn_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        draw(**arguments)


@pytest.mark.parametrize("suffix", ["png", "jpg", "JPEG", "webp"])
def test_save_writes_the_picture_alone(tmp_path, suffix):
    path = tmp_path / f"picture.{suffix}"
    path.write_text("old")
    save(path, Image.new("RGB", (32, 18)))
    with Image.open(path) as image:
        assert image.size == (32, 18)
    assert list(tmp_path.iterdir()) == [path]


def test_a_save_that_fails_leaves_everything_as_it_was(tmp_path):
    old, folder = tmp_path / "old.jpg", tmp_path / "folder.png"
    old.write_text("old")
    folder.mkdir()
    for path, mode, message in (
        (tmp_path / "picture.gif", "RGB", "unknown picture format '.gif'"),
        (tmp_path / "nowhere" / "picture.png", "RGB", "there is no folder"),
        (old, "RGBA", "cannot save"),
        (folder, "RGB", "cannot save"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            save(path, Image.new(mode, (32, 18)))
        assert "\n" not in str(error.value)
    assert sorted(tmp_path.iterdir()) == [folder, old]
    assert old.read_text() == "old"


def test_the_pixels_of_a_page_do_not_wait_for_the_garbage_collector():
    gc.disable()
    try:
        page = weakref.ref(body_page({"biceps": 0.9}).image)
        assert page() is None
    finally:
        gc.enable()
