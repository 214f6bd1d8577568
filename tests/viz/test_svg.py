import xml.etree.ElementTree as ET

import numpy as np
import pytest

from amge.viz.body_map import body_page
from amge.viz.page import save_page
from amge.viz.theme import DARK, LIGHT

SVG = "{http://www.w3.org/2000/svg}"
FRAMES = np.full((2, 30, 40, 3), 200, np.uint8)


@pytest.fixture(scope="module")
def page():
    windows = [(0, 10, {"chest": 0.9}), (5, 15, {"chest": 0.2})]
    return body_page({"chest": 0.9}, FRAMES, "a < b & c", windows=windows, width=320, theme="dark")


def test_an_svg_shows_what_the_image_shows(page, tmp_path):
    save_page(tmp_path / "map.svg", page)
    root = ET.parse(tmp_path / "map.svg").getroot()
    assert (int(root.get("width")), int(root.get("height"))) == page.finish().size
    said = [text.text for text in root.iter(f"{SVG}text")]
    assert {"a < b & c", "Front", "Back", "Chest", "90%", "Timeline", "0 - 10 s"} <= {*said}
    assert len([*root.iter(f"{SVG}image")]) == len(FRAMES)
    chest = [path for path in root.iter(f"{SVG}path") if path.findtext(f"{SVG}title") == "Chest"]
    assert {path.get("fill") for path in chest} == {"#{:02x}{:02x}{:02x}".format(*DARK.shade(0.9, 0.5))}


def test_its_text_takes_the_room_that_it_was_measured_to_take(page):
    """Whatever font the reader has."""
    for text in ET.fromstring(page.svg()).iter(f"{SVG}text"):
        shift = {"start": 0, "middle": 0.5, "end": 1}[text.get("text-anchor")]
        left = float(text.get("x")) - shift * float(text.get("textLength"))
        assert left >= 0 and left + float(text.get("textLength")) <= 1600


def test_an_svg_marks_what_differs_from_what_is_expected():
    page = body_page({"chest": 0.9, "calves": 0.1}, expected=["calves"])
    lines = [path for path in ET.fromstring(page.svg()).iter(f"{SVG}path") if path.get("stroke")]
    missing, unexpected = ("#{:02x}{:02x}{:02x}".format(*each) for each in (LIGHT.missing, LIGHT.unexpected))
    assert [path.get("stroke-dasharray") is None for path in lines if path.get("stroke") == missing] == [False]
    assert [path.get("stroke-dasharray") is None for path in lines if path.get("stroke") == unexpected] == [True]
