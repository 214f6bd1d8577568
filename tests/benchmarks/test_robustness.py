import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("sklearn")

import amge
from amge.recipes.cutouts import cut_outs

ROOT = Path(__file__).parents[2]
SCRIPT = SimpleNamespace(**runpy.run_path(str(ROOT / "benchmarks" / "robustness.py")))


@pytest.fixture
def picture():
    """A grey picture with a red square in its upper left, and its mask."""
    picture, mask = np.full((40, 60, 3), 90, np.uint8), np.zeros((40, 60), np.uint8)
    picture[8:16, 8:24], mask[8:16, 8:24] = (220, 20, 20), 255
    return picture, mask


def test_pictures_are_mirrored_and_lose_detail_and_colour(picture):
    photo, _ = picture
    assert (SCRIPT.flipped(photo)[:, -24:-8] == photo[:, 8:24][:, ::-1]).all()
    assert np.ptp(SCRIPT.grey(photo), axis=-1).max() == 0
    stripes = np.zeros_like(photo)
    stripes[:, ::2] = 200
    assert (SCRIPT.half_resolution(stripes) == 100).all()


def test_a_tilt_turns_anticlockwise_around_the_middle_and_fills_with_grey(picture):
    photo, _ = picture
    turned = SCRIPT.tilted(photo, 15)
    rows, _ = np.nonzero(turned[..., 0] > 150)
    assert turned.shape == photo.shape and (turned[0, 0] == 127).all() and (turned[20, 30] == 90).all()
    assert rows.mean() > 11.5 + 2  # what is left of the middle goes down
    assert (SCRIPT.tilted(photo, -15)[..., 0] > 150).nonzero()[0].mean() < 11.5


def test_jpeg_changes_a_picture_a_little():
    pytest.importorskip("cv2")
    photo = np.random.default_rng(0).integers(60, 190, (40, 60, 3), dtype=np.uint8)
    error = np.abs(SCRIPT.jpeg(photo).astype(int) - photo)
    assert 1 < error.mean() < 40


def test_nobody_is_left_where_the_person_is_covered(picture):
    pytest.importorskip("cv2")
    assert np.abs(SCRIPT.without_person(*picture).astype(int) - 90).max() < 3


def test_photographs_without_a_person_keep_their_background(picture):
    photo, mask = picture
    scene = SCRIPT.Scene(np.stack([photo] * 2), np.stack([mask, 0 * mask]), None, None)
    swapped = scene.before(np.zeros((10, 10, 3), np.uint8))
    assert (swapped[0][mask == 255] == photo[mask == 255]).all() and not swapped[0][mask == 0].any()
    assert (swapped[1] == photo).all()


def test_moving_clips_switch_at_the_seconds_that_their_speed_says():
    photos = np.arange(2, dtype=np.uint8)[:, None, None, None]
    plain, fast, sparse = (SCRIPT.moving(photos, *how).ravel() for how in ((1, 30), (2, 30), (1, 10)))
    assert (plain == np.repeat([0, 1, 0, 1], 30)).all()
    assert (fast == np.repeat([0, 1] * 4, 15)).all()
    assert (sparse == plain[::3]).all()


def test_clips_that_show_one_change_begin_and_end_with_a_photograph(picture):
    pytest.importorskip("cv2")
    photos = np.stack([picture[0], SCRIPT.flipped(picture[0])])
    for between in SCRIPT.BETWEEN.values():
        clip = between(photos, 4)
        assert len(clip) == 4 and (clip[0] == photos[0]).all() and (clip[-1] == photos[1]).all()


def test_frames_are_padded_to_squares_with_grey():
    padded = SCRIPT.squared(np.zeros((2, 40, 61, 3), np.uint8))
    assert padded.shape == (2, 61, 61, 3) and (padded[:, :10] == 127).all() and not padded[:, 10:50].any()


def test_it_evaluates_and_keeps_earlier_figures(monkeypatch, capsys, tmp_path, tiny_model, prepared):
    half = np.repeat([0, 255], 40).astype(np.uint8)
    cut_outs(prepared, tmp_path / "cutouts.npz", lambda picture: np.tile(half, (len(picture), 1)))
    folder = amge.assemble(tiny_model.spec).save_pretrained(tmp_path / "model")
    main = ["robustness.py", "--model", str(folder), "--data", str(prepared), "--work", str(tmp_path)]
    for conditions in (["none", "texture"], ["30 % faster"]):
        monkeypatch.setattr(sys, "argv", [*main, "--out", str(tmp_path / "out.json"), "--only", *conditions])
        SCRIPT.main()
    (found,) = json.loads((tmp_path / "out.json").read_text())["mAP"].values()
    assert list(found) == ["none", "texture", "30 % faster"]
    assert all(0 <= figures[split] <= 100 for figures in found.values() for split in ("val_seen", "val_unseen"))
