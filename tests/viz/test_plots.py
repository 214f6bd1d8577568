import pytest

pytest.importorskip("matplotlib")

from amge.viz.plots import curves


def test_half_a_line_that_a_killed_run_left_is_left_out(tmp_path):
    for version, text in enumerate(("loss,step\n1.5,1\n0.", "loss,step\n1.0,2\n0.5,3\n")):
        log = tmp_path / "logs" / f"version_{version}" / "metrics.csv"
        log.parent.mkdir(parents=True)
        log.write_text(text)
    assert curves(tmp_path).stat().st_size > 5_000
