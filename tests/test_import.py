import subprocess
import sys

import pytest
import torch

HEAVY = ("timm", "av", "torchvision", "lightning", "sklearn", "matplotlib", "huggingface_hub")


def test_import_is_quiet_and_light():
    """`print` in the child shows which of the heavy packages came along: none."""
    code = f"import sys, amge; print(*[name for name in {HEAVY} if name in sys.modules], end='')"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_public_names_are_there():
    import amge

    assert [name for name in amge.__all__ if not hasattr(amge, name)] == []


@pytest.mark.skipif(torch.__version__ < "2.9", reason="einops and torchvision start it")
def test_building_is_light():
    """The rehearsal of a build must not start torch's compiler, which takes seconds and 150 MB."""
    code = "import sys, amge; amge.build('transm3e-tiny', tokens=3); print('torch._dynamo' in sys.modules, end='')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.returncode) == ("False", 0), done.stderr
