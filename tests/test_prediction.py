"""The answer of a model: a mapping that knows what it rests on."""

import json

import numpy as np
import pytest
import torch

import amge
from amge.evidence import Evidence
from amge.prediction import Prediction, WindowPrediction, of_windows, overall, ranked

LABELS = ("chest", "triceps", "calves")


def window(start, *values, verdict="ok", reasons=(), person=None, weight=1.0):
    probabilities = dict(zip(LABELS, values or (None,) * 3, strict=True))
    evidence = Evidence(seconds=2.0, person=0.9)
    return WindowPrediction(
        start, start + 2.0, probabilities, None, person, weight, evidence=evidence, verdict=verdict, reasons=(*reasons,)
    )


ONE = window(0.0, 0.9, 0.5, 0.1)
OTHER = window(1.0, 0.7, 0.1, 0.3, verdict="doubtful", reasons=["the picture is dark"])
EMPTY = window(2.0, verdict="nobody", reasons=["nobody is seen"])


def made(*windows, threshold=0.4, source="a/side_step.mp4"):
    return of_windows(windows, LABELS, threshold, "toy.tag", source)


def test_it_is_a_mapping():
    prediction = made(ONE, OTHER)
    assert dict(prediction) == pytest.approx({"chest": 0.8, "triceps": 0.3, "calves": 0.2})
    assert max(prediction, key=prediction.get) == "chest" and len(prediction) == 3 and "chest" in prediction
    assert prediction == dict(prediction) and list(prediction) == list(LABELS)
    with pytest.raises(KeyError):
        prediction["neck"]


def test_what_it_knows():
    prediction = made(ONE, OTHER)
    assert prediction.active == ["chest"] and prediction.with_threshold(0.25).active == ["chest", "triceps"]
    assert [name for name, _ in prediction.top(2)] == ["chest", "triceps"]
    assert prediction.windows == (ONE, OTHER) and prediction.persons[0] == prediction
    assert prediction.verdict == "doubtful" and prediction.reasons == ("the picture is dark",)
    assert made(ONE).verdict == "ok"


def test_windows_without_anybody_do_not_count():
    prediction = made(ONE, OTHER, EMPTY)
    assert prediction["chest"] == pytest.approx(0.8)
    assert prediction.reasons == ("the picture is dark", "nobody is seen in 1 of 3 windows")
    assert overall([ONE, ONE, OTHER])[0] == "ok"  # in a third of the windows alone


def test_doubts_of_one_kind_add_up_and_many_of_different_kinds_are_doubt():
    def doubt(text):
        return window(0.0, 0.1, 0.2, 0.3, verdict="doubtful", reasons=[text])

    shares = [doubt(f"somebody is seen in {30 + i} % of the frames only") for i in range(4)]
    assert overall(shares) == ("doubtful", ("somebody is seen in 32 % of the frames only",))
    verdict, reasons = overall([doubt("the picture is dark"), doubt("nothing moves"), doubt("the picture is blurred")])
    assert verdict == "doubtful" and len(reasons) == 3


def test_windows_without_anybody_belong_to_the_main_person():
    prediction = made(window(0.0, 0.1, 0.2, 0.3, person=4), EMPTY, EMPTY)
    assert prediction.person == 4 and len(prediction.windows) == 3
    assert prediction.reasons == ("nobody is seen in 2 of 3 windows",)
    with pytest.raises(ValueError, match="threshold must lie in"):
        prediction.with_threshold(7)


def test_nobody():
    prediction = made(EMPTY)
    assert (prediction.verdict, prediction.active, prediction.top()) == ("nobody", [], [])
    assert set(prediction.values()) == {None} and ranked(prediction) == []
    plain = json.loads(prediction.to_json())
    assert plain["regions"] == dict.fromkeys(LABELS) and plain["active"] == [] and plain["verdict"] == "nobody"
    assert plain["windows"][0]["regions"] == dict.fromkeys(LABELS)
    assert [row["probability"] for row in prediction.rows()] == [None] * 3
    assert "nobody is seen" in repr(prediction) and "nobody" in prediction._repr_html_()
    assert prediction.plot().size[0] > 0


def test_persons():
    prediction = made(
        window(0.0, 0.1, 0.2, 0.3, person=0), window(0.0, 0.9, 0.8, 0.7, person=1, weight=5.0), EMPTY, threshold=0.6
    )
    main, other = prediction.persons
    assert (main.person, other.person, prediction.person) == (1, 0, 1) and prediction["chest"] == 0.9
    assert {row["person"] for row in prediction.rows()} == {0, 1, None}
    assert [each["person"] for each in prediction.to_dict()["others"]] == [0]
    assert "1 more person" in repr(prediction) and main.others == ()


