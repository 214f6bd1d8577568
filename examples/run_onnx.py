"""A video to muscle regions by ONNX Runtime, without PyTorch and without amge.

amge export transm3e-lite squat.onnx --end-to-end
python examples/run_onnx.py squat.onnx examples/squat.mp4  # needs onnxruntime, numpy and av
"""

import json
import runpy
import sys
from pathlib import Path

import av
import numpy as np
import onnxruntime


def main(model: str, video: str) -> None:
    path = Path(model)
    beside = path.with_name(f"{path.stem.replace('-', '_').replace('.', '_')}_frames.py")
    if not beside.exists():
        sys.exit(f"error: {beside} is not there; only amge export --end-to-end, of models of pictures, writes it")
    choose_frames = runpy.run_path(str(beside))["choose_frames"]
    with av.open(video) as container:
        stream = container.streams.video[0]
        scale = min(1, 480 / max(stream.width, stream.height))
        size = {"width": round(scale * stream.width), "height": round(scale * stream.height)}
        frames = np.stack([frame.to_ndarray(format="rgb24", **size) for frame in container.decode(stream)])
        fps = float(stream.average_rate or 30)

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    (probabilities,) = session.run(None, {"frames": choose_frames(frames, fps)})
    for label, least, p in zip(
        json.loads(about["labels"]), json.loads(about["thresholds"]), probabilities, strict=True
    ):
        if p >= least:
            print(f"{label} {p:.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
