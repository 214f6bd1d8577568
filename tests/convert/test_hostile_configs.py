import pytest
import torch
from typer.testing import CliRunner

from amge.cli import app

BOMB = "a0: &a0 [1, 1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))


@pytest.mark.parametrize(
    "text, error",
    [(BOMB, "more than 100,000 values"), (f"graph: '{'-' * 200_000}1'", "graph"), (f"graph: {'[' * 5000}", "readable")],
    ids=["aliases", "dashes", "brackets"],
)
def test_a_configuration_that_would_take_for_ever(tmp_path, text, error):
    torch.save({"fcn.bias": torch.zeros(3)}, tmp_path / "a.pth")
    (tmp_path / "config.yaml").write_text(text)
    given = ["convert", "st-gcn", *(str(tmp_path / name) for name in ("a.pth", "config.yaml", "out"))]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 2 and result.stderr.count("\n") == 1 and not (tmp_path / "out").exists()
    assert error in result.stderr or "lacks" in result.stderr


def test_a_tensor_that_repeats_one_number_is_refused(tmp_path):
    torch.save({"head.weight": torch.zeros(1).expand(800_000, 768)}, tmp_path / "a.pth")
    result = CliRunner().invoke(
        app, ["convert", "torchvision-swin3d", str(tmp_path / "a.pth"), "-", str(tmp_path / "b")]
    )
    assert result.exit_code == 2 and "not names of weights to tensors alone" in result.stderr


def test_a_checkpoint_that_does_not_tell_its_sizes_is_reported_key_by_key(tmp_path):
    torch.save({"model.patch_embed.proj.weight": torch.zeros(3)}, tmp_path / "a.pth")
    given = ["convert", "torchvision-swin3d", str(tmp_path / "a.pth"), "-", str(tmp_path / "b")]
    result = CliRunner().invoke(app, [*given, "--report", str(tmp_path / "report.json")])
    assert result.exit_code == 2 and "it lacks head.bias" in result.stderr
    report = (tmp_path / "report.json").read_text()
    assert '"head.bias"' in report and '"patch_embed.proj.weight"' in report and '"prefix": "model."' in report
