"""The page in a real browser. Needs Gradio, Playwright and Chromium."""

import shutil
import threading
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
import torch

import amge
from amge.video.write import write_video

pytest.importorskip("gradio")
pytestmark = pytest.mark.slow
WAIT = 60_000
"""Milliseconds."""


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A folder with a clip, a black one, a long one and a text."""
    folder = tmp_path_factory.mktemp("clips")
    frames = np.random.default_rng(0).integers(0, 256, (8, 48, 64, 3), np.uint8)
    write_video(folder / "clip.mp4", frames, 8)
    write_video(folder / "black.mp4", np.zeros_like(frames), 8)
    write_video(folder / "long.mp4", np.tile(frames, (16, 1, 1, 1)), 8)
    (folder / "text.mp4").write_text("no video")
    return folder


@pytest.fixture(scope="module")
def uploads(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("uploads")
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def address(tmp_path_factory, tiny_spec, uploads):
    from amge.demo.page import serve

    torch.manual_seed(0)
    model = amge.assemble(tiny_spec.replace(evidence={"sure": 0.0, "detail": 3.0}))
    folder = model.save_pretrained(tmp_path_factory.mktemp("models") / "toy")
    blocks, address = serve(str(folder), wait=False)
    yield address
    blocks.close()


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        if not (path or Path(started.chromium.executable_path).exists()):
            pytest.skip("there is no Chromium")
        chromium = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(params=[1280, 390])
def page(request, browser, address):
    """The page on a desktop and on a phone, with the requests that it makes."""
    page = browser.new_page(viewport={"width": request.param, "height": 800})
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(address, timeout=WAIT)
    yield page
    page.close()


def look(page, clip, region=None):
    """What the page says of a clip."""
    if region:
        page.get_by_label("Show where the model looks").click()
        page.get_by_role("option", name=region, exact=True).click()
    page.locator("input[type=file]").first.set_input_files(clip, timeout=WAIT)
    page.get_by_label("Remove").or_(page.get_by_label("Clear")).first.wait_for(timeout=WAIT)
    page.get_by_role("button", name="Look").click()
    page.locator(".amge").wait_for(timeout=WAIT)
    return page.locator(".amge")


def test_a_clip_gets_a_body_map_and_bars_and_nothing_comes_from_elsewhere(page, clips, address, uploads):
    found = look(page, clips / "clip.mp4")
    assert found.locator("figure.body img").evaluate("image => image.naturalWidth") > 300
    assert found.locator("ul.bars li").count() == 20
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"
    assert [url for url in page.asked if not url.startswith((address, "data:", "blob:"))] == []
    assert not [*uploads.rglob("*.mp4")], "the clip is still there"


def test_a_long_clip_gets_a_timeline_and_a_region_is_shown_where_the_model_sees_it(page, clips, uploads):
    found = look(page, clips / "long.mp4", "For Biceps")
    assert found.locator("tr").count() == 3
    frames = found.locator("details[open] img")
    assert frames.count() == 8 and frames.last.is_visible()
    assert frames.last.evaluate("image => image.naturalWidth") > 100
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"
    found.locator("summary").click()
    assert not frames.last.is_visible()
    assert not [*uploads.rglob("*.mp4")], "the clip is still there"


@pytest.mark.parametrize("page", [1280], indirect=True)
@pytest.mark.parametrize(
    "name, said", [("text.mp4", "text.mp4 is not a video that FFmpeg can read"), ("black.mp4", "Nobody is seen")]
)
def test_a_clip_of_no_use_says_why(page, clips, uploads, name, said):
    assert said in look(page, clips / name).inner_text()
    assert not [*uploads.rglob("*.mp4")], "the clip is still there"


def test_the_same_clip_from_many_at_once_is_answered_to_each(address, clips, uploads):
    from gradio_client import Client, handle_file

    clients = [Client(address, verbose=False) for _ in range(2)]
    ready = threading.Barrier(len(clients))
    answers = []

    def ask(client):
        ready.wait()
        asked = client.submit(handle_file(clips / "clip.mp4"), model(client), None, "", api_name="/look")
        answers.append(asked.result(timeout=60)[0])

    threads = [threading.Thread(target=ask, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.count("<li") for answer in answers] == [20, 20]
    assert not [*uploads.rglob("*.mp4")], "a clip is still there"


def model(client):
    """The choice that the page begins with."""
    parameters = client.view_api(return_format="dict")["named_endpoints"]["/look"]["parameters"]
    return parameters[1]["parameter_default"]


def test_a_browser_may_load_from_nowhere_else(address):
    with urlopen(address) as answer:
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert address.startswith("http://127.0.0.1:")