def test_text_of_it():
    prediction = made(ONE, OTHER)
    lines = repr(prediction).splitlines()
    assert lines[0] == "Prediction of a/side_step.mp4 by toy.tag" and len(lines) <= 6
    assert "doubtful; the picture is dark" in lines[1] and "chest" in lines[2]
    page = made(ONE, source="<script>.mp4")._repr_html_()
    assert "<script>" not in page and "Chest" in page
    plain = json.loads(prediction.to_json())
    assert (plain["model"], plain["threshold"], plain["video"]) == ("toy.tag", 0.4, "a/side_step.mp4")
    assert plain["windows"][1]["evidence"]["person"] == 0.9


def test_a_table_of_pandas(monkeypatch):
    pandas = pytest.importorskip("pandas")
    table = made(ONE, OTHER).to_frame()
    assert isinstance(table, pandas.DataFrame) and len(table) == 6
    assert list(table.columns[:5]) == ["video", "start", "end", "region", "probability"]


def test_without_pandas(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        made(ONE).to_frame()


def test_other_labels_are_bars():
    classes = of_windows([WindowPrediction(0.0, 1.0, {"row": 0.4, "rest": 0.6}, None)], ("row", "rest"), 0.5, "toy")
    assert classes.plot("mine").size == made(ONE).plot().size


# From a model


def video(count=8, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 40, 48, 3), dtype=np.uint8)


def test_a_list_of_videos_gives_a_list(tiny_model):
    one, other = tiny_model.predict([video(), video(seed=1)])
    assert isinstance(one, Prediction) and one == tiny_model.predict(video()) and one != other
    assert tiny_model.predict([]) == []


def test_a_threshold_of_ones_own(tiny_model):
    assert len(tiny_model.predict(video(), threshold=0.0).active) == 20
    assert tiny_model.predict(video(), threshold=np.float32(0.5)).threshold == 0.5
    for wrong in (2, "much", float("nan")):
        with pytest.raises(ValueError, match="threshold must lie in"):
            tiny_model.predict(video(), threshold=wrong)


def test_a_path_given_to_the_model_itself(tiny_model):
    for source in ("squat.mp4", ["squat.mp4"], video()):
        with pytest.raises(ValueError, match=r"a model takes a clip, a tensor.*model.predict") as error:
            tiny_model(source)
        assert len(str(error.value).splitlines()) == 1


def test_an_untrained_model_says_so_once(tiny_spec, tmp_path):
    model = amge.assemble(tiny_spec)
    assert not model.trained and "untrained" in repr(model)
    with pytest.warns(UserWarning, match="untrained: its head has random weights") as caught:
        model.predict(video())
    assert [warning.filename for warning in caught] == [__file__]
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(video())
        trained = amge.from_pretrained(model.save_pretrained(tmp_path / "model"))
        assert trained.trained and "untrained" not in repr(trained)
        trained.predict(video())
        copied = amge.assemble(tiny_spec)
        copied.load_state_dict(trained.state_dict())
        assert copied.trained
        copied.predict(video())
    learned = amge.assemble(tiny_spec)
    optimizer = torch.optim.AdamW(learned.parameters(), 1e-4)
    for _ in range(10):
        learned(torch.randn(1, 3, 4, 64, 64)).sum().backward()
        optimizer.step()
    assert learned.trained
    for dtype in (torch.half, torch.bfloat16):
        assert not amge.assemble(tiny_spec).to(dtype).trained
    aligned = amge.assemble(tiny_spec.replace(head="class-aligned", head_args={}))
    assert not aligned.trained  # it has no parameters: its tokens are looked at
    trained.reset_head(3)
    assert not trained.trained


def test_models_describe_themselves_in_short(tiny_model):
    for model in (tiny_model, amge.build("st-gcn-tiny"), amge.build("all-ones")):
        lines = repr(model).splitlines()
        assert len(lines) < 10 and model.spec.name in lines[0]
        assert any(line.split() and line.split()[0] == "labels" for line in lines)
    assert "neck_head" in repr(tiny_model) and "4 frames of 64 x 64" in repr(tiny_model)
    assert "encoder" in repr(tiny_model.backbone)
    by_hand = amge.MuscleModel(tiny_model.backbone, tiny_model.bank, tiny_model.fusion, tiny_model.head)
    assert "by hand" in repr(by_hand)
    assert amge.build("all-ones").trained  # there is nothing to train


def test_windows_are_equal_whatever_their_pictures():
    from dataclasses import replace

    assert replace(ONE, frames=np.zeros((2, 4, 4, 3), np.uint8)) == replace(ONE, frames=np.ones((3, 4, 4, 3), np.uint8))
    assert ONE != OTHER
