"""What to expect of an exercise, and what differs from it."""

import pytest

from amge.exercises import Alert, compare, exercise, known
from amge.muscles import REGION_IDS
from amge.prediction import Prediction
from amge.synthetic import EXERCISES


def prediction(threshold=0.5, **values):
    return Prediction(dict.fromkeys(REGION_IDS, 0.0) | values, threshold, (), "toy", "a/video.mp4")


NOBODY = Prediction(dict.fromkeys(REGION_IDS), 0.5, (), "toy", "a/empty.mp4", verdict="nobody")


def test_the_table_has_the_open_exercises_and_the_rendered_ones():
    table = known()
    assert sum(each.source == "free-exercise-db" for each in table.values()) == 716
    assert {*EXERCISES} <= {*table}
    assert all(each.regions and {*each.regions} <= {*REGION_IDS} for each in table.values())


@pytest.mark.parametrize("name", ["Barbell Squat", "barbell squat", "barbell-squats", " BARBELL_SQUAT "])
def test_capitals_hyphens_and_a_plural_make_no_difference(name):
    assert exercise(name) is known()["Barbell Squat"]


@pytest.mark.parametrize("name, meant", [("push up", "Pushups"), ("Squats - With Bands", "Squats - With Bands")])
def test_words_may_be_joined_and_a_name_spelled_exactly_is_meant(name, meant):
    assert exercise(name).name == meant


@pytest.mark.parametrize("name, offered", [("barbel squat", "'Barbell Squat'"), ("sqat", "'squat'"), ("", "valid: ")])
def test_an_unknown_exercise_offers_close_ones(name, offered):
    with pytest.raises(ValueError, match="unknown exercise") as error:
        exercise(name)
    assert offered in str(error.value) and "\n" not in str(error.value)


def test_regions_are_matched_missing_or_unexpected():
    found = compare(prediction(quadriceps=0.9, gluteus=0.2, chest=0.6, biceps=0.4), "squat")
    assert found.expected == ("hamstring", "quadriceps", "gluteus")
    assert (found.matched, found.missing, found.unexpected) == (("quadriceps",), ("hamstring", "gluteus"), ("chest",))
    assert [found.mark(name) for name in ("quadriceps", "gluteus", "chest", "biceps")] == [
        "ok", "missing", "unexpected", "",
    ]  # fmt: skip
    assert str(found) == "expected squat: score 0.28; missing: hamstring, gluteus; unexpected: chest"


def test_the_score_is_the_soft_jaccard_index():
    assert compare(prediction(quadriceps=0.9, gluteus=0.2, chest=0.6), "squat").score == pytest.approx(1.1 / 3.6)
    assert compare(prediction(quadriceps=1, gluteus=1, hamstring=1), "squat").score == 1
    assert compare(prediction(chest=1), "squat").score == 0


def test_each_region_has_its_own_threshold():
    thresholds = dict.fromkeys(REGION_IDS, 0.5) | {"gluteus": 0.1, "chest": 0.7}
    found = compare(prediction(thresholds, quadriceps=0.9, gluteus=0.2, chest=0.6), ["quadriceps", "gluteus"])
    assert (found.missing, found.unexpected) == ((), ())


def test_a_reference_is_expected_as_it_is():
    reference = prediction(quadriceps=0.7, gluteus=0.3)
    assert compare(reference, reference).score == 1
    found = compare(prediction(quadriceps=0.5, gluteus=0.6), reference)
    assert (found.matched, found.unexpected, found.score) == (("quadriceps",), ("gluteus",), pytest.approx(0.8 / 1.3))
    assert found.name == "a/video.mp4"


def test_where_nobody_is_seen_there_is_no_score():
    found = compare(NOBODY, "squat")
    assert found.score is None and not found.missing and found.to_dict()["expected"]
    with pytest.raises(ValueError, match=r"a/empty\.mp4: nobody is seen in the reference"):
        compare(prediction(), NOBODY)


@pytest.mark.parametrize("expected, said", [([], "no region"), (["thigh"], "unknown muscle region 'thigh'")])
def test_what_can_not_be_expected(expected, said):
    with pytest.raises(ValueError, match=said):
        compare(prediction(), expected)


def test_a_model_of_other_labels_is_told():
    with pytest.raises(ValueError, match="squat works hamstring, which is none of the model's 2 labels"):
        compare(Prediction({"yes": 0.5, "no": 0.5}, 0.5, (), "toy"), "squat")


def test_an_alert_waits_until_k_of_n_windows_agree():
    alert = Alert(["chest"], 0.5, k=3, n=4)
    good, bad = prediction(chest=1), prediction(chest=1, calves=1)
    told = [[str(change) for change in alert.update(window)] for window in (bad, good, bad, bad, good, bad, good, good)]
    on = ["Calves: is active and should not be"]
    assert told == [[], [], [], on, [], [], [], ["Calves: as expected again"]] and not alert.on


def test_windows_without_anybody_count_for_nothing():
    alert = Alert(["chest"], 0.5, k=2, n=2)
    assert [alert.update(window) for window in (prediction(), NOBODY)] == [[], []]
    assert alert.update(prediction()) == [("chest", "missing", True)] and alert.on == {("chest", "missing")}


def test_an_alert_needs_a_majority():
    with pytest.raises(ValueError, match="k=2 and n=4"):
        Alert("squat", 0.5, k=2, n=4)
