import copy
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch starts: tests run in several processes, on small models

from contextlib import ExitStack
from unittest.mock import patch

import numpy as np
import pytest
import torch
from PIL import Image

import amge
import amge.zoo  # before the fixture `registry` looks at what there is
from amge.data.datasets import DATASETS, LICENCES
from amge.hub.published import PUBLISHED
from amge.muscles import REGION_IDS
from amge.registry import HOMES, MODELS, PARTS

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # before Triton starts: its kernels run on the CPU


@pytest.fixture(autouse=True)
def no_detector(request, monkeypatch):
    """Models without a person head ask MediaPipe, if it is installed, whether somebody is there; tests show noise."""
    if "detector" not in request.keywords:
        monkeypatch.setattr("amge.evidence.detector", lambda: None)


@pytest.fixture
def kernels(monkeypatch):
    """Triton's kernels run where the test does, in Triton's interpreter where there is no GPU."""
    triton = pytest.importorskip("triton", reason="the kernels need Triton")
    here = "cuda" if torch.cuda.is_available() else "cpu"
    old = tuple(map(int, triton.__version__.split(".")[:2])) < (3, 4)
    if here == "cpu" and old and np.lib.NumpyVersion(np.__version__) >= "2.4.0":
        pytest.skip("this Triton's interpreter is older than this NumPy")
    monkeypatch.setattr("amge.layers.depthwise_pooling.DEVICES", (here,))


@pytest.fixture
def registry():
    """Names that a test registers are forgotten after it."""
    with ExitStack() as stack:
        for known in (MODELS, PUBLISHED, HOMES, DATASETS, LICENCES, *PARTS.values()):
            stack.enter_context(patch.dict(known))
        yield


@pytest.fixture(scope="session")
def tiny_spec():
    """TransM³E-lite on a toy encoder, 4 frames of 64 x 64."""
    return amge.spec("transm3e-lite").replace(
        backbone_args={"encoder": "test_efficientnet", "dim": 32, "depth": 2, "num_heads": 2},
        sampling="even",
        frames=4,
        size=64,
        evidence={"sure": 0.0, "detail": 0.0},  # tests show it noise, which it should take for people
    )


@pytest.fixture(scope="session")
def first_tiny_model(tiny_spec):
    torch.manual_seed(0)
    return amge.assemble(tiny_spec).eval()


@pytest.fixture
def tiny_model(first_tiny_model):
    """A random model of `tiny_spec` in eval mode; draws that follow are always the same."""
    torch.manual_seed(0)
    return copy.deepcopy(first_tiny_model)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """A folder like that of the open exercise photographs, with noise for pictures."""
    folder = tmp_path_factory.mktemp("open-exercise")
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    samples = []
    for i in range(10):
        frames = [f"images/{i}_{j}.png" for j in range(2)]
        for frame in frames:
            Image.fromarray(rng.integers(0, 256, (64, 80, 3), dtype=np.uint8)).save(folder / frame)
        split = "train" if i < 8 else ("val_seen", "val_unseen")[i % 2]
        samples.append({"id": str(i), "frames": frames, "regions": [REGION_IDS[i], REGION_IDS[i + 5]], "split": split})
    (folder / "labels.json").write_text(json.dumps({"regions": REGION_IDS, "samples": samples}))
    keypoints = np.concatenate([rng.uniform(5, 60, (10, 2, 17, 2)), np.ones((10, 2, 17, 1))], axis=-1)
    np.savez(folder / "keypoints.npz", ids=[s["id"] for s in samples], keypoints=keypoints.astype(np.float32))
    return folder
