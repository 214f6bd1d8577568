import json

import numpy as np
import pytest
from PIL import Image

from amge.muscles import REGION_IDS


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
