import numpy as np
import pytest

from amge.viz.theme import LEAST, LIGHT, THEMES, contrast, theme_of

SEES = {
    "all colours": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
"""What eyes that lack a cone make of linear RGB (Machado, Oliveira and Fernandes, 2009, severity 1)."""


def lab(colours, sees):
    """CIE L*a*b* `(N, 3)` of sRGB `(N, 3)` as some eyes see it."""
    share = np.array(colours) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    linear = (linear @ np.array(SEES[sees]).T).clip(0, 1)
    xyz = linear @ np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]])
    xyz /= 0.9505, 1, 1.089
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


@pytest.mark.parametrize("sees", SEES)
def test_the_palette_for_the_colour_blind_is_told_apart_by_all_eyes(sees):
    """Steps of 20 points are 20 units or more apart, ten times what is just seen, and always darker."""
    theme = THEMES["colour-blind"]
    active = lab([theme.colour(p) for p in np.arange(LEAST, 1.01, 0.05)], sees)
    assert np.linalg.norm(active[4:] - active[:-4], axis=1).min() > 20
    assert (np.diff(active[:, 0]) < 0).all()
    assert np.linalg.norm(active - lab([theme.inactive], sees), axis=1).min() > 19


@pytest.mark.parametrize(("name", "least"), [("light", 4.0), ("dark", 4.5), ("colour-blind", 4.5)])
def test_text_is_read_on_paper_and_on_any_cell(name, least):
    theme = THEMES[name]
    assert contrast(theme.ink, theme.paper) > 15
    assert contrast(theme.muted, theme.paper) > least
    for p in np.linspace(0, 1, 21):
        cell = theme.shade(p, 0)
        assert contrast(theme.over(cell), cell) > 3.8


def test_contrast_of_black_and_white():
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast(LIGHT.ink, LIGHT.ink) == 1


def test_an_unknown_theme_is_told_with_the_closest():
    with pytest.raises(ValueError, match="did you mean 'dark'"):
        theme_of("drak")
