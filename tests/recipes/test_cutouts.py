import json

import numpy as np
import pytest
from PIL import Image

from amge.recipes.cutouts import cut_outs, swap_background


def bright(picture):
    """A made-up estimator: somebody is where the picture is bright."""
    return np.where(picture.mean(axis=-1) > 100, 255, 0).astype(np.uint8)


@pytest.fixture
def photographs(tmp_path):
    """Two photographs: in one a bright square, in the other nothing."""
    (tmp_path / "images").mkdir()
    lit, dark = np.zeros((40, 60, 3), np.uint8), np.zeros((50, 40, 3), np.uint8)
    lit[8:32, 16:40] = 200
    frames = [f"images/{name}.png" for name in ("lit", "dark")]
    for frame, picture in zip(frames, (lit, dark), strict=True):
        Image.fromarray(picture).save(tmp_path / frame)
    (tmp_path / "labels.json").write_text(json.dumps({"samples": [{"frames": frames}]}))
    return tmp_path


def test_masks_have_the_size_of_their_photographs_and_are_zero_where_nobody_is(photographs):
    masks = cut_outs(photographs, photographs / "masks.npz", bright)
    lit, dark = masks["images/lit.png"], masks["images/dark.png"]
    assert (lit.dtype, lit.shape, dark.shape) == (np.uint8, (40, 60), (50, 40))
    assert not dark.any() and not lit[:, :8].any() and (lit[12:28, 20:36] > 240).all()


def test_masks_are_made_once(photographs):
    first = cut_outs(photographs, photographs / "masks.npz", bright)
    again = cut_outs(photographs, photographs / "masks.npz", lambda picture: pytest.fail("looked again"))
    assert all((first[path] == again[path]).all() for path in first)


def test_a_folder_without_the_photographs_is_named(tmp_path):
    with pytest.raises(ValueError, match="does not hold the prepared open exercise photographs"):
        cut_outs(tmp_path, tmp_path / "masks.npz", bright)
    assert not (tmp_path / "masks.npz").exists()


def test_the_person_stays_and_what_is_behind_them_changes():
    picture, mask = np.full((20, 30, 3), 200, np.uint8), np.zeros((20, 30), np.uint8)
    mask[5:15, 10:20], mask[5:15, 20] = 255, 51
    background = np.zeros((40, 90, 3), np.uint8)
    background[:, :12], background[:, 78:] = 255, 255  # beyond the shape of the picture
    swapped = swap_background(picture, mask, background)
    assert swapped.dtype == np.uint8 and swapped.shape == picture.shape
    assert (swapped[mask == 255] == 200).all() and not swapped[mask == 0].any()
    assert (swapped[5:15, 20] == 40).all()  # a soft edge: a fifth of 200
