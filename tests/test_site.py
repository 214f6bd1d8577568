"""The documentation as a site, `mkdocs build`; needs the extra `docs`."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import amge

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.slow
SOURCE = re.compile(
    r"<(?:script|link|img|iframe|source|video|audio|embed|object|form)\b[^>]*?(?:src|href|data|action)=\"(.*?)\""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Built where no connection can be made, as a proxy that is not there makes sure."""
    for package in ("mkdocs", "material", "mkdocstrings_handlers.python", "latex2mathml"):
        pytest.importorskip(package)
    place = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(place)]
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    done = subprocess.run(command, cwd=ROOT, env=os.environ | nowhere, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def test_no_page_loads_anything_from_elsewhere(site):
    pages = {page: page.read_text(encoding="utf-8") for page in site.rglob("*.html")}
    assert len(pages) > 30
    for page, text in pages.items():
        assert not [source for source in SOURCE.findall(text) if "//" in source], page
        assert 'class="mermaid"' not in text, f"{page} would load what draws it from elsewhere"
    for style in site.rglob("*.css"):
        assert not re.search(r"(?:@import|url\()[\s\"']*(?:https?:)?//", style.read_text(encoding="utf-8")), style


def test_every_public_name_is_on_a_page(site):
    text = (site / "api" / "index.html").read_text(encoding="utf-8")
    assert [name for name in amge._HOMES if f'id="amge.{amge._HOMES[name]}.{name}"' not in text] == []
    for package in ("fusion", "hub", "skeleton.pose"):
        names = __import__(f"amge.{package}", fromlist=["__all__"]).__all__
        text = (site / "api" / package / "index.html").read_text(encoding="utf-8")
        assert [name for name in names if f">amge.{package}.{name}<" not in re.sub(r"\s", "", text)] == []


def test_equations_are_mathml_without_a_rest_of_tex(site):
    for name in ("backbones", "fusion", "distillation", "heads"):
        math = re.findall(r"<math.*?</math>", (site / "parts" / name / "index.html").read_text(encoding="utf-8"), re.S)
        assert math and not any("\\" in one or "<mi>&<" in one for one in math)


def test_the_quick_start_leads_to_pages_and_pictures_of_the_site(site):
    text = (site / "index.html").read_text(encoding="utf-8")
    for target in ("transm3e/", "squat.png", "CONTRIBUTING/", "examples/custom_parts.py"):
        assert f'"{target}"' in text and (site / target).exists()
