"""Temperature and thresholds from logits whose truth is known, and the command that writes them."""

import json
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")
from typer.testing import CliRunner

import amge
from amge.calibrate import FEWEST, GRID, calibrate, probabilities, thresholds
from amge.cli import app
from amge.metrics import calibration, expected_calibration_error, f1_scores

RARE = 7


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def known(samples=8000, regions=8, seed=0):
    """Logits and truths that are drawn by them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-1.5, 2, (samples, regions))
    return logits, (rng.random(logits.shape) < sigmoid(logits)).astype(int)


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.7, 4.0])
def test_the_temperature_of_logits_that_are_too_large_or_too_small(factor):
    logits, targets = known()
    found = calibrate(targets, factor * logits).temperature
    assert found == pytest.approx(factor, rel=0.02)
    before, after = (expected_calibration_error(targets, sigmoid(factor * logits / t)) for t in (1.0, found))
    assert after < 0.01 and (factor == 1.0 or after < before / 3)


def test_views_of_a_sample_are_averaged_after_the_sigmoid():
    logits, targets = known(3000)
    rng = np.random.default_rng(1)
    row = rng.permutation(np.arange(3000).repeat(2))
    views = logits[row]
    assert probabilities(views, 1.0, row) == pytest.approx(sigmoid(logits))
    assert calibrate(targets, 2 * views, row)[0] == calibrate(targets, 2 * logits)[0]
    two = probabilities(np.array([[0.0], [2.0]]), 2.0, np.array([0, 0]))
    assert two == pytest.approx((0.5 + sigmoid(1.0)) / 2)


def test_thresholds_raise_f1_on_samples_that_they_were_not_chosen_on():
    logits, targets = known()
    scores, limits = sigmoid(logits), thresholds(targets[:4000], sigmoid(logits[:4000]))
    one, own = (f1_scores(targets[4000:], scores[4000:], limit) for limit in (0.5, limits))
    assert own["macro"] > one["macro"] + 0.02 and own["micro"] > one["micro"] + 0.02
    assert set(limits) <= set(GRID)


def test_a_region_that_is_called_too_probable_has_a_higher_threshold():
    logits, targets = known()
    scores = sigmoid(logits)
    scores[:, 2] = scores[:, 2] ** 0.25
    limits = thresholds(targets, scores)
    assert limits[2] > 0.7 and (np.delete(limits, 2) < 0.5).all()


def test_a_rare_region_takes_the_common_threshold_and_a_small_one_stays_near():
    """Of a region whose few positives are all at the very top; alone it would go there."""
    logits, targets = known()
    scores = sigmoid(logits)
    common = thresholds(targets.reshape(-1, 1), scores.reshape(-1, 1))[0]
    for positives in (FEWEST - 1, FEWEST + 2):
        targets[:, RARE], scores[:, RARE] = 0, 0.01
        targets[:positives, RARE], scores[:positives, RARE] = 1, 0.99
        scores[positives : 2 * positives, RARE] = 0.9
        found = thresholds(targets, scores)[RARE]
        assert found == pytest.approx(common, abs=0.01) if positives < FEWEST else common < found < 0.99


def test_what_does_not_fit_is_refused():
    for targets, logits, message in (
        (np.zeros((3, 2)), np.zeros((3, 2)), "no region occurs"),
        (np.ones((3, 2)), np.zeros((2, 2)), "one shape"),
        (np.ones((3, 2)), np.full((3, 2), np.nan), "NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            calibrate(targets, logits)


def test_extreme_logits_give_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = calibrate(np.eye(4, dtype=int), 2000.0 * np.eye(4) - 1000)
    assert np.isfinite(found.temperature) and np.isfinite(found.thresholds).all()


def test_expected_calibration_error_by_hand():
    targets, scores = np.array([[1], [0], [1], [1]]), np.array([[0.31], [0.33], [0.91], [0.99]])
    # parts 4/15..5/15: said 0.32, true 0.5; 13/15..14/15: 0.91 and 1; 14/15..1: 0.99 and 1
    assert expected_calibration_error(targets, scores) == pytest.approx((2 * 0.18 + 0.09 + 0.01) / 4)
    assert expected_calibration_error(targets, scores, bins=1) == pytest.approx(0.75 - 0.635)
    assert calibration(targets, scores)[1] == expected_calibration_error(targets, scores)


# The command


@pytest.fixture(scope="module")
def calibrated(first_tiny_model, prepared, tmp_path_factory):
    """A checkpoint, what the command said of it, and what it wrote."""
    pytest.importorskip("lightning")
    place = tmp_path_factory.mktemp("calibrate")
    first_tiny_model.save_pretrained(place / "model", dtype="int8")
    splits = [word for split in ("train", "val_seen", "val_unseen") for word in ("--split", split)]
    arguments = ["open-exercise", str(prepared), "--out", str(place / "out"), "--views", "2", *splits]
    return place, CliRunner().invoke(app, ["calibrate", str(place / "model"), *arguments]), arguments


def test_the_command_writes_the_checkpoint_again(calibrated):
    place, result, _ = calibrated
    assert result.exit_code == 0, result.output
    before, after = (amge.from_pretrained(place / name) for name in ("model", "out"))
    assert all((after.state_dict()[key] == value).all() for key, value in before.state_dict().items())
    weights = [(place / name / "model.safetensors").read_bytes() for name in ("model", "out")]
    assert weights[0] == weights[1]
    assert after.spec.temperature != 1 and list(after.spec.threshold) == list(after.spec.labels)
    card = (place / "out" / "README.md").read_text()
    assert f"divided by {after.spec.temperature:g}" in card and "from 0." in card
    for word in ("before", "after", "calibration error", "F1 micro", "F1 macro", "temperature", "written to"):
        assert word in result.stdout


def test_what_it_says_is_what_a_test_finds(calibrated, prepared, tmp_path):
    from amge.data.open_exercise import samples
    from amge.evaluate import predictions, report
    from amge.viz.plots import draw_report

    place, result, _ = calibrated
    model = amge.from_pretrained(place / "out")
    found = predictions(model, samples(prepared), views=2)
    error = expected_calibration_error(found.targets, found.probabilities)
    f1 = f1_scores(found.targets, found.probabilities, np.array([*model.spec.threshold.values()]))
    row = next(line.split() for line in result.stdout.splitlines() if line.startswith("after"))
    assert row[1:] == [f"{error:.3f}", f"{100 * f1['micro']:.1f}", f"{100 * f1['macro']:.1f}"]
    figures = report(found, model.spec.threshold, resamples=5)
    assert figures["threshold"] == model.spec.threshold
    assert json.loads(json.dumps(figures)) == figures
    draw_report(found, figures, tmp_path / "report.png")
    assert (tmp_path / "report.png").stat().st_size > 10_000


def test_a_folder_with_files_is_refused_before_anything_is_predicted(calibrated):
    place, _, arguments = calibrated
    again = CliRunner().invoke(app, ["calibrate", str(place / "model"), *arguments])
    assert again.exit_code == 2 and "exists already; name a new folder" in again.stderr
    assert again.stderr.count("\n") == 1


def test_a_softmax_keeps_its_temperature(tiny_spec, prepared):
    pytest.importorskip("lightning")
    from amge.data.open_exercise import samples
    from amge.evaluate import calibrated, predictions

    model = amge.assemble(tiny_spec.replace(activation="softmax"))
    fields, _ = calibrated(model.spec, predictions(model, samples(prepared), views=1))
    assert fields["temperature"] == 1 and model.spec.replace(**fields).threshold == fields["threshold"]
