import numpy as np
import pytest

from amge.synthetic import render_empty
from amge.synthetic.empty import SCENES, THINGS


def test_same_seed_same_bytes():
    first, second = (render_empty("landscape", ("beast",), 3, 64, seed=5) for _ in range(2))
    assert first.shape == (3, 64, 64, 3) and first.dtype == np.uint8 and first.tobytes() == second.tobytes()
    assert first.tobytes() != render_empty("landscape", ("beast",), 3, 64, seed=6).tobytes()


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("thing", THINGS)
def test_every_thing_is_drawn(scene, thing):
    clip = render_empty(scene, (thing,), 2, (60, 80), seed=1)
    bare = render_empty(scene, (), 2, (60, 80), seed=1)
    assert clip.shape == (2, 60, 80, 3) and (clip != bare).any()


def test_animals_move():
    clip = render_empty("room", ("beast", "bird"), 4, 96, seed=2).astype(int)
    assert (abs(clip[1:] - clip[:-1]).max(axis=-1) > 30).mean() > 0.01


@pytest.mark.parametrize("arguments, message", [(("rom",), "unknown scene 'rom'"), (("room", ("tabel",)), "'table'")])
def test_unknown_names_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        render_empty(*arguments)
