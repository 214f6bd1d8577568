"""A video to muscle regions by OpenVINO, without PyTorch and without amge.

amge export transm3e-lite squat.xml --end-to-end
python examples/run_openvino.py squat.xml examples/squat.mp4  # needs openvino, numpy and av
"""

import json
import runpy
import sys
from pathlib import Path

import av
import numpy as np
import openvino


def main(model: str, video: str) -> None:
    path = Path(model)
    beside = path.with_name(f"{path.stem.replace('-', '_').replace('.', '_')}_frames.py")
    choose_frames = runpy.run_path(str(beside))["choose_frames"]
    with av.open(video) as container:
        stream = container.streams.video[0]
        scale = min(1, 480 / max(stream.width, stream.height))
        size = {"width": round(scale * stream.width), "height": round(scale * stream.height)}
        frames = np.stack([frame.to_ndarray(format="rgb24", **size) for frame in container.decode(stream)])
        fps = float(stream.average_rate or 30)

    core = openvino.Core()
    network = core.read_model(model)
    labels, thresholds = (
        json.loads(network.get_rt_info(["model_info", each]).value) for each in ("labels", "thresholds")
    )
    exact = {"INFERENCE_PRECISION_HINT": "f32"}  # in bfloat16, which some processors prefer, the crop would be off
    probabilities = core.compile_model(network, "CPU", exact)([choose_frames(frames, fps)])[0]
    for label, least, p in zip(labels, thresholds, probabilities, strict=True):
        if p >= least:
            print(f"{label} {p:.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
