import re
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from amge.cli import app
from amge.demo.answer import ACTIVE, OUTLINES, answer, problem, shown
from amge.errors import VideoError
from amge.exercises import expect
from amge.muscles import REGION_IDS, REGION_NAMES
from amge.prediction import WindowPrediction, of_windows
from amge.video.write import write_video


def prediction(*windows, labels=REGION_IDS, **named):
    """Of a second for each of the windows, in each of which these labels are active; None: nobody is there."""
    found = []
    for start, active in enumerate(windows):
        values = {label: None if active is None else 0.9 if label in active else 0.1 for label in labels}
        verdict = {"verdict": "nobody", "reasons": ("nobody is seen",)} if active is None else named
        found.append(WindowPrediction(start, start + 1, values, None, **verdict))
    return of_windows(found, labels, 0.5, "toy", "clip.mp4")


def text(html):
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "side step.mp4"
    write_video(path, np.random.default_rng(0).integers(0, 256, (8, 48, 64, 3), np.uint8), 8)
    return path


def test_a_clip_gets_a_body_map_a_bar_for_each_region_and_its_frames(tiny_model, clip):
    html = answer(tiny_model, clip)
    assert html.count("<li") == len(REGION_IDS)
    assert html.count('<figure class="body"><img') == 1
    assert html.count('alt="A frame of the clip"') == 4
    assert "side step.mp4 · transm3e-lite" in text(html)
    assert str(clip.parent) not in html
    assert not re.search(r"(src|href)=.(?!data:)", html)


def test_a_clip_that_is_too_long_is_refused(tiny_model, clip):
    with pytest.raises(VideoError, match=r"side step.mp4 lasts 1 s, and 0 s are the most"):
        answer(tiny_model, clip, longest=0.4)


def test_an_exercise_that_is_not_known_is_refused_before_the_clip_is_read(tiny_model):
    with pytest.raises(ValueError, match="unknown exercise 'barbell squad'"):
        answer(tiny_model, "nowhere.mp4", "barbell squad")


def test_a_region_is_shown_where_the_model_sees_it(tiny_model, clip):
    html = answer(tiny_model, clip, region="biceps")
    assert html.count('alt="What speaks for Biceps at ') == 8
    assert re.search(r"Where the model looks Biceps: \d+%, (active|under the threshold)", text(html))
    assert not re.search(r"(src|href)=.(?!data:)", html)


@pytest.mark.parametrize("threshold", [pytest.param(0.0, marks=pytest.mark.slow), 1.0])
def test_what_is_at_work_is_shown_or_else_the_likeliest_region(tiny_model, clip, threshold):
    tiny_model.spec = tiny_model.spec.replace(threshold=threshold)
    likeliest, *others = tiny_model.predict(clip).top(20)
    html = answer(tiny_model, clip, region=ACTIVE)
    assert html.count("<details") == (1 if threshold else 1 + len(others)) and html.count("<details open") == 1
    assert f"<summary>{REGION_NAMES[likeliest[0]]}: " in html.split("<details open>")[1]


def test_a_region_that_is_not_known_is_refused_before_the_clip_is_read(tiny_model):
    with pytest.raises(ValueError, match="unknown region 'bicep'"):
        answer(tiny_model, "nowhere.mp4", region="bicep")


def test_a_model_that_cannot_be_looked_into_answers_all_the_same(tiny_model, clip):
    del tiny_model.backbone.watch
    tiny_model.predict_windows = lambda *given: iter([WindowPrediction(0, 1, dict.fromkeys(REGION_IDS, 0.6), None)])
    said = text(answer(tiny_model, clip, region="biceps"))
    assert "At work:" in said and "Where the model looks cannot be shown: " in said


def test_the_verdict_says_what_is_at_work_and_why_it_may_be_wrong():
    html = shown(prediction(["biceps"], verdict="doubtful", reasons=("nothing moves",)), {}, None)
    assert "At work: Biceps Doubtful: nothing moves" in text(html)


def test_where_nobody_is_seen_that_is_all_it_says():
    html = shown(prediction(None, None), {}, expect("barbell squat"))
    assert "Nobody is seen" in text(html)
    assert "<li" not in html and "score" not in html and "<img" not in html


def test_what_differs_from_an_exercise_is_said_and_marked():
    html = shown(prediction(["biceps", "quadriceps"]), {}, expect(["quadriceps", "gluteus"]))
    said = text(html)
    assert "Missing: Gluteus. Unexpected: Biceps." in said
    assert "Quadriceps as expected 90%" in said
    assert "Gluteus expected, not active 10%" in said
    assert "Biceps active, not expected 90%" in said and OUTLINES in said
    assert OUTLINES not in text(shown(prediction(["biceps"]), {}, expect(["biceps"])))
    pictures = [
        re.findall(r'src="([^"]+)"', each)[0] for each in (html, shown(prediction(["biceps", "quadriceps"]), {}, None))
    ]
    assert pictures[0] != pictures[1]


def test_several_windows_get_a_timeline():
    assert "Over time" not in shown(prediction(["biceps"]), {}, None)
    said = text(shown(prediction(["biceps"], None, []), {}, None))
    assert "Over time 0–1 s Biceps 90% 1–2 s nobody is seen 2–3 s –" in said


def test_labels_that_are_no_muscle_regions_get_bars_and_no_body_map():
    html = shown(prediction(["<arms>"], labels=("<arms>", "legs")), {}, None)
    assert html.count("<li") == 2 and "<figure" not in html and "&lt;arms&gt;" in html


def test_a_problem_names_the_file_without_its_folder_and_is_no_markup():
    html = problem(VideoError("/tmp/secret/<b>.mp4 is empty"), "/tmp/secret/<b>.mp4")
    assert "This does not work: &lt;b&gt;.mp4 is empty" in html and "secret" not in html


def test_without_gradio_one_line_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "amge.demo.page", raising=False)
    monkeypatch.setitem(sys.modules, "gradio", None)
    result = CliRunner().invoke(app, ["demo"])
    assert result.exit_code == 2
    assert result.output.startswith("error: the page needs Gradio") and "pip install 'amge[demo]'" in result.output
    assert result.output.count("\n") == 1


def test_a_model_that_is_not_there_is_one_line(tmp_path):
    result = CliRunner().invoke(app, ["demo", "--model", str(tmp_path / "none")])
    assert result.exit_code == 2 and "does not exist" in result.output
