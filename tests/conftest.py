import pytest
import torch

import amge


@pytest.fixture(scope="session")
def tiny_spec():
    """TransM³E-lite on a toy encoder, 4 frames of 64 x 64."""
    return amge.spec("transm3e-lite").replace(
        backbone_args={"encoder": "test_efficientnet", "dim": 32, "depth": 2, "num_heads": 2}, frames=4, size=64
    )


@pytest.fixture
def tiny_model(tiny_spec):
    """A random model of `tiny_spec` in eval mode."""
    torch.manual_seed(0)
    return amge.assemble(tiny_spec).eval()
